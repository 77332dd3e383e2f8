"""Declarations of commands, arguments and options in both languages; the options that nouns share."""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer

from mic_mail.cli.output import say

F = TypeVar("F", bound=Callable[..., Any])


class Commands(typer.Typer):
    """The commands of a noun, or of one module of it."""

    def __init__(self, vi: str = "", en: str = "", **settings: Any) -> None:
        super().__init__(help=say(vi, en), no_args_is_help=True, **settings)

    def command(self, vi: str, en: str, *, name: str | None = None) -> Callable[[F], F]:  # type: ignore[override]  # help first
        """Add a command; its name is the function's unless given."""
        return lambda function: super(Commands, self).command(name or _word(function), help=say(vi, en))(function)


def _word(function: Callable[..., Any]) -> str:
    return function.__name__.replace("_", "-")


def option(name: str, vi: str, en: str, **settings: Any) -> Any:
    """Return an option for `Annotated`; `settings` are those of `typer.Option`."""
    return typer.Option(name, help=say(vi, en), **settings)


def argument(metavar: str, vi: str, en: str, **settings: Any) -> Any:
    """Return an argument for `Annotated`; `settings` are those of `typer.Argument`."""
    return typer.Argument(metavar=metavar, help=say(vi, en), **settings)


Address = Annotated[str, argument("ADDRESS", "Địa chỉ hộp thư.", "The mailbox's address.")]
JsonOption = Annotated[bool, option("--json", "In kết quả dạng JSON.", "Print the result as JSON.")]
YesOption = Annotated[bool, option("--yes", "Không hỏi lại.", "Do not ask for confirmation.")]
ReasonOption = Annotated[str, option("--reason", "Lý do, được ghi vào hồ sơ.", "The reason; it is recorded.")]
WhyOption = Annotated[str, option("--reason", "Lý do.", "Why.")]
DocumentOption = Annotated[
    str | None, option("--document", "Số văn bản làm căn cứ.", "Number of the document that it rests on.")
]
RequestOption = Annotated[
    str, option("--document", "Số văn bản hoặc thư đề nghị.", "Number of the letter or mail that requests it.")
]
ActorOption = Annotated[
    str | None,
    option("--actor", "Người thực hiện; mặc định là tài khoản đăng nhập.", "The acting officer; default: this login."),
]
