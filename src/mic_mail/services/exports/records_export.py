"""The export of a unit's mail for the records system, with a list of digests; resumable (Reg. 11.4).

In: an account, a selection, a folder that does not exist yet, or one in which this same export was interrupted. Out:

    <target>/INBOX-1700000000/17.eml   octet for octet as stored: folder, its UIDVALIDITY, UID
    <target>/manifest.json, .csv       of each message file, folder, UID, day of arrival, size, SHA-256, flags, Message-ID
    <target>/SHA256SUMS                of all of these; `sha256sum -c SHA256SUMS` verifies; its own digest is on record

While it runs, `<target>/.export` is a journal with a line for each message, written after the message is durable. A
repeated call with the same basis and selection continues after the last line; a file without a line is incomplete and
is written again. Nothing else that exists is ever overwritten. Everything is private (0700, 0600). Messages are read a
megabyte at a time; no flag changes. Memory holds the UIDs of the messages done.
"""

import csv
import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from io import StringIO
from pathlib import Path
from typing import BinaryIO

from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.directory.instants import from_microseconds
from mic_mail.documents.csv_writer import harmless
from mic_mail.durable_files import make_durable
from mic_mail.errors import BadInput, Text, in_ascii
from mic_mail.policy.calendar import local_day
from mic_mail.policy.unit_mail.records_export import Selection
from mic_mail.services.exports.eml_files import (
    Progress,
    Summed,
    copy_message,
    errors_of,
    folders_of,
    iso,
    message_id_text,
    must_be_new,
    private_file,
    rows_of,
    safe_name,
)
from mic_mail.services.unit_mail.document_handoff import PassedOn
from mic_mail.storage.mailstore import Account, MailStore
from mic_mail.storage.types import ANSWERED, DELETED, DRAFT, FLAGGED, KEYWORD_SHIFT, SEEN, Column, FolderInfo

JOURNAL = ".export"
_REMEDY = Text(
    "Chọn nơi mà tài khoản của máy chủ được ghi, còn đủ chỗ; chạy lại lệnh để làm tiếp.",
    "Name a place with enough room where the server's account may write; the same command continues.",
)
_SYSTEM = ((ANSWERED, "\\Answered"), (FLAGGED, "\\Flagged"), (DELETED, "\\Deleted"), (SEEN, "\\Seen"), (DRAFT, "\\Draft"))
_COLUMNS = ("file", "folder", "uidvalidity", "uid", "arrived_at", "size", "sha256", "message_id", "flags", "passed_on")


@dataclass(frozen=True, slots=True)
class RecordsExportResult:
    """The result of an export."""

    messages: int
    octets: int
    digest: str
    """SHA-256 of SHA256SUMS, hexadecimal."""
    resumed: int
    """Messages that an earlier, interrupted run had written."""


@dataclass(slots=True)
class _Done:
    heading: Mapping[str, object]
    keys: set[tuple[str, int]] = field(default_factory=set)
    """Places and UIDs."""
    places: dict[tuple[str, int], str] = field(default_factory=dict)
    """Folders' names in the export, by MAILBOXID and UIDVALIDITY: a folder may be renamed meanwhile."""
    octets: int = 0

    def place_of(self, info: FolderInfo) -> str:
        """Return the place of a folder's messages, which no other folder has."""
        known = self.places.get((info.mailbox_id, info.uidvalidity))
        if known is not None:
            return known
        taken, number = set(self.places.values()), 2
        place = wanted = f"{safe_name(info.name)}-{info.uidvalidity}"
        while place in taken:
            place, number = f"{wanted}-{number}", number + 1
        self.places[info.mailbox_id, info.uidvalidity] = place
        return place


class RecordsExport:
    def __init__(self, store: MailStore, config: Config, clock: Clock) -> None:
        self._passed_on = PassedOn(store, config)
        self._clock = clock

    def run(
        self,
        account: Account,
        selection: Selection,
        target: Path,
        basis: Mapping[str, str],
        *,
        progress: Progress = lambda done: None,
        whole: Callable[[RecordsExportResult], None] = lambda exported: None,
    ) -> RecordsExportResult:
        """Write the export, or continue it.

        `basis` is part of the manifest, and has to be the same to continue. `whole` is called when everything is written,
        before the export counts as finished: its record is made at least once in spite of kills.
        """
        target = target.absolute()
        folders_of(account, selection.folder)  # refused before anything is made
        heading = {**basis, **{name: iso(v) if isinstance(v, date) else v for name, v in asdict(selection).items()}}
        with errors_of(target, _REMEDY), _opened(target, heading, self._clock.now()) as journal:
            done = _read(target, journal)
            resumed = len(done.keys)
            for copied in self._copies(account, selection, target, done):
                journal.write(_encoded(copied) + b"\n")
                journal.flush()
                progress(len(done.keys))
            exported = RecordsExportResult(len(done.keys), done.octets, _lists(target, done, journal), resumed)
            whole(exported)
            (target / JOURNAL).unlink()  # the last step
            make_durable(str(target))
            return exported

    def _copies(self, account: Account, selection: Selection, target: Path, done: _Done) -> Iterator[Mapping[str, object]]:
        """Copy what is not done yet; yield each message's manifest entry once its file is durable."""
        for info in folders_of(account, selection.folder):
            is_marked = self._passed_on.is_marked(info)
            place = done.place_of(info)
            for uid, flags, arrived_us, message_id in _rows(account, info, selection, is_marked):
                if (place, uid) in done.keys:
                    continue
                file = f"{place}/{uid}.eml"
                copy = copy_message(account, info.folder_id, uid, target / file)
                if copy is None:
                    continue
                done.keys.add((place, uid))
                done.octets += copy.octets
                yield {
                    "file": file,
                    "folder": info.name,
                    "mailbox_id": info.mailbox_id,
                    "uidvalidity": info.uidvalidity,
                    "uid": uid,
                    "arrived_at": iso(from_microseconds(arrived_us)),
                    "size": copy.octets,
                    "sha256": copy.digest,
                    "message_id": message_id_text(message_id),
                    "flags": " ".join(_flag_names(info, flags)),
                    "passed_on": is_marked(flags),
                }


def _opened(target: Path, heading: Mapping[str, object], now: datetime) -> BinaryIO:
    """Open the journal of this export, locked: a new one, or that of the same export."""
    path = target / JOURNAL
    goes_on = os.path.lexists(path) and not target.is_symlink()
    if not goes_on:
        if target.is_symlink() or not target.is_dir() or any(target.iterdir()):  # an empty folder is left by an early kill
            must_be_new(target)
        target.mkdir(mode=0o700, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | (0 if goes_on else os.O_CREAT | os.O_EXCL), 0o600)
    journal = os.fdopen(fd, "r+b")
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        first = journal.readline()
        if not first.endswith(b"\n"):  # new, or interrupted before its first line was whole
            journal.seek(0)
            journal.truncate()
            journal.write(_encoded({"export": dict(heading), "begun_at": iso(now)}) + b"\n")
            journal.flush()
        elif _heading(first) != json.loads(json.dumps(dict(heading))):
            raise _another(target)
    except BlockingIOError:
        journal.close()
        raise BadInput(Text(f"“{target}” đang được xuất.", f"Another export to {in_ascii(target)} is running.")) from None
    except ValueError:
        journal.close()
        raise _another(target) from None
    except BaseException:
        journal.close()
        raise
    return journal


def _heading(line: bytes) -> object:
    """Return the export named in the first line; `ValueError` if it is not ours."""
    entry = json.loads(line)
    return entry.get("export") if isinstance(entry, dict) else None


def _another(target: Path) -> BadInput:
    return BadInput(
        Text(f"“{target}” chứa một lần xuất khác.", f"{in_ascii(target)} contains another export."),
        remedy=Text("Chọn thư mục mới.", "Name a new folder."),
    )


def _read(target: Path, journal: BinaryIO) -> _Done:
    """Read the journal; truncate a torn last line, and lines whose file does not match."""
    journal.seek(0)
    done = _Done(json.loads(journal.readline()))
    end = journal.tell()
    while (line := journal.readline()).endswith(b"\n"):
        try:
            entry = json.loads(line)
            place, uid, folder = entry["file"].partition("/")[0], entry["uid"], (entry["mailbox_id"], entry["uidvalidity"])
            if (target / entry["file"]).stat().st_size != entry["size"]:
                break
        except (ValueError, KeyError, TypeError, OSError):
            break
        end = journal.tell()
        done.keys.add((place, uid))
        done.places[folder] = place
        done.octets += entry["size"]
    journal.seek(end)
    journal.truncate()
    return done


def _rows(
    account: Account, info: FolderInfo, selection: Selection, is_marked: Callable[[int], bool]
) -> Iterator[tuple[int, int, int, bytes | None]]:
    uids = list(account.view(info.folder_id).uids)
    columns: Sequence[Column] = ("uid", "flags", "internaldate_us", "message_id")
    for uid, flags, arrived_us, message_id in rows_of(account, info.folder_id, uids, columns):
        if selection.has(local_day(from_microseconds(arrived_us))) and selection.passed_on in {None, is_marked(flags)}:
            yield uid, flags, arrived_us, message_id


def _flag_names(info: FolderInfo, flags: int) -> Iterator[str]:
    yield from (name for bit, name in _SYSTEM if flags & bit)
    yield from (name for place, name in enumerate(info.keywords) if flags & (1 << (KEYWORD_SHIFT + place)))


def _lists(target: Path, done: _Done, journal: BinaryIO) -> str:
    """Write lists and sums from the journal, durable and reproducible; return the digest of SHA256SUMS."""
    with (
        _fresh(target / "manifest.json") as lists,
        _fresh(target / "manifest.csv") as table,
        _fresh(target / "SHA256SUMS") as sums,
    ):
        manifest, rows, summary = Summed(lists), Summed(table), Summed(sums)
        manifest.write(json.dumps(done.heading, ensure_ascii=False, indent=1).removesuffix("\n}").encode())
        manifest.write(b',\n "messages": [')
        rows.write(b"\xef\xbb\xbf" + _csv_row(_COLUMNS))
        comma = b"\n"
        for entry in _lines(journal):
            manifest.write(comma + _encoded(entry))
            rows.write(_csv_row([entry[name] for name in _COLUMNS]))
            summary.write(f"{entry['sha256']}  {entry['file']}\n".encode())
            comma = b",\n"
        manifest.write(b"\n]}\n")
        summary.write(f"{manifest.digest}  manifest.json\n{rows.digest}  manifest.csv\n".encode())
    for folder in (*(target / name for name in set(done.places.values())), target, target.parent):
        if folder.is_dir():
            make_durable(str(folder))
    return summary.digest


@contextmanager
def _fresh(path: Path) -> Iterator[BinaryIO]:
    """Open a list of this export, written anew and whole; an earlier attempt is replaced."""
    staged = path.with_name(f".{path.name}")
    staged.unlink(missing_ok=True)
    with private_file(staged) as file:
        yield file
    staged.rename(path)


def _lines(journal: BinaryIO) -> Iterator[dict[str, object]]:
    journal.seek(0)
    journal.readline()
    for line in journal:
        entry: dict[str, object] = json.loads(line)
        yield entry


def _encoded(entry: Mapping[str, object]) -> bytes:
    return json.dumps(entry, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _csv_row(cells: Sequence[object]) -> bytes:
    out = StringIO(newline="")
    csv.writer(out).writerow([_csv_cell(cell) for cell in cells])
    return out.getvalue().encode("utf-8", "backslashreplace")


def _csv_cell(cell: object) -> str:
    """Return a cell for other programs: `true` and `false` as in JSON, harmless to a spreadsheet."""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return harmless(cell if isinstance(cell, str | int) else None)
