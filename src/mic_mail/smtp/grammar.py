"""Parse the arguments of SMTP commands: octets in, values or an `ArgumentFault` that names the reply out. Pure.

RFC 5321 §4.1.2 and §4.1.3 (paths, domains, address literals), RFC 6531 §3.3 (UTF-8 in them), RFC 1870 (SIZE), RFC 6152
and RFC 3030 (BODY, BDAT), RFC 3461 §4 and RFC 6533 §3 (RET, ENVID, NOTIFY, ORCPT, xtext), RFC 4954 §5 (AUTH=), RFC 8689
§2.

It is laxer than the grammar in four places, each because of known senders: a space after the colon (Outlook 365), spaces
at the end of the line (RFC 5321 §4.1.1 asks for it), `_` in a domain (Windows hosts), and any printable argument of EHLO.
Nothing else: an ambiguous address can turn the server into an open relay.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

from mic_mail.mailbox_address import HOST, MAILBOX, MAX_DOMAIN_OCTETS, NULL_PATH, MailboxAddress, NotAnAddress, ReversePath
from mic_mail.mime.original_recipient import NotAnOriginalRecipient, OriginalRecipient, decode_xtext

MAX_ENVID_OCTETS = 100  # RFC 3461 §4.4

FaultName = Literal["syntax", "bad-sender", "bad-recipient", "bad-parameter", "unknown-parameter", "needs-smtputf8", "bad-helo"]


class ArgumentFault(ValueError):
    """An unparsable argument; `name` is the key of its reply, `detail` the wrong word (ASCII)."""

    def __init__(self, name: FaultName, detail: str = "") -> None:
        self.name: Final = name
        self.detail: Final = detail
        super().__init__(name, detail)


@dataclass(frozen=True, slots=True)
class MailParameters:
    size: int | None = None
    body: str = "7BIT"
    smtputf8: bool = False
    auth: str | None = None
    """Original submitter as the client claims (RFC 4954 §5); stored, not trusted. Empty: unknown (`<>`)."""
    ret: str | None = None
    envid: str | None = None
    requires_tls: bool = False


@dataclass(frozen=True, slots=True)
class RcptParameters:
    notify: frozenset[str] = frozenset()
    orcpt: OriginalRecipient | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """The argument of BDAT (RFC 3030 §2)."""

    octets: int
    last: bool


# Source routes are accepted and ignored (RFC 5321 §4.1.2, appendix C): only the last mailbox counts, never the route.
_MAILBOX = re.compile(rf" *<(?:@{HOST}(?:,@{HOST})*:)?({MAILBOX})>(?= |\Z)")
_NULL = re.compile(r" *<>(?= |\Z)")
_POSTMASTER = re.compile(r" *<postmaster>(?= |\Z)", re.IGNORECASE)

_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([^\x00- =\x7f-\x9f]+))?")
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
_SIZE = re.compile(r"[0-9]{1,20}")
_CHUNK = re.compile(rb"([0-9]{1,19})(?: +(LAST))? *", re.IGNORECASE)

_BODIES = frozenset({"7BIT", "8BITMIME", "BINARYMIME"})
_NOTIFY = frozenset({"SUCCESS", "FAILURE", "DELAY"})

# EHLO: characters of a word in a trace header; all others become "?" there.
_HELO_SAFE = re.compile(r"[^A-Za-z0-9._:\[\]\-]")


def parse_mail(argument: bytes) -> tuple[ReversePath, MailParameters]:
    """Parse `FROM:<path> [parameters]`. 3 us without parameters: bench/smtp_grammar.py."""
    text = _text(argument, "from:")
    match = _MAILBOX.match(text, len("from:"))
    path: ReversePath = NULL_PATH
    if match is not None:
        path = _address(match[1], "bad-sender")
    elif (match := _NULL.match(text, len("from:"))) is None:
        raise ArgumentFault("bad-sender")
    rest = text[match.end() :].strip(" ")
    parameters = _mail_parameters(rest) if rest else NO_MAIL_PARAMETERS
    if not (argument.isascii() or parameters.smtputf8 or str(path).isascii()):
        raise ArgumentFault("needs-smtputf8")
    return path, parameters


def parse_rcpt(argument: bytes, *, smtputf8: bool) -> tuple[MailboxAddress | None, RcptParameters]:
    """Parse `TO:<path> [parameters]`; `smtputf8` is the value of this transaction's MAIL command.

    `<Postmaster>`, which has no domain, is None (RFC 5321 §4.5.1).
    """
    text = _text(argument, "to:")
    match = _MAILBOX.match(text, len("to:"))
    address: MailboxAddress | None = None
    if match is not None:
        address = _address(match[1], "bad-recipient")
    elif (match := _POSTMASTER.match(text, len("to:"))) is None:
        raise ArgumentFault("bad-recipient")
    if not (argument.isascii() or smtputf8 or address is None or address.is_ascii):
        raise ArgumentFault("needs-smtputf8")
    rest = text[match.end() :].strip(" ")
    return address, _rcpt_parameters(rest) if rest else NO_RCPT_PARAMETERS


def parse_bdat(argument: bytes) -> Chunk:
    match = _CHUNK.fullmatch(argument)
    if match is None:
        raise ArgumentFault("bad-parameter", "BDAT")
    return Chunk(int(match[1]), match[2] is not None)


def parse_helo(argument: bytes) -> str:
    """Return the client's name for itself, fit for a trace header.

    RFC 5321 §4.1.4: a wrong name is no reason to refuse mail.
    """
    name = argument.strip(b" \t")
    if not name or len(name) > MAX_DOMAIN_OCTETS:
        raise ArgumentFault("bad-helo")
    return _HELO_SAFE.sub("?", name.decode("utf-8", "replace"))


def _text(argument: bytes, keyword: str) -> str:
    """Return the argument as text after checking that it begins with `keyword` (in lower case)."""
    try:
        text = argument.decode("utf-8").rstrip(" \t")
    except UnicodeDecodeError:
        raise ArgumentFault("syntax") from None
    if text[: len(keyword)].lower() != keyword:
        raise ArgumentFault("syntax")
    return text


def _address(text: str, fault: FaultName) -> MailboxAddress:
    try:
        return MailboxAddress.parse(text)
    except NotAnAddress:
        raise ArgumentFault(fault) from None


def _parameters(text: str, known: frozenset[str]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for word in filter(None, text.split(" ")):
        match = _PARAMETER.fullmatch(word)
        if match is None:
            raise ArgumentFault("bad-parameter", ascii(word.partition("=")[0] or word)[1:-1][:40])
        keyword = match[1].upper()
        if keyword not in known:
            raise ArgumentFault("unknown-parameter", keyword[:40])
        if keyword in found:
            raise ArgumentFault("bad-parameter", keyword)
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
            raise ArgumentFault("bad-parameter", alone)
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
        raise ArgumentFault("bad-parameter", keyword)
    return word


def _size(value: str | None) -> int:
    if value is None or _SIZE.fullmatch(value) is None:
        raise ArgumentFault("bad-parameter", "SIZE")
    return int(value)


def _auth(value: str | None) -> str:
    if value == "<>":
        return ""
    if not value or _XTEXT.fullmatch(value) is None:
        raise ArgumentFault("bad-parameter", "AUTH")
    try:
        return str(MailboxAddress.parse(decode_xtext(value)))
    except NotAnAddress:
        raise ArgumentFault("bad-parameter", "AUTH") from None


def _envid(value: str | None) -> str:
    if not value or len(value) > MAX_ENVID_OCTETS or _XTEXT.fullmatch(value) is None:
        raise ArgumentFault("bad-parameter", "ENVID")
    if not all(" " <= char <= "~" for char in decode_xtext(value)):
        raise ArgumentFault("bad-parameter", "ENVID")  # RFC 3461 §4.4: printable, since it will stand in a report
    return value


def _notify(value: str | None) -> frozenset[str]:
    words = (value or "").upper().split(",")
    if words == ["NEVER"]:
        return frozenset(words)
    if len(set(words)) != len(words) or not _NOTIFY.issuperset(words):
        raise ArgumentFault("bad-parameter", "NOTIFY")  # RFC 3461 §4.1: NEVER stands alone
    return frozenset(words)


def _orcpt(value: str | None) -> OriginalRecipient:
    try:
        return OriginalRecipient.parse(value or "")
    except NotAnOriginalRecipient:
        raise ArgumentFault("bad-parameter", "ORCPT") from None
