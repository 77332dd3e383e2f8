"""The folders of an IMAP account: the person's own, their special uses, and their decoded names.

Shared folders and those of others are marked to be skipped. RFC 2342 (namespaces; Courier and Cyrus put all below
"INBOX."), RFC 6154 (special use), RFC 3501 §5.1.3 (modified UTF-7).
"""

from collections.abc import Container, Iterator, Sequence
from dataclasses import replace

from aioimaplib import aioimaplib

from mic_mail.services.importers.imap_connection import ImapResponse, Overlong, Wire
from mic_mail.services.importers.imap_responses import Value, flags, number, values
from mic_mail.services.importers.source import Skip, SourceFolder
from mic_mail.storage.maildir.folder_names import decode_level
from mic_mail.storage.types import INBOX, SPECIAL_USES

MOST_FOLDERS = 10_000


async def list_folders(wire: Wire) -> list[SourceFolder]:
    """Return the folders, INBOX first, then by name; `place` is the name on the wire."""
    own, foreign = await _namespaces(wire)
    extended = {"LIST-EXTENDED", "SPECIAL-USE"} <= wire.capabilities
    listed = await wire.ask("LIST", '""', '"*"', *(["RETURN", "(SPECIAL-USE)"] if extended else []))
    subscribed = {_name_of(response) for response in _lists(await wire.ask("LSUB", '""', '"*"'), b"LSUB")}
    found: dict[str, SourceFolder] = {}
    for each in _lists(listed, b"LIST"):
        if (folder := _folder(each, own, foreign, subscribed)) is not None:
            found[str(folder.place)] = folder
        if len(found) > MOST_FOLDERS:
            raise Overlong
    unique: dict[str, SourceFolder] = {}
    for _, folder in sorted(found.items()):  # a stable order
        apart = _apart(folder, unique)
        unique[apart.name] = await _counted(wire, apart)
    return sorted(unique.values(), key=lambda folder: (folder.levels != (), folder.name))


def _apart(folder: SourceFolder, others: Container[str]) -> SourceFolder:
    """Return the folder under a unique name: one may exist in UTF-7 and in UTF-8, or under two prefixes."""
    apart, number = folder, 1
    while apart.name in others:
        number += 1
        *above, last = folder.levels or (INBOX,)
        apart = replace(folder, levels=(*above, f"{last} ({number})"))
    return apart


def _lists(answer: ImapResponse, kind: bytes) -> Iterator[list[Value]]:
    for parts in answer.untagged:
        response = values(parts)
        if len(response) >= 5 and isinstance(response[1], bytes) and response[1].upper() == kind:
            yield response[2:5]


def _name_of(response: Sequence[Value]) -> bytes:
    name = response[2]
    return name if isinstance(name, bytes) else b"NIL"


def _folder(listed: Sequence[Value], own: bytes, foreign: Sequence[bytes], subscribed: Container[bytes]) -> SourceFolder | None:
    """Return a folder of LIST; None for one that cannot hold messages."""
    attributes = flags(listed[0])
    lower = {each.lower() for each in attributes}
    if lower & {"\\noselect", "\\nonexistent"}:
        return None
    raw = _name_of(listed)
    delimiter = listed[1] if isinstance(listed[1], bytes) and len(listed[1]) == 1 else b""
    use = next((use for use in (*SPECIAL_USES, "\\All") if use.lower() in lower), None)
    try:
        place = raw.decode()
    except UnicodeDecodeError:
        return SourceFolder((raw.decode("utf-8", "backslashreplace"),), "", skip=Skip.UNREADABLE)
    skip = Skip.SHARED if any(raw.startswith(prefix) for prefix in foreign) else None
    if any(control in place for control in "\0\r\n"):
        skip = Skip.UNREADABLE
    if raw.upper() == b"INBOX":
        place = INBOX  # RFC 9051 §5.1: INBOX in any case is the same folder
    inner = raw[len(own) :] if own and raw.startswith(own) and len(raw) > len(own) else raw
    if inner.upper() == b"INBOX":
        inner = raw  # INBOX.INBOX is another folder than INBOX
    levels = tuple(_text(level) for level in (inner.split(delimiter) if delimiter.isascii() and delimiter else [inner]))
    if raw.upper() == b"INBOX":
        levels = ()
    return SourceFolder(levels, place, use, raw in subscribed or not levels, skip)


def _text(level: bytes) -> str:
    shown = level.decode()
    return decode_level(shown) or shown


async def _counted(wire: Wire, folder: SourceFolder) -> SourceFolder:
    if folder.skip is not None:
        return folder
    answer = await wire.ask("STATUS", aioimaplib.quoted(str(folder.place)), "(MESSAGES)")
    for parts in answer.untagged:
        response = values(parts)
        if len(response) >= 4 and response[1] == b"STATUS" and isinstance(response[3], list):
            pairs = dict(zip(response[3][::2], response[3][1::2], strict=False))
            return replace(folder, count=number(pairs.get(b"MESSAGES")))
    return folder


async def _namespaces(wire: Wire) -> tuple[bytes, list[bytes]]:
    """Return the prefix of the person's own folders, and those of others' and shared ones (RFC 2342)."""
    if "NAMESPACE" not in wire.capabilities:
        return b"", []
    answer = await wire.ask("NAMESPACE")
    for parts in answer.untagged:
        response = values(parts)
        if len(response) >= 5 and response[1] == b"NAMESPACE":
            own, others, shared = (_prefixes(each) for each in response[2:5])
            return (own[0] if own else b""), [prefix for prefix in (*others, *shared) if prefix]
    return b"", []


def _prefixes(value: Value) -> list[bytes]:
    if not isinstance(value, list):
        return []
    return [each[0] for each in value if isinstance(each, list) and each and isinstance(each[0], bytes)]
