"""`mic-mail signatory`: who may sign conclusions for the ministry's leadership (Reg. 7.2.b)."""

from typing import Annotated

from mic_mail.cli.acts import ExplainedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.context import CliContext
from mic_mail.cli.date_args import optional_day, read_day
from mic_mail.cli.options import Commands, argument, option
from mic_mail.cli.output import Column, ResultRecord, ResultTable, row_of
from mic_mail.errors import BadInput, Text
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.authorization.signatories import CLAUSE, Signatory, check
from mic_mail.policy.calendar import local_day
from mic_mail.policy.naming.transliteration import tidy

app = Commands()

COLUMNS = (
    Column("number", "Số", "No.", right=True),
    Column("full_name", "Họ và tên", "Name"),
    Column("position", "Chức vụ", "Position"),
    Column("since", "Từ ngày", "Since"),
    Column("until", "Đến hết ngày", "Last day"),
    Column("document", "Văn bản", "Document"),
    Column("end_document", "Văn bản kết thúc", "Ended by"),
)
Document = Annotated[str, option("--document", "Số quyết định.", "Number of the decision.")]


@app.command("Liệt kê người ký và thời hạn.", "List the signatories and their terms.", name="list")
@requires(Right.READ, whole=True, clauses="7.2.b")
def list_signatories(here: CliContext) -> ResultTable:
    return ResultTable(COLUMNS, (row_of(COLUMNS, each) for each in here.directory.signatories.all()))


@app.command("Ghi người ký: Bộ trưởng hoặc Thứ trưởng.", "Enter a signatory: the minister or a deputy.")
@requires(Right.ACT, act="signatory_add", clauses="7.2.b")
def add(
    name: Annotated[str, argument("NAME", "Họ và tên đầy đủ.", "Full name.")],
    *,
    position: Annotated[str, option("--position", "Bộ trưởng, Thứ trưởng.", "Minister or deputy.")],
    document: Document,
    begins: Annotated[str | None, option("--from", "Từ ngày; mặc định hôm nay.", "First day; default: today.")] = None,
    until: Annotated[str | None, option("--until", "Đến hết ngày.", "Last day.")] = None,
    act: ExplainedAct,
) -> ResultRecord:
    here = act.here
    since = read_day(begins) if begins is not None else local_day(here.clock.now())
    last = optional_day(until)
    signatory = Signatory(0, tidy(name), tidy(position), since, document.strip(), last)
    with act.recorded(signatory.full_name, position=signatory.position, since=since, until=last):
        check(signatory)
        signatory = here.directory.signatories.add(signatory)
    return ResultRecord(COLUMNS, row_of(COLUMNS, signatory))


@app.command("Kết thúc thời hạn của người ký.", "End the term of a signatory.")
@requires(Right.ACT, act="signatory_end")
def end(
    number: Annotated[int, argument("NUMBER", "Số trong danh sách.", "Number in the list.")],
    *,
    document: Document,
    until: Annotated[str | None, option("--until", "Ngày cuối; mặc định hôm nay.", "Last day; default: today.")] = None,
    act: ExplainedAct,
) -> ResultRecord:
    here = act.here
    last = read_day(until) if until is not None else local_day(here.clock.now())
    if not document.strip():
        raise BadInput(Text("Thiếu số văn bản.", "The number of the document is missing."), clause=CLAUSE)
    with act.recorded(str(number), until=last):
        ended = here.directory.signatories.end(number, last, document.strip())
    return ResultRecord(COLUMNS, row_of(COLUMNS, ended))
