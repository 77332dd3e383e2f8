"""Texts in two languages, whatever letters the names in them have."""

import ast
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

import mic_mail
from mic_mail.errors import Text, as_written, in_ascii


@given(st.text(alphabet=st.characters()))
@example("Công văn đến")
@example("\udcff")
def test_english_is_ascii_whatever_it_names(name: str) -> None:
    """A folder, a unit's symbol, another server's words: the sentence is there, Vietnamese as it is, English in ASCII."""
    text = Text(f"Thư mục: {name}", f"Folder: {name}")
    assert text.vi == f"Thư mục: {name}"
    assert text.en.isascii()
    assert text.en.startswith("Folder: ")
    if name.isascii():
        assert text.en == f"Folder: {name}"


def test_letters_are_escaped_as_names_are() -> None:
    """One spelling for the same name, whether it was escaped before or not."""
    assert Text("", "Đ").en == in_ascii("Đ") == r"\u0110"


def test_our_own_english_is_written_in_ascii() -> None:
    """Nothing that stands in the source has to be escaped: people would read it so."""
    wrong = [
        f"{path.name}:{call.lineno}: {part.value}"
        for path in Path(mic_mail.__file__).parent.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Text" and len(call.args) == 2
        for part in ast.walk(call.args[1])
        if isinstance(part, ast.Constant) and isinstance(part.value, str) and not part.value.isascii()
    ]
    assert not wrong


@given(st.text())
def test_a_name_comes_back_as_it_was_written(name: str) -> None:
    """Each letter that shows something; what a terminal would obey stays escaped, and a backslash is one."""
    told = in_ascii(name)
    assert told.isascii()
    shown = as_written(f"No unit {told} here.").removeprefix("No unit ").removesuffix(" here.")
    assert shown == "".join(letter if letter.isprintable() else in_ascii(letter) for letter in name)


def test_sentences_without_names_stay_as_they_are() -> None:
    """A flag of IMAP is no escape."""
    assert as_written(r"\Seen and \Deleted are flags; %d octets") == r"\Seen and \Deleted are flags; %d octets"
