"""Options that several nouns share; imported by command modules only, after the language is set."""

from typing import Annotated

import typer

from mic_mail.cli.output import say

Address = Annotated[str, typer.Argument(metavar="ADDRESS", help=say("Địa chỉ hộp thư.", "The mailbox's address."))]
JsonOption = Annotated[bool, typer.Option("--json", help=say("In kết quả dạng JSON.", "Print the result as JSON."))]
YesOption = Annotated[bool, typer.Option("--yes", help=say("Không hỏi lại.", "Do not ask for confirmation."))]
ReasonOption = Annotated[str, typer.Option("--reason", help=say("Lý do, được ghi vào hồ sơ.", "The reason; it is recorded."))]
WhyOption = Annotated[str, typer.Option("--reason", help=say("Lý do.", "Why."))]
DocumentOption = Annotated[
    str | None, typer.Option("--document", help=say("Số văn bản làm căn cứ.", "Number of the document that it rests on."))
]
ActorOption = Annotated[
    str | None,
    typer.Option(
        "--actor", help=say("Người thực hiện; mặc định là tài khoản đăng nhập.", "The acting officer; default: this login.")
    ),
]
