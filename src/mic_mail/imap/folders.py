"""Folders: LIST and its kin, STATUS, CREATE, DELETE, RENAME, SUBSCRIBE, NAMESPACE and the quota of the mailbox.

In: commands. Out: steps. Which names a LIST shows is `listing`'s; here the store is asked and the lines are made.
Standards: RFC 9051 §6.3.4-6.3.11, RFC 5258, RFC 5819 (LIST-STATUS), RFC 6154, RFC 2342, RFC 8438, RFC 9208 (QUOTA).
"""

from collections.abc import Callable, Iterable

from mic_mail.imap import metadata, responses
from mic_mail.imap.actions import Steps
from mic_mail.imap.conversation import Conversation, Reply, refuse
from mic_mail.imap.grammar.mailboxcommands import (
    Create,
    Delete,
    GetQuota,
    GetQuotaRoot,
    List,
    Lsub,
    Namespace,
    Rename,
    SetQuota,
    Status,
    Subscribe,
    Unsubscribe,
    Xlist,
)
from mic_mail.imap.listing import Listed, describe, list_folders, lsub_folders, xlist_folders
from mic_mail.imap.view import Enabled
from mic_mail.storage.errors import Unavailable
from mic_mail.storage.mailstore import Account
from mic_mail.storage.types import DELIMITER, SPECIAL_USES, Annotation, FolderInfo, Quota

QUOTA_ROOT = ""
"""The one quota root of an account: everything in it counts (RFC 9208 §3.1)."""

MOST_MESSAGES = 0xFFFF_FFFF
"""No limit is set on messages but that of their UIDs, which are numbers of 32 bits (RFC 9051 §2.3.1.1)."""


# ------------------------------------------------------------------ listing


def list_(talk: Conversation, command: List) -> Steps[Reply]:
    """LIST; each folder's STATUS and METADATA follow its line where they were asked for (RFC 5819 §2, RFC 9590 §3)."""
    if "HIGHESTMODSEQ" in command.status:
        talk.use_condstore()

    def work(account: Account) -> tuple[list[Listed], dict[str, FolderInfo], dict[int, list[Annotation]]]:
        infos = account.folders()
        annotated = account.annotations_of_folders(metadata.holders(talk)) if command.metadata else {}
        return list_folders(command, infos, account.subscriptions()), {info.name: info for info in infos}, annotated

    lines, by_name, annotated = yield from talk.ask(work)
    for line in lines:
        _say_listed(talk, b"LIST", [line])
        info = by_name.get(line.name)
        if command.status and line.folder is not None and info is not None:
            talk.say(responses.status(info.name, _status_items(talk, info, command.status), utf8=talk.utf8))
        if command.metadata and line.folder is not None and info is not None:  # RFC 9590 §3
            known = metadata.of_folder(info, annotated.get(info.folder_id, ()))
            talk.say(responses.metadata(info.name, metadata.chosen(known, command.metadata), utf8=talk.utf8))
        yield from talk.breathe()
    return Reply("Listed.")


def lsub(talk: Conversation, command: Lsub) -> Steps[Reply]:
    lines = yield from talk.ask(lambda account: lsub_folders(command, account.folders(), account.subscriptions()))
    _say_listed(talk, b"LSUB", lines)
    return Reply("Listed.")


def xlist(talk: Conversation, command: Xlist) -> Steps[Reply]:
    lines = yield from talk.ask(lambda account: xlist_folders(command, account.folders()))
    _say_listed(talk, b"XLIST", lines)
    return Reply("Listed.")


def tell_name(talk: Conversation, name: str, written: str) -> Steps[None]:
    """A client of IMAP4rev2 that spells a name otherwise than we do learns ours; OLDNAME is its own (RFC 9051 §6.3.9.7)."""
    if written and Enabled.REV2 in talk.enabled:
        try:
            line = yield from talk.ask(lambda account: describe(name, account.folders(), account.subscriptions()))
        except Unavailable:
            return  # what was asked is done, and the answer says so
        talk.say(responses.listed(b"LIST", name, line.attributes, DELIMITER, utf8=talk.utf8, old_name=written))


def _say_listed(talk: Conversation, word: bytes, lines: Iterable[Listed]) -> None:
    for line in lines:
        talk.say(responses.listed(word, line.name, line.attributes, DELIMITER, utf8=talk.utf8, child_info=line.child_info))


def namespace(talk: Conversation, command: Namespace) -> Steps[Reply]:
    """RFC 2342: everything is personal."""
    talk.say(responses.namespace([""], [], [], DELIMITER, utf8=talk.utf8))
    return Reply("That is all.")
    yield  # a handler is a generator


# ------------------------------------------------------------------ status

STATUS_ITEMS: dict[str, Callable[[FolderInfo], int | str | None]] = {
    "MESSAGES": lambda info: info.messages,
    "RECENT": lambda info: min(info.messages, info.uidnext - info.recent_from),  # RFC 3501; by UIDs, so it may count gaps
    "UIDNEXT": lambda info: info.uidnext,
    "UIDVALIDITY": lambda info: info.uidvalidity,
    "UNSEEN": lambda info: info.unseen,
    "DELETED": lambda info: info.deleted,
    "SIZE": lambda info: info.size,
    "HIGHESTMODSEQ": lambda info: max(info.highest_modseq, 1),
    "MAILBOXID": lambda info: info.mailbox_id,
    "DELETED-STORAGE": lambda info: info.deleted_size >> 10,  # RFC 9208 §5.1: in units of 1024 octets
}


def _status_items(talk: Conversation, info: FolderInfo, items: Iterable[str]) -> list[tuple[str, int | str | None]]:
    answers: list[tuple[str, int | str | None]] = []
    for item in items:
        if item == "APPENDLIMIT":
            answers.append((item, talk.settings.append_limit))
        else:
            answers.append((item, STATUS_ITEMS[item](info)))
    return answers


def status(talk: Conversation, command: Status) -> Steps[Reply]:
    if "HIGHESTMODSEQ" in command.items:
        talk.use_condstore()  # RFC 7162 §3.1.7
    info = yield from talk.ask(lambda account: account.folder(command.mailbox))
    talk.say(responses.status(info.name, _status_items(talk, info, command.items), utf8=talk.utf8))
    return Reply("Counted.")


# ------------------------------------------------------------------ making and unmaking


def create(talk: Conversation, command: Create) -> Steps[Reply]:
    """CREATE; MAILBOXID in the answer (RFC 8474 §4.1), special use as asked (RFC 6154 §3)."""
    uses = [use for use in command.use if use in SPECIAL_USES]
    if len(uses) != len(command.use) or len(uses) > 1:
        return refuse("No folder can have that use.", b"USEATTR")
    name, use = command.mailbox.removesuffix(DELIMITER), uses[0] if uses else None
    info = yield from talk.change(lambda account: account.create(name, use))
    yield from tell_name(talk, info.name, command.written)
    return Reply("Created.", code=responses.mailbox_id(info.mailbox_id))


def delete(talk: Conversation, command: Delete) -> Steps[Reply]:
    """DELETE. A mailbox that this session has open is left first (RFC 9051 §6.3.5 leaves the choice)."""
    yield from talk.change(lambda account: account.delete(command.mailbox))
    yield from tell_name(talk, command.mailbox, command.written)
    if talk.view is not None and talk.view.name == command.mailbox:
        talk.leave()
    return Reply("Deleted.")


def rename(talk: Conversation, command: Rename) -> Steps[Reply]:
    new_name = command.new_name.removesuffix(DELIMITER)
    yield from talk.change(lambda account: account.rename(command.mailbox, new_name))
    yield from tell_name(talk, new_name, command.written)
    return Reply("Renamed.")


def subscribe(talk: Conversation, command: Subscribe) -> Steps[Reply]:
    yield from talk.change(lambda account: account.subscribe(command.mailbox, True))
    if talk.notifier is not None:
        talk.notifier.subscribed(command.mailbox, True)
    return Reply("Subscribed.")


def unsubscribe(talk: Conversation, command: Unsubscribe) -> Steps[Reply]:
    yield from talk.change(lambda account: account.subscribe(command.mailbox, False))
    if talk.notifier is not None:
        talk.notifier.subscribed(command.mailbox, False)
    return Reply("Unsubscribed.")


# ------------------------------------------------------------------ quota


def _say_quota(talk: Conversation, quota: Quota) -> None:
    """STORAGE counts units of 1024 octets (RFC 9208 §5.1), rounded up, so that a full mailbox looks full."""
    limit = talk.quota_octets()
    storage = [("STORAGE", -(-quota.octets // 1024), limit // 1024)] if limit is not None else []
    resources = [*storage, ("MESSAGE", quota.messages, MOST_MESSAGES)]
    talk.say(responses.quota(QUOTA_ROOT, resources))


def get_quota(talk: Conversation, command: GetQuota) -> Steps[Reply]:
    if command.root != QUOTA_ROOT:
        return refuse("There is no such quota root.", b"NONEXISTENT")
    quota = yield from talk.ask(Account.quota)
    _say_quota(talk, quota)
    return Reply("That much.")


def get_quota_root(talk: Conversation, command: GetQuotaRoot) -> Steps[Reply]:
    """The root of a folder and its quota; also of a name that does not exist yet (RFC 9208 §4.1.2)."""
    quota = yield from talk.ask(Account.quota)
    talk.say(responses.quota_root(command.mailbox, [QUOTA_ROOT], utf8=talk.utf8))
    _say_quota(talk, quota)
    return Reply("That much.")


def set_quota(talk: Conversation, command: SetQuota) -> Steps[Reply]:
    """Quotas are granted by the administrators (Reg. 8.3.b)."""
    return refuse("Quotas are set by the administrators.", b"NOPERM")
    yield  # a handler is a generator
