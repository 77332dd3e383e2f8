"""The arguments of SMTP commands: octets in, values out, or a `Fault` that names the reply. Pure.

RFC 5321 §4.1.2 and §4.1.3 (paths, domains, address literals), RFC 6531 §3.3 (UTF-8 in them), RFC 1870 (SIZE), RFC 6152 and
RFC 3030 (BODY, BDAT), RFC 3461 §4 and RFC 6533 §3 (RET, ENVID, NOTIFY, ORCPT, xtext), RFC 4954 §5 (AUTH=), RFC 8689 §2.

Laxer than the grammar in four places, each because of who sends it so: a space after the colon (Outlook 365), spaces at the end
of the line (RFC 5321 §4.1.1 asks for it), `_` in a domain (Windows hosts), and anything printable as the argument of EHLO.
Nothing else: an address that can be read in two ways is how mail is relayed that should not be.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from mic_mail.mime.xtext import decode_xtext

MAX_LOCAL_OCTETS = 256
"""RFC 5321 §4.5.3.1.1 asks for 64 at least; list managers and forwarders (VERP, SRS) write longer ones."""
MAX_DOMAIN_OCTETS = 255
MAX_ENVID_OCTETS = 100  # RFC 3461 §4.4
MAX_ORCPT_OCTETS = 500  # RFC 3461 §4.2

FaultName = Literal["syntax", "bad-sender", "bad-recipient", "bad-parameter", "unknown-parameter", "needs-smtputf8", "bad-helo"]


class Fault(ValueError):
    """An argument that cannot be read; `name` is the key of its reply, `detail` the word that is wrong (ASCII)."""

    def __init__(self, name: FaultName, detail: str = "") -> None:
        self.name: Final = name
        self.detail: Final = detail
        super().__init__(name, detail)


@dataclass(frozen=True, slots=True)
class Path:
    """A reverse-path or forward-path. `<>` has neither part, `<Postmaster>` no domain."""

    local: str
    """Without quotes: `"dvbe"@x` and `dvbe@x` are one mailbox (RFC 5321 §4.1.2)."""
    domain: str

    @property
    def is_null(self) -> bool:
        return not self.local and not self.domain

    @property
    def is_ascii(self) -> bool:
        return self.local.isascii() and self.domain.isascii()

    @property
    def address(self) -> str:
        """As it is written: quoted where it must be, empty for the null path."""
        if self.is_null:
            return ""
        local = _written(self.local)
        return f"{local}@{self.domain}" if self.domain else local


NULL_PATH = Path("", "")


@dataclass(frozen=True, slots=True)
class MailParameters:
    size: int | None = None
    body: str = "7BIT"
    smtputf8: bool = False
    auth: str | None = None
    """RFC 4954 §5: who submitted it first, as the client says; kept, not trusted. Empty: unknown (`<>`)."""
    ret: str | None = None
    envid: str | None = None
    requires_tls: bool = False


@dataclass(frozen=True, slots=True)
class RcptParameters:
    notify: frozenset[str] = frozenset()
    orcpt: str | None = None
    """`type;xtext` as it came; a report quotes it back (RFC 3461 §6.3)."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """BDAT's argument (RFC 3030 §2)."""

    octets: int
    last: bool


# RFC 5321 §4.1.2 with RFC 6531 §3.3; C1 controls are letters to nobody.
_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u00a0-\U0010ffff]"
_DOT_STRING = re.compile(rf"{_ATEXT}++(?:\.{_ATEXT}++)*+")
_QUOTED = r'"(?:[ !#-\[\]-~\u00a0-\U0010ffff]|\\[ -~])*+"'
_LABEL = r"[A-Za-z0-9_\u00a0-\U0010ffff](?:[A-Za-z0-9_\-\u00a0-\U0010ffff]*[A-Za-z0-9_\u00a0-\U0010ffff])?"
_DOMAIN = rf"{_LABEL}(?:\.{_LABEL})*"
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_LITERAL = rf"\[(?:{_OCTET}(?:\.{_OCTET}){{3}}|(?i:IPv6):[0-9A-Fa-f:.]{{2,45}})\]"
_HOST = rf"(?:{_DOMAIN}|{_LITERAL})"

# Source routes are accepted and ignored (RFC 5321 §4.1.2, appendix C): what counts is the last mailbox, never the route.
_MAILBOX = re.compile(rf" *<(?:@{_HOST}(?:,@{_HOST})*:)?({_DOT_STRING.pattern}|{_QUOTED})@({_HOST})>(?= |\Z)")
_NULL = re.compile(r" *<>(?= |\Z)")
_POSTMASTER = re.compile(r" *<postmaster>(?= |\Z)", re.IGNORECASE)
_BARE_MAILBOX = re.compile(rf"({_DOT_STRING.pattern}|{_QUOTED})@({_HOST})")
_ESCAPE = re.compile(r"\\(.)")

_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~\u00a0-\U0010ffff]+))?")
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
_ORCPT = re.compile(r"([A-Za-z0-9-]+);(.+)")
# RFC 6533 §3: utf-8 addresses in ORCPT, xtext with \x{HEX} or plain UTF-8.
_UNITEXT = re.compile(r"(?:[!-*,-<>-\[\]-~\u00a0-\U0010ffff]|\+[0-9A-F]{2}|\\x\{[0-9A-F]{1,6}\})+")
_SIZE = re.compile(r"[0-9]{1,20}")
_CHUNK = re.compile(rb"([0-9]{1,19})(?: +(LAST))? *", re.IGNORECASE)

_BODIES = frozenset({"7BIT", "8BITMIME", "BINARYMIME"})
_NOTIFY = frozenset({"SUCCESS", "FAILURE", "DELAY"})

# EHLO: what a trace header can carry as a word; all else becomes "?" there.
_HELO_SAFE = re.compile(r"[^A-Za-z0-9._:\[\]\-]")


def parse_mail(argument: bytes) -> tuple[Path, MailParameters]:
    """`FROM:<path> [parameters]`. 1.6 us without parameters: bench/smtp_grammar.py."""
    path, rest = _path(argument, "from:", "bad-sender")
    parameters = _mail_parameters(rest) if rest else NO_MAIL_PARAMETERS
    if not (argument.isascii() or parameters.smtputf8 or path.is_ascii):
        raise Fault("needs-smtputf8")
    return path, parameters


def parse_rcpt(argument: bytes, *, smtputf8: bool) -> tuple[Path, RcptParameters]:
    """`TO:<path> [parameters]`; `smtputf8` as the MAIL command of this transaction said."""
    path, rest = _path(argument, "to:", "bad-recipient")
    if path is NULL_PATH:
        raise Fault("bad-recipient")
    if not (argument.isascii() or smtputf8 or path.is_ascii):
        raise Fault("needs-smtputf8")
    return path, _rcpt_parameters(rest) if rest else NO_RCPT_PARAMETERS


def parse_bdat(argument: bytes) -> Chunk:
    match = _CHUNK.fullmatch(argument)
    if match is None:
        raise Fault("bad-parameter", "BDAT")
    return Chunk(int(match[1]), match[2] is not None)


def parse_helo(argument: bytes) -> str:
    """The client's name for itself, fit for a trace header. RFC 5321 §4.1.4: a wrong one is no reason to refuse mail."""
    name = argument.strip(b" \t")
    if not name or len(name) > MAX_DOMAIN_OCTETS:
        raise Fault("bad-helo")
    return _HELO_SAFE.sub("?", name.decode("utf-8", "replace"))


def _path(argument: bytes, keyword: str, fault: FaultName) -> tuple[Path, str]:
    """The path and what follows it, without the spaces between."""
    try:
        text = argument.decode("utf-8").rstrip(" \t")
    except UnicodeDecodeError:
        raise Fault("syntax") from None
    if text[: len(keyword)].lower() != keyword:
        raise Fault("syntax")
    if (match := _MAILBOX.match(text, len(keyword))) is not None:
        path = _mailbox(match[1], match[2], fault)
    elif (match := _NULL.match(text, len(keyword))) is not None:
        path = NULL_PATH
    elif fault == "bad-recipient" and (match := _POSTMASTER.match(text, len(keyword))) is not None:
        path = Path("postmaster", "")  # RFC 5321 §4.5.1
    else:
        raise Fault(fault)
    return path, text[match.end() :].strip(" ")


def _mailbox(local: str, domain: str, fault: FaultName) -> Path:
    if local.startswith('"'):
        local = _ESCAPE.sub(r"\1", local[1:-1])
    # Lengths first: composing letters takes time that grows with the square of a run of marks.
    if _octets(local) > MAX_LOCAL_OCTETS or _octets(domain) > MAX_DOMAIN_OCTETS or not local:
        raise Fault(fault)
    if not local.isascii():
        local = unicodedata.normalize("NFC", local)
    if not domain.isascii():
        domain = unicodedata.normalize("NFC", domain)
    domain = domain.lower()
    return Path(local, domain.replace("[ipv6:", "[IPv6:", 1) if domain[0] == "[" else domain)


def _octets(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


@lru_cache(maxsize=256)
def _written(local: str) -> str:
    """A local part in quotes, if it needs them. Kept, as the commands and the trace lines of a message ask for the same one."""
    if _DOT_STRING.fullmatch(local) is not None:
        return local
    return '"' + re.sub(r'(["\\])', r"\\\1", local) + '"'


def _parameters(text: str, known: frozenset[str]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for word in text.split():
        match = _PARAMETER.fullmatch(word)
        if match is None:
            raise Fault("bad-parameter")
        keyword = match[1].upper()
        if keyword not in known:
            raise Fault("unknown-parameter", keyword[:40])
        if keyword in found:
            raise Fault("bad-parameter", keyword)
        found[keyword] = match[2]
    return found


_MAIL_KEYWORDS = frozenset({"SIZE", "BODY", "SMTPUTF8", "AUTH", "RET", "ENVID", "REQUIRETLS"})
_RCPT_KEYWORDS = frozenset({"NOTIFY", "ORCPT"})
NO_MAIL_PARAMETERS = MailParameters()
NO_RCPT_PARAMETERS = RcptParameters()


def _mail_parameters(text: str) -> MailParameters:
    found = _parameters(text, _MAIL_KEYWORDS)
    for alone in ("SMTPUTF8", "REQUIRETLS"):
        if found.get(alone) is not None:
            raise Fault("bad-parameter", alone)
    return MailParameters(
        size=_size(found["SIZE"]) if "SIZE" in found else None,
        body=_word("BODY", found["BODY"], _BODIES) if "BODY" in found else "7BIT",
        smtputf8="SMTPUTF8" in found,
        auth=_auth(found["AUTH"]) if "AUTH" in found else None,
        ret=_word("RET", found["RET"], frozenset({"FULL", "HDRS"})) if "RET" in found else None,
        envid=_envid(found["ENVID"]) if "ENVID" in found else None,
        requires_tls="REQUIRETLS" in found,
    )


def _rcpt_parameters(text: str) -> RcptParameters:
    found = _parameters(text, _RCPT_KEYWORDS)
    return RcptParameters(
        notify=_notify(found["NOTIFY"]) if "NOTIFY" in found else frozenset(),
        orcpt=_orcpt(found["ORCPT"]) if "ORCPT" in found else None,
    )


def _word(keyword: str, value: str | None, allowed: frozenset[str]) -> str:
    word = (value or "").upper()
    if word not in allowed:
        raise Fault("bad-parameter", keyword)
    return word


def _size(value: str | None) -> int:
    if value is None or _SIZE.fullmatch(value) is None:
        raise Fault("bad-parameter", "SIZE")
    return int(value)


def _auth(value: str | None) -> str:
    if value == "<>":
        return ""
    if not value or _XTEXT.fullmatch(value) is None:
        raise Fault("bad-parameter", "AUTH")
    address = decode_xtext(value)
    if _BARE_MAILBOX.fullmatch(address) is None:
        raise Fault("bad-parameter", "AUTH")
    return address


def _envid(value: str | None) -> str:
    if not value or len(value) > MAX_ENVID_OCTETS or _XTEXT.fullmatch(value) is None:
        raise Fault("bad-parameter", "ENVID")
    if not all(" " <= char <= "~" for char in decode_xtext(value)):
        raise Fault("bad-parameter", "ENVID")  # RFC 3461 §4.4: printable, it will stand in a report
    return value


def _notify(value: str | None) -> frozenset[str]:
    words = (value or "").upper().split(",")
    if words == ["NEVER"]:
        return frozenset(words)
    if len(set(words)) != len(words) or not _NOTIFY.issuperset(words):
        raise Fault("bad-parameter", "NOTIFY")  # RFC 3461 §4.1: NEVER stands alone
    return frozenset(words)


def _orcpt(value: str | None) -> str:
    match = _ORCPT.fullmatch(value or "")
    if match is None or len(match[0].encode()) > MAX_ORCPT_OCTETS:
        raise Fault("bad-parameter", "ORCPT")
    form = _UNITEXT if match[1].lower() == "utf-8" else _XTEXT
    if form.fullmatch(match[2]) is None:
        raise Fault("bad-parameter", "ORCPT")
    if not all(char >= " " and char != "\x7f" for char in decode_xtext(match[2])):
        raise Fault("bad-parameter", "ORCPT")
    return match[0]
