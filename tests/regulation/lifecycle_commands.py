"""Commands about staff life on a server at a moved clock."""

from datetime import timedelta
from pathlib import Path

from mic_mail.clock import ManualClock, SystemClock
from mic_mail.config.load import load
from mic_mail.directory.repository import Directory
from mic_mail.i18n.notices.catalogue import CATALOGUE
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.due_notices import recorded_key
from mic_mail.policy.facts import Draft, FactKind
from mic_mail.services.mailboxes.issue import Ground, Issuing
from mic_mail.services.mailboxes.reclamation import Reclaiming
from mic_mail.services.notifications.notices import Notices
from mic_mail.storage.local_mailstore import LocalMailStore
from population import credential
from regulation.console import Console

ADDRESS = "dvbe@mic.gov.vn"


class LifecycleConsole(Console):
    """The Centre's command line on a server that `init` made, with one mailbox that was issued 100 days ago."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.init()
        self.done("unit", "add", "CNTT", "Vụ Công nghệ thông tin", "--document", "1553/QĐ-BTTTT")
        self.done("person", "add", "Đỗ Văn Bê", "--unit", "CNTT")
        self.config = load(self.file)
        directory, clock = self.directory(100), self.clock_of(100)
        issuing = Issuing(directory, self.config, clock, credential)
        mailbox = issuing.issue_personal(directory.person(1), "first", Ground(ActContext("test", "", "12/CV")))
        store = LocalMailStore(self.config.mail_root, clock=clock, host="test")
        Notices(store, self.config, clock).welcome(mailbox)
        store.close()
        directory.close()

    def clock_of(self, days_ago: float) -> ManualClock:
        return ManualClock(SystemClock().now() - timedelta(days=days_ago))

    def directory(self, days_ago: float) -> Directory:
        """Facts through it are recorded so long ago."""
        return Directory(self.config.directory_url, clock=self.clock_of(days_ago))

    def restore(self) -> None:
        """Another administrator brings the mailbox back and issues it again."""
        directory, clock, origin = self.directory(0), self.clock_of(0), ActContext("mai", "x", "1/CV")
        store = LocalMailStore(self.config.mail_root, clock=clock, host="other")
        mailbox = directory.mailbox(ADDRESS)
        fact = Reclaiming(directory, store, self.config, clock).bring_back(mailbox, origin)
        issuing = Issuing(directory, self.config, clock, credential)
        issuing.issue_again(mailbox, "again", Ground(origin), bring_back=lambda _: fact)
        store.close()
        directory.close()

    def deliver(self) -> None:
        """One more letter."""
        store, directory = LocalMailStore(self.config.mail_root, clock=self.clock_of(0), host="test"), self.directory(0)
        letter = CATALOGUE["suspended"].sample()
        Notices(store, self.config, self.clock_of(0)).deliver(directory.mailbox(ADDRESS), letter, origin="test:1")
        store.close()
        directory.close()

    def letters(self, home: Path) -> int:
        """How many lie in the store's inbox."""
        return len(list(home.glob("Maildir/cur/*")))

    def reclaim(self, days_ago: int, *, warned: bool = True) -> None:
        """Reclaimed on request and archived so many days ago, as the housekeeper does it."""
        directory = self.directory(days_ago)
        clock = self.clock_of(days_ago)
        mailbox = directory.mailbox(ADDRESS)
        directory.append_fact(mailbox.mailbox_id, Draft(FactKind.RECLAIMED, clock.now(), "test", "giải thể", "7/QĐ"))
        store = LocalMailStore(self.config.mail_root, clock=clock, host="test")
        reclaiming = Reclaiming(directory, store, self.config, clock)
        fact = reclaiming.archive(reclaiming.of(mailbox))
        if warned:
            directory.sent.put([recorded_key(mailbox.mailbox_id, fact)], clock.now())
        store.close()
        directory.close()
