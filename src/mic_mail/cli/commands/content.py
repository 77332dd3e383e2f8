"""`mic-mail content`: open the content of a mailbox, on a document and by two persons (Reg. 4.3).

There is no other way: no command shows a message. Each step is an act on record and an event of the mail log.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from mic_mail.cli import output
from mic_mail.cli.acts import Act, DocumentedAct, ExplainedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.commands.mailbox_store import account_of
from mic_mail.cli.commands.officer import officer_now
from mic_mail.cli.context import CliContext
from mic_mail.cli.date_args import optional_day
from mic_mail.cli.options import Address, Commands, JsonOption, ReasonOption, argument, option
from mic_mail.cli.output import Column, Part, ResultRecord, ResultTable, Row, row_of
from mic_mail.cli.output_files import must_be_a_place_for_files, print_how_to_verify
from mic_mail.cli.progress import progress_of
from mic_mail.directory.content_access import Export
from mic_mail.errors import Text
from mic_mail.policy.authorization.content_access import Access, Scope
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.authorization.two_persons import Hand
from mic_mail.services.exports.content_export import ContentExport
from mic_mail.services.exports.content_requests import ContentRequests

app = Commands()

COLUMNS = (
    Column("id", "Số", "Id", right=True, of="access_id"),
    Column("address", "Hộp thư", "Mailbox"),
    Column("stage", "Trạng thái", "State", json_only=True),
    Column("stage_name", "Trạng thái", "State"),
    Column("folder", "Thư mục", "Folder", of="scope.folder"),
    Column("since", "Thư từ ngày", "Mail from", of="scope.since"),
    Column("until", "Đến ngày", "Mail until", of="scope.until"),
    Column("expunged", "Cả thư đã xóa", "Expunged too", of="scope.expunged"),
    Column("asked_by", "Người đề nghị", "Asked by", of="officer"),
    Column("asked_at", "Lúc", "At"),
    Column("document", "Văn bản", "Document"),
    Column("decided_by", "Người quyết định", "Decided by", of="decision.officer"),
    Column("expires_at", "Hết hạn", "Expires"),
    Column("exports", "Lần xuất", "Exports", right=True),
)
ONE = (
    *COLUMNS,
    Column("reason", "Lý do", "Reason"),
    Column("asked_login", "Đăng nhập khi đề nghị", "Asker's login", of="login"),
    Column("decided_at", "Quyết định lúc", "Decided at", of="decision.at"),
    Column("decided_login", "Đăng nhập khi quyết định", "Decider's login", of="decision.login"),
    Column("decision_document", "Văn bản quyết định", "Decision's document", of="decision.document"),
    Column("decision_reason", "Lý do quyết định", "Decision's reason", of="decision.reason"),
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

Id = Annotated[int, argument("ID", "Số của đề nghị.", "The request's number.")]


@app.command("Đề nghị mở nội dung một hộp thư.", "Ask to open the content of a mailbox.")
@requires(Right.ACT, act="content_ask", clauses="4.3")
def ask(
    address: Address,
    *,
    reason: ReasonOption,
    document: Annotated[str, option("--document", "Văn bản làm căn cứ.", "The document that demands it.")],
    folder: Annotated[str | None, option("--folder", "Chỉ thư mục này.", "Only this folder.")] = None,
    since: Annotated[str | None, option("--since", "Thư đến từ ngày.", "Mail that came from this day on.")] = None,
    until: Annotated[str | None, option("--until", "Đến hết ngày.", "Until the end of this day.")] = None,
    expunged: Annotated[bool, option("--expunged", "Cả thư đã xóa còn giữ.", "Also retained expunged messages.")] = False,
    act: Act,
    as_json: JsonOption = False,
) -> Text:
    here = act.here
    mailbox, origin = here.directory.mailbox(address), act.origin
    scope = Scope(folder, optional_day(since), optional_day(until), expunged)
    with act.recorded(mailbox.address, folder=folder, since=since, until=until, expunged=expunged):
        access = here.use_cases(ContentRequests).ask(mailbox, scope, _hand(here, origin.actor), origin)
    _write_log_event(here, "content_asked", access, officer=access.officer, document=access.document)
    output.record(COLUMNS, _row(here, access, []), as_json=as_json)
    return Text(
        f"Đề nghị {access.access_id} chờ một cán bộ khác của Trung tâm phê duyệt.",
        f"Request {access.access_id} waits for another officer of the Centre to approve it.",
    )


@app.command("Phê duyệt, do người thứ hai.", "Approve, as the second person.")
@requires(Right.ACT, act="content_approve", clauses="4.3")
def approve(
    access_id: Id,
    *,
    document: Annotated[str, option("--document", "Văn bản phê duyệt.", "The document that approves.")],
    act: ExplainedAct,
) -> ResultRecord:
    here = act.here
    origin = act.origin
    with act.recorded(_subject(here, access_id), request=access_id):
        access = here.use_cases(ContentRequests).approve(access_id, _hand(here, origin.actor), origin)
    _write_log_event(here, "content_approved", access, officer=origin.actor, document=document, until=access.expires_at)
    return ResultRecord(COLUMNS, _row(here, access, []))


@app.command("Từ chối, hoặc thu lại phê duyệt.", "Refuse, or revoke an approval.")
@requires(Right.ACT, act="content_refuse", clauses="4.3")
def refuse(access_id: Id, *, reason: ReasonOption, act: DocumentedAct) -> Text:
    here = act.here
    origin = act.origin
    with act.recorded(_subject(here, access_id), request=access_id):
        access = here.use_cases(ContentRequests).refuse(access_id, _hand(here, origin.actor), origin)
    _write_log_event(here, "content_refused", access, officer=origin.actor)
    return Text(f"Đề nghị {access_id} bị từ chối.", f"Request {access_id} is refused.")


@app.command("Xuất thư theo đề nghị đã phê duyệt.", "Export the content that an approved request covers.")
@requires(Right.ACT, act="content_export", clauses="4.3 16.5")
def export(
    access_id: Id,
    target: Annotated[Path, argument("FOLDER", "Thư mục mới, chưa có.", "A new folder.")],
    *,
    act: Act,
    as_json: JsonOption = False,
) -> None:
    here = act.here
    target, origin = target.absolute(), act.origin
    subject = _subject(here, access_id)
    with act.recorded(subject, request=access_id, target=str(target)):
        must_be_a_place_for_files(here, target)
        content, hand = here.use_cases(ContentRequests), _hand(here, origin.actor)
        access = content.opened(access_id, hand)
        mailbox = here.directory.mailbox(access.address)
        _write_log_event(here, "content_opened", access, officer=origin.actor, target=target)
        with progress_of(access.address) as progress:
            done = ContentExport(here.directory, here.clock).run(
                access,
                origin.actor,
                account_of(here, mailbox),
                target,
                still_open=lambda: content.opened(access_id, hand),
                progress=progress,
            )
    here.audit.record(
        actor=origin.actor, act="content_exported", subject=subject, request=access_id,
        messages=done.messages, octets=done.octets, sums=done.digest,
    )  # fmt: skip
    _write_log_event(
        here, "content_exported", access, officer=origin.actor, target=target, messages=done.messages, sums=done.digest
    )
    row = row_of(DONE, done, id=access_id, address=access.address, target=str(target))
    output.record(DONE, row, as_json=as_json)
    if not as_json:
        print_how_to_verify(target)


@app.command("Liệt kê các đề nghị.", "List the requests.", name="list")
@requires(Right.READ, whole=True, clauses="4.3")
def list_requests(here: CliContext) -> ResultTable:
    exports = here.directory.content.exports()
    rows = [_row(here, access, exports) for access in here.directory.content.all()]
    return ResultTable(COLUMNS, rows)


@app.command("Xem một đề nghị và các lần xuất.", "Show a request and its exports.")
@requires(Right.READ, whole=True)
def show(here: CliContext, access_id: Id) -> ResultRecord:
    access, exports = here.directory.content.get(access_id), here.directory.content.exports(access_id)
    rows = [row_of(EXPORTS, export) for export in exports]
    part = Part("exports", EXPORTS, rows, Text("Các lần xuất", "Exports"))
    return ResultRecord(ONE, _row(here, access, exports, ONE), part)


def _hand(here: CliContext, actor: str) -> Hand:
    """Return the acting officer, who must be on record: two persons need two names."""
    return Hand.of(officer_now(here, actor), actor, here.login)


def _subject(here: CliContext, access_id: int) -> str:
    return here.directory.content.get(access_id).address


def _write_log_event(here: CliContext, event: str, access: Access, **details: object) -> None:
    here.log_event(event, mailbox=access.address, request=access.access_id, **details)


def _row(here: CliContext, access: Access, exports: list[Export], columns: Sequence[Column] = COLUMNS) -> Row:
    stage = access.stage(here.clock.now())
    finished = sum(each.access_id == access.access_id and each.finished_at is not None for each in exports)
    return row_of(columns, access, stage=stage, stage_name=stage.label, exports=finished)
