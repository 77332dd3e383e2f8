"""Folder commands: LIST, LSUB, XLIST, STATUS, CREATE, DELETE, RENAME, SUBSCRIBE, NAMESPACE, quota.

In: commands. Out: steps. `list_match` decides which names a LIST shows, and `resolve` resolves names; this module reads the
stores and writes the lines.
Standards: RFC 9051 §6.3.4-6.3.11, RFC 5258, RFC 5819 (LIST-STATUS), RFC 6154, RFC 2342, RFC 8438, RFC 9208 (QUOTA).
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeVar

from mic_mail.connection.actions import Steps
from mic_mail.errors import Text
from mic_mail.imap import responses
from mic_mail.imap.commands import metadata
from mic_mail.imap.connection_state import Enabled
from mic_mail.imap.context import ImapContext
from mic_mail.imap.mailbox_names import resolve
from mic_mail.imap.mailbox_names.acl_rights import with_legacy_rights
from mic_mail.imap.mailbox_names.list_match import ListedFolder, describe, list_folders, lsub_folders, xlist_folders
from mic_mail.imap.mailbox_names.resolve import Place
from mic_mail.imap.parser.command import Arguments
from mic_mail.imap.parser.mailbox import Create, GetQuota, List, OnMailbox, Rename, SetQuota, Status
from mic_mail.imap.replies import Reply, refuse
from mic_mail.imap.selected.shared_cache import LISTED_FOLDERS, Listing
from mic_mail.services.authentication.shared_mailboxes import SharedMailbox
from mic_mail.storage.errors import Unavailable
from mic_mail.storage.mailstore import Account
from mic_mail.storage.types import DELIMITER, INBOX, SPECIAL_USES, Annotation, FolderInfo, Quota

T = TypeVar("T")

QUOTA_ROOT = ""
"""The quota root of the own account."""
OWN = Place("")
"""A place anywhere in the own account."""

MOST_MESSAGES = 0xFFFF_FFFF
"""The limit on messages: UIDs are numbers of 32 bits (RFC 9051 §2.3.1.1); no other is set."""


# ------------------------------------------------------------------ listing


def _key(ctx: ImapContext, place: Place) -> tuple[int, int]:
    return ctx.account_of(place).account_id, ctx.mailbox_id


def _kept_listing(ctx: ImapContext, place: Place) -> Listing | None:
    """Return the cached folders of the account of `place`, if nothing has changed there since."""
    kept = ctx.cache.listings.get(_key(ctx, place))
    return kept if kept is not None and kept.mark == ctx.host.change_mark(ctx.account_of(place).account_id) else None


def _listing(ctx: ImapContext, place: Place) -> Steps[Listing]:
    """Return the folders of the account of `place`, read if they are not cached."""
    listing = _kept_listing(ctx, place)
    if listing is None:
        listing = yield from ctx.ask(Listing.read, place)
        ctx.cache.listings.put(_key(ctx, place), listing)
    return listing


def seen_folders(ctx: ImapContext, make: Callable[[list[FolderInfo], list[str]], T]) -> Steps[T]:
    """Return `make` of all folders that the person sees (RFC 4314 §4, `l`) and of the subscribed names.

    Names are those that the client sees. A person with only the own mailbox costs at most one executor call. A shared account
    that cannot be read now is left out, so that the rest is still shown. So are subscriptions to mailboxes that may not be
    used now (§4, LSUB).
    """
    boxes = ctx.boxes
    others: list[FolderInfo] = []
    for box in boxes.values():
        if "l" in box.rights:
            try:
                others += resolve.box_folders((yield from _listing(ctx, Place("", box))).folders, box)
            except Unavailable:
                continue

    def made(own: Listing) -> T:
        seen = resolve.own_folders(own.folders, boxes) + others
        there = {info.name for info in seen}
        return make(seen, [name for name in own.subscribed if not resolve.leads_nowhere(name, there, boxes)])

    def work(account: Account) -> tuple[Listing, T]:
        own = Listing.read(account)
        return own, made(own)

    kept = _kept_listing(ctx, OWN)
    if kept is not None and len(others) <= LISTED_FOLDERS:
        return made(kept)
    own, result = yield from ctx.ask(work)
    ctx.cache.listings.put(_key(ctx, OWN), own)
    return result


def list_(ctx: ImapContext, command: List) -> Steps[Reply]:
    """Handle LIST.

    STATUS, METADATA and rights follow a folder's line where requested (RFC 5819 §2, 9590 §3, 8440 §3).
    """
    if "HIGHESTMODSEQ" in command.status:
        ctx.use_condstore()

    def work(infos: list[FolderInfo], subscribed: list[str]) -> tuple[list[ListedFolder], dict[str, FolderInfo]]:
        return list_folders(command, infos, subscribed), {info.name: info for info in infos}

    boxes = ctx.boxes
    lines, by_name = yield from seen_folders(ctx, work)
    annotated = (yield from _annotated(ctx)) if command.metadata else {}
    for line in lines:
        box = resolve.find_box(line.name, boxes)
        rights = _rights_now(ctx, box)
        if "l" not in rights:
            continue  # the delegation has ended since the folders were read
        info = by_name.get(line.name) if line.folder is not None else None
        closed = info is not None and command.status and "r" not in rights
        _say_listed(ctx, b"LIST", [_closed(line) if closed else line])
        if info is not None and command.status and "r" in rights:
            ctx.write(responses.status(info.name, _status_items(ctx, info, command.status), utf8=ctx.utf8))
            yield from ctx.polling(Place("", box))
        if command.metadata and info is not None and metadata.may_annotate(rights):  # RFC 9590 §3
            annotations = annotated.get(box, {}).get(info.folder_id, ())
            known = metadata.of_folder(info, annotations)
            ctx.write(responses.metadata(info.name, metadata.chosen(known, command.metadata), utf8=ctx.utf8))
        if info is not None and "MYRIGHTS" in command.returns and not _only_above(line):
            ctx.write(responses.my_rights(line.name, with_legacy_rights(rights), utf8=ctx.utf8))
        yield from ctx.yield_output()
    return Reply("Listed.")


def _rights_now(ctx: ImapContext, box: SharedMailbox | None) -> str:
    if box is None:
        return ctx.own_rights
    now = ctx.boxes.get(box.name)
    return now.rights if now is not None and now.account == box.account else ""


def _annotated(ctx: ImapContext) -> Steps[dict[SharedMailbox | None, dict[int, list[Annotation]]]]:
    """Return the annotations of all folders by account.

    A shared account that cannot be read now is left out.
    """
    seen = metadata.holders(ctx)
    found: dict[SharedMailbox | None, dict[int, list[Annotation]]] = {}
    for box in (None, *ctx.boxes.values()):
        try:
            found[box] = yield from ctx.ask(lambda account: account.annotations_of_folders(seen), Place("", box))
        except Unavailable:
            if box is None:
                raise
    return found


def _closed(line: ListedFolder) -> ListedFolder:
    """Mark a mailbox that may be seen but not opened as \\Noselect.

    It has no STATUS response, and LIST has to show why (RFC 9051 §6.3.9.8).
    """
    return replace(line, attributes=(*line.attributes, "\\Noselect"))


def _only_above(line: ListedFolder) -> bool:
    """Return whether a line is shown only for folders below it (RFC 8440 §4, the second example)."""
    return bool(line.child_info) and "\\Subscribed" not in line.attributes


def lsub(ctx: ImapContext, command: List) -> Steps[Reply]:
    lines = yield from seen_folders(ctx, lambda infos, subscribed: lsub_folders(command, infos, subscribed))
    _say_listed(ctx, b"LSUB", lines)
    return Reply("Listed.")


def xlist(ctx: ImapContext, command: List) -> Steps[Reply]:
    lines = yield from seen_folders(ctx, lambda infos, subscribed: xlist_folders(command, infos))
    _say_listed(ctx, b"XLIST", lines)
    return Reply("Listed.")


def listing_of(ctx: ImapContext, place: Place) -> Steps[ListedFolder]:
    """Return the LIST line of one mailbox with all its attributes."""
    boxes = ctx.boxes
    found = (yield from _listing(ctx, place)).folders
    seen = resolve.own_folders(found, boxes) if place.box is None else resolve.box_folders(found, place.box)
    subscribed = (yield from _listing(ctx, OWN)).subscribed
    return describe(resolve.client_name(place, boxes), seen, subscribed)


def send_oldname(ctx: ImapContext, place: Place, written: str) -> Steps[None]:
    """Send the server's spelling of a name to an IMAP4rev2 client that wrote it otherwise.

    The client's spelling is OLDNAME (RFC 9051 §6.3.9.7).
    """
    if written and Enabled.REV2 in ctx.enabled:
        try:
            line = yield from listing_of(ctx, place)
        except Unavailable:
            return  # the command has succeeded, and its reply says so
        ctx.write(responses.listed(b"LIST", line.name, line.attributes, utf8=ctx.utf8, old_name=written))


def _say_listed(ctx: ImapContext, word: bytes, lines: Iterable[ListedFolder]) -> None:
    utf8 = ctx.utf8
    for line in lines:
        ctx.write(responses.listed(word, line.name, line.attributes, utf8=utf8, child_info=line.child_info))


def namespace(ctx: ImapContext, arguments: Arguments) -> Reply:
    """Handle NAMESPACE (RFC 2342): the own mailbox, and `Shared/` for a person who may use one.

    No person may use another person's mailbox (Reg. 15.2).
    """
    ctx.write(responses.namespace([""], [], [resolve.PREFIX] if ctx.boxes else [], utf8=ctx.utf8))
    return Reply("Mailboxes listed.")


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


def _status_items(ctx: ImapContext, info: FolderInfo, items: Iterable[str]) -> list[tuple[str, int | str | None]]:
    answers: list[tuple[str, int | str | None]] = []
    for item in items:
        if item == "APPENDLIMIT":
            answers.append((item, ctx.settings.append_limit))
        else:
            answers.append((item, STATUS_ITEMS[item](info)))
    return answers


def _folder(ctx: ImapContext, place: Place) -> Steps[FolderInfo]:
    """Return one folder.

    A client that asks for one often asks for all, one by one. So the whole listing is used where it is cached, and read again
    where something has changed, unless this folder's newest state is in memory.
    """
    if _kept_listing(ctx, place) is None and (delta := ctx.host.opened(ctx.account_of(place), place.name)) is not None:
        assert delta.fresh is not None
        return delta.fresh.info
    if ctx.cache.listings.get(_key(ctx, place)) is not None:
        info = (yield from _listing(ctx, place)).by_name.get(place.name)
        if info is not None and info.selectable:
            return info
    return (yield from ctx.ask(lambda account: account.folder(place.name), place))


def status(ctx: ImapContext, command: Status) -> Steps[Reply]:
    place = ctx.place(command.mailbox, "r")
    if "HIGHESTMODSEQ" in command.items:
        ctx.use_condstore()  # RFC 7162 §3.1.7
    info = yield from _folder(ctx, place)
    name = resolve.client_name(replace(place, name=info.name), ctx.boxes)
    ctx.write(responses.status(name, _status_items(ctx, info, command.items), utf8=ctx.utf8))
    yield from ctx.polling(place)
    return Reply("Status completed.")


# ------------------------------------------------------------------ create, delete, rename, subscribe


def create(ctx: ImapContext, command: Create) -> Steps[Reply]:
    """Handle CREATE: MAILBOXID in the reply (RFC 8474 §4.1), special use as requested (RFC 6154 §3)."""
    uses = [use for use in command.use if use in SPECIAL_USES]
    place = ctx.place_of_new(command.mailbox.removesuffix(DELIMITER), "k")
    if len(uses) != len(command.use) or len(uses) > 1 or (uses and place.box is not None):
        return refuse(Text("Không thư mục nào được dùng vào việc đó.", "This special use cannot be assigned."), b"USEATTR")
    use = uses[0] if uses else None
    info = yield from ctx.change(lambda account: account.create(place.name, use), place)
    made = replace(place, name=info.name)
    yield from ctx.record_shared_act("folder_created", made)
    yield from send_oldname(ctx, made, command.written)
    return Reply("Created.", code=responses.mailbox_id(info.mailbox_id))


def delete(ctx: ImapContext, command: OnMailbox) -> Steps[Reply]:
    """Handle DELETE.

    The mailbox is deselected first if this session has it selected (RFC 9051 §6.3.5 leaves the choice).
    """
    place = ctx.place(command.mailbox, "x")

    def work(account: Account) -> int:
        folder_id = account.folder_id(place.name)
        account.delete(place.name)
        return folder_id

    deleted = yield from ctx.change(work, place)
    yield from ctx.record_shared_act("folder_deleted", place)
    yield from send_oldname(ctx, place, command.written)
    view = ctx.view
    if view is not None and (view.place.account, view.folder_id) == (place.account, deleted):
        ctx.leave()
    return Reply("Deleted.")


def rename(ctx: ImapContext, command: Rename) -> Steps[Reply]:
    """Handle RENAME: `x` on the old name, `k` on the new one (RFC 4314 §4); not between accounts."""
    old = ctx.place(command.mailbox, "x")
    new = ctx.place_of_new(command.new_name.removesuffix(DELIMITER), "k")
    if old.account != new.account:
        return refuse(
            Text(
                "Thư mục không chuyển sang hộp thư khác được; đề nghị chuyển các thư trong đó.",
                "A mailbox stays with its owner; move its messages.",
            ),
            b"CANNOT",
        )
    yield from ctx.change(lambda account: account.rename(old.name, new.name), old)
    yield from ctx.record_shared_act("folder_renamed", old, to=new.name)
    yield from send_oldname(ctx, new, command.written)
    return Reply("Renamed.")


def subscribe(ctx: ImapContext, command: OnMailbox) -> Steps[Reply]:
    """Add a name to the person's own list, also one of another account. The name need not exist."""
    yield from _subscribe(ctx, command.mailbox, True)
    return Reply("Subscribed.")


def unsubscribe(ctx: ImapContext, command: OnMailbox) -> Steps[Reply]:
    yield from _subscribe(ctx, command.mailbox, False)
    return Reply("Unsubscribed.")


def _subscribe(ctx: ImapContext, name: str, subscribed: bool) -> Steps[None]:
    yield from ctx.change(lambda account: account.subscribe(name, subscribed))
    if ctx.notifier is not None:
        yield from ctx.notifier.subscribed(ctx, name, subscribed)


# ------------------------------------------------------------------ quota


def _say_quota(ctx: ImapContext, quota: Quota, box: SharedMailbox | None) -> None:
    """Write a QUOTA response.

    STORAGE counts units of 1024 octets (RFC 9208 §5.1), rounded up, so that a full mailbox looks full.
    """
    limit = ctx.quota_octets(box)
    storage = [("STORAGE", -(-quota.octets // 1024), limit // 1024)] if limit is not None else []
    resources = [*storage, ("MESSAGE", quota.messages, MOST_MESSAGES)]
    ctx.write(responses.quota(_root(box), resources))


def _root(box: SharedMailbox | None) -> str:
    """Return the only quota root of an account: everything in it counts (RFC 9208 §3.1)."""
    return QUOTA_ROOT if box is None else resolve.name_in_box(box, INBOX)


def get_quota(ctx: ImapContext, command: GetQuota) -> Steps[Reply]:
    """Handle GETQUOTA: it needs no right (RFC 9208 §6), but an invisible mailbox is nonexistent."""
    root = resolve.find(command.root, ctx.boxes) if command.root.startswith(resolve.PREFIX) else Place(command.root)
    if command.root != _root(root.box) or "l" not in root.rights:
        return refuse(Text("Không có mục dung lượng đó.", "No such quota root."), b"NONEXISTENT")
    quota = yield from ctx.ask(Account.quota, root)
    _say_quota(ctx, quota, root.box)
    return Reply("Quota listed.")


def get_quota_root(ctx: ImapContext, command: OnMailbox) -> Steps[Reply]:
    """Handle GETQUOTAROOT: the root of a folder and its quota; needs `r` (RFC 9208 §6).

    The name need not exist yet (§4.1.2).
    """
    place = ctx.place(command.mailbox, "r")
    quota = yield from ctx.ask(Account.quota, place)
    ctx.write(responses.quota_root(command.mailbox, [_root(place.box)], utf8=ctx.utf8))
    _say_quota(ctx, quota, place.box)
    return Reply("Quota listed.")


def set_quota(ctx: ImapContext, command: SetQuota) -> Reply:
    """Refuse SETQUOTA: quotas are granted by the administrators (Reg. 8.3.b)."""
    return refuse(Text("Dung lượng do Trung tâm Thông tin quy định.", "Quotas are set by the administrators."), b"NOPERM")
