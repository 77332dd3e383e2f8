"""A value that is read without Typer is what Typer would have made of it, and any other value is read by Typer."""

import enum
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.core import TyperOption

from mic_mail.cli.nouns import commands
from mic_mail.cli.plain_values import PlainValues


class Code(enum.StrEnum):
    """A choice."""

    ONE = "one"


def command(  # a parameter of each type that commands have
    _text: Annotated[str, typer.Option("--text")] = "",
    _number: Annotated[int, typer.Option("--number")] = 0,
    _bounded: Annotated[int, typer.Option("--bounded", min=1, max=16)] = 1,
    _path: Annotated[Path | None, typer.Option("--path")] = None,
    _file: Annotated[Path | None, typer.Option("--file", exists=True, dir_okay=False)] = None,
    _code: Annotated[Code | None, typer.Option("--code")] = None,
    _texts: Annotated[list[str] | None, typer.Option("--texts")] = None,
    _numbers: Annotated[list[int] | None, typer.Option("--numbers")] = None,
    *,
    _flag: Annotated[bool, typer.Option("--flag")] = False,
) -> None:
    raise AssertionError


def parameters() -> dict[str, TyperOption]:
    app = typer.Typer(add_completion=False)
    app.command()(command)
    made = typer.main.get_command(app)
    return {each.opts[0]: each for each in made.params if isinstance(each, TyperOption)}


VALUES: list[object] = [
    None, "", "a", "ộ", "0", "7", "-7", "16", "17", " 7", "7 ", "+7", "1_0", "7.0", "٣", "1" * 30, 7, 17, True, False, "true",
    "one", "ONE", "two", Code.ONE, "/", "/nowhere", "-", ".", "a\0b", Path("/"), (), ("a",), ("1", "2"), ("1", "x"), ["7"],
]  # fmt: skip


def outcome(read: Any, option: TyperOption, value: object) -> tuple[object, object]:
    context = typer.Context(typer.main.get_command(typer.Typer(callback=lambda: None)))  # type: ignore[arg-type]
    try:
        found = read.coerce(value, param=option, ctx=context)
    except Exception as error:  # noqa: BLE001  either reading may refuse, in the same words
        return type(error), str(error)
    return type(found), found


@pytest.mark.parametrize("name", parameters())
def test_it_is_read_as_typer_reads_it(name: str) -> None:
    """What is refused is refused in Typer's words."""
    option = parameters()[name]
    typers = option.get_runtime_param()
    ours = PlainValues(lambda: typers)
    for value in VALUES:
        assert outcome(ours, option, value) == outcome(typers, option, value), value


def test_a_path_is_refused_in_typers_words(tmp_path: Path) -> None:
    """A folder where a file is wanted, nothing where there has to be one."""
    option = parameters()["--file"]
    typers = option.get_runtime_param()
    (tmp_path / "file").touch()
    for value in (str(tmp_path), str(tmp_path / "none"), str(tmp_path / "file")):
        assert outcome(PlainValues(lambda: typers), option, value) == outcome(typers, option, value)


def test_defaults_need_no_typer() -> None:
    """Of all commands: what nobody typed costs no loading of pydantic."""

    def unwanted() -> object:
        raise AssertionError

    for _words, command in commands():
        for each in command.params:
            assert isinstance(each, (typer.core.TyperArgument, TyperOption))
            context = typer.Context(command)
            default = each.get_default(context)
            if default is not None and each.type_descriptor.annotation is not bool:
                PlainValues(unwanted).coerce(default, each, context)
