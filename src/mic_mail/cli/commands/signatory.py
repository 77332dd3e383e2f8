"""`mic-mail signatory list|add|end`: who may sign conclusions for the ministry's leadership (Reg.

7.2.b).
"""

from typing import Annotated

import typer

from mic_mail.cli import output
from mic_mail.cli.audited import audited
from mic_mail.cli.authorization import requires
from mic_mail.cli.context import frame
from mic_mail.cli.date_args import read_day
from mic_mail.cli.options import ActorOption, JsonOption, WhyOption
from mic_mail.cli.output import Column, Row, say
from mic_mail.errors import BadInput, Text
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.authorization.signatories import CLAUSE, Signatory, check
from mic_mail.policy.calendar import local_day
from mic_mail.policy.naming.transliteration import tidy
from mic_mail.services.mailboxes.credentials import ActContext

app = typer.Typer(help=say("Người ký kết luận của Lãnh đạo Bộ (7.2.b).", "Signatories (7.2.b)."), no_args_is_help=True)

COLUMNS = (
    Column("number", "Số", "No", right=True),
    Column("full_name", "Họ và tên", "Name"),
    Column("position", "Chức vụ", "Position"),
    Column("since", "Từ ngày", "Since"),
    Column("until", "Đến hết ngày", "Last day"),
    Column("document", "Văn bản", "Document"),
    Column("end_document", "Văn bản kết thúc", "Ended by"),
)
Document = Annotated[str, typer.Option("--document", help=say("Số quyết định.", "Number of the decision."))]


@app.command("list", help=say("Liệt kê người ký và thời hạn.", "List the signatories and their terms."))
@requires(Right.READ, whole=True, clauses="7.2.b")
def list_signatories(ctx: typer.Context, as_json: JsonOption = False) -> None:
    output.listing(COLUMNS, map(_row, frame(ctx).directory.signatories.all()), as_json=as_json)


@app.command(help=say("Ghi người ký: Bộ trưởng hoặc Thứ trưởng.", "Enter a signatory: the minister or a deputy."))
@requires(Right.ACT, clauses="7.2.b")
def add(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help=say("Họ và tên đầy đủ.", "Full name."))],
    *,
    position: Annotated[str, typer.Option("--position", help=say("Bộ trưởng, Thứ trưởng.", "Minister or deputy."))],
    document: Document,
    begins: Annotated[str | None, typer.Option("--from", help=say("Từ ngày; mặc định hôm nay.", "Default: today."))] = None,
    until: Annotated[str | None, typer.Option("--until", help=say("Đến hết ngày.", "Last day."))] = None,
    reason: WhyOption = "",
    actor: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    here = frame(ctx)
    since = read_day(begins) if begins is not None else local_day(here.clock.now())
    last = read_day(until) if until is not None else None
    signatory = Signatory(0, tidy(name), tidy(position), since, document.strip(), last)
    with audited(
        here, "signatory_add", signatory.full_name, ActContext(here.actor(actor), reason, document),
        position=signatory.position, since=since, until=last,
    ):  # fmt: skip
        check(signatory)
        signatory = here.directory.signatories.add(signatory)
    output.record(COLUMNS, _row(signatory), as_json=as_json)


@app.command(help=say("Kết thúc thời hạn của người ký.", "End the term of a signatory."))
@requires(Right.ACT)
def end(
    ctx: typer.Context,
    number: Annotated[int, typer.Argument(metavar="NUMBER", help=say("Số trong danh sách.", "Number in the list."))],
    *,
    document: Document,
    until: Annotated[str | None, typer.Option("--until", help=say("Ngày cuối; mặc định hôm nay.", "Default: today."))] = None,
    reason: WhyOption = "",
    actor: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    here = frame(ctx)
    last = read_day(until) if until is not None else local_day(here.clock.now())
    if not document.strip():
        raise BadInput(Text("Thiếu số văn bản.", "The number of the document is missing."), clause=CLAUSE)
    with audited(here, "signatory_end", str(number), ActContext(here.actor(actor), reason, document), until=last):
        ended = here.directory.signatories.end(number, last, document.strip())
    output.record(COLUMNS, _row(ended), as_json=as_json)


def _row(signatory: Signatory) -> Row:
    return {column.key: getattr(signatory, column.key) for column in COLUMNS}
