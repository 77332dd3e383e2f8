"""The table of commands, and what a command loads: counted in modules, as seconds depend on the machine."""

import importlib
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

from mic_mail.cli import commands
from mic_mail.cli.nouns import NOUNS, Alone, Noun
from mic_mail.cli.output import say
from regulation.console import Console

HELPERS = {"request_bulk"}
"""Modules beside the commands that have none."""


def test_the_table_has_the_commands_of_each_module() -> None:
    """Under the same words, each once and in its place."""
    nouns = [noun for noun in NOUNS.values() if isinstance(noun, Noun)]
    listed = {module: verbs.split() for noun in nouns for module, verbs in noun.verbs.items()}
    alone = {word: [word] for word, noun in NOUNS.items() if isinstance(noun, Alone)}
    assert not listed.keys() & alone.keys()
    found = {}
    for name in {module.name for module in pkgutil.iter_modules(commands.__path__)} - HELPERS:
        app = importlib.import_module(f"mic_mail.cli.commands.{name}").app
        found[name] = [command.name for command in app.registered_commands] + [group.name for group in app.registered_groups]
    assert found == listed | alone


def test_a_command_that_stands_alone_is_listed_with_its_help() -> None:
    """The list is made without loading it."""
    told = {word: say(noun.vi, noun.en) for word, noun in NOUNS.items() if isinstance(noun, Alone)}
    modules = {word: importlib.import_module(f"mic_mail.cli.commands.{word}").app for word in told}
    assert told == {word: app.registered_commands[0].help for word, app in modules.items()}


LOADED = """
import json, sys
from mic_mail.cli.main import main
out, sys.stdout = sys.stdout, open("/dev/null", "w")
code = main(sys.argv[1:])
json.dump([code, [name for name in sys.modules if not name.startswith("_")]], out)
"""


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Console:
    """A server with one person."""
    made = Console(tmp_path_factory.mktemp("console")).init()
    made.done("unit", "add", "CNTT", "Cục Công nghệ thông tin", "--document", "1/QĐ")
    made.done("person", "add", "Đỗ Văn Bê", "--unit", "CNTT")
    return made


NO_CONFIGURATION = {"mic_mail.config.model"}
NO_DIRECTORY = {"asyncio", "logging", "sqlalchemy", "mic_mail.directory.model"}
NO_SERVER = {
    "aiosmtpd", "alembic", "argon2", "cryptography", "dns", "idna", "jinja2", "openpyxl", "pydantic", "pypdf", "starlette",
    "typst", "uvloop", "psycopg", "sqlalchemy.dialects.postgresql", "mic_mail.storage.local_store",
    "mic_mail.storage.local_mailstore", "mic_mail.mime.headers", "mic_mail.services.notifications.notices", "mic_mail.imap",
    "mic_mail.smtp", "mic_mail.app", "mic_mail.web",
}  # fmt: skip
NO_REGISTERS = {"mic_mail.directory.register_model", "mic_mail.directory.changes", "mic_mail.directory.scoped"}


@pytest.mark.parametrize(
    ("words", "code", "unwanted", "most"),
    [
        (("--version",), 0, NO_CONFIGURATION | NO_DIRECTORY | NO_SERVER, 300),
        (("--help",), 0, NO_CONFIGURATION | (NO_DIRECTORY - {"logging"}) | NO_SERVER, 370),
        (("status",), 3, NO_DIRECTORY | NO_SERVER, 360),
        (("mailbox", "list"), 0, NO_DIRECTORY | NO_SERVER | NO_REGISTERS | {"mic_mail.mailbox_address"}, 360),
        (("person", "show", "1"), 0, NO_DIRECTORY | NO_SERVER, 400),
    ],
)
def test_a_short_command_loads_little(
    words: tuple[str, ...], code: int, unwanted: set[str], most: int, console: Console, tmp_path: Path
) -> None:
    """Neither the code of servers and mailboxes, nor the configuration or the directory where it reads none."""
    program = [sys.executable, "-c", LOADED, "--config", console.file, *words]
    done = subprocess.run(program, capture_output=True, text=True, check=True, env={"HOME": str(tmp_path), "LANG": "C.UTF-8"})
    ended, loaded = json.loads(done.stdout)
    assert (ended, unwanted & set(loaded)) == (code, set())
    assert len(loaded) < most, f"{len(loaded)} modules"


AT_ITS_END = """
import atexit, gc
atexit.register(lambda: print(gc.get_freeze_count() > 10_000, gc.get_threshold()[0] > 10_000))
from mic_mail.cli.entrypoint import run
run()
"""


def test_code_is_not_searched_for_garbage() -> None:
    """Neither while it is loaded nor before the process ends."""
    done = subprocess.run([sys.executable, "-c", AT_ITS_END, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "True True"
