"""Render ENVELOPE, BODY and BODYSTRUCTURE as IMAP sends them, for the index to store.

In: a `Scan`. Out: `Answers`. RFC 9051 §7.5.2 (RFC 3501 §7.4.2 is the same grammar). Never raises.
Every answer is 7-bit, so that it can go to any client: header text in raw 8-bit is written as RFC 2047 words, parameters as
RFC 2231; `envelope_utf8` is for clients that enabled it (RFC 6855). Strings are quoted; a string with a bare CR is a literal.
Clients fail on structures that break the grammar, so none does: a basic body has its seven fields, text has lines, a
message/rfc822 has envelope, body and lines or is shown as application/octet-stream, a multipart without parts is shown as
text/plain.
Two octets of an address list can become up to 200 here, so the output is bounded per message (`most_octets`), above any
legitimate need. The message's own envelope is rendered first. Fields after the limit are NIL and are not parsed; number,
types, encodings and sizes of the parts are always right.
"""

import re
from functools import lru_cache
from typing import NamedTuple
from unicodedata import normalize

from mic_mail.mime.addresses import Address, parse_addresses
from mic_mail.mime.dates import parse_date
from mic_mail.mime.encoded_words import decode_octets, decode_text, encode_words
from mic_mail.mime.headers import percent_encode, unfold
from mic_mail.mime.part_table import encode
from mic_mail.mime.preview import preview
from mic_mail.mime.scanner import Scanner
from mic_mail.mime.sort_keys import thread_of
from mic_mail.mime.structure import Parameters, Part, Scan

MOST_OCTETS = 1 << 20
"""Most octets rendered from a message's headers, beyond the bare parts: 4,000 recipients, twice."""
_FEW_OCTETS = 8_192
_OCTETS_AN_OCTET = 4
"""Rendered octets per message octet: an address doubles, and an enclosed one is in two answers."""
BARE_PART_OCTETS = 1_024
"""Most octets of a part with only types, encoding and sizes, in both answers together."""


def most_octets(octets: int) -> int:
    """Return the bound on a message's envelopes and structures, `BARE_PART_OCTETS` a part apart."""
    return min(MOST_OCTETS, _FEW_OCTETS + _OCTETS_AN_OCTET * octets)


class Answers(NamedTuple):
    """The rendered facts of one message; all `bytes` fields are sent unchanged."""

    size: int
    header: bytes
    """The raw header with its empty line; empty when it is longer than the scanner keeps."""
    envelope: bytes
    """`("date" "subject" ...)`, 7-bit."""
    envelope_utf8: bytes | None
    """The envelope for sessions that enabled UTF8=ACCEPT (RFC 6855), only where it differs."""
    bodystructure: bytes
    body: bytes
    parts: bytes
    """The part table (`mime.part_table`)."""
    sent_at: int | None
    """The Date field in seconds since the epoch, if it can be parsed."""
    attachment_octets: int
    message_id: bytes
    preview: str
    """At most 200 characters of readable text (RFC 8970)."""
    thread: bytes
    """A digest of the first message of the thread (`mime.sort_keys.thread_of`), empty if unknown."""


def answers(scan: Scan) -> Answers:
    """Return everything the index stores about a scanned message."""
    root = scan.root
    room = _HeaderBudget(most_octets(scan.octets))
    envelope = _envelope(root.fields, room, utf8=False)
    envelope_utf8 = None
    if room.left >= 0 and not all(map(bytes.isascii, root.fields.values())):
        envelope_utf8 = _envelope(root.fields, room, utf8=True)
        if envelope_utf8 == envelope or room.left < 0:
            envelope_utf8 = None
    room.times = 2
    body, bodystructure = _structure(root, room)
    date = root.fields.get(b"date")
    return Answers(
        size=scan.octets,
        header=scan.header,
        envelope=envelope,
        envelope_utf8=envelope_utf8,
        bodystructure=bodystructure,
        body=body,
        parts=encode(scan),
        sent_at=parse_date(date) if date is not None else None,
        attachment_octets=scan.attachment_octets,
        message_id=unfold(root.fields.get(b"message-id", b"")),
        preview=preview(scan.text, scan.text_part) if scan.text_part else "",
        thread=thread_of(root.fields),
    )


def answers_of(message: bytes, texts: dict[int, bytes] | None = None) -> Answers:
    """Return the answers of a message in memory; `texts` gets the texts that the scanner decodes.

    65 us of CPU for 4 KiB of text; bench/mime_scan.py.
    """
    scanner = Scanner(texts)
    scanner.feed(message)
    return answers(scanner.finish())


class _HeaderBudget:
    """Octets left for rendered header data; negative, permanently, once something did not fit."""

    __slots__ = ("left", "times")

    def __init__(self, octets: int) -> None:
        self.left = octets
        self.times = 1
        """Number of answers that the current rendering occurs in."""

    def take(self, octets: int) -> bool:
        """Use up octets; return whether they fit."""
        self.left -= self.times * octets
        return self.left >= 0


# --- strings ----------------------------------------------------------------------------------------------------------

_ODD = re.compile(rb"[^ !#-\[\]-~]")
"""Characters that rule out a quoted string without changes; rare, so they are tested first."""
_UNQUOTABLE = re.compile(rb"[\x00\r\n\"\\]")
_ESCAPED = re.compile(rb"[\"\\]")
_8BIT = re.compile(rb"[\x80-\xff]")


def _string(value: bytes) -> bytes:
    """Return a quoted string (RFC 9051 §4.3), or a literal where that is impossible."""
    if not _UNQUOTABLE.search(value):
        return b'"%b"' % value
    value = value.replace(b"\0", b"")  # no IMAP string may hold NUL
    if b"\r" in value or b"\n" in value:
        return b"{%d}\r\n%b" % (len(value), value)
    return b'"%b"' % _ESCAPED.sub(rb"\\\g<0>", value)


def _token(value: bytes) -> bytes:
    """Return a string that should be ASCII, with a question mark for any other octet."""
    if not _ODD.search(value):
        return b'"%b"' % value
    return _string(value if value.isascii() else _8BIT.sub(b"?", value))


_USUAL_WORDS = {
    word: b'"%b"' % word
    for word in (
        b"text plain html application octet-stream pdf image png jpeg mixed alternative related "
        b"7bit 8bit base64 quoted-printable"
    ).split()
}


_LONGEST_WORD = 127
"""Octets (RFC 6838 §4.2); a value cut there cannot become a known one."""


def _word(value: bytes) -> bytes:
    """Return a type or encoding as a string, cached, as few occur."""
    return _USUAL_WORDS.get(value) or _token(value[:_LONGEST_WORD])


def _nstring(value: bytes | None, *, utf8: bool = False) -> bytes:
    if value is None:
        return b"NIL"
    value = unfold(value)
    return _string(decode_octets(value).encode("utf-8", "replace")) if utf8 and not value.isascii() else _token(value)


def _text(value: bytes, *, utf8: bool = False) -> bytes:
    """Return header text, with runs of white space, which folding makes, collapsed to one space."""
    if b"  " not in value and not _ODD.search(value):
        return b'"%b"' % value
    if value.isascii():
        return _string(b" ".join(value.split()) if b"  " in value or b"\t" in value else value)
    text = decode_text(value)
    return _string(text.encode("utf-8", "replace") if utf8 else encode_words(text))


# --- ENVELOPE ---------------------------------------------------------------------------------------------------------


_NO_ENVELOPE = b"(%b)" % b" ".join([b"NIL"] * 10)


def _envelope(fields: dict[bytes, bytes], room: _HeaderBudget, *, utf8: bool) -> bytes:
    """Render an envelope; one that does not fit keeps its short texts but no addresses."""
    if room.left < 0:
        return _NO_ENVELOPE
    subject = fields.get(b"subject")
    date = _nstring(fields.get(b"date"), utf8=utf8)
    title = b"NIL" if subject is None else _text(unfold(subject), utf8=utf8)
    sender = _addresses(fields.get(b"from"), utf8=utf8)
    answered = _nstring(fields.get(b"in-reply-to"), utf8=utf8)
    message_id = _nstring(fields.get(b"message-id"), utf8=utf8)
    envelope = b"(%b %b %b %b %b %b %b %b %b %b)" % (
        date,
        title,
        sender,
        # RFC 9051 §7.5.2: where Sender or Reply-To is absent or empty, the server gives the value of From.
        _addresses(fields.get(b"sender"), utf8=utf8, default=sender),
        _addresses(fields.get(b"reply-to"), utf8=utf8, default=sender),
        _addresses(fields.get(b"to"), utf8=utf8),
        _addresses(fields.get(b"cc"), utf8=utf8),
        _addresses(fields.get(b"bcc"), utf8=utf8),
        answered,
        message_id,
    )
    if room.take(len(envelope)):
        return envelope
    envelope = b"(%b %b NIL NIL NIL NIL NIL NIL %b %b)" % (date, title, answered, message_id)
    return envelope if len(envelope) <= BARE_PART_OCTETS // 2 else _NO_ENVELOPE


_ATOM = rb"[!#-'*+\-./-9=?A-Z^-~]++"
_QUOTED = rb"[!#-\[\]-~]++"
_USUAL_ADDRESS = re.compile(
    rb"[ \t\r\n]*+(?:(?:(\"%b(?: %b)*+\")|(%b(?: %b)*+))?+[ \t\r\n]*+(<))?+(%b)@(%b)(?(3)>)[ \t\r\n]*+(?:,|\Z)|.++"
    % (_QUOTED, _QUOTED, *[_ATOM] * 4),
    re.DOTALL,
)
"""An address that `parse_addresses` would return unchanged and that needs no escaping, else the rest.

Nearly all fields hold only such addresses, and are rendered in a third of the time.
"""
LONGEST_LABEL = 63
"""Octets of a label of a domain (RFC 1035 §2.3.4)."""
_USUAL_OCTETS = 8_192
"""Octets of a field too short to hold `MAX_ADDRESSES`."""


def _addresses(value: bytes | None, *, utf8: bool, default: bytes = b"NIL") -> bytes:
    if value is None:
        return default
    usual = _USUAL_ADDRESS.findall(value) if len(value) <= _USUAL_OCTETS else []
    if usual and usual[-1][-1]:
        return b"(%b)" % b"".join(
            [
                b'(%b NIL "%b" "%b")' % (quoted or (b'"%b"' % phrase if phrase else b"NIL"), mailbox, host)
                for quoted, phrase, _, mailbox, host in usual
            ]
        )
    found = parse_addresses(value)
    return b"(%b)" % b"".join([_address(address, utf8=utf8) for address in found]) if found else default


def _address(address: Address, *, utf8: bool) -> bytes:
    name, route, mailbox, host = address
    return b"(%b %b %b %b)" % (
        b"NIL" if name is None else _text(name, utf8=utf8),
        b"NIL" if route is None else _token(route),
        b"NIL" if mailbox is None else _text(mailbox, utf8=utf8),
        b"NIL" if host is None else _string(host) if host.isascii() else _host(host, utf8=utf8),
    )


def _host(host: bytes, *, utf8: bool) -> bytes:
    """Return a domain with non-ASCII letters: unchanged, or in its ASCII form (RFC 5891)."""
    text = decode_text(host[:255])
    if utf8:
        return _string(text.encode("utf-8", "replace"))
    if any(len(normalize("NFKC", label)) > LONGEST_LABEL for label in text.split(".")):  # one letter can become 18
        return _token(host)
    try:
        return _string(text.encode("idna"))
    except UnicodeError:
        return _token(host)


# --- BODY and BODYSTRUCTURE -------------------------------------------------------------------------------------------


_NOTHING_MORE = b"NIL NIL NIL NIL"
_FREE_OCTETS = 128
"""Octets; most parts need less: a bare part and a charset."""


def _structure(part: Part, room: _HeaderBudget) -> tuple[bytes, bytes]:
    """Return the part without and with extension data."""
    if part.maintype == b"multipart" and part.children:
        children = [_structure(child, room) for child in part.children]
        subtype = _word(part.subtype)
        body = b"(%b %b)" % (b"".join([child[0] for child in children]), subtype)
        extended = b"".join([child[1] for child in children])
        return body, b"(%b %b %b)" % (extended, subtype, _multipart_fields(part, room))
    fields = part.fields
    maintype, subtype_, params = _type_fields(part)
    octets = part.body_end - part.body_start
    basic, more = b"", _NOTHING_MORE
    if room.left >= 0:
        content_id, description = fields.get(b"content-id"), fields.get(b"content-description")
        basic = b"%b %b %b %b %b %b %d" % (
            _word(maintype),
            _word(subtype_),
            _parameters(params),
            b"NIL" if content_id is None else _nstring(content_id),
            b"NIL" if description is None else _text(unfold(description)),
            _word(part.encoding),
            octets,
        )
        more = b"%b %b" % (_nstring(fields.get(b"content-md5")), _extension(part))
        rendered = len(basic) + len(more)
        if rendered > _FREE_OCTETS and not room.take(rendered):
            basic, more = b"", _NOTHING_MORE
    if not basic:
        basic = b"%b %b NIL NIL NIL %b %d" % (_word(maintype), _word(subtype_), _word(part.encoding), octets)
    if part.is_message:
        message = part.children[0]
        envelope = _envelope(message.fields, room, utf8=False)
        body, extended = _structure(message, room)
        return (
            b"(%b %b %b %d)" % (basic, envelope, body, part.lines),
            b"(%b %b %b %d %b)" % (basic, envelope, extended, part.lines, more),
        )
    if maintype == b"text":
        basic = b"%b %d" % (basic, part.lines)
    return b"(%b)" % basic, b"(%b %b)" % (basic, more)


def _multipart_fields(part: Part, room: _HeaderBudget) -> bytes:
    """Return the parameters and the extension data."""
    if room.left < 0:
        return _NOTHING_MORE
    rendered = b"%b %b" % (_parameters(part.params), _extension(part))
    return rendered if room.take(len(rendered)) else _NOTHING_MORE


def _type_fields(part: Part) -> tuple[bytes, bytes, Parameters]:
    """Return type and parameters that satisfy the grammar."""
    if part.maintype == b"multipart" and not part.damaged:
        return b"text", b"plain", [(b"charset", b"us-ascii")]
    if part.maintype == b"multipart" or (part.maintype == b"message" and part.subtype == b"rfc822" and not part.is_message):
        return b"application", b"octet-stream", part.params
    if part.maintype == b"text" and part.parameter(b"charset") is None:
        return part.maintype, part.subtype, [*part.params, (b"charset", b"us-ascii")]  # RFC 2045 §5.2
    return part.maintype, part.subtype, part.params


def _parameters(params: Parameters) -> bytes:
    if not params:
        return b"NIL"
    return b"(%b)" % b" ".join([_parameter(name, value) for name, value in params])


def _parameter(name: bytes, value: bytes) -> bytes:
    """Return one parameter, cached if short: most are a few charsets and formats."""
    return _usual_parameter(name, value) if len(name) + len(value) <= _USUAL_PARAMETER_OCTETS else _make_parameter(name, value)


def _make_parameter(name: bytes, value: bytes) -> bytes:
    """Render one parameter; raw 8-bit becomes the extended form of RFC 2231 §4."""
    if value.isascii():
        return b"%b %b" % (_token(name), _string(value))
    if name.endswith(b"*"):
        return b"%b %b" % (_token(name), _string(_8BIT.sub(lambda match: b"%%%02X" % match[0][0], value)))
    octets = decode_text(value).encode("utf-8", "replace")
    return b"%b %b" % (_token(name + b"*"), _string(b"utf-8''" + percent_encode(octets)))


_USUAL_PARAMETER_OCTETS = 40
_usual_parameter = lru_cache(maxsize=256)(_make_parameter)


def _extension(part: Part) -> bytes:
    """Return disposition, language and location."""
    language = part.fields.get(b"content-language")
    location = part.fields.get(b"content-location")
    if part.disposition is None and language is None and location is None:
        return b"NIL NIL NIL"
    shown = b"NIL"
    if part.disposition is not None:
        kind, params = part.disposition
        shown = b"(%b %b)" % (_token(kind.lower()), _parameters(params))
    return b"%b %b %b" % (shown, _languages(language), _nstring(location))


def _languages(value: bytes | None) -> bytes:
    if value is None:
        return b"NIL"
    tags = [tag for tag in re.split(rb"[,\s]+", unfold(value)) if tag]
    return b"(%b)" % b" ".join([_token(tag) for tag in tags]) if tags else b"NIL"
