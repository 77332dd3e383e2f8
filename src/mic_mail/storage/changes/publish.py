"""Publishing a message: its states, the legal orders of its steps, and the reasons.

    state     where                                     visible to
    STAGED    `tmp/<base>`, content fsynced             nobody; swept away after a day and a half
    RECORDED  the same, and the record in the lock file nobody
    NAMED     `cur/<base>,S=,U=:2,`, no committed row   only tools that read Maildirs directly
    VISIBLE   the row is committed                      every session; its UID is above all that were visible before
    DURABLE   the folder is fsynced                     its sender: now `250` or `OK` may be sent

    step                     from -> to               a kill here leaves            the next lock holder
    write, fsync             -> STAGED                a file in tmp/                lets the sweep drop it
    lock, BEGIN, UID, record STAGED -> RECORDED       record without a name         rolls back: nothing to do
    rename                   RECORDED -> NAMED        a name without a row          rolls back: the file returns to tmp/
    INSERT, COMMIT           NAMED -> VISIBLE         the record, all done          rolls forward: clears it
    clear, unlock            VISIBLE                  -                             -
    fsync of the folder      VISIBLE -> DURABLE       a message not acknowledged    -

Legal orders. (1) The content is fsynced before it gets its name: a name never leads to half a message. (2) UID, rename, INSERT
and COMMIT happen inside one section: UIDs taken in one transaction and published in another become visible out of order, and a
client never looks back below UIDNEXT. (3) The record is written before the rename and cleared after COMMIT: else a kill between
them loses or doubles a UID. (4) The folder is fsynced after COMMIT, outside the lock, before the return: the fsync may cover
many deliveries (group_fsync.py). A power loss in between costs only messages that nobody was told of. (5) Observers are
notified last: what they fetch is durable. MOVE, COPY, EXPUNGE and folder operations keep the same orders with other names.
REPLACE (replace.py) is a publication and an expunge under one record and one COMMIT: both are RECORDED and NAMED one after the
other, and VISIBLE together.

Messages that arrive together are made durable by the journal (journal.py) instead: it holds their octets before they are
RECORDED, and neither their files nor INBOX is fsynced. Successive APPENDs are held by it inside the section, between UID and
record, with folder, name and date: neither their files nor their folder is fsynced (decision 0037). Successive EXPUNGEs are
held by it after their COMMIT, in place of step (4) (decision 0041).

A marked UID (sidecars.py) is never reused, even if a power loss takes the COMMIT: numbering continues above the mark.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import bindparam, insert, select

from mic_mail.mime.imap_structure import Answers
from mic_mail.storage.changes import seen
from mic_mail.storage.changes.change_result import change_result
from mic_mail.storage.delivery import Delivery
from mic_mail.storage.durable_by_journal import Hold, unheld
from mic_mail.storage.errors import OverQuota, SpecialUseRefused
from mic_mail.storage.index import schema
from mic_mail.storage.index.answer_rows import FEW_MESSAGES
from mic_mail.storage.index.rows import FolderRow, read_folder
from mic_mail.storage.index.statements import SqlStatement, keyed_by
from mic_mail.storage.message_names import email_id, format_name, thread_id
from mic_mail.storage.store import Store, Write
from mic_mail.storage.types import SEEN, AnswerRow, Published

INSERT_EMAIL = SqlStatement(insert(schema.email))
INSERT_MESSAGE = SqlStatement(insert(schema.message))

_D = schema.delivery.c
_SEEN_ORIGIN = SqlStatement(
    select(_D.folder_id, _D.uidvalidity, _D.uid, _D.modseq, _D.email_id).where(keyed_by(_D), _D.origin == bindparam("origin"))
)
_REMEMBER_ORIGIN = SqlStatement(insert(schema.delivery))


def publish(
    store: Store,
    person: str | None,
    folder_id: int,
    deliveries: Sequence[Delivery],
    *,
    limit_octets: int | None,
    patience: float | None,
    journaled: bool,
    hold: Hold,
    claim: bool,
    tell: bool,
    name: str | None = None,
    unless_use: str | None = None,
) -> list[Published]:
    """Make deliveries visible in order, all or none; DURABLE on return.

    The journal makes them durable if `journaled` or if `hold` takes them.

    `claim`: they are \\Recent for the caller, if no earlier message is still unclaimed. `tell`: the last one published now
    carries the folder's `ChangeResult`. Where sessions of this process have the folder open, the change is cached for them, and
    the messages are \\Recent for the first session that is notified (open_folders.py). `person`: the person who adds the
    messages and has seen those with \\Seen, where each reader has their own. `name`: the folder that has this name now is
    meant, which is probably `folder_id`; if it is another one, there is neither `claim` nor `tell`. `unless_use`: raise
    `SpecialUseRefused` where the folder has this special use.
    """
    with store.writing(folder_id, patience=patience, sync=not journaled, adds=True) as write:
        folder = write.folder(folder_id) if name is None else write.folder_called(store.canonical_name(name), folder_id)
        if folder.folder_id != folder_id:
            folder_id, claim, tell = folder.folder_id, False, False
        if unless_use is not None and folder.special_use == unless_use:
            raise SpecialUseRefused
        known: dict[str, Published | Delivery] = {}
        for delivery in deliveries:
            if delivery.origin is not None and delivery.origin not in known:
                known[delivery.origin] = _published_before(write, delivery.origin) or delivery
        fresh = [delivery for delivery in deliveries if delivery.origin is None or known[delivery.origin] is delivery]
        check_quota(write, sum(delivery.staged.size for delivery in fresh), limit_octets)
        claims = claim and folder.recent_from == folder.uidnext
        present = None if claims else store.shared.presences.claimant(store.account_id, folder_id)
        recent_from = folder.recent_from
        answered: list[tuple[int, AnswerRow]] = []
        placed = publish_within(write, folder, fresh, hold=hold, person=person, answered=answered)
        if placed and (claims or present is not None):
            folder.recent_from = folder.uidnext
        if claims:
            placed = [replace(each, recent=True) for each in placed]
        if placed and present is not None:  # before they are visible: who sees them first sees also whose they are
            present.claim(recent_from, folder.uidnext - 1)
    if placed and (tell or store.shared.presences.is_open(store.account_id, folder_id)):
        done = change_result(write, folder, changed=write.came, asked=tell)
        store.shared.answer_rows.put((store.account_id, folder_id, folder.uidvalidity), answered[-FEW_MESSAGES:])
        placed[-1] = replace(placed[-1], made=done) if tell else placed[-1]
    new = {id(delivery): published for delivery, published in zip(fresh, placed, strict=True)}
    return [new.get(id(delivery)) or _repeated(delivery, known, new) for delivery in deliveries]


def check_quota(write: Write, more_octets: int, limit_octets: int | None) -> None:
    if limit_octets is not None and more_octets and write.account.octets + more_octets > limit_octets:
        raise OverQuota(write.account.octets, limit_octets)


def _published_before(write: Write, origin: str) -> Published | None:
    row = _SEEN_ORIGIN.on(write.connection, account=write.store.account_id, origin=origin).fetchone()
    if row is None:
        return None
    folder_id, uidvalidity, uid, modseq, email = row
    published = Published(folder_id, uidvalidity, uid, modseq, email, duplicate=True)
    folder = read_folder(write.connection, write.store.account_id, published.folder_id)
    if folder is not None and folder.deleted_at_us is None:
        write.names.sync(folder)  # this caller is about to acknowledge it
    return published


def _repeated(delivery: Delivery, known: dict[str, Published | Delivery], new: dict[int, Published]) -> Published:
    delivery.staged.discard()
    before = known[delivery.origin or ""]
    return replace(new[id(before)], duplicate=True) if isinstance(before, Delivery) else before


def publish_within(
    write: Write,
    folder: FolderRow,
    deliveries: Sequence[Delivery],
    *,
    hold: Hold = unheld,
    person: str | None = None,
    answered: list[tuple[int, AnswerRow]] | None = None,
) -> list[Published]:
    """Publish as part of a change that has checked origins and quota.

    The rows of the messages are added to `answered`, by UID.
    """
    if not deliveries:
        return []
    now_us = write.store.clock.steady_us()
    write.touch(folder)
    placed = [_place(write, folder, delivery) for delivery in deliveries]
    answers: list[Answers] = []
    paths = write.names.place(folder, placed, now_us, hold, lambda: answers.extend(map(_answers_of, deliveries)))
    published = [_insert(write, folder, each, now_us, found) for each, found in zip(placed, answers, strict=True)]
    if answered is not None:
        answered += [
            (each.uid, each.answer_row(found, now_us, path)) for each, found, path in zip(placed, answers, paths, strict=True)
        ]
    if write.account.seen_each:
        seen.bring(write, folder, (each.uid for each in placed if each.flags & SEEN), person)
    return published


def _answers_of(delivery: Delivery) -> Answers:
    return delivery.answers() if callable(delivery.answers) else delivery.answers


@dataclass(frozen=True, slots=True)
class _Placed:
    delivery: Delivery
    email_pk: int
    base: str
    uid: int
    flags: int
    name: str

    def answer_row(self, answers: Answers, now_us: int, path: str) -> AnswerRow:
        received_us = self.delivery.received_at_us
        return AnswerRow(
            now_us if received_us is None else received_us,
            answers.envelope,
            answers.envelope_utf8,
            answers.body,
            answers.bodystructure,
            answers.header,
            answers.parts,
            path,
        )


def _place(write: Write, folder: FolderRow, delivery: Delivery) -> _Placed:
    flags = delivery.flags | write.keyword_bits(folder, delivery.keywords)
    uid = write.take_uid(folder)
    base = delivery.staged.base
    return _Placed(delivery, write.take_email_pk(), base, uid, flags, format_name(base, delivery.staged.size, uid, flags))


def _insert(write: Write, folder: FolderRow, placed: _Placed, now_us: int, answers: Answers) -> Published:
    delivery = placed.delivery
    size = delivery.staged.size
    published = Published(
        folder.folder_id,
        folder.uidvalidity,
        placed.uid,
        write.modseq,
        email_id(placed.base),
        special_use=folder.special_use,
    )
    received_us = now_us if delivery.received_at_us is None else delivery.received_at_us
    insert_email(write, placed.email_pk, placed.base, answers, size=size, received_us=received_us)
    insert_message(
        write,
        folder,
        uid=placed.uid,
        flags=placed.flags,
        size=size,
        email_pk=placed.email_pk,
        name=placed.name,
        saved_us=now_us,
    )
    if delivery.origin is not None:
        _REMEMBER_ORIGIN.on(
            write.connection,
            account_id=write.store.account_id,
            origin=delivery.origin,
            published_us=now_us,
            folder_id=published.folder_id,
            uidvalidity=published.uidvalidity,
            uid=published.uid,
            modseq=published.modseq,
            email_id=published.email_id,
        )
    return published


def insert_email(write: Write, email_pk: int, base: str, answers: Answers, *, size: int, received_us: int) -> None:
    """Insert the row of a message's content, with one reference."""
    INSERT_EMAIL.on(
        write.connection,
        account_id=write.store.account_id,
        email_pk=email_pk,
        refs=1,
        size=size,
        received_us=received_us,
        sent_at=answers.sent_at,
        attachment_octets=answers.attachment_octets,
        base=base,
        email_id=email_id(base),
        thread_id=thread_id(base, answers.thread),
        envelope=answers.envelope,
        envelope_utf8=answers.envelope_utf8,
        bodystructure=answers.bodystructure,
        body=answers.body,
        message_id=answers.message_id,
        preview=answers.preview,
        parts=answers.parts,
        header=answers.header,
    )


def insert_message(
    write: Write, folder: FolderRow, *, uid: int, flags: int, size: int, email_pk: int, name: str, saved_us: int
) -> None:
    """Insert the row of a message in a folder, and count it."""
    INSERT_MESSAGE.on(
        write.connection,
        account_id=write.store.account_id,
        folder_id=folder.folder_id,
        uid=uid,
        flags=flags,
        modseq=write.modseq,
        size=size,
        created_modseq=write.modseq,
        email_pk=email_pk,
        saved_us=saved_us,
        name_dirty=0,
        name=name,
    )
    write.came.append((uid, flags, write.modseq, size))
    write.count(folder, flags, size)
