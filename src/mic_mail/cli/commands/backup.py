"""`mic-mail backup`: copy mailboxes into a folder, beside a running server.

    <target>/<domain>/<local part>/    one mailbox each (storage.backup)
    <target>/archive/                  archives of reclaimed mailboxes (Reg. 6.4.c); the only copy of a freed one
    <target>/handovers/                the inventories of mailboxes that were handed over (Reg. 12.3.d)
    <target>/imports/                  the ledgers of imports by source (Reg. 10.4)
    <target>/quarantine/               the messages in quarantine, with their records (Reg. 4.2)
    <target>/held/unread/              accepted messages that are still to be read for markings (Reg. 4.1)
    <target>/keys/                     keys that a restored server needs (services.operations.backup_keys)
    <target>/directory.sqlite          the directory, also where it lies in PostgreSQL
    <target>/mic-mail.toml             the configuration

Quarantine, unread messages and keys are only in a backup of all mailboxes. Everything is durable when the command ends. The
certificate's key and the log are not included (docs/decisions/0087).

The order matters. The quarantine is copied before the mail, so that a message released meanwhile is in one of them, or in both,
of which a mailbox takes one. The unread messages are copied after the mail, so that each message in the copy was read by then,
or is read after the restore. The keys are copied after the directory, so that the key of every secret in it is included.
"""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

from mic_mail.cli.acts import Act
from mic_mail.cli.authorization import requires
from mic_mail.cli.commands.mailbox_store import Addresses, account_of, chosen
from mic_mail.cli.context import CliContext
from mic_mail.cli.options import Commands, argument, option
from mic_mail.cli.output import Column, ResultTable, Row, spoken
from mic_mail.cli.progress import progress_bar
from mic_mail.directory.records import MailboxRecord
from mic_mail.durable_files import make_durable
from mic_mail.errors import BadInput, Text, Trouble, in_ascii
from mic_mail.i18n.os_errors import reason as system_reason
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.reclamation import archives
from mic_mail.quarantine.unread_messages import UnreadMessages
from mic_mail.services.handover.inventory import FOLDER as INVENTORIES
from mic_mail.services.importers.ledger import folder_of, ledgers
from mic_mail.services.mail_store import open_quarantine
from mic_mail.services.mailboxes.reclamation import FOLDER as ARCHIVES
from mic_mail.services.operations.backup_keys import copy_keys
from mic_mail.storage.backup.files import FOLDER_MODE, copy_file, copy_tree, make_folder

COLUMNS = (
    Column("address", "Hộp thư", "Mailbox"),
    Column("messages", "Số thư", "Messages", right=True),
    Column("octets", "Kích cỡ", "Size", right=True, size=True),
    Column("target", "Nơi lưu", "Target"),
)

app = Commands()


@app.command(
    "Sao lưu hộp thư vào thư mục mới (toàn bộ: kèm khóa và thư cách ly); máy chủ vẫn chạy.",
    "Copy mailboxes into a new folder (all of them: with keys and quarantine); the server keeps running.",
)
@requires(Right.ACT, act="backup", clauses="10.1")
def backup(
    target: Annotated[Path, argument("TARGET", "Thư mục sao lưu, chưa có.", "The backup's folder; it must not exist.")],
    addresses: Addresses = None,
    *,
    earlier: Annotated[
        Path | None,
        option(
            "--earlier",
            "Bản sao lưu trước, trên cùng đĩa: thư đã có ở đó được liên kết, không chép lại.",
            "An earlier backup on the same disk: its files are linked instead of copied.",
            metavar="BACKUP",
        ),
    ] = None,
    act: Act,
) -> ResultTable:
    here = act.here
    mailboxes = chosen(here, addresses)
    subject = " ".join(addresses or ["*"])
    if earlier is not None and not (earlier / "mic-mail.toml").is_file():
        raise BadInput(Text(f"“{earlier}” không phải bản sao lưu.", f"{in_ascii(earlier)} is not a backup."))
    whole = not addresses
    with act.recorded(subject, target=str(target.absolute()), keys=whole):
        _make(target)
        if whole:
            _copy_quarantine(here, target, earlier)
        rows = _copy(here, mailboxes, target, earlier)
        for mailbox in mailboxes if addresses else here.directory.mailboxes():  # all that freed ones still have
            _copy_inventories(here, mailbox, target)
            _copy_archives(here, mailbox, target)
        if whole:
            _copy_unread(here, target, earlier)
            # last: everything else must be complete even if a key cannot be used
            _copy_keys(here, target)
    return ResultTable(COLUMNS, rows)


def _make(target: Path) -> None:
    try:
        make_folder(target.parent)
        target.mkdir(mode=FOLDER_MODE)
        make_durable(str(target.parent))
    except FileExistsError as error:
        raise BadInput(Text(f"“{target}” đã có.", "The backup's folder already exists.")) from error
    except OSError as error:
        why = system_reason(error)
        raise Trouble(
            Text(f"Không tạo được “{target}”: {why.vi}.", f"The backup's folder cannot be created: {why.en}.")
        ) from error


def _copy(here: CliContext, mailboxes: list[MailboxRecord], target: Path, earlier: Path | None) -> list[Row]:
    rows: list[Row] = []
    with progress_bar() as bar:
        overall = bar.add_task(spoken("Hộp thư", "Mailboxes"), total=len(mailboxes))
        current = bar.add_task("", total=None)
        for mailbox in mailboxes:
            place = target / mailbox.home
            make_folder(place.parent)
            bar.reset(current, description=mailbox.address, total=None)
            _copy_ledgers(here, mailbox, target)  # before the mail: what arrives meanwhile is recognised by its origin
            account = account_of(here, mailbox)
            before = earlier / mailbox.home if earlier is not None else None
            account.backup(place, earlier=before, progress=lambda done, of: bar.update(current, completed=done, total=of))
            usage = account.quota()
            rows.append({"address": mailbox.address, "messages": usage.messages, "octets": usage.octets, "target": str(place)})
            bar.advance(overall)
    _copy_directory(here, target)
    return rows


def _copy_inventories(here: CliContext, mailbox: MailboxRecord, target: Path) -> None:
    inventories = here.config.server.data_dir / INVENTORIES / mailbox.home
    if inventories.is_dir():
        half = shutil.ignore_patterns(".*")  # of a count in progress
        with _copying(Text("bảng kiểm kê bàn giao", "The handover inventories")):
            copy_tree(inventories, target / INVENTORIES / mailbox.home, half)


def _copy_ledgers(here: CliContext, mailbox: MailboxRecord, target: Path) -> None:
    for ledger in ledgers(here.config.server.data_dir, mailbox.mailbox_id):
        kept = folder_of(target)
        with _copying(Text("sổ nhập thư", "The import ledgers")):
            make_folder(kept)
            copy_file(ledger, kept / ledger.name)
            make_durable(str(kept))


def _copy_archives(here: CliContext, mailbox: MailboxRecord, target: Path) -> None:
    """Copy the archives after the mailbox, so that one freed meanwhile is in one of the two places."""
    root = here.config.server.data_dir / ARCHIVES
    for fact in archives(here.directory.facts(mailbox.mailbox_id)):
        name = fact.text("archive") or ""
        try:
            with _copying(Text(f"bản lưu trữ {name}", f"The archive {in_ascii(name)}")):
                copy_tree(root / name, target / ARCHIVES / name)
        except Trouble:
            if fact in archives(here.directory.facts(mailbox.mailbox_id)):
                raise
            shutil.rmtree(target / ARCHIVES / name, ignore_errors=True)  # dropped meanwhile


def _copy_directory(here: CliContext, target: Path) -> None:
    """Copy the configuration and the directory, which becomes an SQLite file wherever it lies."""
    with _copying(Text("tệp cấu hình", "The configuration")):
        copy_file(here.config_path, target / "mic-mail.toml")
        make_durable(str(target))
    copied = target / "directory.sqlite"
    with _copying(Text("danh bạ", "The directory")):
        if here.config.directory_file is None:
            from mic_mail.directory.repository import Directory

            with closing(Directory(f"sqlite:///{copied}", clock=here.clock)) as copy:
                here.whole_directory.copy_into(copy)
        else:
            source = here.config.directory_url.removeprefix("sqlite:///")
            with closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as live, closing(sqlite3.connect(copied)) as copy:
                live.backup(copy)
        make_durable(str(target))


def _copy_quarantine(here: CliContext, target: Path, earlier: Path | None) -> None:
    source = here.config.quarantine_dir
    with _copying(Text("thư cách ly", "The quarantine")):
        quarantine = here.closed_at_end(open_quarantine(here.config))
        quarantine.place.copy_into(target / source.name, earlier / source.name if earlier is not None else None)


def _copy_unread(here: CliContext, target: Path, earlier: Path | None) -> None:
    folder = here.config.unread_dir.relative_to(here.config.server.data_dir)
    with _copying(Text("thư chờ kiểm tra dấu độ mật", "The messages to be read for markings")):
        UnreadMessages(here.config.unread_dir).copy_into(target / folder, earlier / folder if earlier else None)


def _copy_keys(here: CliContext, target: Path) -> None:
    with _copying(Text("các khóa", "The keys")):
        copy_keys(here.config, target)


@contextmanager
def _copying(what: Text) -> Iterator[None]:
    """Turn an error in the block into `Trouble` that names what could not be copied, and why."""
    try:
        yield
    except sqlite3.Error as error:
        raise _not_copied(what, Text(str(error), in_ascii(error))) from error
    except shutil.Error as error:  # of a folder: a list of failures, of which the first is shown
        failed = error.args[0]
        why = str(failed[0][2] if isinstance(failed, list) else failed)
        raise _not_copied(what, Text(why, in_ascii(why))) from error
    except OSError as error:
        raise _not_copied(what, system_reason(error)) from error


def _not_copied(what: Text, why: Text) -> Trouble:
    return Trouble(Text(f"Không sao lưu được {what.vi}: {why.vi}.", f"{what.en} cannot be backed up: {why.en}."))
