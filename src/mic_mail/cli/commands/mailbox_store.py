"""`mic-mail mailbox repair|rescan|undelete|set-aside`: maintain the store, also beside a running server.

Without an address a command runs over all mailboxes, with a progress bar.
"""

import contextlib
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import IO, Annotated

import typer

from mic_mail.cli import labels, output
from mic_mail.cli.acts import Act
from mic_mail.cli.authorization import requires
from mic_mail.cli.context import CliContext
from mic_mail.cli.date_args import read_instant
from mic_mail.cli.options import Address, Commands, JsonOption, YesOption, argument, option
from mic_mail.cli.output import Column, Row, spoken
from mic_mail.cli.progress import progress_bar
from mic_mail.directory.records import MailboxRecord
from mic_mail.errors import BadInput, Text
from mic_mail.i18n import dates
from mic_mail.i18n.plurals import counted
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.reclamation import is_empty, must_be_there
from mic_mail.services.mailboxes.legal_holds import Holds
from mic_mail.storage.mailstore import Account
from mic_mail.storage.types import RepairFinding, RepairReport, TellFinding

app = Commands()

_EPOCH = datetime.fromtimestamp(0, UTC)

Addresses = Annotated[
    list[str] | None, argument("[ADDRESS]...", "Địa chỉ hộp thư; không ghi: tất cả.", "Mailbox addresses; none: all.")
]
FINDINGS = (
    Column("address", "Hộp thư", "Mailbox"),
    Column("folder", "Thư mục", "Folder"),
    Column("kind", "Phát hiện", "Finding", names=labels.FINDINGS),
    Column("detail", "Chi tiết", "Detail", names=labels.FINDING_DETAILS),
)
COUNTS = (
    *FINDINGS[:3],
    Column("count", "Số lượng", "Count", right=True),
    Column("example", "Ví dụ", "Example", names=labels.FINDING_DETAILS),
)
SET_ASIDE = (Column("address", "Hộp thư", "Mailbox"), Column("name", "Tên", "Name"))
Look = Callable[[Account, TellFinding], RepairReport]
ListOption = Annotated[
    bool, option("--list", "Liệt kê từng phát hiện, không chỉ số lượng.", "List each finding instead of counts.")
]
TOMBSTONES = (
    Column("folder", "Thư mục", "Folder"),
    Column("uid", "UID", "UID", right=True),
    Column("size", "Kích cỡ", "Size", right=True),
    Column("expunged_at", "Xóa lúc", "Expunged at"),
)


def chosen(here: CliContext, addresses: list[str] | None) -> list[MailboxRecord]:
    """Return the named mailboxes, or all except freed ones, of which nothing is left."""
    if not addresses:
        freed = {entry.mailbox_id for entry in here.directory.load_snapshot() if is_empty(entry.facts)}
        return [mailbox for mailbox in here.directory.mailboxes() if mailbox.mailbox_id not in freed]
    return [here.directory.mailbox(address) for address in addresses]


def account_of(here: CliContext, mailbox: MailboxRecord) -> Account:
    """Return the store of a mailbox; raise `Freed` where it has none any more."""
    must_be_there(mailbox.address, here.directory.facts(mailbox.mailbox_id))
    return here.store.account_of(mailbox)


def one_by_one(mailboxes: list[MailboxRecord], title: str) -> Iterator[MailboxRecord]:
    """Yield each mailbox, with a progress bar on a terminal."""
    with progress_bar() as bar:
        task = bar.add_task(title, total=len(mailboxes))
        for mailbox in mailboxes:
            bar.update(task, description=mailbox.address)
            yield mailbox
            bar.advance(task)


Totals = Counter[str]
"""The totals over all checked mailboxes: `mailboxes`, `messages`, `octets`, `findings`."""


def _report(here: CliContext, addresses: list[str] | None, look: Look, *, listed: bool, as_json: bool) -> int:
    """Print the findings of `look` over mailboxes, each or counted by kind; return how many there are."""
    totals = Totals()
    if listed:
        rows = _each(here, addresses, look, totals)
        output.stream(FINDINGS, rows) if as_json else output.lines(FINDINGS, rows)
    else:
        counted_rows = list(_by_kind(here, addresses, look, totals))
        if counted_rows or as_json:
            output.listing(COUNTS, counted_rows, as_json=as_json)
    size, findings = dates.size(totals["octets"]), totals["findings"]
    output.note(
        f"{totals['mailboxes']} hộp thư, {totals['messages']} thư, {size.vi}; {findings} phát hiện.",
        f"{totals['mailboxes']} mailboxes, {totals['messages']} messages, {size.en}; {findings} findings.",
    )
    return findings


class _ByKind:
    """The findings of one mailbox, counted by folder and kind, with the first of each as an example."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.counts: Counter[tuple[str, str]] = Counter()
        self._examples: dict[tuple[str, str], str] = {}

    def print_row(self, finding: RepairFinding) -> None:
        self.counts[finding.folder, finding.kind] += 1
        self._examples.setdefault((finding.folder, finding.kind), finding.detail)

    def rows(self) -> Iterator[Row]:
        for (folder, kind), count in self.counts.items():
            example = self._examples[folder, kind]
            yield {"address": self.address, "folder": folder, "kind": kind, "count": count, "example": example}


def _by_kind(here: CliContext, addresses: list[str] | None, look: Look, totals: Totals) -> Iterator[Row]:
    for mailbox in one_by_one(chosen(here, addresses), spoken("Đang kiểm tra", "Looking")):
        found = _ByKind(mailbox.address)
        report = look(account_of(here, mailbox), found.print_row)
        totals.update(mailboxes=1, messages=report.messages, octets=report.octets, findings=found.counts.total())
        yield from found.rows()


def _each(here: CliContext, addresses: list[str] | None, look: Look, totals: Totals) -> Iterator[Row]:
    """Yield one row for each finding.

    A file holds them until the mailbox is unlocked: it must not stay locked while a person reads the list.
    """
    for mailbox in one_by_one(chosen(here, addresses), spoken("Đang kiểm tra", "Looking")):
        with tempfile.TemporaryFile("w+", encoding="ascii") as kept:
            report = look(account_of(here, mailbox), partial(_keep, kept))
            kept.seek(0)
            for line in kept:
                totals["findings"] += 1
                folder, kind, detail = json.loads(line)
                yield {"address": mailbox.address, "folder": folder, "kind": kind, "detail": detail}
            totals.update(mailboxes=1, messages=report.messages, octets=report.octets)


def _keep(kept: IO[str], finding: RepairFinding) -> None:
    kept.write(json.dumps([finding.folder, finding.kind, finding.detail]) + "\n")


@app.command(
    "So chỉ mục với tệp và sửa chỗ sai lệch; --check chỉ xem (mã thoát 1 nếu có sai lệch).",
    "Compare index and files and correct differences; --check only reports them (exit code 1 if any).",
)
@requires(Right.ACT, act="mailbox_repair")
def repair(
    addresses: Addresses = None,
    *,
    check: Annotated[bool, option("--check", "Chỉ xem, không sửa.", "Only report, change nothing.")] = False,
    listed: ListOption = False,
    act: Act,
    as_json: JsonOption = False,
) -> None:
    here = act.here
    subject = " ".join(addresses or ["*"])
    with contextlib.nullcontext() if check else act.recorded(subject):
        found = _report(
            here, addresses, lambda account, tell: account.repair(check=check, tell=tell), listed=listed, as_json=as_json
        )
    if check and found:
        raise typer.Exit(1)


@app.command("Nhận những thay đổi do công cụ Maildir khác tạo ra.", "Take in changes made by other Maildir tools.")
@requires(Right.ACT, act="mailbox_rescan")
def rescan(addresses: Addresses = None, *, listed: ListOption = False, act: Act, as_json: JsonOption = False) -> None:
    here = act.here
    with act.recorded(" ".join(addresses or ["*"])):
        _report(here, addresses, lambda account, tell: account.rescan(tell=tell), listed=listed, as_json=as_json)


@app.command(
    "Khôi phục thư đã xóa còn được giữ; --list chỉ liệt kê.",
    "Restore expunged messages that are still retained; --list only lists them.",
)
@requires(Right.ACT, act="mailbox_undelete")
def undelete(
    address: Address,
    *,
    folder: Annotated[str | None, option("--folder", "Chỉ thư mục này.", "Only this folder.")] = None,
    since: Annotated[
        str | None, option("--since", "Xóa từ lúc này, “24/11/2026 08:30”.", "Expunged since then, '24/11/2026 08:30'.")
    ] = None,
    uids: Annotated[list[int] | None, option("--uid", "Chỉ những UID này.", "Only these UIDs.")] = None,
    only_list: Annotated[bool, option("--list", "Chỉ liệt kê.", "Only show.")] = False,
    act: Act,
    as_json: JsonOption = False,
) -> None:
    here = act.here
    mailbox = here.directory.mailbox(address)
    account = account_of(here, mailbox)
    since_us = _micros(read_instant(since)) if since is not None else 0
    if only_list:
        rows: list[Row] = [
            {"folder": t.folder, "uid": t.uid, "size": t.size, "expunged_at": _at(t.expunged_at_us)}
            for t in account.tombstones()
            if folder in (None, t.folder) and t.expunged_at_us >= since_us and (not uids or t.uid in uids)
        ]
        output.listing(TOMBSTONES, rows, as_json=as_json)
        return
    with act.recorded(mailbox.address, folder=folder, since=since):
        count = account.undelete(folder=folder, since_us=since_us, uids=uids or None)
    if as_json:
        output.print_json({"address": mailbox.address, "restored": count})
    output.note(f"Đã khôi phục {count} thư.", f"{counted(count, 'message is', 'messages are')} restored.")


@app.command(
    "Liệt kê những gì lần khôi phục đã thay ra; --copy chép một bản, --delete xóa hẳn.",
    "List what restores have replaced; --copy copies one of them, --delete deletes it.",
    name="set-aside",
)
@requires(Right.ACT, act="mailbox_set_aside", clauses="10.1")
def set_aside(
    address: Address,
    name: Annotated[str | None, argument("[NAME]", "Tên trong danh sách.", "A name of the list.")] = None,
    *,
    copy: Annotated[
        Path | None,
        option("--copy", "Chép vào thư mục mới này.", "Copy it into this new folder.", metavar="TARGET"),
    ] = None,
    delete: Annotated[bool, option("--delete", "Xóa hẳn.", "Delete it.")] = False,
    act: Act,
    as_json: JsonOption = False,
    yes: YesOption = False,
) -> None:
    here = act.here
    mailbox = here.directory.mailbox(address)
    account = here.store.account_of(mailbox)
    if copy is None and not delete:
        rows: list[Row] = [{"address": mailbox.address, "name": each} for each in account.set_aside()]
        output.listing(SET_ASIDE, rows, as_json=as_json)
        return
    if name is None or (copy is not None and delete):
        raise BadInput(Text("Cần một tên, và --copy hoặc --delete.", "Give a name, and either --copy or --delete."))
    if delete and not yes:
        typer.confirm(spoken(f"Xóa hẳn {name}?", f"Delete {name} for good?"), abort=True)
    with act.recorded(mailbox.address, name=name, target=None if copy is None else str(copy.absolute())):
        if copy is not None:
            account.copy_set_aside(name, copy)
        else:
            holds = Holds(here.directory, here.store, here.clock)
            account.drop_set_aside(name, lambda: holds.must_not_be_held(here.directory.entry(mailbox.mailbox_id)))


def _micros(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(microseconds=1)


def _at(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)
