"""Reg. 10.4: units that move mail from another system are helped: from files of any kind, while people work, nothing twice.

From a real IMAP server: tests/clients/test_import_from_dovecot.py.
"""

import imaplib
import threading
from collections.abc import Callable, Container, Iterator
from pathlib import Path

import pytest

from harness import MailServer, config_for
from mic_mail.clock import SystemClock
from mic_mail.errors import Refused
from mic_mail.policy.facts import Draft, FactKind, MailboxKind
from mic_mail.services.importers.import_job import ImportJobs, ImportResult
from mic_mail.services.importers.importer import FolderChoice
from mic_mail.services.importers.ledger import taken
from mic_mail.services.importers.maildir import MaildirSource
from mic_mail.services.importers.source import Source, SourceFolder, SourceMessage
from mic_mail.storage.local_mailstore import LocalMailStore
from mic_mail.storage.types import AccountRef
from population import PASSWORD
from regulation.import_setup import maildir

pytestmark = pytest.mark.clause("10.4")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MailServer]:
    made = MailServer(config_for(tmp_path / "data"))
    yield made
    made.stop()


class Beside:
    """Imports as a command does them: in a store of its own, beside the running server."""

    def __init__(self, server: MailServer) -> None:
        self._server = server
        self.store = LocalMailStore(server.config.mail_root, clock=SystemClock(), host="cli")
        directory = server.population.directory
        self.moving = ImportJobs(directory, self.store, server.config, SystemClock())

    def bring(self, mailbox_id: int, source: Source) -> ImportResult:
        entry = self._server.population.directory.entry(mailbox_id)
        return self.moving.run(entry, source, FolderChoice(), lambda tally: None)

    def close(self) -> None:
        self.store.close()


def test_its_person_works_while_mail_arrives(server: MailServer, tmp_path: Path) -> None:
    """A session sees the messages come, in order, and its own flags and deletions stand; delivery goes on beside."""
    bee = server.issue("dvbe")
    session = imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=server.tls())
    session.authenticate("PLAIN", lambda _: f"\0dvbe@mic.gov.vn\0{PASSWORD}".encode())
    session.select("INBOX")
    beside = Beside(server)
    source = MaildirSource(str(maildir(tmp_path / "old", 300)))
    outcomes: list[ImportResult] = []
    thread = threading.Thread(target=lambda: outcomes.append(beside.bring(bee.mailbox_id, source)))
    thread.start()
    session.append("INBOX", "", None, b"Subject: mine\r\n\r\nx\r\n")
    thread.join(60)
    assert outcomes[0].error is None
    assert outcomes[0].imported == 300
    session.noop()
    assert session.untagged_responses.get("EXISTS", [b"0"])[-1] == b"301"
    kind, (uids,) = session.uid("SEARCH", "ALL")
    assert kind == "OK"
    assert [int(uid) for uid in uids.split()] == list(range(1, 302))
    session.uid("STORE", uids.split()[5].decode(), "+FLAGS", "(\\Deleted)")
    session.expunge()
    assert beside.bring(bee.mailbox_id, source).imported == 0
    session.noop()
    assert len(session.uid("SEARCH", "ALL")[1][0].split()) == 300
    session.logout()
    beside.close()


def test_two_imports_at_once(server: MailServer, tmp_path: Path) -> None:
    """Of two sources into one mailbox: all of both, once."""
    bee = server.issue("dvbe")
    sources = [MaildirSource(str(maildir(tmp_path / str(place), 150, 1000 * place))) for place in range(3)]
    outcomes: list[ImportResult] = []

    def bring(source: Source) -> None:
        beside = Beside(server)
        outcomes.append(beside.bring(bee.mailbox_id, source))
        beside.close()

    threads = [threading.Thread(target=bring, args=(source,)) for source in sources]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [(outcome.error, outcome.imported) for outcome in outcomes] == [(None, 150)] * 3
    account = server.running.context.store.account(AccountRef(bee.mailbox_id, bee.home))
    info = account.folder("INBOX")
    assert (info.messages, info.uidnext) == (450, 451)
    assert account.repair(check=True).clean


def test_what_was_reclaimed_or_is_handed_over_takes_nothing(server: MailServer, tmp_path: Path) -> None:
    """Mail is not moved to where nobody may read it (6.4.c), nor into what is handed over as it stands (12.3.d)."""
    bee = server.issue("dvbe")
    server.record(bee, Draft(FactKind.RECLAIMED, server.clock.now(), "test"))
    beside = Beside(server)
    with pytest.raises(Refused):
        beside.bring(bee.mailbox_id, MaildirSource(str(maildir(tmp_path / "old", 1))))
    unit = server.issue("cntt", kind=MailboxKind.UNIT)
    begun = {"person": 1, "holder": "dvbe@mic.gov.vn", "named_by": "An", "until": "2090-01-01"}
    server.record(unit, Draft(FactKind.HANDOVER_BEGUN, server.clock.now(), "test", data=begun))
    with pytest.raises(Refused, match="handed over"):
        beside.bring(unit.mailbox_id, MaildirSource(str(tmp_path / "old")))
    beside.close()


class Watched(MaildirSource):
    """A source of 120 messages, at the 70th of which something happens to the mailbox."""

    def __init__(self, path: Path, happens: Callable[[], object]) -> None:
        super().__init__(str(maildir(path, 120)))
        self._happens = happens

    def messages(self, folder: SourceFolder, known: Container[str]) -> Iterator[SourceMessage]:
        for number, item in enumerate(super().messages(folder, known)):
            if number == 70:
                self._happens()
            yield item


@pytest.mark.parametrize("kind", [FactKind.RECLAIMED, FactKind.HANDOVER_BEGUN])
def test_what_becomes_of_the_mailbox_meanwhile_ends_the_import(server: MailServer, tmp_path: Path, kind: FactKind) -> None:
    """What came before stays, nothing more comes; the record of the run says why, and that it is not complete."""
    begun = {"person": 1, "holder": "dvbe@mic.gov.vn", "named_by": "An", "until": "2090-01-01"}
    unit = server.issue("cntt", kind=MailboxKind.UNIT)
    draft = Draft(kind, server.clock.now(), "test", data=begun if kind is FactKind.HANDOVER_BEGUN else {})
    beside = Beside(server)
    outcome = beside.bring(unit.mailbox_id, Watched(tmp_path / "old", lambda: server.record(unit, draft)))
    assert isinstance(outcome.error, Refused)
    assert outcome.imported == 50
    account = server.running.context.store.account(AccountRef(unit.mailbox_id, unit.home))
    assert account.folder("INBOX").messages == 50
    assert account.repair(check=True).clean
    assert [run.complete for each in taken(server.config.server.data_dir) if (run := each.last)] == [False]
    beside.close()
