"""What is decided about a request: `mic-mail request approve|refuse|withdraw|done` (Reg. 6.1, 6.2).

Joined into the group `request` by main.NOUNS. The Centre approves and refuses; who asked may withdraw.
"""

from typing import Annotated

import typer

from mic_mail.cli import output
from mic_mail.cli.acts import QueuedOption
from mic_mail.cli.frame import Frame, frame
from mic_mail.cli.gate import asks
from mic_mail.cli.mailbox import welcome
from mic_mail.cli.options import ActorOption, JsonOption, ReasonOption, WhyOption
from mic_mail.cli.output import Cell, Column, say
from mic_mail.cli.record import on_record
from mic_mail.cli.request import Number, unit_of
from mic_mail.errors import Text
from mic_mail.policy.facts import Level
from mic_mail.policy.requests import KINDS, STATES, Kind, Request
from mic_mail.policy.roles import Right
from mic_mail.services.credentials import Origin
from mic_mail.services.issuing import make_verifiers
from mic_mail.services.requests.acting import Approved, Approving, Choices, told
from mic_mail.services.requests.register import Register

app = typer.Typer()

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


@app.command(help=say("Chấp thuận và thực hiện yêu cầu.", "Approve a request and do what it asks for."))
@asks(Right.ACT)
def approve(
    ctx: typer.Context,
    number: Number,
    *,
    address: Annotated[
        str | None, typer.Option("--address", help=say("Phần tên mà cá nhân chọn (5.4.b).", "The local part chosen (5.4.b)."))
    ] = None,
    level: Annotated[Level | None, typer.Option("--level", help=say("Cấp theo 6.4.c.", "Rank of 6.4.c."))] = None,
    person: Annotated[
        int | None, typer.Option("--person", help=say("Mã cá nhân đã có trong danh bạ.", "Id of who is known already."))
    ] = None,
    same_person: Annotated[
        bool,
        typer.Option(
            "--same-person",
            help=say("Cá nhân đó đúng là người được đề nghị, dù khác tên.", "It is who is asked for, under another name."),
        ),
    ] = False,
    queued: QueuedOption = None,
    document: Annotated[
        str | None,
        typer.Option(
            "--document",
            help=say("Văn bản cho phép khôi phục sau vi phạm (7.2.b).", "What lifts a breach's suspension (7.2.b)."),
        ),
    ] = None,
    reason: WhyOption = "",
    actor: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    here, request, origin = _begin(ctx, number, actor, reason)
    approving = Approving(here.directory, here.store, here.config, here.clock, make_verifiers(here.config))
    with on_record(
        here,
        "request_approve",
        f"YC-{number}",
        origin,
        kind=request.kind.value,
        chosen=address,
        queued=queued,
        lifted_by=document,
        person=person,
        same_person=same_person or None,
    ):
        choices = Choices(address, level, person, same_person, queued, document, reason)
        approved = approving.approve(request, origin.actor, choices)
    output.record(APPROVED, _row(approved), as_json=as_json)
    output.note(told(approved))
    if approved.mailbox is not None and request.kind in {Kind.ISSUE, Kind.GROUP}:
        welcome(here, approved.mailbox)


@app.command(help=say("Từ chối yêu cầu, có lý do.", "Refuse a request, with the reason."))
@asks(Right.ACT)
def refuse(ctx: typer.Context, number: Number, *, reason: ReasonOption, actor: ActorOption = None) -> None:
    here, request, origin = _begin(ctx, number, actor, reason)
    with on_record(here, "request_refuse", f"YC-{number}", origin):
        request = _register(here).refuse(request, origin.actor, reason)
    _tell(request)


@app.command(help=say("Rút yêu cầu.", "Withdraw a request."))
@asks(Right.REQUEST)
def withdraw(ctx: typer.Context, number: Number, *, reason: WhyOption = "", actor: ActorOption = None) -> None:
    here, request, origin = _begin(ctx, number, actor, reason)
    with on_record(here, "request_withdraw", f"YC-{number}", origin, right=Right.REQUEST, concerns=unit_of(here, request)):
        request = _register(here).withdraw(request, origin.actor, reason)
    _tell(request)


@app.command(help=say("Ghi kết quả của yêu cầu đã chấp thuận.", "Say what became of a request that was approved."))
@asks(Right.ACT)
def done(
    ctx: typer.Context,
    number: Number,
    *,
    result: Annotated[str, typer.Option("--result", help=say("Kết quả.", "What became of it."))],
    actor: ActorOption = None,
) -> None:
    here, request, origin = _begin(ctx, number, actor, result)
    with on_record(here, "request_done", f"YC-{number}", origin):
        request = _register(here).done(request, origin.actor, result)
    _tell(request)


def _begin(ctx: typer.Context, number: int, actor: str | None, reason: str) -> tuple[Frame, Request, Origin]:
    here = frame(ctx)
    request = here.directory.requests.get(number)
    return here, request, Origin(here.actor(actor), reason, request.filing.document, number)


def _register(here: Frame) -> Register:
    return Register(here.directory, here.config, here.clock)


def _tell(request: Request) -> None:
    name = STATES[request.state]
    output.note(Text(f"Yêu cầu số {request.request_id}: {name.vi}.", f"Request {request.request_id}: {name.en}."))


def _row(approved: Approved) -> dict[str, Cell]:
    request = approved.request
    return {
        "request_id": request.request_id,
        "kind": request.kind.value,
        "kind_name": KINDS[request.kind],
        "state": request.state.value,
        "state_name": STATES[request.state],
        "address": approved.mailbox.address if approved.mailbox else None,
        "password": approved.password,
        "before": approved.before,
    }
