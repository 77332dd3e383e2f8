"""`mic-mail request approve|refuse|withdraw|done`: decisions about requests (Reg. 6.1, 6.2).

Joined into the group `request` by main.NOUNS. The Centre approves and refuses, one request or many (`request_bulk`); the asking
unit may withdraw.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated

import typer

from mic_mail.auth import password_hash
from mic_mail.cli import output
from mic_mail.cli.acts import ExplainedAct
from mic_mail.cli.audited import audited
from mic_mail.cli.authorization import requires
from mic_mail.cli.commands.mailbox import welcome
from mic_mail.cli.commands.mailbox_reclaimed import brought_back
from mic_mail.cli.commands.mailbox_state import QueuedOption
from mic_mail.cli.commands.request import Number, unit_of
from mic_mail.cli.commands.request_bulk import APPROVED as APPROVED_MANY
from mic_mail.cli.commands.request_bulk import DECIDED, REHEARSED, decide, each_once, must_be_one
from mic_mail.cli.commands.request_bulk import request_row as as_row
from mic_mail.cli.context import CliContext, frame
from mic_mail.cli.options import ActorOption, JsonOption, ReasonOption, WhyOption
from mic_mail.cli.output import Cell, Column, Row, say
from mic_mail.directory.dry_run import rehearsal
from mic_mail.directory.repository import Directory
from mic_mail.errors import Text
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.facts import Level
from mic_mail.policy.requests import Kind, Request
from mic_mail.services.mailboxes.credentials import ActContext
from mic_mail.services.mailboxes.issue import HashPassword, make_verifiers
from mic_mail.services.mailboxes.restore import Waiting
from mic_mail.services.requests.approve import Approved, Approving, BringBack, Choices, officer_note
from mic_mail.services.requests.register import Register

app = typer.Typer()

Numbers = Annotated[list[int], typer.Argument(metavar="NUMBER...", help=say("Số các yêu cầu.", "Numbers of the requests."))]
DryOption = Annotated[
    bool,
    typer.Option("--dry-run", help=say("Chỉ cho biết kết quả, không thực hiện.", "Print what would be done, change nothing.")),
]
APPROVED = (
    Column("request_id", "Số", "No", right=True),
    Column("kind", "Loại", "Kind", json_only=True),
    Column("kind_name", "Loại", "Kind"),
    Column("state", "Trạng thái", "State", json_only=True),
    Column("state_name", "Trạng thái", "State"),
    Column("address", "Hộp thư", "Mailbox"),
    Column("password", "Mật khẩu mới", "New password"),
    Column("before", "Đã thực hiện từ trước", "Done before"),
)


@app.command(help=say("Chấp thuận và thực hiện yêu cầu.", "Approve requests and do what they ask for."))
@requires(Right.ACT, clauses="5.4.a 5.4.b 6.1 6.2 6.4.a 6.4.b 6.4.c 7.3.b 15.2")
def approve(
    ctx: typer.Context,
    numbers: Numbers,
    *,
    dry_run: DryOption = False,
    address: Annotated[
        str | None, typer.Option("--address", help=say("Phần tên mà cá nhân chọn (5.4.b).", "The local part chosen (5.4.b)."))
    ] = None,
    level: Annotated[Level | None, typer.Option("--level", help=say("Cấp theo 6.4.c.", "Rank of 6.4.c."))] = None,
    person: Annotated[
        int | None,
        typer.Option("--person", help=say("Mã cá nhân đã có trong danh bạ.", "Id of a person already in the directory.")),
    ] = None,
    same_person: Annotated[
        bool,
        typer.Option(
            "--same-person",
            help=say(
                "Cá nhân đó đúng là người được đề nghị, dù khác tên.",
                "Confirm that the person is the same despite another name.",
            ),
        ),
    ] = False,
    queued: QueuedOption = None,
    document: Annotated[
        str | None,
        typer.Option(
            "--document",
            help=say(
                "Văn bản cho phép khôi phục sau vi phạm (7.2.b).", "The document that lifts a suspension for a breach (7.2.b)."
            ),
        ),
    ] = None,
    reason: WhyOption = "",
    actor: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    here, wanted = frame(ctx), each_once(numbers)
    must_be_one(
        wanted,
        {
            "--address": address, "--level": level, "--person": person is not None, "--same-person": same_person,
            "--queued": queued, "--document": document,
        },
    )  # fmt: skip
    choices = Choices(address, level, person, same_person, queued, document, reason)
    if dry_run:
        _rehearse_approvals(here, wanted, here.actor(actor), choices, as_json=as_json)
    elif len(wanted) > 1:
        _approve_many(here, wanted, actor, choices, as_json=as_json)
    else:
        approved = _approve(here, wanted[0], actor, choices)
        output.record(APPROVED, _row(approved), as_json=as_json)
        output.note(officer_note(approved))
        _welcome(here, approved)


@app.command(help=say("Từ chối yêu cầu, có lý do.", "Refuse requests, with the reason."))
@requires(Right.ACT, clauses="6.1 6.2")
def refuse(
    ctx: typer.Context,
    numbers: Numbers,
    *,
    reason: ReasonOption,
    dry_run: DryOption = False,
    actor: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    _decide(
        frame(ctx),
        each_once(numbers),
        "request_refuse",
        Register.refuse,
        actor=actor,
        said=reason,
        dry_run=dry_run,
        as_json=as_json,
    )


@app.command(help=say("Rút yêu cầu.", "Withdraw a request."))
@requires(Right.REQUEST, act="request_withdraw", clauses="6.2")
def withdraw(number: Number, *, act: ExplainedAct) -> None:
    here = act.here
    request, act.origin = _asked(here, number, act.actor, act.reason)
    with act.recorded(f"YC-{number}", concerns=unit_of(here, request)):
        request = _register(here, here.directory).withdraw(request, act.origin.actor, act.reason)
    _print_request(request)


@app.command(help=say("Ghi kết quả của yêu cầu đã chấp thuận.", "Record the result of approved requests."))
@requires(Right.ACT, clauses="6.2 18")
def done(
    ctx: typer.Context,
    numbers: Numbers,
    *,
    result: Annotated[str, typer.Option("--result", help=say("Kết quả.", "The result."))],
    dry_run: DryOption = False,
    actor: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    _decide(
        frame(ctx),
        each_once(numbers),
        "request_done",
        Register.done,
        actor=actor,
        said=result,
        dry_run=dry_run,
        as_json=as_json,
    )


# ------------------------------------------------------------ approvals


def _approve(here: CliContext, number: int, actor: str | None, choices: Choices) -> Approved:
    """Approve one request, on record."""
    request, origin = _asked(here, number, actor, choices.note)
    with audited(
        here,
        "request_approve",
        f"YC-{number}",
        origin,
        kind=request.kind.value,
        chosen=choices.address,
        queued=choices.queued,
        lifted_by=choices.document,
        person=choices.person_id,
        same_person=choices.same_person or None,
    ):
        approving = _approving(here, here.directory, make_verifiers(here.config), partial(brought_back, here))
        return approving.approve(request, origin.actor, choices)


def _approve_many(here: CliContext, numbers: Sequence[int], actor: str | None, choices: Choices, *, as_json: bool) -> None:
    approved: list[Approved] = []

    def act(number: int) -> Row:
        approved.append(_approve(here, number, actor, choices))
        return _many_row(approved[-1])

    try:
        decide(numbers, act, APPROVED_MANY, as_json=as_json)
    finally:  # completed approvals stand, and the output has the passwords
        for each in approved:
            if each.before:
                output.note(officer_note(each))
            _welcome(here, each)


def _welcome(here: CliContext, approved: Approved) -> None:
    if approved.mailbox is not None and approved.request.kind in {Kind.ISSUE, Kind.GROUP}:
        welcome(here, approved.mailbox)


def _rehearse_approvals(here: CliContext, numbers: Sequence[int], actor: str, choices: Choices, *, as_json: bool) -> None:
    """Try the approvals on a copy of the directory, one after the other, as for namesakes (Reg. 5.4.a)."""
    if choices.queued is Waiting.DROP:  # queued mail is not in the copy; whether a choice is needed stays the same
        choices = replace(choices, queued=Waiting.SEND)
    same = make_verifiers(here.config)(password_hash.generate())  # no sign-in on the copy; a hash costs as much as one
    with rehearsal(here.directory) as copy:
        approving = _approving(here, copy, lambda _: same, lambda mailbox, origin: None)

        def act(number: int) -> Row:
            approved = approving.approve(copy.requests.get(number), actor, choices)
            return {**_many_row(approved), "password": None}

        decide(numbers, act, REHEARSED, as_json=as_json, rehearsed=True)


def _approving(here: CliContext, directory: Directory, hash_password: HashPassword, bring_back: BringBack) -> Approving:
    return Approving(directory, here.store, here.config, here.clock, hash_password, bring_back=bring_back)


# ------------------------------------------------------------ other decisions

Step = Callable[[Register, Request, str, str], Request]
"""A step of the register: the request, the actor, and the reason or result."""


def _decide(
    here: CliContext,
    numbers: Sequence[int],
    act: str,
    step: Step,
    *,
    actor: str | None,
    said: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    def decided(number: int) -> Request:
        request, origin = _asked(here, number, actor, said)
        with audited(here, act, f"YC-{number}", origin):
            return step(_register(here, here.directory), request, origin.actor, said)

    if dry_run:
        with rehearsal(here.directory) as copy:
            register, who = _register(here, copy), here.actor(actor)
            decide(
                numbers, lambda number: as_row(step(register, copy.requests.get(number), who, said)), REHEARSED,
                as_json=as_json, rehearsed=True,
            )  # fmt: skip
    elif len(numbers) > 1 or as_json:
        decide(numbers, lambda number: as_row(decided(number)), DECIDED, as_json=as_json)
    else:
        _print_request(decided(numbers[0]))


def _asked(here: CliContext, number: int, actor: str | None, reason: str) -> tuple[Request, ActContext]:
    request = here.directory.requests.get(number)
    return request, ActContext(here.actor(actor), reason, request.filing.document, number)


def _register(here: CliContext, directory: Directory) -> Register:
    return Register(directory, here.config, here.clock)


def _print_request(request: Request) -> None:
    name = request.state.label
    output.note(Text(f"Yêu cầu số {request.request_id}: {name.vi}.", f"Request {request.request_id}: {name.en}."))


def _row(approved: Approved) -> dict[str, Cell]:
    request = approved.request
    return {
        "request_id": request.request_id,
        "kind": request.kind.value,
        "kind_name": request.kind.label,
        "state": request.state.value,
        "state_name": request.state.label,
        "address": approved.mailbox.address if approved.mailbox else None,
        "password": approved.password,
        "before": approved.before,
    }


def _many_row(approved: Approved) -> dict[str, Cell]:
    return {**as_row(approved.request), **_row(approved)}
