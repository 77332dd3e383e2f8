"""Numbers with the noun they count, in English; Vietnamese nouns have one form."""


def counted(count: int, one: str, many: str) -> str:
    """ "1 request is overdue", "2 requests are overdue"."""
    return f"{count} {one if count == 1 else many}"
