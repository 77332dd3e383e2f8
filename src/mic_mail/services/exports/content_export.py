"""The export of content under an approved request: messages as files, with a list of digests.

Reg. 4.3, 11.4, 16.5. In: an open request, the mailbox's store, a folder that does not exist yet. Out: that folder,
whole or not at all:

    <target>/001-INBOX/17.eml           octet for octet as stored, named by UID
    <target>/001-INBOX/expunged/9.eml   expunged and still retained, where that was requested too
    <target>/manifest.json              the request, its basis, and of each message folder, UID, size, SHA-256, Message-ID ...
    <target>/SHA256SUMS                 of all of these; `sha256sum -c SHA256SUMS` verifies; its own digest is on record

Everything is private to the running account (0700, 0600), written beside the target under a hidden name, fsynced, then
renamed. A kill leaves the hidden folder, unlocked: the housekeeper or the next export removes it. Messages are read a
megabyte at a time, as by any reader; no flag of the mailbox changes, nothing is marked as read.
"""

import fcntl
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Self

from mic_mail.clock import Clock
from mic_mail.directory.content_access import Export
from mic_mail.directory.instants import from_microseconds
from mic_mail.directory.repository import Directory
from mic_mail.durable_files import make_durable
from mic_mail.errors import Text
from mic_mail.policy.authorization.content_access import Access, Scope
from mic_mail.policy.calendar import local_day
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
from mic_mail.storage.mailstore import Account
from mic_mail.storage.types import FolderInfo

_REMEDY = Text(
    "Chọn thư mục mà tài khoản của máy chủ được ghi, còn đủ chỗ.",
    "Name a folder with enough room where the server's account may write.",
)
_STAGED = re.compile(r"\..+\.exporting-[0-9]+")


@dataclass(frozen=True, slots=True)
class ContentExportResult:
    """The result of an export."""

    folders: int
    messages: int
    octets: int
    digest: str
    """SHA-256 of SHA256SUMS, hexadecimal."""


@dataclass(frozen=True, slots=True)
class _Message:
    uid: int
    arrived_us: int
    message_id: str | None
    expunged_us: int | None


class ContentExport:
    def __init__(self, directory: Directory, clock: Clock) -> None:
        self._register = directory.content
        self._clock = clock

    def run(
        self,
        access: Access,
        officer: str,
        account: Account,
        target: Path,
        *,
        still_open: Callable[[], object],
        progress: Progress = lambda done: None,
    ) -> ContentExportResult:
        """Write the export to `target`; `still_open` raises where the request was closed meanwhile."""
        self.settle()
        target = target.absolute()
        must_be_new(target)
        now = self._clock.now()
        staging = target.with_name(f".{target.name}.exporting-{self._clock.now_us()}")
        export_id = self._register.begin_export(access.access_id, officer, now, staging=str(staging), target=str(target))
        with errors_of(target, _REMEDY), _Folder(staging) as folder:
            exported = _fill(folder, access.scope, account, _opening(access, officer, now), progress)
            still_open()
            must_be_new(target)  # a rename would replace an empty folder
            self._register.fill_export(export_id, exported.messages, exported.octets, exported.digest)
            folder.publish(target)
        self._register.finish_export(export_id, self._clock.now())
        return exported

    def settle(self) -> None:
        """Record killed exports that reached their target, and remove the others."""
        for export in self._register.exports():
            if export.finished_at is None and not _remove(Path(export.staging)) and _lies_there(export):
                self._register.finish_export(export.export_id, self._clock.now())


def _lies_there(export: Export) -> bool:
    try:
        return sha256((Path(export.target) / "SHA256SUMS").read_bytes()).hexdigest() == export.digest
    except OSError:
        return False


def _remove(staging: Path) -> bool:
    """Remove a staging folder that no process writes to; return whether there was one."""
    if not _STAGED.fullmatch(staging.name):
        return False
    try:
        fd = os.open(staging, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(staging, ignore_errors=True)
        return True
    except OSError:
        return False
    finally:
        os.close(fd)


class _Folder:
    """A folder in the making: private, locked meanwhile, and removed unless it is published."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1
        self._published = False

    def __enter__(self) -> Self:
        os.mkdir(self.path, 0o700)
        self._fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        return self

    def __exit__(self, *exception: object) -> None:
        if not self._published:
            shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._fd)

    def publish(self, target: Path) -> None:
        for folder, _, _ in os.walk(self.path, topdown=False):
            make_durable(folder)
        os.rename(self.path, target)
        self._published = True
        make_durable(str(target.parent))


def _fill(folder: _Folder, scope: Scope, account: Account, opening: bytes, progress: Progress) -> ContentExportResult:
    """Write all messages, the manifest and the sums; each line follows its message."""
    messages = octets = 0
    chosen = folders_of(account, scope.folder)
    with private_file(folder.path / "SHA256SUMS") as sums_file, private_file(folder.path / "manifest.json") as manifest_file:
        sums, manifest = Summed(sums_file), Summed(manifest_file)
        manifest.write(opening)
        for number, info in enumerate(chosen, start=1):
            for message in _messages(account, info, scope):
                below = "" if message.expunged_us is None else "expunged/"
                name = f"{number:03d}-{safe_name(info.name)}/{below}{message.uid}.eml"
                copy = copy_message(account, info.folder_id, message.uid, folder.path / name)
                if copy is None:
                    continue
                manifest.write((b",\n" if messages else b"\n") + _line(info, message, name, copy))
                sums.write(f"{copy.digest}  {name}\n".encode())
                messages, octets = messages + 1, octets + copy.octets
                progress(messages)
        manifest.write(b"\n]}\n")
        sums.write(f"{manifest.digest}  manifest.json\n".encode())
        return ContentExportResult(len(chosen), messages, octets, sums.digest)


def _messages(account: Account, info: FolderInfo, scope: Scope) -> Iterator[_Message]:
    expunged: dict[int, int] = {}
    if scope.expunged:
        expunged = {grave.uid: grave.expunged_at_us for grave in account.tombstones(info.folder_id)}
    for uids in (list(account.view(info.folder_id).uids), sorted(expunged)):
        for uid, arrived_us, message_id in rows_of(account, info.folder_id, uids, ("uid", "internaldate_us", "message_id")):
            if _is_wanted(scope, arrived_us):
                yield _Message(uid, arrived_us, message_id_text(message_id), expunged.get(uid))


def _is_wanted(scope: Scope, arrived_us: int) -> bool:
    day = local_day(from_microseconds(arrived_us))
    return (scope.since is None or scope.since <= day) and (scope.until is None or day <= scope.until)


def _opening(access: Access, officer: str, now: datetime) -> bytes:
    scope, decision = access.scope, access.decision
    opening = {
        "request": access.access_id,
        "mailbox": access.address,
        "folder": scope.folder,
        "since": iso(scope.since),
        "until": iso(scope.until),
        "with_expunged": scope.expunged,
        "asked_by": access.officer,
        "asked_at": iso(access.asked_at),
        "reason": access.reason,
        "document": access.document,
        "approved_by": decision.officer if decision else None,
        "approved_at": iso(decision.at) if decision else None,
        "approval_document": decision.document if decision else None,
        "expires_at": iso(access.expires_at),
        "exported_by": officer,
        "exported_at": iso(now),
    }
    text = json.dumps(opening, ensure_ascii=False, indent=1)
    return text.removesuffix("\n}").encode() + b',\n "messages": ['


def _line(info: FolderInfo, message: _Message, name: str, copy: Summed) -> bytes:
    line = {
        "file": name,
        "folder": info.name,
        "uidvalidity": info.uidvalidity,
        "uid": message.uid,
        "size": copy.octets,
        "sha256": copy.digest,
        "message_id": message.message_id,
        "arrived_at": iso(from_microseconds(message.arrived_us)),
        "expunged_at": None if message.expunged_us is None else iso(from_microseconds(message.expunged_us)),
    }
    return json.dumps(line, ensure_ascii=False).encode("utf-8", "backslashreplace")
