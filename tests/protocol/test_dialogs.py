"""Every `*.dialog` file of this folder and those below holds against a running server; see `dialog` for the notation.

Those that `IN_DATABASE` names, which go through all of the store, also hold where the mailboxes lie in PostgreSQL; all of them
do so with `pytest --in-database`.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import MailServer, config_for
from mailboxes_in_database import new_database
from mic_mail.policy.facts import MailboxKind
from population import PASSWORD
from protocol.dialog import Dialogue, Play, parse

FOLDER = Path(__file__).parent
FILES = sorted(FOLDER.rglob("*.dialog"))
IN_DATABASE = """
    imap/append imap/condstore imap/copy_expunged imap/copy_move imap/expunged imap/fetch imap/folders imap/idle imap/list
    imap/metadata imap/move_expunged imap/multiappend_hostile imap/notify imap/other_sessions imap/qresync imap/quota
    imap/replace imap/search_text imap/select imap/shared_seen_resync imap/sort imap/store pop3/pop3_empty pop3/pop3_line_ends
""".split()


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    """One server for all dialogues that need no settings of their own; each has mailboxes of its own there."""
    server = MailServer(config_for(tmp_path_factory.mktemp("dialogues")))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def server_in_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    """Another one, whose mailboxes lie in PostgreSQL."""
    settings = {"storage": {"database": new_database()}}
    server = MailServer(config_for(tmp_path_factory.mktemp("dialogues"), settings))
    yield server
    server.stop()


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(FOLDER).with_suffix("")) for path in FILES])
def test_dialogue(path: Path, shared_server: MailServer, serve: Callable[..., MailServer]) -> None:
    """What the file says about the server's answers is so."""
    dialogue = parse(path)
    assert dialogue.about, "a dialogue says at its top what must hold"
    _play(dialogue, shared_server if dialogue.settings is None else serve(dialogue.settings))


@pytest.mark.parametrize("name", IN_DATABASE)
def test_dialogue_in_database(name: str, server_in_database: MailServer, serve: Callable[..., MailServer]) -> None:
    """It is so wherever the mailboxes lie."""
    dialogue = parse(FOLDER / f"{name}.dialog")
    server = server_in_database
    if dialogue.settings is not None:
        server = serve({"storage": {"database": new_database()}, **dialogue.settings})
    _play(dialogue, server)


def _play(dialogue: Dialogue, server: MailServer) -> None:
    variables: dict[str, Any] = {"password": PASSWORD}
    mailboxes: dict[str, Any] = {}
    for kind, labels in (
        (MailboxKind.PERSONAL, dialogue.people),
        (MailboxKind.UNIT, dialogue.units),
        (MailboxKind.GROUP, dialogue.groups),
    ):
        for label in labels:
            local = f"{label}-{dialogue.path.stem}".replace("_", "-")  # file names are unique among all rooms
            variables[label], variables[f"{label}_box"] = f"{local}@mic.gov.vn", f"Shared/{local}"
            mailboxes[label] = server.population.issue(local, kind=kind)
    server.refresh()
    Play(dialogue, server, variables, mailboxes).run()
