"""What the tests of Reg. 12.3.d share: a unit's mailbox on a running server, its keeper, a successor, and who hands over."""

import imaplib
import poplib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness import MailServer, config_for
from mic_mail.auth import password_hash
from mic_mail.clock import SystemClock
from mic_mail.directory.repository import Directory
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.facts import MailboxKind
from mic_mail.policy.unit_mail.handover import Handover
from mic_mail.process.startup import make_folders
from mic_mail.services.handover.transfer import Handovers, Nomination
from mic_mail.services.handover.verify import MessageFinding, Verification
from mic_mail.storage.local_mailstore import Account, LocalMailStore
from mic_mail.storage.types import AccountRef
from population import PASSWORD, Population
from store_harness import deliver

CNTT, BE, LAN = "cntt@mic.gov.vn", "dvbe@mic.gov.vn", "ttlan@mic.gov.vn"
HEAD = ActContext("mai", "phân công mới", "45/QĐ-CNTT")
NAMING = Nomination(LAN, "Nguyễn Văn An, Cục trưởng")


class Still:
    """What a server has that does not run: folders, configuration, people."""

    def __init__(self, folder: Path) -> None:
        self.clock = SystemClock()
        self.config = config_for(folder)
        make_folders(self.config)
        self.population = Population(self.config.directory_url, self.clock)
        self.issue, self.record = self.population.issue, self.population.record
        self.allow, self.deny = self.population.allow, self.population.deny

    def refresh(self) -> None:
        pass


class Office:
    """cntt@, which dvbe keeps and ttlan takes over; the Centre works beside the server, as a command does."""

    def __init__(self, server: MailServer | Still) -> None:
        self.server: Any = server
        self._sockets: list[Any] = []
        self.unit = server.issue("cntt", kind=MailboxKind.UNIT, name="Cục CNTT")
        self.be = server.issue("dvbe", name="Đỗ Văn Bê")
        self.lan = server.issue("ttlan", name="Trần Thị Lan")
        server.allow(self.unit, self.be, "keeper")
        self.directory = Directory(server.config.directory_url, clock=server.clock)
        self.store = LocalMailStore(server.config.mail_root, clock=server.clock, host="centre")
        self.handovers = Handovers(self.directory, self.store, server.config, server.clock)

    def close(self) -> None:
        for each in self._sockets:
            each.close()
        self.store.close()
        self.directory.close()

    @property
    def account(self) -> Account:
        return self.store.account(AccountRef(self.unit.mailbox_id, self.unit.home))

    def fill(self, *tokens: str, folder: str = "INBOX", **fields: Any) -> list[int]:
        return deliver(self.account, self.account.folder(folder).folder_id, tokens, **fields)

    def uids(self, folder: str = "INBOX") -> list[int]:
        return list(self.account.view(self.account.folder(folder).folder_id).uids)

    # ------------------------------------------------------------ the acts

    def begin(self, naming: Nomination = NAMING) -> Handover:
        self.handovers.begin(self.unit, naming, HEAD)
        self.server.refresh()
        self.handovers.count(self.unit, HEAD)
        self.server.refresh()
        return self.handovers.of(self.unit)

    def finish(self) -> str:
        password = password_hash.generate()
        assert self.handovers.finish(self.unit, password, HEAD)
        self.server.refresh()
        return password

    def cancel(self) -> None:
        self.handovers.cancel(self.unit, HEAD)
        self.server.refresh()

    def verify(self) -> Verification:
        return self.handovers.verify(self.unit, self.handovers.of(self.unit))

    def fates(self) -> dict[MessageFinding, int]:
        """How many messages are of each fate."""
        checks = self.verify().folders
        return {fate: count for fate in MessageFinding if (count := sum(check.fates[fate] for check in checks))}

    # ------------------------------------------------------------ the clients

    def imap(self, address: str, password: str = PASSWORD) -> imaplib.IMAP4_SSL:
        client = imaplib.IMAP4_SSL("localhost", self.server.ports["imaps"], ssl_context=self.server.tls(), timeout=20)
        self._sockets.append(client.socket())
        client.authenticate("PLAIN", lambda _: f"\0{address}\0{password}".encode())
        return client

    def pop3(self, address: str = CNTT) -> poplib.POP3_SSL:
        client = poplib.POP3_SSL("localhost", self.server.ports["pop3s"], context=self.server.tls(), timeout=20)
        self._sockets.append(client.sock)
        client.user(address)
        client.pass_(PASSWORD)
        return client


def open_office(serve: Callable[..., MailServer], clock: Any = None) -> Office:
    """An office on a server of its own; 13.2: POP3 too."""
    return Office(serve(clock=clock) if clock is not None else serve())


def still_office(folder: Path) -> Iterator[Office]:
    """An office without a running server, with mail in three folders; two messages are alike."""
    office = Office(Still(folder))
    office.fill("một", "hai", "ba", "hai")
    office.fill("bốn", folder="Sent")
    office.account.create("Công văn/2026")
    office.fill("năm", folder="Công văn/2026")
    yield office
    office.close()


def afresh(office: Office, act: Callable[[Handovers], object]) -> object:
    """With handles of its own, as another process."""
    directory = Directory(office.server.config.directory_url, clock=office.server.clock)
    store = LocalMailStore(office.server.config.mail_root, clock=office.server.clock, host="killed")
    try:
        return act(Handovers(directory, store, office.server.config, office.server.clock))
    finally:
        store.close()
        directory.close()
