"""The intake of mail to the Centre with the request form (Reg. 6.2).

Each row of a form becomes a request, and the unit gets an answer.

In: new messages in INBOX of `regulation.support`. Out: requests in the register, and with them the pending answers, which
`outcome_notices` sends. Blocking; the housekeeper's. Nothing in the mailbox is changed: people read the mail as usual.

Only mail submitted here from a unit's mailbox counts (`submitted_by`); any other, or one without a form, opens nothing
and is not answered. A message is read once, by its EMAILID: its rows, the record that it was read and the pending answer
are one transaction; the mark moves last. A message that cannot be read delays no other: it is deferred, and retried for
`TRIED_FOR` (`policy.requests.is_due`). That is recorded before the next message is read: where the register cannot be
written, the run ends there, and the mark stays where it is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mic_mail.directory.repository import Directory
from mic_mail.directory.requests import ReadMail
from mic_mail.directory.snapshot import Entry, Snapshot
from mic_mail.documents.document import Sheet, UnreadableSheet
from mic_mail.log.error_fields import failure
from mic_mail.mime import encodings, headers
from mic_mail.mime.scanner import Scanner
from mic_mail.mime.structure import Part
from mic_mail.policy.facts import MailboxKind
from mic_mail.policy.naming.addresses import candidates
from mic_mail.policy.requests import RequestChannel, is_due
from mic_mail.process.runtime import Runtime
from mic_mail.services.requests import form as forms
from mic_mail.services.requests.form import FormContext, FormReader, FormRow
from mic_mail.services.requests.submitted_by import submitted_from
from mic_mail.storage.mailstore import Account, MailStore
from mic_mail.storage.types import INBOX

MARK = "requests"
BATCH = 100
MOST_FILES = 5
MOST_FORM_OCTETS = 4 << 20
"""Octets of a decoded attachment: a form of 1,000 rows has 0.1 MiB."""
WHOLE_FILE = 0
"""The row number that stands for a refusal of the whole file."""
TRIED_FOR = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class _Mail:
    uid: int
    key: str
    header: bytes
    received_at: datetime
    sender: Entry


class Intake:
    """Reads the Centre's mailbox, from where it stopped."""

    def __init__(self, runtime: Runtime, directory: Directory, store: MailStore) -> None:
        self._runtime = runtime
        self._directory = directory
        self._store = store

    def run_once(self, snapshot: Snapshot) -> int:
        """Read new messages, and retry unreadable ones; return how many mails had a form."""
        support = snapshot.resolve(self._runtime.config().support)
        if support is None:
            return 0
        account = self._store.account_of(support)
        inbox = account.folder(INBOX)
        validity, last = self._directory.requests.mark(MARK) or (0, 0)
        if validity != inbox.uidvalidity:
            last = 0  # never read, or restored from a copy: known mails have their key, and deferred ones had other UIDs
        read = self._come_back(account, inbox.folder_id, snapshot) if validity == inbox.uidvalidity else 0
        if inbox.uidnext > last + 1:
            read += self._read_on(account, inbox.folder_id, inbox.uidvalidity, last, snapshot)
        return read

    def has_deferred(self) -> bool:
        """Return whether messages wait for another attempt."""
        return bool(self._directory.requests.deferred(MARK))

    def _read_on(self, account: Account, folder_id: int, validity: int, last: int, snapshot: Snapshot) -> int:
        register, read = self._directory.requests, 0
        uids = [uid for uid in account.view(folder_id).uids if uid > last]
        for start in range(0, len(uids), BATCH):
            batch = uids[start : start + BATCH]
            for mail in self._from_units(account, folder_id, batch, snapshot):
                taken = self._take(account, folder_id, mail)
                if taken is None:
                    register.set_mark(MARK, validity, mail.uid, deferred_since=self._runtime.clock.now())
                read += bool(taken)
            register.set_mark(MARK, validity, batch[-1])
        return read

    def _come_back(self, account: Account, folder_id: int, snapshot: Snapshot) -> int:
        register, now, read = self._directory.requests, self._runtime.clock.now(), 0
        due = [each for each in register.deferred(MARK) if is_due(each.since, each.tried_at, now)]
        if not due:
            return 0
        mails = {mail.uid: mail for mail in self._from_units(account, folder_id, [each.uid for each in due], snapshot)}
        for each in due:
            mail = mails.get(each.uid)
            taken = self._take(account, folder_id, mail) if mail is not None else False
            read += bool(taken)
            if taken is None and now - each.since < TRIED_FOR:
                register.tried(MARK, each.uid, now)
                continue
            if taken is None or mail is None:  # given up, or moved or expunged by people
                self._runtime.log.event("request_mail_given_up", uid=each.uid, since=each.since, found=mail is not None)
            register.settle(MARK, each.uid)
        return read

    def _from_units(self, account: Account, folder_id: int, uids: list[int], snapshot: Snapshot) -> Iterator[_Mail]:
        rows = account.rows(folder_id, uids, ("uid", "email_id", "internaldate_us", "header"))
        for uid, key, at_us, header in rows:
            address = submitted_from(header, self._runtime.config().server.hostname)
            if address is None or _is_automatic(header):
                continue
            found = (snapshot.resolve(known) for known in candidates(address, self._runtime.config().smtp.subaddress))
            sender = next((entry for entry in found if entry is not None), None)
            if sender is not None and sender.kind is MailboxKind.UNIT:
                yield _Mail(uid, key, header, datetime.fromtimestamp(at_us / 1e6, UTC), sender)

    def _take(self, account: Account, folder_id: int, mail: _Mail) -> bool | None:
        """Read one message; return whether it had a form, or None after an error."""
        try:
            return self._open(account, folder_id, mail)
        except Exception as error:  # noqa: BLE001 - the message stays visible to people, and is tried again
            about = {"mailbox": mail.sender.address, "message": mail.key, "uid": mail.uid}
            self._runtime.log.event("request_mail_failed", **about, **failure(error))
            return None

    def _open(self, account: Account, folder_id: int, mail: _Mail) -> bool:
        register, unit_id = self._directory.requests, mail.sender.owner.unit_id
        assert unit_id is not None, "a unit's mailbox has a unit"
        known = register.outcomes(mail.key)
        rows = self._rows(account, folder_id, mail) if known is None else []
        if known is None and not rows:
            return False
        wanted = [(row.number, row.filing) for row in rows if row.filing is not None]
        read = ReadMail(mail.key, self._runtime.clock.now(), mail.sender.address, unit_id, _message_id(mail.header))
        outcomes = register.read_mail(read, wanted, [_outcome(row) for row in rows])
        if known is None:
            opened = sum(each["request"] is not None for each in outcomes)
            refused = len(outcomes) - opened
            self._runtime.log.event(
                "requests_opened", mailbox=mail.sender.address, message=mail.key, count=opened, refused=refused
            )
        return True

    def _rows(self, account: Account, folder_id: int, mail: _Mail) -> list[FormRow]:
        with account.open_message(folder_id, mail.uid) as file:
            octets = file.pread(0, file.size)
        unit = self._directory.units_by_id().get(mail.sender.owner.unit_id or 0)
        asker = mail.sender.owner.name or mail.sender.address
        known = FormContext(unit, RequestChannel.MAIL, mail.received_at, asker, fixed=True)
        for attached in _files(octets):
            try:
                sheet = _form_in(attached)
                if sheet is not None:
                    return list(FormReader(self._directory, self._runtime.config(), self._runtime.clock).rows(sheet, known))
            except UnreadableSheet as refusal:
                if forms.is_meant(attached):
                    return [FormRow(WHOLE_FILE, refusal=refusal)]
        return []


def _outcome(row: FormRow) -> dict[str, object]:
    refusal = row.refusal
    texts = {"vi": refusal.text.vi, "en": refusal.text.en} if refusal is not None else None
    return {"row": row.number, "refused": texts, "clause": refusal.clause if refusal is not None else None}


def _is_automatic(header: bytes) -> bool:
    """Return whether a program wrote the message (RFC 3834 §5): it asks for nothing, and is not answered."""
    value = headers.field(header, b"auto-submitted")
    return value is not None and value.strip().lower() != b"no"


def _message_id(header: bytes) -> str | None:
    value = headers.field(header, b"message-id")
    return value.strip().strip(b"<>").decode("ascii", "replace") if value else None


def _form_in(octets: bytes) -> Sheet | None:
    sheet = forms.read_table(octets)
    return sheet if forms.is_form(sheet) else None


def _files(message: bytes) -> Iterator[bytes]:
    scanner = Scanner()
    scanner.feed(message)
    attached = [part for part in _leaves(scanner.finish().root) if part.is_attachment or part.has_filename]
    for part in attached[:MOST_FILES]:
        if part.decoded_octets <= MOST_FORM_OCTETS:
            yield encodings.decode(message[part.body_start : part.body_end], part.encoding.decode("ascii", "replace"))


def _leaves(part: Part) -> Iterator[Part]:
    """Yield the leaf parts of the message itself, not those of forwarded messages."""
    if part.is_message and part.header_start > 0:
        return
    if not part.children:
        yield part
    for child in part.children:
        yield from _leaves(child)
