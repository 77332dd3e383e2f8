"""`mic-mail mailbox address`: give a mailbox another address (Reg. 5, 6.2).

The old one stays an alias for a time. Joined into the group `mailbox` by main.NOUNS.
"""

from typing import Annotated

import typer

from mic_mail.cli.authorization import requires
from mic_mail.cli.directory_orders import KeepOption, OrderAct
from mic_mail.cli.options import Address
from mic_mail.cli.output import say
from mic_mail.policy.authorization.roles import Right

app = typer.Typer()


@app.command(
    "address",
    help=say("Đổi địa chỉ; địa chỉ cũ còn là bí danh một thời gian (6.2).", "Change the address; the old one stays an alias."),
)
@requires(Right.ACT, act="mailbox_address", clauses="6.2")
def readdress(
    address: Address,
    new: Annotated[str, typer.Argument(metavar="NEW", help=say("Địa chỉ mới.", "The new address."))],
    *,
    keep_days: KeepOption = None,
    act: OrderAct,
) -> None:
    here = act.here
    mailbox = here.directory.mailbox(address)
    act.give(
        mailbox.address,
        lambda changes, origin: changes.address(mailbox, new, origin, act.first_day, keep_days=keep_days),
        new=new,
        keep_days=keep_days,
    )
