"""`mic-mail directory`: check it, export it, and the register of its changes (Reg. 6.5, 2.6).

The export names people, so the person who exports it is on record.
"""

import sys
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from mic_mail.addressbook import csv_listing, ldif, vcard
from mic_mail.addressbook.cards import Book
from mic_mail.cli import output
from mic_mail.cli.acts import Act, ExplainedAct
from mic_mail.cli.authorization import open_to_all, requires
from mic_mail.cli.context import CliContext
from mic_mail.cli.directory_orders import CHANGES, ORDERS, RowNames, order_row
from mic_mail.cli.options import Commands, JsonOption, ReasonOption, argument, option
from mic_mail.cli.output import Column, ResultTable, row_of
from mic_mail.cli.output_files import write_file
from mic_mail.directory.records import UnitRecord
from mic_mail.documents import csv_writer
from mic_mail.errors import Text, in_ascii
from mic_mail.i18n.plurals import counted
from mic_mail.policy.authorization.roles import Right, units_below
from mic_mail.policy.directory_changes import Subject
from mic_mail.services.mailboxes.address_book import make_book
from mic_mail.services.mailboxes.consistency_check import FindingSeverity, inspect
from mic_mail.services.mailboxes.directory_changes import DirectoryChanges
from mic_mail.services.settings import lifecycle_settings

app = Commands()

COLUMNS = (
    Column("severity", "Mức", "Severity"),
    Column("kind", "Loại", "Kind", json_only=True),
    Column("subject", "Đối tượng", "Subject", names={"officer": Text("cán bộ quản trị", "officer")}),
    Column("text", "Không khớp", "Disagreement"),
)


class Format(StrEnum):
    """The formats that other programs read; the numbers are vCard's versions."""

    VCARD = "vcard"
    VCARD3 = "vcard3"
    LDIF = "ldif"
    CSV = "csv"


@app.command("Đối chiếu danh bạ với hộp thư; mã thoát 1 nếu có lỗi.", "Compare it with the mailboxes; exit code 1 on errors.")
@requires(Right.READ, whole=True, clauses="6.5")
def check(here: CliContext, as_json: JsonOption = False) -> int:
    config = here.config
    snapshot = here.directory.load_snapshot()
    settings = lifecycle_settings(config, snapshot.working_days)
    found = inspect(
        snapshot,
        config.mail_root,
        here.clock.now(),
        settings,
        config.support,
        officers=here.directory.officers.all(),
        issued_on=config.regulation.issued_on,
        units=here.directory.units(),
        people=here.directory.people(),
        pending=here.directory.changes.pending(),
    )
    output.listing(COLUMNS, (row_of(COLUMNS, each) for each in found), as_json=as_json)
    if not found:
        output.note("Danh bạ khớp với hộp thư.", "The directory and the mailboxes agree.")
    return int(any(d.severity is FindingSeverity.ERROR for d in found))


@app.command("Xuất danh bạ: vCard, LDIF hoặc CSV.", "Write the directory as vCard, LDIF or CSV.")
@requires(Right.READ, act="directory_export", clauses="2.6")
def export(
    *,
    form: Annotated[
        Format, option("--format", "vcard3: vCard 3.0 cho phần mềm cũ.", "vcard3: vCard 3.0 for older programs.")
    ] = Format.VCARD,
    unit: Annotated[
        str | None, option("--unit", "Đơn vị này và đơn vị trực thuộc.", "This unit and those below it.", metavar="SYMBOL")
    ] = None,
    out: Annotated[Path, option("--out", "Tệp; - là đầu ra chuẩn.", "The file; - is standard output.")] = Path("-"),
    act: ExplainedAct,
) -> None:
    here = act.here
    of = _exported_unit(here, unit)
    units = None if of is None else units_below({one.unit_id: one.parent_id for one in here.directory.units()}, of.unit_id)
    subject = "*" if of is None else of.symbol
    with act.recorded(subject, concerns=of, format=form.value, file=str(out)):
        book = make_book(here.directory, here.config, here.clock.now(), units)
        octets = _written(book, form)
        if str(out) == "-":
            sys.stdout.buffer.write(octets)
            return
        write_file(here, out, octets)
    output.note(
        f"Đã xuất {len(book)} mục của danh bạ: {out}",
        f"{counted(len(book), 'entry of the directory is', 'entries of the directory are')} written: {in_ascii(out)}",
    )


def _exported_unit(here: CliContext, symbol: str | None) -> UnitRecord | None:
    """Return the named unit, or the own one of a unit's administrator; None: the whole ministry."""
    if symbol is not None:
        return here.directory.unit(symbol)
    own = here.officer.unit_id if here.officer is not None else None
    return here.directory.units_by_id().get(own or 0)


def _written(book: Book, form: Format) -> bytes:
    match form:
        case Format.LDIF:
            return ldif.write(book)
        case Format.CSV:
            return csv_writer.write(csv_listing.table(book, output.language()))
        case _:
            version = vcard.Version.V3 if form is Format.VCARD3 else vcard.Version.V4
            return vcard.write(book.for_people(), book.ministry, version)


HISTORY = (*ORDERS[:2], *CHANGES, ORDERS[2], *ORDERS[4:7])


@app.command(
    "Nạp danh bạ từ tệp SQLite vào cơ sở dữ liệu trống của cấu hình.",
    "Load a directory from an SQLite file into the empty database of the configuration.",
)
@open_to_all(clauses="10.4")
def load(
    here: CliContext,
    file: Annotated[Path, argument("FILE", "directory.sqlite của bản sao lưu.", "directory.sqlite of a backup.")],
) -> Text:
    from mic_mail.directory.preflight import trouble_with
    from mic_mail.directory.repository import Directory

    url = f"sqlite:///{file}"
    trouble = trouble_with(url, thorough=True)
    if trouble is not None:
        raise trouble
    with closing(Directory(url, clock=here.clock)) as source:
        counts = source.copy_into(here.directory_to_be())
    rows, mailboxes = sum(counts.values()), counts["mailbox"]
    return Text(
        f"Đã nạp {rows} dòng, {mailboxes} hộp thư, và đối chiếu với tệp.",
        f"Loaded and compared with the file: {counted(rows, 'row', 'rows')}, {counted(mailboxes, 'mailbox', 'mailboxes')}.",
    )


@app.command("Liệt kê mọi thay đổi: trước, sau, văn bản.", "List every change: before, after, document.")
@requires(Right.READ, whole=True, clauses="6.5")
def history(
    here: CliContext,
    *,
    person: Annotated[int | None, option("--person", "Chỉ cá nhân này.", "Only this person.")] = None,
    unit: Annotated[str | None, option("--unit", "Chỉ đơn vị này.", "Only this unit.")] = None,
    mailbox: Annotated[
        str | None, option("--mailbox", "Chỉ địa chỉ của hộp thư này.", "Only this mailbox's addresses.")
    ] = None,
) -> ResultTable:
    of: list[tuple[Subject, str]] = []
    if person is not None:
        of.append((Subject.PERSON, str(here.directory.person(person).person_id)))
    if unit is not None:
        of.append((Subject.UNIT, str(here.directory.unit(unit).unit_id)))
    if mailbox is not None:
        number = here.directory.mailbox(mailbox).mailbox_id
        of.append((Subject.MAILBOX, str(number)))
        of += [(Subject.ADDRESS, each.address) for each in here.directory.addresses(number)]
    naming, register = RowNames(here.directory), here.directory.changes
    found = {entry.number: entry for each in of for entry in register.all(*each)} if of else None
    entries = register.all() if found is None else [found[number] for number in sorted(found)]
    rows = (
        {**order_row(entry), **naming.row(change)}
        for entry in entries
        for change in entry.changes
        if not of or (change.subject, change.key) in of
    )
    return ResultTable(HISTORY, rows)


@app.command("Liệt kê thay đổi chờ đến ngày.", "List pending changes.")
@requires(Right.READ, whole=True, clauses="6.5")
def pending(here: CliContext) -> ResultTable:
    return ResultTable(ORDERS, (order_row(entry) for entry in here.directory.changes.pending()))


@app.command("Hủy một thay đổi chưa thực hiện.", "Cancel a pending change.")
@requires(Right.ACT, act="change_cancel")
def cancel(
    number: Annotated[int, argument("NUMBER", "Số thay đổi.", "Number of the change.")], *, reason: ReasonOption, act: Act
) -> Text:
    here = act.here
    with act.recorded(str(number)):
        here.use_cases(DirectoryChanges).cancel(number)
    return Text(f"Đã hủy thay đổi số {number}.", f"Change {number} is cancelled.")
