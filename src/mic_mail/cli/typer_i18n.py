"""Translate Typer's own texts into the language and the terms of this program.

In: a command as Typer built it, or a message of a usage error. Out: the same, with all arguments named in capitals and refused
where they are not valid text, and in Vietnamese where that is the language of the run. Typer has English only; a phrase without
a translation here stays as it is.

A choice among codes takes what the mailed form takes (`policy.keywords`): `request add "cấp mới"`, `cap-moi` or `issue`. Its
words are the labels of its enumeration (`i18n.labels`) and the short forms of `policy.keywords`.
"""

import re
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from mic_mail.cli import output, standard_output
from mic_mail.cli.output import spoken
from mic_mail.cli.plain_values import PlainValues
from mic_mail.i18n.keywords import keyword
from mic_mail.i18n.labels import LabelledEnum
from mic_mail.i18n.language import Language
from mic_mail.policy.keywords import SHORT, code_of

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
_ARGUMENTS = {
    "ADDRESS": "ĐỊA-CHỈ",
    "ADDRESSES": "ĐỊA-CHỈ",
    "MAILBOX": "HỘP-THƯ",
    "ALIAS": "BÍ-DANH",
    "PERSON": "CÁ-NHÂN",
    "PERSON_ID": "MÃ-CÁ-NHÂN",
    "UNIT": "ĐƠN-VỊ",
    "SYMBOL": "KÝ-HIỆU",
    "SYMBOLS": "KÝ-HIỆU",
    "NAME": "TÊN",
    "TITLE": "CHỨC-DANH",
    "LEVEL": "CẤP",
    "EMPLOYMENT": "DIỆN",
    "LOGIN": "TÀI-KHOẢN",
    "DAY": "NGÀY",
    "DAYS": "SỐ-NGÀY",
    "YEAR": "NĂM",
    "SIZE": "DUNG-LƯỢNG",
    "FACT": "MỤC",
    "ONE|EACH": "CÁCH",
    "KEPT": "CÁCH",
    "FOLDER": "THƯ-MỤC",
    "NEW": "MỚI",
    "OLD": "CŨ",
    "NUMBER": "SỐ",
    "NUMBERS": "SỐ",
    "DOMAIN": "TÊN-MIỀN",
    "ID": "MÃ",
    "NOTICE": "THÔNG-BÁO",
    "ARCHIVE": "BẢN-LƯU-TRỮ",
    "KIND": "LOẠI",
    "FILE": "TỆP",
    "WHAT": "NỘI-DUNG",
    "TEXT": "NỘI-DUNG",
    "PATH": "ĐƯỜNG-DẪN",
    "SELECTOR": "BỘ-CHỌN",
    "TARGET": "NƠI-GHI",
    "BACKUP": "BẢN-SAO-LƯU",
    "SOURCE": "NGUỒN",
    "REFERENCE": "MÃ",
    "REFERENCES": "MÃ",
    "ENTRY_ID": "MÃ",
    "ENTRY_IDS": "MÃ",
    "BEGIN": "TỪ-NGÀY",
    "COUNT": "SỐ-NGÀY",
    "PLACE": "NƠI-GHI",
    "CLAUSE": "KHOẢN",
    "WHAT=SYMBOL": "AI=ĐƠN-VỊ",
    "WHAT=SYMBOL;...": "AI=ĐƠN-VỊ;...",
}
_QUOTED = re.compile(r"'([A-Z_|-]+)'")
_BRACES = re.compile(r"\{([^{}]*)\}")
_HELP_STRINGS = {
    "ARGUMENTS_PANEL_TITLE": ("Tham số", "Arguments"),
    "OPTIONS_PANEL_TITLE": ("Tùy chọn", "Options"),
    "COMMANDS_PANEL_TITLE": ("Lệnh", "Commands"),
    "DEFAULT_STRING": ("[mặc định: {}]", "[default: {}]"),
    "ENVVAR_STRING": ("[biến môi trường: {}]", "[env var: {}]"),
    "REQUIRED_LONG_STRING": ("[bắt buộc]", "[required]"),
}


def _keyword(code: Enum) -> str:
    """Return a code as help shows it: in Vietnamese by its short name, as one word."""
    if output.language() is not Language.VI or not isinstance(code, LabelledEnum):
        return str(code.value)
    return keyword(SHORT.get(code, (code.label.vi,))[0])


def in_our_words(message: str) -> str:
    """Return a usage error's message in this program's words."""
    if output.language() is Language.VI:
        for english, vietnamese in PHRASES:
            message = message.replace(english, vietnamese)
        message = _QUOTED.sub(lambda found: f"'{_ARGUMENTS.get(found[1], found[1])}'", message)
    return message


def dress(command: TyperGroup | TyperCommand) -> None:
    """Adapt usage, help and value parsing of `command` and of each command in its group."""
    for parameter in command.params:
        _replace(parameter, "process_value", _legible)
        if isinstance(parameter, TyperArgument | TyperOption):
            _replace(parameter, "get_runtime_param", PlainValues)
            if codes := _choices(parameter):
                _take_keywords(parameter, codes)
            else:
                _replace(parameter, "display_type", _type)
        if isinstance(parameter, TyperArgument):  # Typer adds the brackets and dots
            parameter.metavar = (parameter.metavar or parameter.name or "").strip("[].").upper()
    _replace(command, "get_usage", _usage)
    _replace(command, "get_help_option", _help_option)
    _replace(command, "format_help", _format_help)
    for inner in _built(command):
        dress(inner)


def speak(command: TyperGroup | TyperCommand) -> None:
    """Show the help of `command`, and of each command in it, in the language of this run.

    Commands are made once a process, and a process may have several runs.
    """
    _show_side(command, "help")
    for parameter in command.params:
        _show_side(parameter, "help")
        _show_side(parameter, "metavar")
        if isinstance(parameter, TyperArgument | TyperOption):
            _name_value(parameter)
            _describe_default(parameter)
    for inner in _built(command):
        speak(inner)


def _built(command: TyperGroup | TyperCommand) -> Iterable[Any]:
    """Return the commands in a group; not those that are built, and adapted, when they are asked for (`nouns`)."""
    inner = getattr(command, "commands", {})
    return inner.values() if isinstance(inner, dict) else ()


def _show_side(thing: Any, name: str) -> None:
    """Replace a bilingual text by one language; `thing` retains the whole for the next run."""
    whole = vars(thing).setdefault(f"_whole_{name}", getattr(thing, name, None))
    if isinstance(whole, str) and output.BETWEEN in whole:
        setattr(thing, name, spoken(*whole.split(output.BETWEEN)))


def _name_value(parameter: TyperArgument | TyperOption) -> None:
    english: str = vars(parameter).setdefault("_english_metavar", parameter.metavar or "")
    if english in _ARGUMENTS:
        parameter.metavar = spoken(_ARGUMENTS[english], english)


def _describe_default(parameter: TyperArgument | TyperOption) -> None:
    """Show the default of a choice; in Vietnamese by its keyword."""
    shown = vars(parameter).setdefault("_shown_default", parameter.show_default)
    parameter.show_default = shown
    if isinstance(parameter.default, Enum) and output.language() is Language.VI and _choices(parameter):
        parameter.show_default = False
        parameter.help = f"{parameter.help} Mặc định: {_keyword(parameter.default)}."


def _choices(parameter: TyperArgument | TyperOption) -> list[Enum]:
    """Return the codes among which a value is chosen; none where it may be anything."""
    return [each for each in parameter.type_descriptor.choices or () if isinstance(each, Enum)]


_TYPES = {"str": "chữ", "int": "số", "int range": "số", "float": "số", "path": "tệp", "file": "tệp", "dir": "thư mục"}
_LIST = re.compile(r"list\[(.*)\]")


def _type(original: Any, ctx: typer.Context) -> str:
    """Return the type of a value in help: `<str>` is `<chữ>`; nothing for a flag."""
    label: str = original(ctx)
    bare = _LIST.sub(r"\1", label.strip("<>"))
    if bare in {"", "bool"}:
        return ""
    return f"<{_TYPES.get(bare, bare)}>" if output.language() is Language.VI else label


def _take_keywords(parameter: Any, codes: Sequence[Enum]) -> None:
    """Let a choice among `codes` accept their labels as well, and show those of this language."""
    _replace(parameter, "process_value", lambda process, ctx, value: process(ctx, _codes(parameter, codes, ctx, value)))
    parameter.display_type = lambda _ctx: f"<{' | '.join(map(_keyword, codes))}>"  # a line may end at a space
    parameter.get_missing_message = lambda ctx: f"{spoken('Chọn', 'Choose from')}: {', '.join(map(_keyword, codes))}"


def _codes(parameter: Any, codes: Sequence[Enum], ctx: typer.Context, value: Any) -> Any:
    """Return the typed value of a choice as codes; refuse unknown words with the known ones."""
    if isinstance(value, list | tuple):
        return [_codes(parameter, codes, ctx, each) for each in value]
    if not isinstance(value, str) or isinstance(value, Enum):
        return value
    code = code_of(codes, value)
    if code is None:
        offered = ", ".join(map(_keyword, codes))
        raise typer.BadParameter(
            spoken(f"“{value}” không thuộc: {offered}.", f"'{value}' is not one of: {offered}."), ctx=ctx, param=parameter
        )
    return code


def _replace(command: Any, name: str, wrapper: Any) -> None:
    """Wrap a method of this one object: Typer has no place where a class of ours could be used."""
    original = getattr(command, name)
    setattr(command, name, lambda *arguments: wrapper(original, *arguments))


def _legible(original: Any, ctx: typer.Context, value: Any) -> Any:
    """Return the value of an option or argument.

    A path may have any octets; all other text is shown, compared and stored as UTF-8.
    """
    read = original(ctx, value)
    words = read if isinstance(read, list | tuple) else (read,)
    if any(isinstance(word, str) and any("\ud800" <= letter <= "\udfff" for letter in word) for word in words):
        raise typer.BadParameter(spoken("không phải UTF-8.", "this is not UTF-8."), ctx=ctx, param=original.__self__)
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
        usage = _BRACES.sub(r"\1", usage)
    return usage


def _help_option(original: Any, ctx: typer.Context) -> Any:
    option = original(ctx)
    if option is not None:
        option.help = spoken("Xem hướng dẫn này.", "Show this message and exit.")
        if "display_type" not in vars(option):  # Typer has one option for all runs of a process
            _replace(option, "display_type", _type)
            _replace(option, "get_runtime_param", PlainValues)
    return option


def _format_help(original: Any, ctx: typer.Context, formatter: Any) -> None:
    from typer import rich_utils  # only now: it takes longer to import than a short command to run

    for name, (vi, en) in _HELP_STRINGS.items():
        setattr(rich_utils, name, spoken(vi, en))
    with standard_output.written(ends=True):
        original(ctx, formatter)
