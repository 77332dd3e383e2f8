"""`mic-mail mailbox quota|address`: change the quota or the address of a mailbox (Reg. 6.2, 8.3)."""

from typing import Annotated

from mic_mail.cli.acts import GroundedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.directory_orders import KeepOption, OrderAct
from mic_mail.cli.options import Address, Commands, argument
from mic_mail.config.units import parse_octets
from mic_mail.errors import BadInput, Text
from mic_mail.i18n import dates
from mic_mail.policy.authorization.roles import Right
from mic_mail.services.mailboxes.lifecycle_actions import MailboxLifecycle

app = Commands()


@app.command("Điều chỉnh dung lượng; giảm phải có lý do (8.3).", "Set the quota; a decrease needs a reason (8.3).")
@requires(Right.ACT, act="mailbox_quota", clauses="8.3.a 8.3.b")
def quota(
    address: Address, size: Annotated[str, argument("SIZE", "Ví dụ “2 GB”.", "A size, e.g. '2 GB'.")], *, act: GroundedAct
) -> Text:
    here = act.here
    mailbox, octets = here.directory.mailbox(address), octets_of(size)
    with act.recorded(mailbox.address, octets=octets):
        here.use_cases(MailboxLifecycle).set_quota(mailbox, octets, act.origin)
    shown = dates.size(octets)
    return Text(f"Dung lượng của {mailbox.address}: {shown.vi}.", f"Quota of {mailbox.address}: {shown.en}.")


def octets_of(text: str) -> int:
    """Parse a size as in the configuration."""
    try:
        return parse_octets(text)
    except ValueError:
        raise BadInput(
            Text(f"Không hiểu dung lượng “{text}”.", "This is not a size."), remedy=Text("Viết “2 GB”.", "Write '2 GB'.")
        ) from None


@app.command(
    "Đổi địa chỉ; địa chỉ cũ còn là bí danh một thời gian (6.2).",
    "Change the address; the old one stays an alias.",
    name="address",
)
@requires(Right.ACT, act="mailbox_address", clauses="6.2")
def readdress(
    address: Address,
    new: Annotated[str, argument("NEW", "Địa chỉ mới.", "The new address.")],
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
