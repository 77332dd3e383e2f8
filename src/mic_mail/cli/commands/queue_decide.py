"""`mic-mail queue retry|hold|release|drop`: decisions of the Centre on queued mail (Reg. 4.2).

Every decision is on record, and in the entry itself with its actor and reason; the sender process acts on it within seconds, or
when the server is started. The sender of a dropped message gets a report with the reason.
"""

from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from mic_mail.cli import output
from mic_mail.cli.acts import Act, DocumentedAct, GroundedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.commands.queue import HELD, bare, held_because, in_dns, named, opened, readable
from mic_mail.cli.context import CliContext
from mic_mail.cli.options import Commands, ReasonOption, argument, option
from mic_mail.errors import BadInput, MicMailError, Refused, Text, in_ascii
from mic_mail.i18n.plurals import counted
from mic_mail.mailbox_address import MailboxAddress
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.authorization.roles import Right
from mic_mail.queue.notifications import notify_decided
from mic_mail.queue.queue import EntryEnded, Queue, QueueEntry
from mic_mail.queue.recipient_log import AdminDecision

app = Commands()

EntryIds = Annotated[list[str], argument("ID...", "Mã thư, hoặc phần đầu của mã.", "Ids, or their beginnings.")]
_WHY_HELD = {
    "person": Text("Trung tâm đang giữ thư này.", "The Centre holds it."),
    "unknown": Text("Không rõ tình trạng hộp thư gửi.", "The state of its mailbox is unknown."),
}
_FREE = {
    "person": Text("Bỏ giữ: mic-mail queue release", "Release it: mic-mail queue release"),
    "suspended": Text("Khôi phục: mic-mail mailbox restore", "Restore it: mic-mail mailbox restore"),
}


@app.command("Gửi lại ngay, không chờ đến lượt.", "Retry now.")
@requires(Right.ACT, act="queue_retry", clauses="4.2")
def retry(
    entry_ids: Annotated[list[str] | None, argument("[ID]...", "Mã thư, hoặc phần đầu.", "Ids, or their beginnings.")] = None,
    *,
    domain: Annotated[str | None, option("--domain", "Mọi thư tới tên miền này.", "All messages to this domain.")] = None,
    whole: Annotated[bool, option("--all", "Mọi thư trong hàng đợi.", "All messages in the queue.")] = False,
    act: GroundedAct,
) -> None:
    here = act.here
    if sum((bool(entry_ids), domain is not None, whole)) != 1:
        raise BadInput(Text("Nêu mã thư, hoặc --domain, hoặc --all.", "Give ids, or --domain, or --all."))
    origin = act.origin
    if entry_ids:
        because = held_because(here)

        def again(entry: QueueEntry, decision: AdminDecision) -> None:
            _must_not_be_held(because(entry))
            entry.retry(decision)

        _each(act, entry_ids, again)
        output.note("Thư được gửi lại trong ít giây.", "Will be tried again within seconds.")
        return
    with opened(here) as queue, act.recorded(bare(domain) if domain else "*"):
        tried, held = _retry_many(here, queue, in_dns(bare(domain)) if domain else None, _decision(here, origin))
    notify_decided(here.config.run_dir)
    output.note(
        f"{tried} thư được gửi lại trong ít giây; {held} thư bị giữ thì không.",
        f"{counted(tried, 'message is', 'messages are')} tried again within seconds; {held} that are held are not.",
    )


def _retry_many(here: CliContext, queue: Queue, domain: str | None, decision: AdminDecision) -> tuple[int, int]:
    """Retry all entries, or those of a domain; return how many were tried, and how many are held."""
    because, tried, held = held_because(here), 0, 0
    for entry in queue.entries():
        domains = {in_dns(entry.envelope.recipients[place].domain) for place in entry.state.open}
        if not domains or (domain is not None and domain not in domains):
            continue
        if because(entry) is not None:
            held += 1
            continue
        try:
            entry.retry(decision)
        except EntryEnded:
            continue
        tried += 1
    return tried, held


def _must_not_be_held(why: str | None) -> None:
    if why is not None:
        raise Refused(_WHY_HELD.get(why, Text(f"{HELD[why].vi}.", f"{HELD[why].en}.")), remedy=_FREE.get(why))


@app.command("Giữ thư lại, chưa gửi.", "Hold a message.")
@requires(Right.ACT, act="queue_hold", clauses="4.2")
def hold(entry_ids: EntryIds, *, reason: ReasonOption, act: DocumentedAct) -> Text:
    act.must_have_reason("4.2")
    _each(act, entry_ids, lambda entry, decision: entry.hold(decision))
    return Text("Thư được giữ lại; lần gửi đang diễn ra thì không dừng được.", "Held; an attempt in progress is not stopped.")


@app.command("Bỏ giữ: thư được gửi tiếp.", "Release a held message.")
@requires(Right.ACT, act="queue_release", clauses="4.2")
def release(entry_ids: EntryIds, *, act: GroundedAct) -> Text:
    def let_go(entry: QueueEntry, decision: AdminDecision) -> None:
        if not entry.state.is_held:
            because = held_because(act.here)(entry)
            _must_not_be_held(because)
            raise Refused(Text("Thư này không bị giữ.", "It is not held."))
        entry.release(decision)

    _each(act, entry_ids, let_go)
    return Text("Thư được gửi khi đến lượt.", "Will be sent when due.")


@app.command("Dừng gửi; người gửi nhận thông báo kèm lý do.", "Drop a message; its sender is sent the reason.")
@requires(Right.ACT, act="queue_drop", clauses="4.2")
def drop(
    entry_ids: EntryIds,
    *,
    recipients: Annotated[
        list[str] | None, option("--recipient", "Chỉ người nhận này; có thể lặp lại.", "Only this recipient; repeatable.")
    ] = None,
    reason: Annotated[str, option("--reason", "Lý do, được báo cho người gửi.", "The reason; it is sent to the sender.")],
    act: DocumentedAct,
) -> Text:
    act.must_have_reason("4.2")
    wanted = [MailboxAddress.parse(address.strip()).folded() for address in recipients or ()]

    def end(entry: QueueEntry, decision: AdminDecision) -> None:
        entry.drop(_places(entry, wanted), decision)

    _each(act, entry_ids, end, wanted)
    return Text(
        "Đã dừng gửi; người gửi được báo khi lần gửi đang diễn ra (nếu có) kết thúc.",
        "Dropped; the sender is notified, after an attempt in progress.",
    )


def _places(entry: QueueEntry, wanted: Sequence[str]) -> list[int]:
    """Return the places of the recipients: all open ones, or the named ones, which must be open."""
    state, places = entry.state, []
    for address in wanted:
        meant = [place for place, each in enumerate(entry.envelope.recipients) if each.address.folded() == address]
        if not meant:
            raise BadInput(Text(f"Thư không gửi tới {address}.", f"{in_ascii(address)} is not a recipient of it."))
        if not set(meant) & set(state.open):
            standing = state.recipients[meant[0]].standing.label
            raise Refused(Text(f"{address}: {standing.vi}, không dừng được.", f"{in_ascii(address)}: {standing.en} already."))
        places += [place for place in meant if place in state.open]
    if not (wanted or state.open):
        raise Refused(Text("Thư không còn chờ ai.", "No recipient is pending any more."))
    return places or list(state.open)


def _decision(here: CliContext, origin: ActContext) -> AdminDecision:
    return AdminDecision(origin.actor, origin.reason, here.clock.now_us(), origin.document)


Decide = Callable[[QueueEntry, AdminDecision], None]


def _each(act: Act, words: Sequence[str], decide: Decide, only: Sequence[str] = ()) -> None:
    """Decide each entry, on record first; `only` are the recipients that it concerns, where it is not all.

    All entries must exist before anything is decided. Where one is then refused, the others are done all the same, and the exit
    code is 1.
    """
    is_refused = False
    with opened(act.here) as queue:
        names = queue.names()
        entry_ids = list(dict.fromkeys(named(names, word) for word in words))
        for entry_id in entry_ids:
            try:
                _decide(act, readable(queue, entry_id), decide, only)
            except MicMailError as error:
                if len(entry_ids) == 1:
                    raise
                output.note(entry_id)
                output.failure(error)
                is_refused = True
    if is_refused:
        raise typer.Exit(1)


def _decide(act: Act, entry: QueueEntry, decide: Decide, only: Sequence[str]) -> None:
    envelope = entry.envelope
    recipients = list(only or [str(envelope.recipients[place].address) for place in entry.state.open])
    with act.recorded(entry.entry_id, trace=envelope.trace_id, sender=envelope.sender, recipients=recipients):
        decide(entry, _decision(act.here, act.origin))
    notify_decided(act.here.config.run_dir, entry.entry_id)
