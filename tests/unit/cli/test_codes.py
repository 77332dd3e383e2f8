"""Tables show words where JSON has codes, in the language of the run, and every code has its word."""

import json
import re
from collections.abc import Iterator, Mapping
from importlib import resources

import pytest

from mic_mail.cli import alias, codes, directory, output, regulation
from mic_mail.cli.main import main
from mic_mail.cli.output import Column
from mic_mail.directory.model import Role
from mic_mail.errors import Text
from mic_mail.i18n.language import Language
from mic_mail.policy.catalogue import Standing
from mic_mail.services.inspection import Severity

_CODE = re.compile(r"""(?:Finding|_find)\(\s*"([a-z-]+)"(?: if \w+ else "([a-z-]+)")?""")


@pytest.fixture(autouse=True)
def vietnamese() -> Iterator[None]:
    """The language of the run, and back."""
    before = output.language()
    output.settle(Language.VI)
    yield
    output.settle(before)


@pytest.mark.parametrize(
    ("names", "values"), [(regulation.STANDINGS, Standing), (directory.SEVERITIES, Severity), (alias.ROLES, Role)]
)
def test_every_value_has_a_word(names: Mapping[str, Text], values: type[Standing] | type[Severity] | type[Role]) -> None:
    """A value that is added later cannot be forgotten."""
    assert set(names) == set(values)


def test_every_finding_of_the_store_has_a_word() -> None:
    """`mailbox repair` reports no code that its table cannot say in Vietnamese."""
    sources = (file.read_text() for file in resources.files("mic_mail.storage").iterdir() if file.name.endswith(".py"))
    reported = {code for source in sources for found in _CODE.finditer(source) for code in found.groups() if code}
    assert reported == set(codes.FINDINGS)


@pytest.mark.parametrize("words", [("regulation", "list"), ("regulation", "show", "8.2"), ("regulation", "show", "3.3")])
def test_the_standing_of_a_clause_is_told_in_vietnamese(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """`enforced`, `partly`, `later` and `people` are codes: JSON has them, a Vietnamese table does not."""
    assert main(["--lang", "vi", *words]) == 0
    told = capsys.readouterr().out
    assert not re.search(r"\b(enforced|partly|later|people)\b", told)
    assert "một phần" in told or "do con người" in told
    assert main(["--lang", "vi", *words, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["standing"] for row in (rows if isinstance(rows, list) else [rows])} <= set(Standing)


def test_the_data_of_a_fact_are_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    """Members and coded values; what a person wrote stays as it was written."""
    column = Column("data", "Chi tiết", "Details", names=codes.FACT_DATA)
    row = {"data": {"cause": "retired", "level": "division", "signatory": "cause"}}
    assert column.shown(row) == "nguyên nhân=nghỉ hưu, cấp=cấp phòng, ban trở xuống, người ký=cause"
    output.listing([column], [row], as_json=True)
    assert json.loads(capsys.readouterr().out) == [row]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nope",), "không có lệnh 'nope'."),
        (("regulation", "show"), "thiếu tham số 'ID'."),
        (("regulation", "list", "--bogus"), "không có tùy chọn --bogus"),
        (("person", "show", "x"), "giá trị không hợp lệ cho 'PERSON_ID': phải là số nguyên"),
        (("demo", "--workers", "99"), "giá trị không hợp lệ cho '--workers': không được quá 64"),
        (("regulation", "show", "8.2", "9"), "thừa tham số (9)"),
    ],
)
def test_a_wrong_command_is_told_in_vietnamese(words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Typer's own sentences are English: the ones that people meet are put into Vietnamese."""
    assert main(["--lang", "vi", *words]) == 2
    assert f"Lệnh chưa đúng: {told}\n" in capsys.readouterr().err
