"""Evidence for duties of people that a server cannot count.

It is stated in words, so that no clause is blank.
"""

from collections.abc import Mapping

from mic_mail.errors import Text
from mic_mail.services.compliance.finding import Evidence, Finding, Office

_CONDUCT = Text("không có số liệu: do con người thực hiện", "no count: it is for people to do")
_WORDS: Mapping[str, Text] = {
    "14.1": _CONDUCT,
    "15.1": _CONDUCT,
    "15.4": Text(
        "không có số liệu: phải đọc thư của người khác mới biết (4.3)", "no count: others' mail would have to be read (4.3)"
    ),
    "16.1.a": _CONDUCT,
    "16.4": _CONDUCT,
}


def evidence(office: Office) -> Evidence:
    """Yield the words."""
    for clause, words in _WORDS.items():
        yield clause, Finding(words)
