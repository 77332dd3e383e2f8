"""`mic-mail mailbox hold|release-hold`: retain everything of a mailbox for an authority (Reg. 9.2).

The hold is a fact with its document, and applies in the store immediately: no expunged message is removed, whatever
`storage.expunge_keep` says.
"""

from typing import Annotated

from mic_mail.cli import output
from mic_mail.cli.acts import Act
from mic_mail.cli.authorization import requires
from mic_mail.cli.context import CliContext
from mic_mail.cli.options import Address, Commands, ReasonOption, option
from mic_mail.errors import Text
from mic_mail.policy.authorization.roles import Right
from mic_mail.services.mailboxes.legal_holds import Holds

app = Commands()

Document = Annotated[str, option("--document", "Văn bản của cơ quan có thẩm quyền.", "The authority's document.")]


@app.command("Lưu giữ nguyên trạng theo yêu cầu (9.2).", "Place a legal hold, on an authority's document (9.2).")
@requires(Right.ACT, act="mailbox_hold", clauses="9.2")
def hold(address: Address, *, document: Document, reason: ReasonOption, act: Act) -> Text:
    here = act.here
    with act.on_mailbox(address) as mailbox:
        fact = _holds(here).hold(mailbox, act.origin)
    return Text(
        f"{mailbox.address} được lưu giữ nguyên trạng (mục {fact.seq}); không thư nào bị hủy cho đến khi chấm dứt.",
        f"{mailbox.address} is under a legal hold (fact {fact.seq}); nothing of it is destroyed until the hold is released.",
    )


@app.command("Chấm dứt lưu giữ (9.2).", "Release a hold (9.2).", name="release-hold")
@requires(Right.ACT, act="mailbox_release_hold", clauses="9.2")
def release_hold(
    address: Address,
    *,
    document: Document,
    reason: ReasonOption,
    seq: Annotated[
        int | None, option("--hold", "Mục lưu giữ, nếu có nhiều.", "The hold, if there are several.", metavar="FACT")
    ] = None,
    act: Act,
) -> None:
    here = act.here
    mailbox = here.directory.mailbox(address)
    holds = _holds(here)
    with act.recorded(mailbox.address, hold=seq):
        if seq is None and not holds.on(mailbox) and holds.drop_stray_mark(mailbox):
            output.note(
                f"{mailbox.address}: hồ sơ không còn lưu giữ nào; đã bỏ dấu còn sót.",
                f"{mailbox.address}: no hold is recorded; a leftover mark was removed.",
            )
            return
        ended = holds.release(mailbox, act.origin, seq)
    left = ", ".join(str(each.seq) for each in holds.on(mailbox))
    output.note(
        f"{mailbox.address}: đã chấm dứt lưu giữ mục {ended.seq}." + (f" Còn: mục {left}." if left else ""),
        f"{mailbox.address}: hold {ended.seq} is released." + (f" Still on: {left}." if left else ""),
    )


def _holds(here: CliContext) -> Holds:
    return Holds(here.directory, here.store, here.clock)
