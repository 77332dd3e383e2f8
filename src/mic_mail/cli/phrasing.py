"""What Typer says by itself, in the words and the language of this program.

In: a command as Typer built it, or a message of a usage error. Out: the same, its arguments all named in capitals and refused
where they are no text, and in Vietnamese where that is the language of the run. Typer speaks English only; a phrase that is
not here stays as it says it.
"""

from typing import Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup

from mic_mail.cli import output
from mic_mail.cli.output import say
from mic_mail.i18n.language import Language

PHRASES = (
    ("No such option: ", "không có tùy chọn "),
    ("No such command ", "không có lệnh "),
    ("Missing command.", "thiếu lệnh con."),
    ("Missing argument ", "thiếu tham số "),
    ("Missing option ", "thiếu tùy chọn "),
    ("Invalid value for ", "giá trị không hợp lệ cho "),
    ("Invalid value: ", "giá trị không hợp lệ: "),
    ("Got unexpected extra arguments", "thừa tham số"),
    ("Got unexpected extra argument", "thừa tham số"),
    ("thừa tham số(s)", "thừa tham số"),
    ("Value error, ", ""),
    (" is not one of ", " không thuộc: "),
    ("Did you mean ", "Có phải là "),
    ("(Possible options: ", "(có các tùy chọn: "),
    ("Option ", "tùy chọn "),
    (" requires an argument", " cần một giá trị"),
    (" does not take a value", " không nhận giá trị"),
    ("Input should be a valid integer, unable to parse string as an integer", "phải là số nguyên"),
    ("Input should be less than or equal to ", "không được quá "),
    ("Input should be greater than or equal to ", "ít nhất là "),
    ("Path '", "đường dẫn '"),
    ("File '", "tệp '"),
    ("Directory '", "thư mục '"),
    (" does not exist", " không có"),
    (" is not readable", " không đọc được"),
    (" is not writable", " không ghi được"),
    (" is a file", " là một tệp"),
    (" is a directory", " là một thư mục"),
)
_HELP_STRINGS = {
    "ARGUMENTS_PANEL_TITLE": ("Tham số", "Arguments"),
    "OPTIONS_PANEL_TITLE": ("Tùy chọn", "Options"),
    "COMMANDS_PANEL_TITLE": ("Lệnh", "Commands"),
    "DEFAULT_STRING": ("[mặc định: {}]", "[default: {}]"),
    "ENVVAR_STRING": ("[biến môi trường: {}]", "[env var: {}]"),
    "REQUIRED_LONG_STRING": ("[bắt buộc]", "[required]"),
}


def in_our_words(message: str) -> str:
    """A usage error's message."""
    if output.language() is Language.VI:
        for english, vietnamese in PHRASES:
            message = message.replace(english, vietnamese)
    return message


def dress(command: TyperGroup | TyperCommand) -> None:
    """Change how `command`, and each command of a group that is there already, explains itself."""
    for parameter in command.params:
        _replace(parameter, "process_value", _legible)
        if isinstance(parameter, TyperArgument):  # Typer adds the brackets and dots
            parameter.metavar = (parameter.metavar or parameter.name or "").strip("[].").upper()
    _replace(command, "get_usage", _usage)
    _replace(command, "get_help_option", _help_option)
    _replace(command, "format_help", _format_help)
    for inner in getattr(command, "commands", {}).values():
        dress(inner)


def _replace(command: Any, name: str, wrapper: Any) -> None:
    """Put `wrapper` round a method of this one object: what Typer makes has no place where a class of ours could stand."""
    original = getattr(command, name)
    setattr(command, name, lambda *arguments: wrapper(original, *arguments))


def _legible(original: Any, ctx: typer.Context, value: Any) -> Any:
    """The value of an option or argument. A path may have any octets; all other text is shown, compared and kept as UTF-8."""
    read = original(ctx, value)
    words = read if isinstance(read, list | tuple) else (read,)
    if any(isinstance(word, str) and any("\ud800" <= letter <= "\udfff" for letter in word) for word in words):
        raise typer.BadParameter(say("không phải UTF-8.", "this is not UTF-8."), ctx=ctx, param=original.__self__)
    return read


def _usage(original: Any, ctx: typer.Context) -> str:
    usage: str = original(ctx)
    if output.language() is Language.VI:
        for english, vietnamese in (
            ("Usage: ", "Cách dùng: "),
            ("[OPTIONS]", "[TÙY CHỌN]"),
            ("COMMAND [ARGS]...", "LỆNH [THAM SỐ]..."),
        ):
            usage = usage.replace(english, vietnamese)
    return usage


def _help_option(original: Any, ctx: typer.Context) -> Any:
    option = original(ctx)
    if option is not None:
        option.help = say("Xem hướng dẫn này.", "Show this message and exit.")
    return option


def _format_help(original: Any, ctx: typer.Context, formatter: Any) -> None:
    from typer import rich_utils  # only now: it takes longer to import than a short command to run

    for name, (vi, en) in _HELP_STRINGS.items():
        setattr(rich_utils, name, say(vi, en))
    original(ctx, formatter)
