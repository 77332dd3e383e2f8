"""Mail to the Centre with the request form attached: each row becomes a request, and the unit is told what became of it (6.2).

In: new messages in INBOX of `regulation.support`. Out: requests in the register, one answer in the unit's mailbox. Blocking;
the housekeeper's. Nothing is taken out of the mailbox or changed in it: people read the mail there as ever.

Only what a unit's mailbox submitted here counts (`submitted`); mail from outside, from people's mailboxes, or without a form
opens nothing and is not answered. A message is read once, by its EMAILID: its rows and the word that it was read are one
transaction; the answer has an origin of its own; the mark moves on last. Killed anywhere in between, the next round does what
is missing and nothing twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.directory.repository import Directory
from mic_mail.directory.requests import Outcomes
from mic_mail.directory.snapshot import Entry, Snapshot
from mic_mail.errors import MicMailError, Text
from mic_mail.i18n.notices import requests as texts
from mic_mail.i18n.notices.notice import Letter
from mic_mail.log.maillog import MailLog
from mic_mail.mime import encodings, headers
from mic_mail.mime.scanner import Scanner
from mic_mail.mime.structure import Part
from mic_mail.papers.paper import Sheet, UnreadableSheet
from mic_mail.policy.addresses import candidates
from mic_mail.policy.facts import MailboxKind
from mic_mail.policy.requests import KINDS, Channel, Kind, deadline_clause
from mic_mail.services.notices import Notices
from mic_mail.services.requests import form as forms
from mic_mail.services.requests.form import Known, Reader, Row
from mic_mail.services.requests.register import Register
from mic_mail.services.requests.submitted import submitted_from
from mic_mail.storage.mailstore import Account, MailStore
from mic_mail.storage.types import INBOX, AccountRef

MARK = "requests"
BATCH = 100
"""Messages whose headers are looked at together."""
MOST_FILES = 5
"""Attachments of one message that are looked at."""
MOST_FORM_OCTETS = 4 << 20
"""Of an attachment, decoded: a form of 1,000 rows measures 0.1 MiB."""
_WHOLE_FILE = 0


@dataclass(frozen=True, slots=True)
class _Mail:
    """A message that a unit's mailbox submitted."""

    uid: int
    key: str
    header: bytes
    received_at: datetime
    sender: Entry


class Intake:
    """Looks through the Centre's mailbox, from where it stopped."""

    def __init__(self, directory: Directory, store: MailStore, config: Config, clock: Clock, log: MailLog) -> None:
        self._directory = directory
        self._store = store
        self._config = config
        self._clock = clock
        self._log = log

    def look(self, snapshot: Snapshot) -> int:
        """Take in what is new; how many requests were opened."""
        support = snapshot.resolve(self._config.support)
        if support is None:
            return 0
        account = self._store.account(AccountRef(support.mailbox_id, support.home))
        inbox = account.folder(INBOX)
        validity, last = self._directory.requests.mark(MARK) or (0, 0)
        if validity != inbox.uidvalidity:
            last = 0  # never read, or restored from a copy: what was read is known by its key
        if inbox.uidnext <= last + 1:
            return 0
        return self._read_on(account, inbox.folder_id, inbox.uidvalidity, last, snapshot)

    def _read_on(self, account: Account, folder_id: int, validity: int, last: int, snapshot: Snapshot) -> int:
        opened = 0
        uids = [uid for uid in account.view(folder_id).uids if uid > last]
        for start in range(0, len(uids), BATCH):
            batch = uids[start : start + BATCH]
            for mail in self._from_units(account, folder_id, batch, snapshot):
                opened += self._take(account, folder_id, mail)
                self._directory.requests.set_mark(MARK, validity, mail.uid)
            self._directory.requests.set_mark(MARK, validity, batch[-1])
        return opened

    def _from_units(self, account: Account, folder_id: int, uids: list[int], snapshot: Snapshot) -> Iterator[_Mail]:
        rows = account.rows(folder_id, uids, ("uid", "email_id", "internaldate_us", "header"))
        for uid, key, at_us, header in rows:
            address = submitted_from(header, self._config.server.hostname)
            if address is None or _is_automatic(header):
                continue
            found = (snapshot.resolve(known) for known in candidates(address, self._config.smtp.subaddress))
            sender = next((entry for entry in found if entry is not None), None)
            if sender is not None and sender.kind is MailboxKind.UNIT:
                yield _Mail(uid, key, header, datetime.fromtimestamp(at_us / 1e6, UTC), sender)

    def _take(self, account: Account, folder_id: int, mail: _Mail) -> int:
        """One message; a defect that it brings to light must not keep the others waiting for ever."""
        try:
            return self._open(account, folder_id, mail)
        except (MicMailError, OSError):
            raise  # the store or the database: the next round comes back to it
        except Exception as error:  # noqa: BLE001 - the message stays where people see it
            self._log.event("request_mail_failed", message=mail.key, error=f"{type(error).__name__}: {error}")
            return 0

    def _open(self, account: Account, folder_id: int, mail: _Mail) -> int:
        register, outcomes = self._directory.requests, self._directory.requests.outcomes(mail.key)
        new = outcomes is None
        if outcomes is None:
            rows = self._rows(account, folder_id, mail)
            if not rows:
                return 0
            wanted = [(row.number, row.filing) for row in rows if row.filing is not None]
            told = [_outcome(row) for row in rows]
            outcomes = register.read_mail(mail.key, wanted, told, mail.sender.address, self._clock.now())
        self._answer(mail, outcomes)
        opened = sum(each["request"] is not None for each in outcomes)
        if new:
            refused = len(outcomes) - opened
            self._log.event("requests_opened", mailbox=mail.sender.address, message=mail.key, count=opened, refused=refused)
        return opened if new else 0

    # ------------------------------------------------------------ the form

    def _rows(self, account: Account, folder_id: int, mail: _Mail) -> list[Row]:
        """What the first form in the message asks for; nothing where there is none."""
        with account.open_message(folder_id, mail.uid) as file:
            octets = file.pread(0, file.size)
        unit = next((u for u in self._directory.units() if u.unit_id == mail.sender.owner.unit_id), None)
        asker = mail.sender.owner.name or mail.sender.address
        known = Known(unit, Channel.MAIL, mail.received_at, asker, fixed=True)
        for attached in _files(octets):
            try:
                sheet = _form_in(attached)
                if sheet is not None:
                    return list(Reader(self._directory, self._config, self._clock).rows(sheet, known))
            except UnreadableSheet as refusal:
                if forms.is_meant(attached):
                    return [Row(_WHOLE_FILE, refusal=refusal)]
        return []

    # ------------------------------------------------------------ the answer

    def _answer(self, mail: _Mail, outcomes: Outcomes) -> None:
        whole = next((each for each in outcomes if each["row"] == _WHOLE_FILE), None)
        letter = texts.request_form_unreadable(_text(whole["refused"])) if whole is not None else self._told(outcomes)
        notices = Notices(self._store, self._config, self._clock)
        notices.deliver(mail.sender, letter, origin=f"request-mail:{mail.key}", in_reply_to=_message_id(mail.header))

    def _told(self, outcomes: Outcomes) -> Letter:
        register, lines, opened = Register(self._directory, self._config, self._clock), list[Text](), 0
        for each in outcomes:
            row = int(str(each["row"]))
            if each["request"] is None:
                clause = each["clause"]
                lines.append(texts.refused_row(row, _text(each["refused"]), None if clause is None else str(clause)))
                continue
            request = self._directory.requests.get(int(str(each["request"])))
            kind, opened = KINDS[request.kind], opened + 1
            if request.kind is Kind.INCIDENT:
                lines.append(texts.recorded_row(row, request.request_id, request.result or ""))
                continue
            about = Text(f"{kind.vi}: {request.filing.subject}", kind.en)
            due = register.deadline(request.filing)
            lines.append(texts.opened_row(row, request.request_id, about, due, deadline_clause(request.kind)))
        return texts.requests_answered(opened, len(outcomes) - opened, texts.listed(*lines))


def _outcome(row: Row) -> dict[str, object]:
    refusal = row.refusal
    told = {"vi": refusal.text.vi, "en": refusal.text.en} if refusal is not None else None
    return {"row": row.number, "refused": told, "clause": refusal.clause if refusal is not None else None}


def _text(told: object) -> Text:
    assert isinstance(told, dict)
    return Text(str(told["vi"]), str(told["en"]))


def _is_automatic(header: bytes) -> bool:
    """RFC 3834 §5: what a program wrote asks for nothing, and is not answered."""
    said = headers.field(header, b"auto-submitted")
    return said is not None and said.strip().lower() != b"no"


def _message_id(header: bytes) -> str | None:
    said = headers.field(header, b"message-id")
    return said.strip().strip(b"<>").decode("ascii", "replace") if said else None


def _form_in(octets: bytes) -> Sheet | None:
    sheet = forms.read_table(octets)
    return sheet if forms.is_form(sheet) else None


def _files(message: bytes) -> Iterator[bytes]:
    """The attachments, decoded, as far as they may be a form."""
    scanner = Scanner()
    scanner.feed(message)
    attached = [part for part in _leaves(scanner.finish().root) if part.is_attachment or part.has_filename]
    for part in attached[:MOST_FILES]:
        if part.decoded_octets <= MOST_FORM_OCTETS:
            yield encodings.decode(message[part.body_start : part.body_end], part.encoding.decode("ascii", "replace"))


def _leaves(part: Part) -> Iterator[Part]:
    """Of the message itself: what a forwarded message has attached asks for nothing."""
    if part.is_message and part.header_start > 0:
        return
    if not part.children:
        yield part
    for child in part.children:
        yield from _leaves(child)
