"""Domain names in the two forms of RFC 5890 §2.3.2: U-labels for people, A-labels for the DNS. Pure."""

from mic_mail.errors import BadInput, Text, in_ascii


class NotAName(BadInput):
    """The text is not a valid DNS name."""

    def __init__(self, domain: str) -> None:
        shown = domain[:80]
        super().__init__(Text(f"“{shown}” không phải tên miền.", f'"{in_ascii(shown)}" is not a domain name.'))


def to_ascii(domain: str) -> str:
    """Return a domain in the DNS form: A-labels, lower case, no dot at the end (RFC 5891 §4)."""
    import idna  # loading its tables takes longer than most commands run

    name = domain.rstrip(".")
    try:
        encoded = name.lower() if name.isascii() else idna.encode(name, uts46=True).decode().lower()
    except idna.IDNAError as error:
        raise NotAName(domain) from error
    if not encoded or len(encoded) > 253 or any(not 0 < len(label) <= 63 for label in encoded.split(".")):
        raise NotAName(domain)
    return encoded


def is_within(name: str, domain: str) -> bool:
    """Return whether a name is a domain or below it; both in the DNS form."""
    return name == domain or name.endswith(f".{domain}")
