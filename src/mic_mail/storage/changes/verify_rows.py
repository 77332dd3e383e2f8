"""The invariants of an account's rows, checked one by one and repaired where possible, whatever its ground.

contents  `refs` of each content equals the rows that point to it
numbers   uid < uidnext <= mark; a message's MODSEQ <= its folder's <= the account's <= mark; counters equal a recount
readers   have seen only messages that exist
"""

from collections.abc import Iterator

from sqlalchemy import bindparam, func, select, update

from mic_mail.storage.changes.expunge import drop_refs
from mic_mail.storage.changes.quota import recount_within
from mic_mail.storage.index import reader_seen_rows, schema
from mic_mail.storage.index.rows import FolderRow, read_all_folders, read_folder
from mic_mail.storage.index.statements import SqlStatement, keyed_by
from mic_mail.storage.store import Write
from mic_mail.storage.types import RepairFinding

_M = schema.message.c
_T = schema.tombstone.c
_E = schema.email.c
_MAXIMA = SqlStatement(select(func.max(_M.uid), func.max(_M.modseq)).where(keyed_by(_M, "folder")))
_GONE_MAXIMA = SqlStatement(select(func.max(_T.uid), func.max(_T.modseq)).where(keyed_by(_T, "folder")))
_MESSAGE_REFS = SqlStatement(select(_M.email_pk, func.count()).where(keyed_by(_M)).group_by(_M.email_pk))
_GONE_REFS = SqlStatement(select(_T.email_pk, func.count()).where(keyed_by(_T), _T.email_pk.is_not(None)).group_by(_T.email_pk))
_REFS = SqlStatement(select(_E.email_pk, _E.refs).where(keyed_by(_E)))
_SET_REFS = SqlStatement(update(schema.email).where(keyed_by(_E, "email")).values(refs=bindparam("new_refs")))


def verify_rows(write: Write, *, check: bool) -> Iterator[RepairFinding]:
    """Yield all findings; unless `check`, each is put right before the search continues."""
    yield from verify_contents(write, check=check)
    for row in read_all_folders(write.connection, write.store.account_id):
        yield from verify_numbers(write, write.any_folder(row.folder_id), check=check)
    yield from verify_readers(write, check=check)
    yield from verify_counters(write, check=check)


def verify_contents(write: Write, *, check: bool) -> Iterator[RepairFinding]:
    account = write.store.account_id
    counted: dict[int, int] = {}
    for statement in (_MESSAGE_REFS, _GONE_REFS):
        for email_pk, count in statement.on(write.connection, account=account):
            counted[email_pk] = counted.get(email_pk, 0) + count
    known = dict(_REFS.on(write.connection, account=account).fetchall())
    for email_pk in counted.keys() - known.keys():
        yield RepairFinding("content-missing", "", str(email_pk))
    for email_pk, refs in known.items():
        if refs != counted.get(email_pk, 0):
            yield RepairFinding("content-refs", "", f"{email_pk}: {refs}, counted {counted.get(email_pk, 0)}")
            if not check:
                _SET_REFS.on(write.connection, account=account, email=email_pk, new_refs=counted.get(email_pk, 0) + 1)
                drop_refs(write, [email_pk])


def verify_numbers(write: Write, folder: FolderRow, *, check: bool) -> Iterator[RepairFinding]:
    here = {"account": write.store.account_id, "folder": folder.folder_id}
    maxima = [_MAXIMA.on(write.connection, **here).fetchone(), _GONE_MAXIMA.on(write.connection, **here).fetchone()]
    uid = max(row[0] or 0 for row in maxima)
    modseq = max(row[1] or 0 for row in maxima)
    if not uid < folder.uidnext <= folder.uidnext_mark:
        yield RepairFinding("uidnext", folder.name, f"{uid} < {folder.uidnext} <= {folder.uidnext_mark}")
        if not check:
            folder.uidnext = max(folder.uidnext, write.names.highest_uidnext(folder), uid + 1)
            folder.uidnext_mark = max(folder.uidnext, folder.uidnext_mark)
            write.keep(folder)
    if not modseq <= folder.highest_modseq <= write.account.modseq <= write.account.modseq_mark:
        yield RepairFinding("modseq", folder.name, f"{modseq} <= {folder.highest_modseq} <= {write.account.modseq}")
        if not check:
            known = write.names.highest_modseq(write.account)
            write.account.modseq = max(write.account.modseq, known, folder.highest_modseq, modseq)
            write.touch(folder)


def verify_readers(write: Write, *, check: bool) -> Iterator[RepairFinding]:
    account = write.store.account_id
    for folder_id, uid in reader_seen_rows.stray(write.connection, account):
        folder = read_folder(write.connection, account, folder_id)
        yield RepairFinding("seen-stray", folder.name if folder else "", f"uid {uid}")
        if not check:
            reader_seen_rows.drop_states(write.connection, account, folder_id, [uid])
    if reader_seen_rows.put_right(write.connection, account, check=check):
        yield RepairFinding("counters", "", "differ from a recount")


def verify_counters(write: Write, *, check: bool) -> Iterator[RepairFinding]:
    for name in recount_within(write, fix=not check):
        yield RepairFinding("counters", name, "differ from a recount")
