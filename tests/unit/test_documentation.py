"""What the documents name is there: tests, decisions, modules, commands and their options, settings."""

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
from typer.core import TyperCommand

from mic_mail.cli.nouns import NOUNS, commands
from mic_mail.config.model import Config
from mic_mail.config.schema import Section

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
MANUALS = [ROOT / name for name in ("docs/admin.en.md", "docs/admin.vi.md", "README.md", "README.vi.md")]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
DECISIONS = {path.name[:4] for path in ROOT.glob("docs/decisions/[0-9]*.md")}
SUFFIXES = (".py", ".sqlite", ".toml")


# ------------------------------------------------------------------ tests


def shown_by() -> Iterator[tuple[str, str]]:
    """The last column of the tables in rfc.md: (folder of this name or of the one before, name)."""
    for row in (ROOT / "docs/rfc.md").read_text().splitlines():
        folder = ""
        for name in re.findall(r"`(?!docs/)([^`]+)`", row.rstrip("| ").rsplit("|", 1)[1]) if row.startswith("| ") else ():
            folder = name.rpartition("/")[0] or folder
            yield folder, name.rpartition("/")[2]


def is_test(folder: str, name: str) -> bool:
    """A dialogue, a module, a folder of modules; a module may be named behind something that lies elsewhere."""
    modules = TESTS.glob(f"**/{name}.py") if name.startswith("test_") else ()
    return any(chain(TESTS.glob(f"protocol/{folder}/{name}.dialog"), modules)) or (TESTS / folder / name).is_dir()


def test_tests_that_show_a_standard() -> None:
    named = list(shown_by())
    assert len(named) > 100
    assert [f"{folder}/{name}" for folder, name in named if not is_test(folder, name)] == []


def test_tests_that_show_a_weakness() -> None:
    """The table of development.md: a file below `tests/`, a test in it."""
    text = (ROOT / "docs/development.md").read_text()
    rows = text[text.index("## Weaknesses of other servers") : text.index("## Measuring")].splitlines()
    named = [
        name.split("::") for row in rows if row.startswith("| ") for name in re.findall("`([^`]+)`", row.rsplit("|", 2)[1])
    ]
    assert len(named) > 50
    assert [file for file, *_ in named if not (TESTS / file).is_file()] == []
    assert [each for each in named if len(each) > 1 and f"def {each[1]}(" not in (TESTS / each[0]).read_text()] == []


# ------------------------------------------------------------------ decisions and links


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_decisions(document: Path) -> None:
    """Links between documents; decisions are also called by their number alone."""
    text = document.read_text()
    links = re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", text)
    assert [link for link in links if not (document.parent / link).exists()] == []
    assert set(re.findall(r"(?:decisions?[/ ]|\[)(0\d{3})\b", text)) <= DECISIONS


def test_decisions_that_the_code_names() -> None:
    for path in ROOT.glob("src/**/*.py"):
        named = re.findall(r"\bdecisions?[/ ](0\d{3}(?:(?:, | and )0\d{3})*)", path.read_text())
        assert set(re.findall(r"\d{4}", " ".join(named))) <= DECISIONS, path


def test_decision_numbers_that_are_missing_are_named() -> None:
    unassigned = set(re.findall(r"\b\d{4}\b", (ROOT / "docs/decisions/README.md").read_text()))
    assert unassigned == {f"{number:04}" for number in range(1, int(max(DECISIONS)) + 1)} - DECISIONS


# ------------------------------------------------------------------ modules


def modules_named(text: str) -> set[str]:
    """Names that begin with a package: `storage.changes.publish`, `services/mailboxes/lifecycle_actions.py`."""
    packages = {path.stem for path in (ROOT / "src/mic_mail").iterdir()}
    dotted = re.findall(r"(?:`|^ {4})([a-z]\w*(?:\.[a-z_]\w*)+)", text, re.MULTILINE)
    files = [path.replace("/", ".") for path in re.findall(r"`([a-z_]+(?:/[a-z_]+)+)(?:\.py|/)`", text)]
    return {name for name in (*dotted, *files) if name.partition(".")[0] in packages and not name.endswith(SUFFIXES)}


def is_module(name: str) -> bool:
    """Or something in one."""
    path = (ROOT / "src/mic_mail").joinpath(*name.split("."))
    if path.is_dir() or path.with_suffix(".py").is_file():
        return True
    within = path.parent.with_suffix(".py")
    return within.is_file() and path.name in within.read_text()


@pytest.mark.parametrize("document", ["docs/architecture.md", "docs/development.md"])
def test_modules(document: str) -> None:
    named = modules_named((ROOT / document).read_text()) - settings_of(Config)
    assert len(named) > 5
    assert sorted(name for name in named if not is_module(name)) == []


def test_layers() -> None:
    """The picture of the layers in architecture.md has every package."""
    text = (ROOT / "docs/architecture.md").read_text()
    picture = text[text.index("## Layers") : text.index("## Processes and threads")]
    layers = [line[4:42].split() for line in picture.splitlines() if line.startswith("    ")]
    named = set(chain.from_iterable(layers))
    assert named == {
        path.stem for path in (ROOT / "src/mic_mail").iterdir() if not path.name.startswith("__") and path.name != "py.typed"
    }


# ------------------------------------------------------------------ commands and settings


def options_of(command: TyperCommand) -> set[str]:
    return {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}


@pytest.mark.parametrize("manual", MANUALS, ids=lambda path: path.name)
def test_commands_and_options(manual: Path) -> None:
    """Each `mic-mail noun verb --option` that a manual writes."""
    known, seen, wrong = {tuple(words.split()): options_of(command) for words, command in commands()}, 0, []
    for line in re.findall(r"mic-mail ((?:--config \S+ )?[a-z][^`#\n]*)", manual.read_text()):
        words = re.sub(r"^--config \S+ ", "", line).split()
        if words[0] not in NOUNS:
            continue  # the account of that name, or an image
        seen += 1
        path = next((tuple(words[:length]) for length in (1, 2, 3) if tuple(words[:length]) in known), tuple(words[:2]))
        options = {word.rstrip(",.;:)]").partition("=")[0] for word in words if word.startswith("--")}
        if not options <= known.get(path, set()) | {"--help"} or (path not in known and len(words) > 1):
            wrong.append(line)
    assert wrong == []
    assert seen > 1


def code_in(text: str) -> list[str]:
    """The code that a text writes: in backticks, and indented, there without comments."""
    return re.findall(r"`([^`]+)`", text) + [
        line.partition(" #")[0] for line in re.findall(r"^ {4,}(\S.*)", text, re.MULTILINE)
    ]


def named_in(text: str) -> set[str]:
    """The commands, options, settings, events, metrics and decisions that a text names."""
    known, settings, code = commands(), settings_of(Config), code_in(text)
    words = [each.removeprefix("mic-mail ").split() for each in code]
    named = {" ".join(each[:length]) for each in words for length in (1, 2, 3) if tuple(each[:length]) in known}
    named.update(found for each in code for found in re.findall(r"--[a-z][a-z-]+|\b[a-z]\w*_\w+", each))
    named.update(found for each in code for found in re.findall(r"\b[a-z]\w*(?:\.[a-z]\w*)+", each) if found in settings)
    return named | set(re.findall(r"decisions/(\d{4})", text))


def parts_of(manual: Path) -> dict[str, set[str]]:
    """What the parts of a manual name, by their place: "5.2(6.4.c)" is the second part of section 5, with its clauses."""
    parts, section, place = {}, "", 0
    for part in re.split(r"^(?=###? )", manual.read_text(), flags=re.MULTILINE):
        heading = part.partition("\n")[0]
        if number := re.match(r"## (\d+)\. ", heading):
            section, place = number[1], 0
        clauses = re.search(r" (\([\d.a-z, ]+\))$", heading)
        parts[f"{section}.{place}{clauses[1] if clauses else ''}"] = named_in(part)
        place += 1
    return parts


def test_both_manuals_have_the_same_parts() -> None:
    """The Vietnamese manual has the sections of the English one; each names the same commands, options, settings and events."""
    english, vietnamese = map(parts_of, MANUALS[:2])
    assert len(english) > 50
    assert list(english) == list(vietnamese)
    assert {part: english[part] ^ vietnamese[part] for part in english if english[part] != vietnamese[part]} == {}


@pytest.mark.parametrize("manual", MANUALS[:2], ids=lambda path: path.name)
def test_contents(manual: Path) -> None:
    """The contents of a manual lead to its sections, in their order."""
    text = manual.read_text()
    numbered = re.findall(r"^## (\d+\. .*)", text, re.MULTILINE)
    anchors = [re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in numbered]
    assert re.findall(r"\]\(#(.*?)\)", text) == anchors


def settings_of(section: type[Section], path: str = "") -> set[str]:
    found: set[str] = set()
    for name, field in section.model_fields.items():
        at = f"{path}{name}"
        found.add(at)
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            found |= settings_of(field.annotation, f"{at}.")
    return found


@pytest.mark.parametrize("manual", MANUALS, ids=lambda path: path.name)
def test_settings(manual: Path) -> None:
    """`section.setting` in a manual."""
    named = re.findall(r"`([a-z]\w*(?:\.[a-z]\w*)+)`", manual.read_text())
    of_a_section = {name for name in named if name.partition(".")[0] in Config.model_fields and not name.endswith(SUFFIXES)}
    assert sorted(of_a_section - settings_of(Config)) == []
