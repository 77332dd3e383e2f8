"""Mailbox addresses for tests: from a literal, and any that RFC 5321 §4.1.2 and RFC 6531 §3.3 know, in all spellings."""

import string
import unicodedata
from dataclasses import dataclass

from hypothesis import strategies as st

from mic_mail.mailbox_address import MAX_DOMAIN_OCTETS, MAX_LOCAL_OCTETS, MailboxAddress

parsed = MailboxAddress.parse

ATEXT = string.ascii_letters + string.digits + "!#$%&'*+-/=?^_`{|}~"
PRINTABLE = "".join(map(chr, range(32, 127)))
LETTERS = "độễĐỘ\u00a0日本\u0301\u200bß😀"
"""Beyond ASCII: Vietnamese, marks that compose, what is not to be seen, what has four octets."""
HAZARDS = (
    "boss@other.test> NOTIFY=NEVER ORCPT=rfc822;",
    "a@b",
    "john doe",
    "a,b",
    "a\\b",
    'a"b',
    " ",
    "<>",
    "a>b",
    "a..b",
    ".a",
    "(c)",
    ";:",
)
"""Local parts in which something else could be read."""


@dataclass(frozen=True)
class Spelling:
    """One address as somebody may write it, and what it says."""

    text: str
    local_part: str
    domain: str

    @property
    def address(self) -> MailboxAddress:
        return MailboxAddress(self.local_part, self.domain)


def _octets(text: str) -> int:
    return len(unicodedata.normalize("NFC", text).encode())


@st.composite
def _local_parts(draw: st.DrawFn, *, utf8: bool) -> tuple[str, str]:
    """As it is written, and as it is meant."""
    more = LETTERS if utf8 else ""
    if draw(st.booleans()):
        atoms = draw(st.lists(st.text(st.sampled_from(ATEXT + more), min_size=1, max_size=8), min_size=1, max_size=4))
        return ".".join(atoms), ".".join(atoms)
    content = draw(st.one_of(st.sampled_from(HAZARDS), st.text(st.sampled_from(PRINTABLE + more), min_size=1, max_size=20)))
    content *= draw(st.sampled_from([1, 1, 1, max(1, 64 // len(content)), max(1, MAX_LOCAL_OCTETS // _octets(content))]))
    pairs = draw(st.sets(st.integers(0, len(content) - 1), max_size=5))
    written = "".join(
        f"\\{char}" if char in '"\\' or (at in pairs and char in PRINTABLE) else char for at, char in enumerate(content)
    )
    return f'"{written}"', content


@st.composite
def _domains(draw: st.DrawFn, *, utf8: bool) -> str:
    kind = draw(st.integers(0, 5))
    if kind == 0:
        return draw(st.sampled_from(["[192.0.2.1]", "[IPv6:2001:db8::1]", "[ipv6:FE80::25]"]))
    if kind == 1:
        return draw(st.sampled_from(["xn--b-8xm.vn", "XN--B-8XM.example"]))
    if kind == 2 and utf8:
        return draw(st.sampled_from(["bộ.vn", "BỘ.vn", "ví-dụ.vn", "日本.example"]))
    if kind == 3:
        return ".".join(["a" * 63] * 3 + ["b" * 61])  # 253 octets
    labels = st.text(st.sampled_from(string.ascii_letters + string.digits), min_size=1, max_size=10)
    return ".".join(draw(st.lists(labels, min_size=2, max_size=4)))


@st.composite
def spellings(draw: st.DrawFn, *, utf8: bool = True) -> Spelling:
    """Addresses with quotes where they must and need not be, quoted pairs, spaces, `@`, `>`, literals, labels of both kinds,
    and up to the longest parts."""
    written, local_part = draw(_local_parts(utf8=utf8).filter(lambda pair: _octets(pair[1]) <= MAX_LOCAL_OCTETS))
    domain = draw(_domains(utf8=utf8).filter(lambda domain: _octets(domain) <= MAX_DOMAIN_OCTETS))
    return Spelling(f"{written}@{domain}", local_part, domain)


class NotStrict(ValueError):
    """A line that RFC 5321 does not know."""


def strict_path(line: str) -> tuple[str, str, list[str]]:
    """Local part without quotes, domain and parameters of a MAIL or RCPT command, letter by letter as RFC 5321 §4.1.2 has it.

    No code of the server's is used, and nothing is forgiven: neither a space more nor an unknown letter.
    """
    for begin in ("MAIL FROM:<", "RCPT TO:<"):
        if line.startswith(begin):
            break
    else:
        raise NotStrict(line)
    at, local = len(begin), ""
    if line[at] == '"':
        at += 1
        while line[at] != '"':
            if line[at] == "\\":
                at += 1
            elif not (" " <= line[at] <= "~" or line[at] > "\x9f"):
                raise NotStrict(line)
            local += line[at]
            at += 1
        at += 1
    else:
        while line[at] != "@":
            if not (line[at] in ATEXT or line[at] > "\x9f" or (line[at] == "." and local and line[at + 1] != "@")):
                raise NotStrict(line)
            local += line[at]
            at += 1
    if line[at] != "@":
        raise NotStrict(line)
    domain, end, rest = line[at + 1 :].partition(">")
    if not end or not all(char.isalnum() or char in "-.[]:" for char in domain) or (rest and rest[0] != " "):
        raise NotStrict(line)
    return local, domain, rest.split(" ")[1:]
