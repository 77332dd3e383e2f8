"""Server responses as octets ready to send: elements and codes, then whole lines with their CRLF.

In: plain values. Out: `bytes`. No string from outside can end a line or a quoted string: what does not fit a quoted string is
sent as a literal, and human text loses CR and LF. Mailbox names are always quoted (a folder called NIL stays a name), in
modified UTF-7 or, with `utf8`, in UTF-8 (RFC 6855 §3, RFC 9051 §5.1). Pure. A line is made by one formatting operation, not
token by token.

Standards: RFC 9051 §7, RFC 3501 §7, and those named at each function.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache

from mic_mail.imap.parser.number_set import Ranges, format_in_order, format_ranges, format_set
from mic_mail.modified_utf7 import encode
from mic_mail.storage.types import DELIMITER

MAX_QUOTED = 1024
"""Octets of the longest quoted string; longer ones go as literals, as some clients' buffers are small."""

_UNQUOTABLE = re.compile(rb"[\x00\r\n\x80-\xff]")
_UNQUOTABLE_UTF8 = re.compile(rb"[\x00\r\n]")
_ASTRING = re.compile(rb'[^\x00-\x20(){%*"\\\x7f-\xff]++')  # RFC 9051 §9: 1*ASTRING-CHAR
_LINE_BREAKS = re.compile(rb"[\x00\r\n]++")
_MONTHS = ("", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DELIMITER = b'"' + DELIMITER.encode("ascii") + b'"'
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# ------------------------------------------------------------------ pieces: strings, names, flags, dates


def quoted(octets: bytes) -> bytes:
    """Return a quoted string; the caller guarantees that it holds no CR, LF or NUL."""
    return b'"' + octets.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def string(octets: bytes, *, utf8: bool = False) -> bytes:
    """Return a quoted string where it can hold the octets, else a literal.

    8-bit octets are quoted only with `utf8`, and only if they are valid UTF-8.
    """
    if len(octets) > MAX_QUOTED or (_UNQUOTABLE_UTF8 if utf8 else _UNQUOTABLE).search(octets):
        return literal(octets)
    if utf8 and not octets.isascii() and not _is_utf8(octets):
        return literal(octets)
    return quoted(octets)


def nstring(octets: bytes | None, *, utf8: bool = False) -> bytes:
    """Return a string, or NIL for None."""
    return b"NIL" if octets is None else string(octets, utf8=utf8)


def without_nul(octets: bytes) -> bytes:
    """Return the octets for a literal: NUL becomes 0x80, so that offsets stay (RFC 9051 §4.3.1).

    Where there is none, the search costs 3 us for a slice of 256 KiB.
    """
    return octets.replace(b"\0", b"\x80") if b"\0" in octets else octets


def literal(octets: bytes) -> bytes:
    """Return a literal; `literal8` is for octets that must arrive unchanged."""
    return b"{%d}\r\n%b" % (len(octets), without_nul(octets))


def literal8(octets: bytes) -> bytes:
    """Return a literal for any octets; for BINARY only (RFC 3516 §4.2)."""
    return b"~{%d}\r\n%b" % (len(octets), octets)


def mailbox_name(name: str, *, utf8: bool = False) -> bytes:
    """Return a mailbox name, quoted or as a literal."""
    return string(name.encode("utf-8", "replace") if utf8 else encode(name), utf8=utf8)


def date_time(instant_us: int, offset_minutes: int = 420) -> bytes:
    """Return a quoted INTERNALDATE. The default zone is Vietnam's, in which SEARCH counts days."""
    return date_time_of(_EPOCH + timedelta(microseconds=instant_us), offset_minutes)


def date_time_of(instant: datetime, offset_minutes: int) -> bytes:
    """Return a quoted INTERNALDATE for an aware datetime."""
    local = instant.astimezone(timezone(timedelta(minutes=offset_minutes)))
    hours, minutes = divmod(abs(offset_minutes), 60)
    return (
        f'"{local.day:02}-{_MONTHS[local.month]}-{local.year:04} {local.hour:02}:{local.minute:02}:{local.second:02}'
        f' {"-" if offset_minutes < 0 else "+"}{hours:02}{minutes:02}"'
    ).encode("ascii")


def _is_utf8(octets: bytes) -> bool:
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _text(text: bytes | str) -> bytes:
    """Return the human text of a response: never empty (RFC 9051 §9, resp-text), without line breaks."""
    octets = text.encode("utf-8", "replace") if isinstance(text, str) else text
    octets = _LINE_BREAKS.sub(b" ", octets)
    # Text that begins with a bracket would be read as a code where there is none.
    return b" " + octets if octets.startswith(b"[") else octets or b"."


# ------------------------------------------------------------------ status responses and their codes


def status_line(tag: bytes, status: bytes, text: bytes | str, code: bytes | None = None) -> bytes:
    """Return a status response, `tag OK [code] text` or similar; `tag` is `*` for untagged ones."""
    if code is None:
        return b"%b %b %b\r\n" % (tag, status, _text(text))
    return b"%b %b [%b] %b\r\n" % (tag, status, code, _text(text))


def plain_line(tag: bytes, status: bytes, text: str) -> bytes:
    """Return a status response without a code; what stands behind the tag of frequent ones is kept."""
    return tag + _behind_tag(status, text)


@lru_cache(maxsize=256)
def _behind_tag(status: bytes, text: str) -> bytes:
    return b" %b %b\r\n" % (status, _text(text.encode("ascii", "replace")))


def ok(tag: bytes, text: bytes | str, code: bytes | None = None) -> bytes:
    """Return an OK response."""
    return status_line(tag, b"OK", text, code)


def no(tag: bytes, text: bytes | str, code: bytes | None = None) -> bytes:
    """Return a NO response: the command was refused or failed."""
    return status_line(tag, b"NO", text, code)


def bad(tag: bytes, text: bytes | str, code: bytes | None = None) -> bytes:
    """Return a BAD response: the command was not understood."""
    return status_line(tag, b"BAD", text, code)


def bye(text: bytes | str, code: bytes | None = None) -> bytes:
    """Return a BYE response: the connection ends now (RFC 9051 §7.1.5)."""
    return status_line(b"*", b"BYE", text, code)


def continuation(text: bytes | str = b"OK") -> bytes:
    """Return a continuation request: for a literal, or for DONE."""
    return b"+ %b\r\n" % _text(text)


def challenge(octets_base64: bytes) -> bytes:
    """Return a SASL challenge that is already base64; an empty one is `+ ` (RFC 9051 §6.2.2)."""
    return b"+ %b\r\n" % octets_base64


def append_uid(uidvalidity: int, uids: Sequence[int]) -> bytes:
    """Return APPENDUID (RFC 4315 §3): UIDs in the order of the messages, which is ascending."""
    return b"APPENDUID %d %b" % (uidvalidity, format_set(uids))


def copy_uid(uidvalidity: int, sources: Sequence[int], targets: Sequence[int]) -> bytes:
    """Return COPYUID (RFC 4315 §3): both sets ascending, so that they pair up however they are written."""
    return b"COPYUID %d %b %b" % (uidvalidity, format_set(sources), format_set(targets))


def modified(numbers: Sequence[int]) -> bytes:
    """Return MODIFIED: the messages that STORE UNCHANGEDSINCE left alone (RFC 7162 §3.1.3)."""
    return b"MODIFIED " + format_set(numbers)


def mailbox_id(object_id: str) -> bytes:
    """Return MAILBOXID (RFC 8474 §4)."""
    return b"MAILBOXID (" + object_id.encode("ascii", "replace") + b")"


def in_progress(tag: bytes, done: int | None = None, goal: int | None = None) -> bytes:
    """Return INPROGRESS (RFC 9585 §4): the progress of the command with this tag."""
    if done is None:
        return b"INPROGRESS (%b NIL NIL)" % string(tag)
    return b"INPROGRESS (%b %d %b)" % (string(tag), done, b"NIL" if goal is None else b"%d" % goal)


# ------------------------------------------------------------------ the server and the session


def capability(names: Iterable[bytes]) -> bytes:
    """Return `* CAPABILITY ...`; `capability_code` returns it as a response code."""
    return b"* " + capability_code(names) + b"\r\n"


def capability_code(names: Iterable[bytes]) -> bytes:
    """Return the CAPABILITY code, which saves clients a round trip (RFC 9051 §7.1)."""
    return b"CAPABILITY " + b" ".join(names)


def enabled(names: Iterable[str]) -> bytes:
    """Return an ENABLED response, also when nothing was enabled (RFC 5161 §3.2)."""
    return b" ".join([b"* ENABLED", *[name.encode("ascii") for name in names]]) + b"\r\n"


def identification(fields: Mapping[str, str | None] | None) -> bytes:
    """Return an ID response (RFC 2971 §3.2)."""
    if not fields:
        return b"* ID NIL\r\n"
    words = [
        string(word.encode("ascii", "replace")) if word is not None else b"NIL" for pair in fields.items() for word in pair
    ]
    return b"* ID (" + b" ".join(words) + b")\r\n"


def namespace(personal: Sequence[str], others: Sequence[str], shared: Sequence[str], *, utf8: bool) -> bytes:
    """Return a NAMESPACE response with the prefixes of each kind; an empty kind is NIL (RFC 2342 §5)."""
    kinds = []
    for prefixes in (personal, others, shared):
        described = [b"(%b %b)" % (mailbox_name(prefix, utf8=utf8), _DELIMITER) for prefix in prefixes]
        kinds.append(b"(" + b"".join(described) + b")" if described else b"NIL")
    return b"* NAMESPACE " + b" ".join(kinds) + b"\r\n"


# ------------------------------------------------------------------ mailboxes


def listed(
    word: bytes,
    name: str,
    attributes: tuple[str, ...],
    *,
    utf8: bool,
    child_info: Iterable[str] = (),
    old_name: str | None = None,
) -> bytes:
    """Return a LIST, LSUB or XLIST line (RFC 9051 §7.3.1).

    It carries CHILDINFO (RFC 5258 §3.5) and OLDNAME (RFC 9051 §6.3.9.7) where given.
    """
    line = _listed(word, name, attributes, utf8)
    extended = []
    criteria = b" ".join([quoted(item.encode("ascii")) for item in child_info]) if child_info else b""
    if criteria:
        extended.append(b'"CHILDINFO" (' + criteria + b")")
    if old_name is not None:
        extended.append(b'"OLDNAME" (' + mailbox_name(old_name, utf8=utf8) + b")")
    return b"%b (%b)\r\n" % (line, b" ".join(extended)) if extended else line + b"\r\n"


@lru_cache(maxsize=4096)
def _listed(word: bytes, name: str, attributes: tuple[str, ...], utf8: bool) -> bytes:
    """Return the line without extended items; cached, since the same few folders are listed to everybody."""
    return b"* %b (%b) %b %b" % (
        word,
        " ".join(attributes).encode("ascii"),
        _DELIMITER,
        mailbox_name(name, utf8=utf8),
    )


def status(name: str, items: Iterable[tuple[str, int | str | None]], *, utf8: bool) -> bytes:
    """Return a STATUS response (RFC 9051 §7.3.4).

    Text values are object ids, in parentheses (RFC 8474 §4.3); None is NIL (APPENDLIMIT, RFC 7889 §3.2).
    """
    words = []
    for item, value in items:
        shown = "NIL" if value is None else f"({value})" if isinstance(value, str) else str(value)
        words.append(f"{item} {shown}")
    return b"* STATUS %b (%b)\r\n" % (mailbox_name(name, utf8=utf8), " ".join(words).encode("ascii", "replace"))


def metadata_changed(mailbox: str, entries: Iterable[str], *, utf8: bool) -> bytes:
    """Return `* METADATA` with entry names alone (RFC 5464 §4.4.2); the client fetches values."""
    names = b" ".join([string(name.encode("utf-8", "replace")) for name in entries])
    return b"* METADATA %b %b\r\n" % (mailbox_name(mailbox, utf8=utf8), names)


def metadata(mailbox: str, entries: Iterable[tuple[str, bytes | None]], *, utf8: bool) -> bytes:
    """Return `* METADATA ...` with values (RFC 5464 §4.4.1).

    Nothing for no entries, as the list may not be empty.
    """
    words = [b"%b %b" % (_entry_name(name), _entry_value(value, utf8=utf8)) for name, value in entries]
    return b"* METADATA %b (%b)\r\n" % (mailbox_name(mailbox, utf8=utf8), b" ".join(words)) if words else b""


def _entry_name(name: str) -> bytes:
    """Return an entry name as an astring: `/shared/comment` stays unquoted."""
    octets = name.encode("ascii", "replace")
    return octets if _ASTRING.fullmatch(octets) else quoted(octets)


def _entry_value(value: bytes | None, *, utf8: bool) -> bytes:
    """Return an nstring, or a literal8 where there is NUL (RFC 5464 §5)."""
    return literal8(value) if value is not None and b"\0" in value else nstring(value, utf8=utf8)


def exists(count: int) -> bytes:
    """Return an EXISTS response (RFC 9051 §7.4.1)."""
    return b"* %d EXISTS\r\n" % count


def recent(count: int) -> bytes:
    """Return a RECENT response (RFC 3501 §7.3.2)."""
    return b"* %d RECENT\r\n" % count


def quota(root: str, resources: Iterable[tuple[str, int, int]]) -> bytes:
    """Return a QUOTA response with name, usage and limit of each resource (RFC 9208 §4.2.1)."""
    words = [f"{name} {usage} {limit}" for name, usage, limit in resources]
    return b"* QUOTA %b (%b)\r\n" % (string(root.encode("utf-8", "replace")), " ".join(words).encode("ascii"))


def quota_root(name: str, roots: Iterable[str], *, utf8: bool) -> bytes:
    """Return a QUOTAROOT response (RFC 9208 §4.2.2)."""
    words = [mailbox_name(name, utf8=utf8), *[string(root.encode("utf-8", "replace")) for root in roots]]
    return b"* QUOTAROOT " + b" ".join(words) + b"\r\n"


def acl(name: str, holders: Mapping[str, bytes], *, utf8: bool) -> bytes:
    """Return an ACL response: the rights by identifier (RFC 4314 §3.6)."""
    words = [word for who, rights in holders.items() for word in (string(who.encode("utf-8", "replace")), rights)]
    return b"* ACL " + b" ".join([mailbox_name(name, utf8=utf8), *words]) + b"\r\n"


def list_rights(name: str, identifier: str, required: bytes, *, utf8: bool) -> bytes:
    """Return a LISTRIGHTS response: the rights always held; none can be granted (RFC 4314 §3.7)."""
    who = string(identifier.encode("utf-8", "replace"), utf8=utf8)
    return b"* LISTRIGHTS %b %b %b\r\n" % (mailbox_name(name, utf8=utf8), who, required or b'""')


def my_rights(name: str, rights: bytes, *, utf8: bool) -> bytes:
    """Return a MYRIGHTS response (RFC 4314 §3.8)."""
    return b"* MYRIGHTS %b %b\r\n" % (mailbox_name(name, utf8=utf8), rights)


# ------------------------------------------------------------------ messages


def vanished(uids: Ranges, *, earlier: bool) -> bytes:
    """Return a VANISHED response (RFC 7162 §3.2.10); nothing for no UIDs, as the set may not be empty."""
    if not uids:
        return b""
    return b"* VANISHED %b%b\r\n" % (b"(EARLIER) " if earlier else b"", format_ranges(uids))


def search(numbers: Sequence[int], highest_modseq: int | None = None) -> bytes:
    """Return a SEARCH response (RFC 3501 §7.2.5), also without results: clients wait for it.

    MODSEQ is only sent with results (RFC 7162 §3.1.5).
    """
    return _numbered(b"* SEARCH", numbers, highest_modseq)


def sort(numbers: Sequence[int], highest_modseq: int | None = None) -> bytes:
    """Return a SORT response (RFC 5256 §4), with MODSEQ where given (RFC 7162 §3.1.9)."""
    return _numbered(b"* SORT", numbers, highest_modseq)


def _numbered(word: bytes, numbers: Sequence[int], highest_modseq: int | None) -> bytes:
    if not numbers:
        return word + b"\r\n"
    modseq = b"" if highest_modseq is None else b" (MODSEQ %d)" % highest_modseq
    # The repr of a list without its commas; it takes half the time of a join.
    return b"%b %b%b\r\n" % (word, str(list(numbers))[1:-1].replace(",", "").encode("ascii"), modseq)


def correlators(tag: bytes, *, by_uid: bool, mailbox: tuple[bytes, int] | None = None) -> bytes:
    """Return the start of an ESEARCH response: command, mailbox (RFC 4466 §2.6.2, RFC 7377 §2.1)."""
    where = b"" if mailbox is None else b" MAILBOX %b UIDVALIDITY %d" % mailbox
    return b"* ESEARCH (TAG %b%b)%b" % (string(tag), where, b" UID" if by_uid else b"")


def context_updates(beginning: bytes, changes: Iterable[tuple[bytes, Iterable[tuple[int, Sequence[int]]]]]) -> bytes:
    """Return ADDTO and REMOVEFROM, each with pairs of a position and the messages added or removed there.

    RFC 5267 §4.3.
    """
    items = [
        b"%b (%b)" % (word, b" ".join([b"%d %b" % (position, format_in_order(numbers)) for position, numbers in pairs]))
        for word, pairs in changes
    ]
    return b" ".join([beginning, *items]) + b"\r\n"


def no_update(tag: bytes) -> bytes:
    """Return NOUPDATE: this search is not followed (RFC 5267 §4.3.1)."""
    return b"NOUPDATE " + string(tag)


def uid_batches(tag: bytes, ranges: Iterable[tuple[int, int]]) -> bytes:
    """Return a UIDBATCHES response, also without ranges: from the highest UID to the lowest (RFC 10022)."""
    written = b",".join([b"%d:%d" % ends for ends in ranges])
    return b"* UIDBATCHES (TAG %b)%b%b\r\n" % (string(tag), b" " if written else b"", written)


def esearch(
    tag: bytes,
    *,
    by_uid: bool,
    mailbox: tuple[bytes, int] | None = None,
    minimum: int | None = None,
    maximum: int | None = None,
    found: Sequence[int] | None = None,
    partial: tuple[bytes, Sequence[int]] | None = None,
    ascending: bool = True,
    relevancy: Sequence[int] | None = None,
    count: int | None = None,
    modseq: int | None = None,
) -> bytes:
    """Return an ESEARCH response with the items asked for (RFC 4731 §3.1).

    MIN, MAX and ALL are left out when nothing was found; COUNT and PARTIAL are not.

    mailbox    its name, ready to send, and UIDVALIDITY (RFC 7377 §2.1)
    partial    the range as the client wrote it, and the results in it (RFC 9394 §3.1)
    ascending  the numbers are in mailbox order, not in that of SORT (RFC 5267 §3.2)
    """
    write = format_set if ascending else format_in_order
    words = [correlators(tag, by_uid=by_uid, mailbox=mailbox)]
    for name, number in ((b"MIN", minimum), (b"MAX", maximum)):
        if number is not None:
            words.append(b"%b %d" % (name, number))
    if found:
        words.append(b"ALL " + write(found))
    if partial is not None:
        words.append(b"PARTIAL (%b %b)" % (partial[0], write(partial[1]) or b"NIL"))
    if relevancy is not None:
        words.append(b"RELEVANCY (%b)" % b" ".join([b"%d" % score for score in relevancy]))
    for name, number in ((b"COUNT", count), (b"MODSEQ", modseq)):
        if number is not None:
            words.append(b"%b %d" % (name, number))
    return b" ".join(words) + b"\r\n"
