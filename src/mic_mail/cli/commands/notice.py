"""`mic-mail notice`: the notices that the server sends, their clauses and their texts."""

import re
import sys
from typing import Annotated

from mic_mail.cli import output
from mic_mail.cli.authorization import requires
from mic_mail.cli.context import CliContext
from mic_mail.cli.options import Commands, JsonOption, argument, option
from mic_mail.cli.output import Cell, Column, coded, row_of
from mic_mail.errors import BadInput, Text
from mic_mail.i18n.notices.catalogue import CATALOGUE, NAMES, find
from mic_mail.i18n.notices.notice import Notice
from mic_mail.mailbox_address import MailboxAddress
from mic_mail.policy.authorization.roles import Right
from mic_mail.services.notifications.notices import Notices

app = Commands()

_NOTICE = (
    Column("number", "Số", "No.", right=True),
    Column("name", "Tên", "Name", json_only=True),
    Column("clause", "Theo", "By", cites=True),
    *coded("reader", "Gửi tới", "To"),
    Column("about", "Thông báo", "Notice"),
)
_WHEN = Column("means", "Khi nào", "When", json_only=True)
COLUMNS = (*_NOTICE, Column("subject", "Chủ đề", "Subject", json_only=True), _WHEN)
ONE = (
    *_NOTICE,
    Column("subject", "Chủ đề", "Subject"),
    _WHEN,
    Column("vi", "Tiếng Việt", "Vietnamese"),
    Column("en", "Tiếng Anh", "English"),
)
REPLIES = (
    Column("name", "Tên", "Name", json_only=True),
    Column("clause", "Theo", "By", cites=True),
    Column("code", "Mã", "Code"),
    Column("said", "Câu trả lời", "Reply"),
    Column("vi", "Tiếng Việt", "Vietnamese", json_only=True),
    Column("en", "Tiếng Anh", "English", json_only=True),
)
_PLACE = re.compile(r"\{[^}]*\}")
SAMPLE_READER = ("Đỗ Văn Bê", MailboxAddress.parse("dvbe@mic.gov.vn"))


@app.command("Liệt kê mọi thông báo.", "List every notice.", name="list")
@requires(Right.READ)
def list_notices(
    replies: Annotated[
        bool, option("--replies", "Các câu từ chối khi gửi thư (SMTP).", "List the texts of SMTP refusals.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    if replies:
        output.listing(REPLIES, _replies().values(), as_json=as_json)
    else:
        output.listing(COLUMNS, map(_row, CATALOGUE.values()), as_json=as_json)


@app.command("Xem một thông báo với số liệu mẫu.", "Show a notice with sample values.")
@requires(Right.READ, clauses="6.4.c 7.2.a")
def preview(
    here: CliContext,
    name: Annotated[str, argument("NOTICE", "Số của thông báo, xem list.", "Its number, see list; or its name.")],
    *,
    eml: Annotated[bool, option("--eml", "In cả thư, để mở bằng phần mềm thư.", "Print the message.")] = False,
    as_json: JsonOption = False,
) -> None:
    if (answer := _replies().get(name)) is not None:
        if eml:
            raise BadInput(Text("Câu này không phải là thư.", "This text is sent on the connection; no message is sent."))
        output.record(REPLIES, answer, as_json=as_json)
        return
    found = _find(name)
    letter = found.sample()
    if eml:
        message = Notices(here.store, here.config, here.clock).compose(*SAMPLE_READER, letter)
        sys.stdout.flush()
        sys.stdout.buffer.write(message)
        return
    row: dict[str, Cell] = {**_row(found), "vi": letter.body.vi, "en": letter.body.en}
    output.record(ONE, row, as_json=as_json)


def _replies() -> dict[str, dict[str, Cell]]:
    """Return the SMTP replies for people, by name; values inserted later are shown as `{names}`."""
    from mic_mail.smtp.replies import for_people
    from mic_mail.smtp.reply_table import TABLE

    rows = {str(name): row for name, row in TABLE.items()}
    return {
        f"smtp.{name}": {
            "name": f"smtp.{name}",
            "clause": rows[name].clause,
            "code": f"{rows[name].code} {rows[name].enhanced}",
            "said": Text(_PLACE.sub("…", said.vi), _PLACE.sub("...", said.en)),
            "vi": said.vi,
            "en": said.en,
        }
        for name, said in for_people().items()
    }


def _find(name: str) -> Notice[...]:
    """Return a notice by its number in the list, or by its name."""
    named = list(CATALOGUE)
    return find(named[int(name) - 1] if name.isdecimal() and 0 < int(name) <= len(named) else name)


def _row(found: Notice[...]) -> dict[str, Cell]:
    number = list(CATALOGUE).index(found.name) + 1
    return row_of(COLUMNS, found, number=number, about=NAMES[found.name], subject=found.sample().subject)
