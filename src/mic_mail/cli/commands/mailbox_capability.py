"""`mic-mail mailbox capability`: hide an IMAP capability that breaks the mail program of a mailbox.

Applies from the next sign-in on; open sessions keep the capabilities that were announced to them.
"""

from typing import Annotated

from mic_mail.cli import output
from mic_mail.cli.acts import DocumentedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.options import Commands, JsonOption, ReasonOption, argument, option
from mic_mail.cli.output import Column
from mic_mail.errors import BadInput, Text
from mic_mail.imap.capability import HIDEABLE
from mic_mail.policy.authorization.roles import Right

app = Commands()

COLUMNS = (Column("address", "Địa chỉ", "Address"), Column("hidden", "Tính năng bị ẩn", "Hidden capabilities"))
NOTHING = Text("không có", "none")

Address = Annotated[str | None, argument("[ADDRESS]", "Địa chỉ hộp thư; bỏ trống: liệt kê.", "A mailbox; none: list all.")]
NAME = "NAME"


@app.command("Ẩn hoặc hiện tính năng IMAP của một hộp thư.", "Hide an IMAP capability from a mailbox, or show it.")
@requires(Right.READ, act="mailbox_capability")
def capability(
    address: Address = None,
    *,
    hide: Annotated[list[str] | None, option("--hide", "Ẩn, ví dụ NOTIFY.", "Hide it, e.g. NOTIFY.", metavar=NAME)] = None,
    show: Annotated[list[str] | None, option("--show", "Hiện lại.", "Show it again.", metavar=NAME)] = None,
    reason: ReasonOption = "",
    act: DocumentedAct,
    as_json: JsonOption = False,
) -> None:
    here = act.here
    if not (hide or show):
        found = here.directory.mailboxes() if address is None else [here.directory.mailbox(address)]
        rows = ({"address": m.address, "hidden": sorted(m.capabilities_hidden)} for m in found)
        output.listing(COLUMNS, (row for row in rows if row["hidden"] or address is not None), as_json=as_json)
        return
    if address is None:
        raise BadInput(Text("Thiếu địa chỉ hộp thư.", "The mailbox's address is missing."))
    if not reason.strip():
        raise BadInput(Text("Thiếu --reason.", "--reason is missing."))
    hidden, shown = _known(hide or []), _known(show or [])
    if both := hidden & shown:
        name = min(both)
        raise BadInput(Text(f"{name} vừa ẩn vừa hiện.", f"{name} cannot be hidden and shown at once."))
    mailbox = here.directory.mailbox(address)
    names = (mailbox.capabilities_hidden | hidden) - shown
    with act.recorded(mailbox.address, right=Right.ACT, hide=sorted(hidden), show=sorted(shown)):
        here.directory.hide_capabilities(mailbox.mailbox_id, names)
    if as_json:
        output.record(COLUMNS, {"address": mailbox.address, "hidden": sorted(names)}, as_json=True)
        return
    listed = ", ".join(sorted(names))
    output.note(
        f"{mailbox.address}, từ lần đăng nhập sau, tính năng bị ẩn: {listed or NOTHING.vi}.",
        f"{mailbox.address}, hidden from the next sign-in on: {listed or NOTHING.en}.",
    )


def _known(names: list[str]) -> frozenset[str]:
    """Return the names in capitals; refuse one that is never announced, as hiding it has no effect."""
    known = frozenset(name.upper() for name in names)
    if strange := known - set(HIDEABLE):
        name, all_names = min(strange), " ".join(HIDEABLE)
        raise BadInput(
            Text(f"Không ẩn được “{name}”.", f"{name} cannot be hidden."),
            remedy=Text(f"Có thể ẩn: {all_names}.", f"These can: {all_names}."),
        )
    return known
