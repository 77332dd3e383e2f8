"""A session without a network: octets in, octets out, on a real store, its actions carried out on the spot.

`Talk` speaks IMAP, `Pop3Talk` POP3, `LdapTalk` LDAP, which needs no store.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from mic_mail.auth.sasl import Challenge
from mic_mail.clock import ManualClock
from mic_mail.connection import actions
from mic_mail.connection.actions import Action, Answer, BindAccount, Hangup, LogEvent, NeedInput, RecordActivity, Send, SignIn
from mic_mail.errors import Text
from mic_mail.imap.actions import ClearAway, Decode, StartCompression, SubscribeAccounts, WatchAccount, Work
from mic_mail.imap.selected.shared_cache import SharedCache
from mic_mail.imap.session import Session
from mic_mail.imap.session_settings import SessionSettings
from mic_mail.ldap.actions import Consult
from mic_mail.ldap.context import SessionSettings as LdapSettings
from mic_mail.ldap.dit import Tree
from mic_mail.ldap.session import Session as LdapSession
from mic_mail.policy.lifecycle import Decision
from mic_mail.pop3.context import SessionSettings as Pop3Settings
from mic_mail.pop3.session import Session as Pop3Session
from mic_mail.services.authentication.identity import Answered, SignedIn
from mic_mail.services.authentication.refusals import Refusal, RefusalKind
from mic_mail.services.authentication.shared_mailboxes import SharedMailbox
from mic_mail.storage.index.answer_rows import FolderKey
from mic_mail.storage.index.open_folders import OpenFolder
from mic_mail.storage.local_mailstore import Account, LocalMailStore
from mic_mail.storage.types import AccountRef, AnswerRow, FolderDelta

REF = AccountRef(1, "mic.gov.vn/dvbe")
START = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)


def decision() -> Decision:
    """Everything is allowed, for ever."""
    return Decision(
        states=frozenset(), receives=True, signs_in=True, sends=True, changes_password=True, reasons=(),
        valid_until=None, fact_seq=0, next_change=None,
    )  # fmt: skip


class Host:
    """Answers from memory."""

    def __init__(self, *boxes: SharedMailbox, store: LocalMailStore | None = None) -> None:
        self.store = store
        self.mark: int | None = None
        """What is said instead of the truth: that nothing has changed since."""
        self.remembers = True
        """Whether the process knows what its other sessions have done, as where all are in one."""
        self.quota: int | None = 1 << 30
        self.boxes = {box.name: box for box in boxes}

    def mechanisms(self) -> tuple[str, ...]:
        return ("PLAIN",)

    def quota_octets(self, mailbox_id: int) -> int | None:
        return self.quota

    def change_mark(self, mailbox_id: int) -> int:
        if self.mark is not None:
            return self.mark
        return 0 if self.store is None else self.store.change_mark(mailbox_id)

    def changes_since(self, mailbox_id: int, folder_id: int, since_modseq: int, mark: int) -> FolderDelta | None:
        if self.store is None or not self.remembers:
            return None
        return self.store.changes_since(mailbox_id, folder_id, since_modseq, mark)

    def opened(self, account: AccountRef, name: str) -> FolderDelta | None:
        return None if self.store is None or not self.remembers or self.mark is not None else self.store.opened(account, name)

    def enter(self, account_id: int, folder_id: int, *, claims: bool) -> OpenFolder:
        assert self.store is not None
        return self.store.enter(account_id, folder_id, claims=claims)

    def read_cached(self, path: str, size: int) -> bytes | None:
        return None if self.store is None else self.store.read_cached(path, size)

    def answer_rows(self, folder: FolderKey, uids: Sequence[int]) -> list[AnswerRow] | None:
        return None if self.store is None or not self.remembers else self.store.answer_rows(folder, uids)

    def hidden(self, mailbox_id: int) -> frozenset[str]:
        return frozenset()

    def shared(self, mailbox_id: int) -> Mapping[str, SharedMailbox]:
        return self.boxes

    def alerts(self) -> Sequence[Text]:
        return ()

    def holders(self, mailbox_id: int) -> Mapping[str, str]:
        return {}

    def withheld(self, mailbox_id: int) -> str:
        return ""

    def records_access(self, mailbox_id: int) -> bool:
        return False


class Talk:
    """One connection. `say` gives what the server answered up to the point where it waits again."""

    def __init__(
        self,
        store: LocalMailStore,
        settings: SessionSettings | None = None,
        *,
        cache: SharedCache | None = None,
        boxes: Iterable[SharedMailbox] = (),
    ) -> None:
        self.clock = ManualClock(START)
        self.store = store
        self.host = Host(*boxes, store=store)
        self.actor = "dvbe@mic.gov.vn"
        self.account: Account = store.account(REF)
        self.notes: list[LogEvent] = []
        self.attended: list[AccountRef | None] = []
        self.overheard = SubscribeAccounts()
        self.sent: list[bytes] = []
        self.over = False
        self.work = 0
        self.waiting: NeedInput | None = None
        self.session = Session(
            settings or SessionSettings(), clock=self.clock, cache=cache or SharedCache(), host=self.host, tls=True,
            tokens=lambda n: 0,
        )  # fmt: skip
        self.greeting = self.run()

    def say(self, octets: bytes) -> bytes:
        self.session.feed(octets)
        return self.run()

    def say_in_pieces(self, pieces: Iterable[bytes]) -> bytes:
        return b"".join([self.say(piece) for piece in pieces])

    def sign_in(self) -> "Talk":
        assert b"a OK" in self.say(b"a LOGIN dvbe right\r\n")
        return self

    def run(self) -> bytes:
        """Carry out steps until the session waits or ends."""
        first = len(self.sent)
        while not self.over:
            step = self.session.next()
            if isinstance(step, NeedInput):
                self.waiting = step
                break
            self.carry_out(step)
        return b"".join(self.sent[first:])

    def carry_out(self, action: Action) -> None:
        result: object = None
        match action:
            case Send(data):
                self.sent.append(data)
            case Work(run, _, at):
                self.work += 1
                assert run.__qualname__, "the connection notes the work in progress by its name"
                try:
                    result = run(self.account if at is None else self.store.account(at))
                except Exception as error:  # noqa: BLE001 - as the shell does
                    self.session.failed(action, error)
                    return
            case SignIn():
                result = self.answer(action)
            case Answer():
                result = Challenge(b"")
            case BindAccount():
                result = True
            case WatchAccount():
                self.attended.append(action.account)
            case Decode():
                result = action.run()
            case ClearAway():
                action.run()
            case SubscribeAccounts():
                self.overheard = action
            case LogEvent():
                self.notes.append(action)
            case StartCompression():
                pass
            case Hangup():
                self.over = True
        self.session.done(action, result)

    def answer(self, action: SignIn) -> Answered:
        if action.password == "right":
            return SignedIn(1, "dvbe@mic.gov.vn", REF, decision(), self.actor, 1)
        return Refusal(RefusalKind.WRONG_CREDENTIALS, Text("Sai.", "Wrong."), None, "REF")


class Pop3Talk:
    """One POP3 connection. `say` gives what the server answered up to the point where it waits again."""

    def __init__(self, store: LocalMailStore, settings: Pop3Settings | None = None, *, tls: bool = True) -> None:
        self.clock = ManualClock(START)
        self.account: Account = store.account(REF)
        self.notes: list[LogEvent] = []
        self.work = self.used = 0
        self.over = False
        self.session = Pop3Session(settings or Pop3Settings(), clock=self.clock, host=Host(), tls=tls, tokens=lambda n: 0)
        self.greeting = self.run()

    def say(self, octets: bytes) -> bytes:
        self.session.feed(octets)
        return self.run()

    def sign_in(self) -> "Pop3Talk":
        answer = self.say(b"USER dvbe\r\nPASS right\r\n")
        assert answer.count(b"+OK") == 2, answer
        return self

    def run(self) -> bytes:
        """Carry out steps until the session waits or ends."""
        sent: list[bytes] = []
        while not self.over:
            step = self.session.next()
            if isinstance(step, NeedInput):
                break
            if isinstance(step, Send):
                sent.append(step.data)
            try:
                self.session.done(step, self.result_of(step))
            except Exception as error:  # noqa: BLE001 - as the shell does
                self.session.failed(step, error)
        return b"".join(sent)

    def result_of(self, action: Action) -> object:
        match action:
            case actions.Work(run):
                self.work += 1
                return run(self.account)
            case SignIn(password="right"):
                return SignedIn(1, "dvbe@mic.gov.vn", REF, decision(), "dvbe@mic.gov.vn", 1)
            case SignIn():
                return Refusal(RefusalKind.WRONG_CREDENTIALS, Text("Sai.", "Wrong."), None, "REF")
            case Answer():
                return Challenge(b"")
            case BindAccount():
                return True
            case RecordActivity():
                self.used += 1
            case LogEvent():
                self.notes.append(action)
            case Hangup():
                self.over = True
        return None


class LdapTalk:
    """One LDAP connection. `say` gives what the server answered up to the point where it waits again."""

    def __init__(self, tree: Tree, settings: LdapSettings | None = None, *, strangers: bool = False, tls: bool = True) -> None:
        self.clock = ManualClock(START)
        self.tree = tree
        self.strangers = strangers
        self.notes: list[LogEvent] = []
        self.over = False
        self.session = LdapSession(settings or LdapSettings(), clock=self.clock, host=self, tls=tls, tokens=lambda n: 0)

    def mechanisms(self) -> tuple[str, ...]:
        return ("PLAIN",)

    def allows_anonymous(self) -> bool:
        return self.strangers

    def say(self, octets: bytes) -> bytes:
        self.session.feed(octets)
        return self.run()

    def run(self) -> bytes:
        """Carry out steps until the session waits or ends."""
        sent: list[bytes] = []
        while not self.over:
            step = self.session.next()
            if isinstance(step, NeedInput):
                break
            if isinstance(step, Send):
                sent.append(step.data)
            try:
                self.session.done(step, self.result_of(step))
            except Exception as error:  # noqa: BLE001 - as the shell does
                self.session.failed(step, error)
        return b"".join(sent)

    def result_of(self, action: Action) -> object:
        match action:
            case SignIn(password="right"):
                return SignedIn(1, "dvbe@mic.gov.vn", REF, decision(), "dvbe@mic.gov.vn", 1)
            case SignIn():
                return Refusal(RefusalKind.WRONG_CREDENTIALS, Text("Sai.", "Wrong."), None, "REF")
            case Answer():
                return Challenge(b"")
            case BindAccount():
                return True
            case Consult():
                return self.tree
            case LogEvent():
                self.notes.append(action)
            case Hangup():
                self.over = True
        return None


def open_store(folder: Path) -> LocalMailStore:
    return LocalMailStore(folder, clock=ManualClock(START), host="mail.mic.gov.vn")
