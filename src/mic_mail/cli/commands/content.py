"""`mic-mail content ask|approve|refuse|export|list|show`: open the content of a mailbox (Reg. 4.3).

It needs a basis and a second person. There is no other way: no command shows a message. Each step is an act on record and an
event of the mail log.
"""

from pathlib import Path
from typing import Annotated

import typer

from mic_mail.cli import log_event, output
from mic_mail.cli.acts import Act, DocumentedAct, ExplainedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.commands.mailbox_store import account_of
from mic_mail.cli.commands.officer import officer_now
from mic_mail.cli.context import CliContext, frame
from mic_mail.cli.date_args import read_day
from mic_mail.cli.options import Address, JsonOption, ReasonOption
from mic_mail.cli.output import Cell, Column, say
from mic_mail.cli.output_files import must_be_a_place_for_files, print_how_to_verify
from mic_mail.directory.content_access import Export
from mic_mail.errors import Text
from mic_mail.policy.authorization.content_access import Access, Scope
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.authorization.two_persons import Hand
from mic_mail.services.exports.content_export import ContentExport
from mic_mail.services.exports.content_requests import Content

app = typer.Typer(
    help=say("Mở nội dung hộp thư có căn cứ (4.3).", "Access to content, on a document (4.3)."), no_args_is_help=True
)

COLUMNS = (
    Column("id", "Số", "Id", right=True),
    Column("address", "Hộp thư", "Mailbox"),
    Column("stage", "Trạng thái", "State", json_only=True),
    Column("stage_name", "Trạng thái", "State"),
    Column("folder", "Thư mục", "Folder"),
    Column("since", "Thư từ ngày", "Mail from"),
    Column("until", "Đến ngày", "Mail until"),
    Column("expunged", "Cả thư đã xóa", "Expunged too"),
    Column("asked_by", "Người đề nghị", "Asked by"),
    Column("asked_at", "Lúc", "At"),
    Column("document", "Văn bản", "Document"),
    Column("decided_by", "Người quyết định", "Decided by"),
    Column("expires_at", "Hết hạn", "Expires"),
    Column("exports", "Lần xuất", "Exports", right=True),
)
ONE = (
    *COLUMNS,
    Column("reason", "Lý do", "Reason"),
    Column("asked_login", "Đăng nhập khi đề nghị", "Asker's login"),
    Column("decided_at", "Quyết định lúc", "Decided at"),
    Column("decided_login", "Đăng nhập khi quyết định", "Decider's login"),
    Column("decision_document", "Văn bản quyết định", "Decision's document"),
    Column("decision_reason", "Lý do quyết định", "Decision's reason"),
)
EXPORTS = (
    Column("export_id", "Lần", "Export", right=True),
    Column("officer", "Người xuất", "By"),
    Column("begun_at", "Bắt đầu", "Begun"),
    Column("finished_at", "Xong", "Finished"),
    Column("messages", "Số thư", "Messages", right=True),
    Column("octets", "Kích cỡ", "Size", right=True, size=True),
    Column("target", "Nơi lưu", "Target"),
    Column("digest", "SHA-256 của SHA256SUMS", "SHA-256 of SHA256SUMS"),
)
DONE = (
    Column("id", "Số", "Id"),
    Column("address", "Hộp thư", "Mailbox"),
    Column("target", "Nơi lưu", "Target"),
    Column("folders", "Thư mục", "Folders"),
    Column("messages", "Số thư", "Messages"),
    Column("octets", "Kích cỡ", "Size", size=True),
    Column("digest", "SHA-256 của SHA256SUMS", "SHA-256 of SHA256SUMS"),
)

Id = Annotated[int, typer.Argument(metavar="ID", help=say("Số của đề nghị.", "The request's number."))]


@app.command(help=say("Đề nghị mở nội dung một hộp thư.", "Ask to open the content of a mailbox."))
@requires(Right.ACT, act="content_ask", clauses="4.3")
def ask(
    address: Address,
    *,
    reason: ReasonOption,
    document: Annotated[str, typer.Option("--document", help=say("Văn bản làm căn cứ.", "The document that demands it."))],
    folder: Annotated[str | None, typer.Option("--folder", help=say("Chỉ thư mục này.", "Only this folder."))] = None,
    since: Annotated[
        str | None, typer.Option("--since", help=say("Thư đến từ ngày.", "Mail that came from this day on."))
    ] = None,
    until: Annotated[str | None, typer.Option("--until", help=say("Đến hết ngày.", "Until the end of this day."))] = None,
    expunged: Annotated[
        bool, typer.Option("--expunged", help=say("Cả thư đã xóa còn giữ.", "Also retained expunged messages."))
    ] = False,
    act: Act,
    as_json: JsonOption = False,
) -> Text:
    here = act.here
    mailbox, origin = here.directory.mailbox(address), act.origin
    scope = Scope(
        folder,
        read_day(since) if since is not None else None,
        read_day(until) if until is not None else None,
        expunged,
    )
    with act.recorded(mailbox.address, folder=folder, since=since, until=until, expunged=expunged):
        access = _content(here).ask(mailbox, scope, _hand(here, origin.actor), origin)
    _write_log_event(here, "content_asked", access, officer=access.officer, document=access.document)
    output.record(COLUMNS, _row(here, access, []), as_json=as_json)
    return Text(
        f"Đề nghị {access.access_id} chờ một cán bộ khác của Trung tâm phê duyệt.",
        f"Request {access.access_id} waits for another officer of the Centre to approve it.",
    )


@app.command(help=say("Phê duyệt, do người thứ hai.", "Approve, as the second person."))
@requires(Right.ACT, act="content_approve", clauses="4.3")
def approve(
    access_id: Id,
    *,
    document: Annotated[str, typer.Option("--document", help=say("Văn bản phê duyệt.", "The document that approves."))],
    act: ExplainedAct,
    as_json: JsonOption = False,
) -> None:
    here = act.here
    origin = act.origin
    with act.recorded(_subject(here, access_id), request=access_id):
        access = _content(here).approve(access_id, _hand(here, origin.actor), origin)
    _write_log_event(here, "content_approved", access, officer=origin.actor, document=document, until=access.expires_at)
    output.record(COLUMNS, _row(here, access, []), as_json=as_json)


@app.command(help=say("Từ chối, hoặc thu lại phê duyệt.", "Refuse, or revoke an approval."))
@requires(Right.ACT, act="content_refuse", clauses="4.3")
def refuse(access_id: Id, *, reason: ReasonOption, act: DocumentedAct) -> Text:
    here = act.here
    origin = act.origin
    with act.recorded(_subject(here, access_id), request=access_id):
        access = _content(here).refuse(access_id, _hand(here, origin.actor), origin)
    _write_log_event(here, "content_refused", access, officer=origin.actor)
    return Text(f"Đề nghị {access_id} bị từ chối.", f"Request {access_id} is refused.")


@app.command(help=say("Xuất thư theo đề nghị đã phê duyệt.", "Export the content that an approved request covers."))
@requires(Right.ACT, act="content_export", clauses="4.3 16.5")
def export(
    access_id: Id,
    target: Annotated[Path, typer.Argument(metavar="FOLDER", help=say("Thư mục mới, chưa có.", "A new folder."))],
    *,
    act: Act,
    as_json: JsonOption = False,
) -> None:
    here = act.here
    target, origin = target.absolute(), act.origin
    subject = _subject(here, access_id)
    with act.recorded(subject, request=access_id, target=str(target)):
        must_be_a_place_for_files(here, target)
        content, hand = _content(here), _hand(here, origin.actor)
        access = content.opened(access_id, hand)
        mailbox = here.directory.mailbox(access.address)
        _write_log_event(here, "content_opened", access, officer=origin.actor, target=target)
        with output.progress() as bar:
            task = bar.add_task(access.address, total=None)
            done = ContentExport(here.directory, here.clock).run(
                access,
                origin.actor,
                account_of(here, mailbox),
                target,
                still_open=lambda: content.opened(access_id, hand),
                progress=lambda count: bar.update(task, completed=count),
            )
    here.audit.record(
        actor=origin.actor, act="content_exported", subject=subject, request=access_id,
        messages=done.messages, octets=done.octets, sums=done.digest,
    )  # fmt: skip
    _write_log_event(
        here, "content_exported", access, officer=origin.actor, target=target, messages=done.messages, sums=done.digest
    )
    row: dict[str, Cell] = {
        "id": access_id,
        "address": access.address,
        "target": str(target),
        "folders": done.folders,
        "messages": done.messages,
        "octets": done.octets,
        "digest": done.digest,
    }
    output.record(DONE, row, as_json=as_json)
    if not as_json:
        print_how_to_verify(target)


@app.command("list", help=say("Liệt kê các đề nghị.", "List the requests."))
@requires(Right.READ, whole=True, clauses="4.3")
def list_requests(ctx: typer.Context, as_json: JsonOption = False) -> None:
    here = frame(ctx)
    exports = here.directory.content.exports()
    rows = [_row(here, access, exports) for access in here.directory.content.all()]
    output.listing(COLUMNS, rows, as_json=as_json)


@app.command(help=say("Xem một đề nghị và các lần xuất.", "Show a request and its exports."))
@requires(Right.READ, whole=True)
def show(ctx: typer.Context, access_id: Id, as_json: JsonOption = False) -> None:
    here = frame(ctx)
    access, exports = here.directory.content.get(access_id), here.directory.content.exports(access_id)
    decision = access.decision
    row: dict[str, Cell] = {
        **_row(here, access, exports),
        "reason": access.reason,
        "asked_login": access.login,
        "decided_at": decision.at if decision else None,
        "decided_login": decision.login if decision else None,
        "decision_document": decision.document if decision else None,
        "decision_reason": decision.reason if decision else None,
    }
    if as_json:
        output.print_json({**{c.key: row.get(c.key) for c in ONE}, "exports": [_export(export) for export in exports]})
        return
    output.record(ONE, row, as_json=False)
    output.listing(EXPORTS, map(_export, exports), as_json=False, title=Text("Các lần xuất", "Exports"))


# ------------------------------------------------------------ helpers


def _content(here: CliContext) -> Content:
    return Content(here.directory, here.config, here.clock)


def _hand(here: CliContext, actor: str) -> Hand:
    """Return the acting officer: nobody opens content while the server has no officer on record.

    Two persons need two names on record.
    """
    return Hand.of(officer_now(here, actor), actor, here.login)


def _subject(here: CliContext, access_id: int) -> str:
    return here.directory.content.get(access_id).address


def _write_log_event(here: CliContext, event: str, access: Access, **details: object) -> None:
    """Write the step as an event of the mail log."""
    log_event.write_log_event(here, event, mailbox=access.address, request=access.access_id, **details)


def _row(here: CliContext, access: Access, exports: list[Export]) -> dict[str, Cell]:
    stage = access.stage(here.clock.now())
    return {
        "id": access.access_id,
        "address": access.address,
        "stage": stage.value,
        "stage_name": stage.label,
        "folder": access.scope.folder,
        "since": access.scope.since,
        "until": access.scope.until,
        "expunged": access.scope.expunged,
        "asked_by": access.officer,
        "asked_at": access.asked_at,
        "document": access.document,
        "decided_by": access.decision.officer if access.decision else None,
        "expires_at": access.expires_at,
        "exports": sum(each.access_id == access.access_id and each.finished_at is not None for each in exports),
    }


def _export(export: Export) -> dict[str, Cell]:
    return {column.key: getattr(export, column.key) for column in EXPORTS}
