"""Every `*.dialog` file of this folder and those below holds against a running server; see `dialog` for the notation."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import MailServer, config_for
from mic_mail.policy.facts import MailboxKind
from population import PASSWORD
from protocol.dialog import Play, parse

FOLDER = Path(__file__).parent
FILES = sorted(FOLDER.rglob("*.dialog"))


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    """One server for all dialogues that need no settings of their own; each has mailboxes of its own there."""
    server = MailServer(config_for(tmp_path_factory.mktemp("dialogues")))
    yield server
    server.stop()


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(FOLDER).with_suffix("")) for path in FILES])
def test_dialogue(path: Path, shared_server: MailServer, serve: Callable[..., MailServer]) -> None:
    """What the file says about the server's answers is so."""
    dialogue = parse(path)
    assert dialogue.about, "a dialogue says at its top what must hold"
    server = shared_server if dialogue.settings is None else serve(dialogue.settings)
    variables: dict[str, Any] = {"password": PASSWORD}
    mailboxes: dict[str, Any] = {}
    for kind, labels in (
        (MailboxKind.PERSONAL, dialogue.people),
        (MailboxKind.UNIT, dialogue.units),
        (MailboxKind.GROUP, dialogue.groups),
    ):
        for label in labels:
            local = f"{label}-{path.stem}".replace("_", "-")  # file names are unique among all rooms
            variables[label], variables[f"{label}_box"] = f"{local}@mic.gov.vn", f"Shared/{local}"
            mailboxes[label] = server.population.issue(local, kind=kind)
    server.refresh()
    Play(dialogue, server, variables, mailboxes).run()
