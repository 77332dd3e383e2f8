"""`mic-mail directory history|pending|cancel`: the register of directory changes (Reg. 6.5).

It has the orders, with the rows that each changed. Joined into the group `directory` by main.NOUNS.
"""

from typing import Annotated

import typer

from mic_mail.cli import output
from mic_mail.cli.acts import Act
from mic_mail.cli.authorization import requires
from mic_mail.cli.context import frame
from mic_mail.cli.directory_orders import CHANGES, ORDERS, Naming, order_row
from mic_mail.cli.options import JsonOption, ReasonOption
from mic_mail.cli.output import say
from mic_mail.errors import Text
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.directory_changes import Subject
from mic_mail.services.mailboxes.directory_changes import DirectoryChanges

app = typer.Typer()

HISTORY = (*ORDERS[:2], *CHANGES, ORDERS[2], *ORDERS[4:7])


@app.command(help=say("Liệt kê mọi thay đổi: trước, sau, văn bản.", "List every change: before, after, document."))
@requires(Right.READ, whole=True, clauses="6.5")
def history(
    ctx: typer.Context,
    *,
    person: Annotated[int | None, typer.Option("--person", help=say("Chỉ cá nhân này.", "Only this person."))] = None,
    unit: Annotated[str | None, typer.Option("--unit", help=say("Chỉ đơn vị này.", "Only this unit."))] = None,
    mailbox: Annotated[
        str | None, typer.Option("--mailbox", help=say("Chỉ địa chỉ của hộp thư này.", "Only this mailbox's addresses."))
    ] = None,
    as_json: JsonOption = False,
) -> None:
    here = frame(ctx)
    of: list[tuple[Subject, str]] = []
    if person is not None:
        of.append((Subject.PERSON, str(here.directory.person(person).person_id)))
    if unit is not None:
        of.append((Subject.UNIT, str(here.directory.unit(unit).unit_id)))
    if mailbox is not None:
        number = here.directory.mailbox(mailbox).mailbox_id
        of.append((Subject.MAILBOX, str(number)))
        of += [(Subject.ADDRESS, each.address) for each in here.directory.addresses(number)]
    naming, register = Naming(here.directory), here.directory.changes
    found = {entry.number: entry for each in of for entry in register.all(*each)} if of else None
    entries = register.all() if found is None else [found[number] for number in sorted(found)]
    rows = (
        {**order_row(entry), **naming.row(change)}
        for entry in entries
        for change in entry.changes
        if not of or (change.subject, change.key) in of
    )
    output.listing(HISTORY, rows, as_json=as_json)


@app.command(help=say("Liệt kê thay đổi chờ đến ngày.", "List pending changes."))
@requires(Right.READ, whole=True, clauses="6.5")
def pending(ctx: typer.Context, as_json: JsonOption = False) -> None:
    output.listing(ORDERS, (order_row(entry) for entry in frame(ctx).directory.changes.pending()), as_json=as_json)


@app.command(help=say("Hủy một thay đổi chưa thực hiện.", "Cancel a pending change."))
@requires(Right.ACT, act="change_cancel")
def cancel(
    number: Annotated[int, typer.Argument(metavar="NUMBER", help=say("Số thay đổi.", "Number of the change."))],
    *,
    reason: ReasonOption,
    act: Act,
) -> Text:
    here = act.here
    with act.recorded(str(number)):
        DirectoryChanges(here.directory, here.config, here.clock).cancel(number)
    return Text(f"Đã hủy thay đổi số {number}.", f"Change {number} is cancelled.")
