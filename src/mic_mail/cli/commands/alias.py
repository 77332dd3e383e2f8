"""`mic-mail alias`: further addresses of mailboxes (Reg. 5.4.a). A removed alias stays taken."""

from typing import Annotated

from mic_mail.cli.acts import GroundedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.context import CliContext
from mic_mail.cli.options import Commands, argument
from mic_mail.cli.output import Column, ResultTable
from mic_mail.directory.records import AddressRole
from mic_mail.errors import Text
from mic_mail.policy.authorization.roles import Right
from mic_mail.services.mailboxes.issue import Issuing

app = Commands()

COLUMNS = (
    Column("address", "Địa chỉ", "Address"),
    Column("mailbox", "Hộp thư", "Mailbox"),
    Column("role", "Vai trò", "Role"),
)

Mailbox = Annotated[str, argument("MAILBOX", "Địa chỉ hộp thư.", "The mailbox's address.")]
Alias = Annotated[str, argument("ALIAS", "Địa chỉ thêm.", "The additional address.")]


@app.command("Thêm bí danh.", "Add an alias.")
@requires(Right.ACT, act="alias_add")
def add(mailbox: Mailbox, alias: Alias, *, act: GroundedAct) -> Text:
    here = act.here
    target, address = here.directory.mailbox(mailbox), _full_address(here, alias)
    with act.recorded(target.address, alias=address):
        here.use_cases(Issuing).add_alias(target, address, act.origin)
    return Text(f"{address} dẫn đến {target.address}.", f"{address} leads to {target.address}.")


@app.command("Liệt kê bí danh, kể cả địa chỉ cũ.", "List aliases, former addresses included.", name="list")
@requires(Right.READ)
def list_aliases(
    here: CliContext, mailbox: Annotated[str | None, argument("[MAILBOX]", "Chỉ hộp thư này.", "Only this mailbox.")] = None
) -> ResultTable:
    mailboxes = here.addresses()
    only = here.directory.mailbox(mailbox).mailbox_id if mailbox else None
    found = [address for address in here.directory.addresses(only) if address.role != AddressRole.PRIMARY]
    rows = ({"address": a.address, "mailbox": mailboxes[a.mailbox_id], "role": AddressRole(a.role)} for a in found)
    return ResultTable(COLUMNS, rows)


@app.command("Bỏ bí danh; địa chỉ không cấp cho ai khác.", "Remove an alias; nobody else will get the address.")
@requires(Right.ACT, act="alias_remove")
def remove(mailbox: Mailbox, alias: Alias, *, act: GroundedAct) -> Text:
    here = act.here
    target, address = here.directory.mailbox(mailbox), _full_address(here, alias)
    with act.recorded(target.address, alias=address):
        here.use_cases(Issuing).remove_alias(target, address, act.origin)
    return Text(f"{address} không còn là bí danh.", f"{address} is no longer an alias.")


def _full_address(here: CliContext, alias: str) -> str:
    """Return the whole address: an alias without a domain belongs to the domain of new addresses."""
    return alias.lower() if "@" in alias else f"{alias.lower()}@{here.config.server.domain}"
