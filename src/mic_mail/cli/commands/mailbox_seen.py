"""`mic-mail mailbox seen`: shared or separate read marks in a unit's or group's mailbox.

A change applies immediately, in open sessions, too.
"""

from typing import Annotated

from mic_mail.cli import output
from mic_mail.cli.acts import DocumentedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.commands.mailbox_store import account_of
from mic_mail.cli.context import CliContext
from mic_mail.cli.labels import SeenHandling
from mic_mail.cli.options import Commands, JsonOption, ReasonOption, argument
from mic_mail.cli.output import Column
from mic_mail.directory.records import MailboxRecord
from mic_mail.errors import BadInput, Refused, Text
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.facts import MailboxKind
from mic_mail.policy.unit_mail.delegation import PERSONAL_CLAUSE
from mic_mail.services.authentication.delegation import Delegations

app = Commands()

COLUMNS = (
    Column("address", "Địa chỉ", "Address"),
    Column("seen", "Đã đọc", "Read marks", json_only=True),
    Column("seen_name", "Đã đọc", "Read marks"),
)

Address = Annotated[
    str | None,
    argument("[ADDRESS]", "Hộp thư đơn vị, nhóm; bỏ trống: liệt kê.", "A unit's or group's mailbox; none: list all."),
]
Wanted = Annotated[
    SeenHandling | None,
    argument("[one|each]", "Chung cho mọi người, hoặc riêng từng người.", "one: for all; each: each person's own."),
]


@app.command("Đánh dấu đã đọc chung hay riêng từng người.", "Read marks of a unit's or group's mailbox: one or each.")
@requires(Right.READ, act="mailbox_seen", clauses="12.3")
def seen(
    address: Address = None, kept: Wanted = None, *, reason: ReasonOption = "", act: DocumentedAct, as_json: JsonOption = False
) -> None:
    """Show the setting; with `one` or `each`, change it."""
    here = act.here
    if address is None:
        common = [mailbox for mailbox in here.directory.mailboxes() if mailbox.kind is not MailboxKind.PERSONAL]
        output.listing(COLUMNS, (_row(mailbox, _now(here, mailbox)) for mailbox in common), as_json=as_json)
        return
    mailbox = here.directory.mailbox(address)
    if mailbox.kind is MailboxKind.PERSONAL:
        raise Refused(
            Text("Hộp thư cá nhân chỉ có một người đọc.", "A personal mailbox has only one reader."), clause=PERSONAL_CLAUSE
        )
    if kept is None:
        output.listing(COLUMNS, [_row(mailbox, _now(here, mailbox))], as_json=as_json)
        return
    if not reason.strip():
        raise BadInput(Text("Thiếu --reason.", "--reason is missing."))
    with act.recorded(mailbox.address, right=Right.ACT, seen=kept.value):
        account_of(here, mailbox).keep_seen(each=kept is SeenHandling.EACH, persons=_readers(here, mailbox))
    if as_json:
        output.record(COLUMNS, _row(mailbox, kept), as_json=True)
        return
    name = kept.label
    output.note(f"{mailbox.address}, đánh dấu đã đọc: {name.vi}.", f"{mailbox.address}, read marks: {name.en}.")


def _now(here: CliContext, mailbox: MailboxRecord) -> SeenHandling:
    return SeenHandling.EACH if account_of(here, mailbox).seen_is_each() else SeenHandling.ONE


def _row(mailbox: MailboxRecord, kept: SeenHandling) -> dict[str, output.Cell]:
    return {"address": mailbox.address, "seen": kept.value, "seen_name": kept.label}


def _readers(here: CliContext, mailbox: MailboxRecord) -> list[str]:
    """Return the present readers, and the mailbox's own sign-in."""
    entry = here.directory.entry(mailbox.mailbox_id)
    holders = here.use_cases(Delegations).holders(entry, here.clock.now())
    return [mailbox.address, *(holder.person.address for holder in holders if holder.person is not None and holder.holding)]
