"""Storage format of annotations (RFC 5464, METADATA): JSON in a row, and the sidecar beside the mail.

The row is that of a folder or of the account. Each entry belongs to everybody (`SHARED`) or to one person, whose address is the
*holder*: two people who use one mailbox have private entries of their own. The sidecar is durable before a change is answered,
so annotations survive the loss of the index, a power loss, a backup and a restore; only the row knows MODSEQs, and which
entries were removed. Changes: metadata.py. Pure.
"""

import base64
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from mic_mail.storage.types import Annotation

SHARED = ""
"""The holder of shared entries."""

_NAME = re.compile(r"/(?i:shared|private)(?:/[ -$&-)+-.0-~]+)+")


def unpack(column: str | None) -> list[Annotation]:
    """Return the entries of one row, removed ones included."""
    if column is None:
        return []
    return [Annotation(holder, name, _octets(value), modseq) for holder, name, modseq, value in json.loads(column)["entries"]]


def pack(entries: Collection[Annotation]) -> str | None:
    """Return the column for these entries, newest MODSEQ first, so that unchanged rows stay packed."""
    rows = [[entry.holder, entry.name, entry.modseq, _as_json(entry.value)] for entry in entries]
    if not rows:
        return None
    newest = max(entry.modseq for entry in entries)
    return json.dumps({"modseq": newest, "entries": rows}, ensure_ascii=False, separators=(",", ":"))


def to_sidecar(column: str | None) -> dict[str, object]:
    """Return holder -> name -> value: the part of a row that must outlive the index."""
    kept: dict[str, object] = {}
    for entry in unpack(column):
        if entry.value is not None:
            of_holder = kept.setdefault(entry.holder, {})
            assert isinstance(of_holder, dict)
            of_holder[entry.name] = _as_json(entry.value)
    return kept


def from_sidecar(kept: Mapping[str, object], modseq: int, known: str | None = None) -> str | None:
    """Return the column for a sidecar: `known`, with what differs marked as changed at `modseq`.

    A process that can write a sidecar must not choose what goes to clients: invalid entries are skipped.
    """
    before = {key_of(entry): entry for entry in unpack(known)}
    entries: dict[tuple[str, str], Annotation] = {}
    for holder, of_holder in kept.items():
        for name, value in of_holder.items() if isinstance(of_holder, dict) else ():
            if _NAME.fullmatch(name) and (octets := _readable(value)) is not None:
                entry = Annotation(holder, name, octets, modseq)
                old = before.get(key_of(entry))
                entries[key_of(entry)] = old if old is not None and old.value == octets else entry
    for key in before.keys() - entries.keys():
        old = before[key]
        entries[key] = old if old.value is None else replace(old, value=None, modseq=modseq)
    return pack(entries.values())


def held(column: str | None, holders: Collection[str]) -> list[Annotation]:
    """Return these holders' entries, by name."""
    entries = [entry for entry in unpack(column) if entry.value is not None and entry.holder in holders]
    return sorted(entries, key=lambda entry: entry.name.lower())


def newest_change(column: str | None) -> int:
    """Return the MODSEQ of the last change, 0 where there never was one."""
    return int(json.loads(column)["modseq"]) if column is not None else 0


def weight(entries: Iterable[Annotation]) -> int:
    """Return the octets of names and values."""
    return sum(len(entry.name) + len(entry.value) for entry in entries if entry.value is not None)


def key_of(entry: Annotation) -> tuple[str, str]:
    """Return the key of an entry: names are compared without case (RFC 5464 §3.2)."""
    return entry.holder, entry.name.lower()


def _as_json(value: bytes | None) -> object:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def _octets(value: object) -> bytes | None:
    if isinstance(value, dict):
        return base64.b64decode(value["base64"], validate=True)
    return value.encode() if isinstance(value, str) else None


def _readable(value: object) -> bytes | None:
    try:
        return _octets(value)
    except (KeyError, TypeError, ValueError):
        return None
