"""Tables show words where JSON has codes, in the language of the run, and every code has its word."""

import inspect
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from importlib import resources
from pathlib import Path

import pytest

from mic_mail.cli import labels, output
from mic_mail.cli.main import main
from mic_mail.cli.output import Column
from mic_mail.directory.records import AddressRole
from mic_mail.errors import BadInput, Text
from mic_mail.i18n import labels as i18n_labels
from mic_mail.i18n.language import Language
from mic_mail.policy.clauses import ClauseStanding
from mic_mail.policy.facts import FactKind
from mic_mail.policy.ranks import BUILT_IN
from mic_mail.services.mailboxes.consistency_check import FindingSeverity
from mic_mail.storage.errors import Unavailable

_CODE = re.compile(r"""(?:Finding|_find)\(\s*"([a-z-]+)"(?: if \w+ else "([a-z-]+)")?""")


@pytest.fixture(autouse=True)
def vietnamese() -> Iterator[None]:
    """The language of the run, and back."""
    before = output.language()
    output.settle(Language.VI)
    yield
    output.settle(before)


@pytest.mark.parametrize(
    ("names", "values"),
    [
        (i18n_labels.labels(ClauseStanding), ClauseStanding),
        (i18n_labels.labels(FindingSeverity), FindingSeverity),
        (i18n_labels.labels(AddressRole), AddressRole),
    ],
)
def test_every_value_has_a_word(
    names: Mapping[str, Text], values: type[ClauseStanding] | type[FindingSeverity] | type[AddressRole]
) -> None:
    """A value that is added later cannot be forgotten."""
    assert set(names) == set(values)


def test_every_finding_of_the_store_has_a_word() -> None:
    """`mailbox repair` reports no code that its table cannot say in Vietnamese."""
    sources = (path.read_text() for path in Path(str(resources.files("mic_mail.storage"))).rglob("*.py"))
    reported = {code for source in sources for found in _CODE.finditer(source) for code in found.groups() if code}
    assert reported == set(labels.FINDINGS)


@pytest.mark.parametrize("words", [("regulation", "list"), ("regulation", "show", "10.1"), ("regulation", "show", "3.3")])
def test_the_standing_of_a_clause_is_told_in_vietnamese(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """`enforced`, `partly`, `later` and `people` are codes: JSON has them, a Vietnamese table does not."""
    assert main(["--lang", "vi", *words]) == 0
    told = capsys.readouterr().out
    assert not re.search(r"\b(enforced|partly|later|people)\b", told)
    assert "một phần" in told or "do con người" in told
    assert main(["--lang", "vi", *words, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["standing"] for row in (rows if isinstance(rows, list) else [rows])} <= set(ClauseStanding)


def test_the_data_of_a_fact_are_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    """Members and coded values; what a person wrote stays as it was written."""
    column = Column("data", "Chi tiết", "Details", names=labels.FACT_DATA)
    row = {"data": {"cause": "retired", "level": "division", "signatory": "cause"}}
    assert column.display_value(row) == "nguyên nhân=nghỉ hưu, cấp=cấp phòng, ban trở xuống, người ký=cause"
    output.listing([column], [row], as_json=True)
    assert json.loads(capsys.readouterr().out) == [row]
    row = {"data": {"channel": "letter", "doors": "imap submission", "name": "imap", "recipients": 3}}
    assert column.display_value(row) == "kênh=văn bản, chỉ dùng cho=IMAP; gửi thư, tên=imap, số người nhận=3"
    assert column.display_value({"data": {"doors": "imap x"}}) == "chỉ dùng cho=imap x"


def test_every_member_of_a_fact_has_a_word() -> None:
    """What the kinds of facts say they hold, in brackets, a Vietnamese table can name."""
    source = inspect.getsource(FactKind)
    members = {
        re.split(r"[?: ]", part.strip())[0]
        for listed in re.findall(r"\[([^\]]*)\]", source)
        for part in re.split(r"[,;]|for b:|for a:", re.sub(r": a, b or c", "", listed))
    }
    members = {member for member in members if member}
    assert {"address", "received_on", "symbol", "chosen_by"} <= members
    assert members <= set(labels.FACT_DATA)


def test_the_labels_of_facts_are_words_and_distinct() -> None:
    """In both languages: a label with an underscore is a key, and of two members with one label one would be hidden."""
    assert [label.en for label in labels.FACT_DATA.values() if "_" in label.en] == []
    members = [label for code, label in labels.FACT_DATA.items() if "=" not in code]
    assert len({label.vi for label in members}) == len({label.en for label in members}) == len(members)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nope",), "không có lệnh 'nope'."),
        (("regulation", "show"), "thiếu tham số 'MÃ'."),
        (("regulation", "list", "--bogus"), "không có tùy chọn --bogus"),
        (("person", "show", "x"), "giá trị không hợp lệ cho 'MÃ-CÁ-NHÂN': phải là số nguyên"),
        (("demo", "--workers", "99"), "giá trị không hợp lệ cho '--workers': không được quá 64"),
        (("regulation", "show", "8.2", "9"), "thừa tham số (9)"),
    ],
)
def test_a_wrong_command_is_told_in_vietnamese(words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Typer's own sentences are English: the ones that people meet are put into Vietnamese."""
    assert main(["--lang", "vi", *words]) == 2
    assert f"Lệnh chưa đúng: {told}\n" in capsys.readouterr().err


RAW = os.fsdecode(b".\xff\xc4\x90\x1b[31m\r[bold]")


@pytest.mark.parametrize(
    "show",
    [
        lambda: output.line(RAW),
        lambda: output.line(Text(RAW, "x")),
        lambda: output.listing([Column("name", "Tên", "Name")], [{"name": RAW}], as_json=False),
        lambda: output.record([Column("name", "Tên", "Name")], {"name": RAW}, as_json=False),
        lambda: output.note(RAW),
        lambda: output.failure(BadInput(Text(RAW, "x"), clause="5.4.b", remedy=Text(RAW, "x"))),
    ],
    ids=["line", "text", "listing", "record", "note", "failure"],
)
def test_a_name_cannot_speak_to_the_terminal(show: Callable[[], None], capsys: pytest.CaptureFixture[str]) -> None:
    """Octets that are no UTF-8 and control characters are shown as escapes, letters as letters."""
    show()
    captured = capsys.readouterr()
    told = captured.out + captured.err
    assert r".\xffĐ\x1b[31m\x0d[bold]" in told
    assert "\x1b" not in told


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("nt.gnd\u202eexe", r"nt.gnd\u202eexe"),
        ("\u2066a\u2069", r"\u2066a\u2069"),
        ("dvbe\u200b@mic.gov.vn", r"dvbe\u200b@mic.gov.vn"),
        ("\ufeffa\u00adb\u061c", r"\ufeffa\xadb\u061c"),
        ("a\u2028b", r"a\u2028b"),
        ("\U000e0041a\U000e007f", r"\U000e0041a\U000e007f"),
        ("Đỗ Văn Bê, A\u0301, [x]", "Đỗ Văn Bê, A\u0301, [x]"),
    ],
)
def test_what_turns_or_hides_letters_is_shown(raw: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In a table nothing that a stranger chose reads as another thing; JSON has it exactly as it is."""
    columns = [Column("name", "Tên", "Name")]
    output.listing(columns, [{"name": raw}], as_json=False)
    table = capsys.readouterr().out
    assert shown in table
    assert "\u202e" not in table
    output.listing(columns, [{"name": raw}], as_json=True)
    assert json.loads(capsys.readouterr().out) == [{"name": raw}]


def test_trouble_with_a_mailbox_says_which_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever runs the server needs more than clients are told."""
    output.failure(Unavailable("lock /srv/mail/mic.gov.vn/dvbe/.lock busy for 10.0 s"))
    assert "/srv/mail/mic.gov.vn/dvbe/.lock busy" in capsys.readouterr().err


def test_json_says_what_no_character_is(capsys: pytest.CaptureFixture[str]) -> None:
    """It stays JSON in UTF-8, and gives the name back as it was."""
    output.listing([Column("name", "Tên", "Name")], [{"name": RAW}], as_json=True)
    told = capsys.readouterr().out
    told.encode()
    assert json.loads(told) == [{"name": RAW}]


def test_json_is_shown_and_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    """A terminal takes C1 controls and turned letters for more than letters; whoever reads the JSON has them all the same."""
    raw = "a\x1b[2J\x7f\x9b31m\x85\u2028nt.gnd\u202eexe\u200b\U000e0041 Đỗ\n"
    output.print_json({"name": raw})
    told = capsys.readouterr().out
    assert json.loads(told) == {"name": raw}
    assert "Đỗ" in told
    assert not set(told) & set("\x1b\x7f\x9b\x85\u2028\u202e\u200b\U000e0041")


def test_the_built_in_table_of_positions_has_vietnamese_titles_only() -> None:
    """A title is shown as it is on record, since a personnel decision words it so; each of them has letters with diacritics."""
    assert [title for title in BUILT_IN if title.isascii()] == []
