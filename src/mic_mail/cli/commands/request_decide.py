"""`mic-mail request approve|refuse|withdraw|done`: decisions about requests (Reg. 6.1, 6.2).

The Centre approves and refuses, one request or many (`request_bulk`); the asking unit may withdraw.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated

from mic_mail.auth import password_hash
from mic_mail.cli import output
from mic_mail.cli.acts import Act, ExplainedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.commands.mailbox_issue import welcome
from mic_mail.cli.commands.mailbox_reclaimed import brought_back
from mic_mail.cli.commands.mailbox_state import QueuedOption
from mic_mail.cli.commands.request import Number, unit_of
from mic_mail.cli.commands.request_bulk import APPROVED as APPROVED_MANY
from mic_mail.cli.commands.request_bulk import DECIDED, REHEARSED, REHEARSED_APPROVALS, decide, each_once, must_be_one
from mic_mail.cli.commands.request_bulk import request_row as as_row
from mic_mail.cli.context import CliContext
from mic_mail.cli.directory_orders import RowNames
from mic_mail.cli.options import Commands, JsonOption, ReasonOption, argument, option
from mic_mail.cli.output import Cell, Column, Row, coded, row_of
from mic_mail.directory.dry_run import rehearsal
from mic_mail.directory.repository import Directory
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.facts import Level
from mic_mail.policy.requests import Request, RequestKind
from mic_mail.policy.suspension import QueuedMail
from mic_mail.services.mailboxes.issue import HashPassword, make_verifiers
from mic_mail.services.requests.approve import Approved, Approving, BringBack, Choices, officer_note
from mic_mail.services.requests.register import Register

app = Commands()

Numbers = Annotated[list[int], argument("NUMBER...", "Số các yêu cầu.", "Numbers of the requests.")]
DryOption = Annotated[
    bool, option("--dry-run", "Chỉ cho biết kết quả, không thực hiện.", "Print what would be done, change nothing.")
]
APPROVED = (
    Column("request_id", "Số", "No.", right=True, of="request.request_id"),
    *coded("kind", "Loại", "Kind", of="request.kind"),
    *coded("state", "Trạng thái", "State", of="request.state"),
    Column("address", "Hộp thư", "Mailbox", of="mailbox.address"),
    Column("password", "Mật khẩu mới", "New password"),
    Column("before", "Đã thực hiện từ trước", "Done before"),
)


@app.command("Chấp thuận và thực hiện yêu cầu.", "Approve requests and do what they ask for.")
@requires(Right.ACT, act="request_approve", clauses="5.4.a 5.4.b 6.1 6.2 6.4.a 6.4.b 6.4.c 7.3.b 15.2")
def approve(
    numbers: Numbers,
    *,
    dry_run: DryOption = False,
    address: Annotated[
        str | None, option("--address", "Phần tên mà cá nhân chọn (5.4.b).", "The local part chosen (5.4.b).")
    ] = None,
    level: Annotated[Level | None, option("--level", "Cấp theo 6.4.c.", "Rank of 6.4.c: division or department.")] = None,
    person: Annotated[
        int | None, option("--person", "Mã cá nhân đã có trong danh bạ.", "Id of a person already in the directory.")
    ] = None,
    same_person: Annotated[
        bool,
        option(
            "--same-person",
            "Cá nhân đó đúng là người được đề nghị, dù khác tên.",
            "Confirm that the person is the same despite another name.",
        ),
    ] = False,
    queued: QueuedOption = None,
    document: Annotated[
        str | None,
        option(
            "--document",
            "Văn bản cho phép khôi phục sau vi phạm (7.2.b).",
            "The document that lifts a suspension for a breach (7.2.b).",
        ),
    ] = None,
    act: ExplainedAct,
    as_json: JsonOption = False,
) -> None:
    wanted = each_once(numbers)
    must_be_one(
        wanted,
        {
            "--address": address, "--level": level, "--person": person is not None, "--same-person": same_person,
            "--queued": queued, "--document": document,
        },
    )  # fmt: skip
    choices = Choices(address, level, person, same_person, queued, document, act.reason)
    if dry_run:
        _rehearse_approvals(act, wanted, choices, as_json=as_json)
    elif len(wanted) > 1:
        _approve_many(act, wanted, choices, as_json=as_json)
    else:
        approved = _approve(act, wanted[0], choices)
        output.record(APPROVED, row_of(APPROVED, approved), as_json=as_json)
        output.note(officer_note(approved))
        _welcome(act.here, approved)


@app.command("Từ chối yêu cầu, có lý do.", "Refuse requests, with the reason.")
@requires(Right.ACT, act="request_refuse", clauses="6.1 6.2")
def refuse(
    numbers: Numbers, *, reason: ReasonOption, dry_run: DryOption = False, act: Act, as_json: JsonOption = False
) -> None:
    _decide(act, numbers, Register.refuse, reason, dry_run=dry_run, as_json=as_json)


@app.command("Rút yêu cầu.", "Withdraw a request.")
@requires(Right.REQUEST, act="request_withdraw", clauses="6.2")
def withdraw(number: Number, *, act: ExplainedAct) -> None:
    request = _asked(act, number)
    with act.recorded(f"YC-{number}", concerns=unit_of(act.here, request)):
        request = _register(act.here, act.here.directory).withdraw(request, act.origin.actor, act.reason)
    _print_request(request)


@app.command("Ghi kết quả của yêu cầu đã chấp thuận.", "Record the result of approved requests.")
@requires(Right.ACT, act="request_done", clauses="6.2 18")
def done(
    numbers: Numbers,
    *,
    result: Annotated[str, option("--result", "Kết quả.", "The result.")],
    dry_run: DryOption = False,
    act: Act,
    as_json: JsonOption = False,
) -> None:
    act.because(result)
    _decide(act, numbers, Register.done, result, dry_run=dry_run, as_json=as_json)


def _approve(act: Act, number: int, choices: Choices) -> Approved:
    here, request = act.here, _asked(act, number)
    with act.recorded(
        f"YC-{number}",
        kind=request.kind.value,
        chosen=choices.address,
        queued=choices.queued,
        lifted_by=choices.document,
        person=choices.person_id,
        same_person=choices.same_person or None,
    ):
        approving = _approving(here, here.directory, make_verifiers(here.config), partial(brought_back, here))
        return approving.approve(request, act.origin.actor, choices)


def _approve_many(act: Act, numbers: Sequence[int], choices: Choices, *, as_json: bool) -> None:
    approved: list[Approved] = []

    def approve_one(number: int) -> Row:
        approved.append(_approve(act, number, choices))
        return _many_row(approved[-1])

    try:
        decide(numbers, approve_one, APPROVED_MANY, as_json=as_json)
    finally:  # completed approvals stand, and the output has the passwords
        for each in approved:
            if each.before:
                output.note(officer_note(each))
            _welcome(act.here, each)


def _welcome(here: CliContext, approved: Approved) -> None:
    if approved.mailbox is not None and approved.request.kind in {RequestKind.ISSUE, RequestKind.GROUP}:
        welcome(here, approved.mailbox)


def _rehearse_approvals(act: Act, numbers: Sequence[int], choices: Choices, *, as_json: bool) -> None:
    """Try the approvals on a copy of the directory, one after the other, as for namesakes (Reg. 5.4.a)."""
    if choices.queued is QueuedMail.DROP:  # queued mail is not in the copy; whether a choice is needed stays the same
        choices = replace(choices, queued=QueuedMail.SEND)
    here = act.here
    same = make_verifiers(here.config)(password_hash.generate())  # no sign-in on the copy; a hash costs as much as one
    with rehearsal(here.directory) as copy:
        approving = _approving(here, copy, lambda _: same, lambda mailbox, origin: None)

        def approve_one(number: int) -> Row:
            approved = approving.approve(copy.requests.get(number), act.origin.actor, choices)
            return {**_many_row(approved), "password": None, "changes": _changes_of(copy, number)}

        decide(numbers, approve_one, REHEARSED_APPROVALS, as_json=as_json, rehearsed=True)


def _changes_of(directory: Directory, number: int) -> list[dict[str, Cell]]:
    """Return the rows of the directory that the order of this request changes, on its day (Reg. 6.2)."""
    entry = directory.changes.of_request(number)
    if entry is None:
        return []
    if not entry.is_pending:
        return list(map(RowNames(directory).row, entry.changes))
    with rehearsal(directory) as later:  # requests that are approved after it find it pending
        entry = later.changes.carry_out(entry.number, entry.order.effective_at)
        return list(map(RowNames(later).row, entry.changes))


def _approving(here: CliContext, directory: Directory, hash_password: HashPassword, bring_back: BringBack) -> Approving:
    return Approving(directory, here.store, here.config, here.clock, hash_password, bring_back=bring_back)


Step = Callable[[Register, Request, str, str], Request]
"""A step of the register: the request, the actor, and the reason or result."""


def _decide(act: Act, typed: Sequence[int], step: Step, text: str, *, dry_run: bool, as_json: bool) -> None:
    """Take the step with each request; `text` is the reason or the result."""
    here, actor, numbers = act.here, act.origin.actor, each_once(typed)

    def decided(number: int) -> Request:
        request = _asked(act, number)
        with act.recorded(f"YC-{number}"):
            return step(_register(here, here.directory), request, actor, text)

    if dry_run:
        with rehearsal(here.directory) as copy:
            register, get = _register(here, copy), copy.requests.get
            decide(
                numbers, lambda number: as_row(step(register, get(number), actor, text)), REHEARSED,
                as_json=as_json, rehearsed=True,
            )  # fmt: skip
    elif len(numbers) > 1 or as_json:
        decide(numbers, lambda number: as_row(decided(number)), DECIDED, as_json=as_json)
    else:
        _print_request(decided(numbers[0]))


def _asked(act: Act, number: int) -> Request:
    """Return a request; the act rests on its document."""
    request = act.here.directory.requests.get(number)
    act.origin = replace(act.origin, document=request.filing.document, request=number)
    return request


def _register(here: CliContext, directory: Directory) -> Register:
    return Register(directory, here.config, here.clock)


def _print_request(request: Request) -> None:
    name = request.state.label
    output.note(f"Yêu cầu số {request.request_id}: {name.vi}.", f"Request {request.request_id}: {name.en}.")


def _many_row(approved: Approved) -> Row:
    return {**as_row(approved.request), **row_of(APPROVED, approved)}
