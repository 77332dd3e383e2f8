"""METADATA (RFC 5464) and LIST-METADATA (RFC 9590): annotations of mailboxes and of the server.

In: commands. Out: steps. /private entries belong to the signed-in person, /shared ones to the mailbox: two people who use one
mailbox share the latter and not the former. Of the server, /shared/comment and /shared/admin can be read and not changed;
/private entries are stored for each person.

Changes by others are not sent unsolicited (RFC 5464 §4.1 leaves that open), so ENABLE METADATA turns nothing on.
"""

from collections.abc import Iterable, Sequence
from urllib.parse import quote

from mic_mail.connection.actions import Steps
from mic_mail.errors import Text
from mic_mail.imap import responses
from mic_mail.imap.context import ImapContext
from mic_mail.imap.mailbox_names.acl_rights import NoPermission
from mic_mail.imap.mailbox_names.resolve import Place
from mic_mail.imap.parser.metadata import GetMetadata, SetMetadata
from mic_mail.imap.replies import Reply, refusal, refuse
from mic_mail.storage.errors import AnnotationTooLong, TooManyAnnotations
from mic_mail.storage.index.metadata_format import SHARED
from mic_mail.storage.mailstore import Account
from mic_mail.storage.types import SPECIAL_USES, Annotation, FolderInfo

SERVER = ""
"""The mailbox name that stands for the server (RFC 5464 §4.1)."""
SPECIAL_USE = "/private/specialuse"
"""The entry by which a special use can be read and changed (RFC 6154 §4); LIST shows the same use."""

MetadataEntry = tuple[str, bytes | None]
"""A name, and its value or None if it has none."""


def holders(ctx: ImapContext) -> tuple[str, str]:
    """Return the holders whose entries this session sees."""
    assert ctx.signed_in is not None
    return SHARED, ctx.signed_in.actor


def get_metadata(ctx: ImapContext, command: GetMetadata) -> Steps[Reply]:
    """Handle GETMETADATA; LONGENTRIES reports the largest value that MAXSIZE left out (RFC 5464 §4.2.1)."""
    seen, place = holders(ctx), _place(ctx, command.mailbox)

    def work(account: Account) -> list[MetadataEntry]:
        if command.mailbox == SERVER:
            return [*_of_server(ctx), *((each.name, each.value) for each in account.annotations(None, seen))]
        info = account.folder(place.name)
        return of_folder(info, account.annotations(info.folder_id, seen), with_use=place.box is None)

    known = yield from ctx.ask(work, place)
    found = chosen(known, command.entries, command.depth)
    limit = command.max_octets
    too_long = [len(value) for _, value in found if value is not None and limit is not None and len(value) > limit]
    if limit is not None:
        found = [(name, value) for name, value in found if value is None or len(value) <= limit]
    ctx.write(responses.metadata(command.mailbox, found, utf8=ctx.utf8))
    return Reply("Metadata listed.", code=b"METADATA LONGENTRIES %d" % max(too_long) if too_long else b"")


def _of_server(ctx: ImapContext) -> list[MetadataEntry]:
    """Return the server's own entries: `text/plain; charset=utf-8`, and a URI (RFC 5464 §6.2)."""
    host, support = ctx.settings.host, ctx.settings.support
    comment = f"Thư điện tử, máy chủ {host}" if ctx.utf8 else f"Mail, server {host}"
    entries: list[MetadataEntry] = [("/shared/comment", comment.encode())]
    if support:
        entries.append(("/shared/admin", f"mailto:{quote(support, safe='@')}".encode("ascii")))
    return entries


def _place(ctx: ImapContext, mailbox: str) -> Place:
    """Return the mailbox if the person may use its entries: `l` and one of r, s, w, i, p (RFC 5464 §3.3)."""
    place = Place(mailbox) if mailbox == SERVER else ctx.place(mailbox)
    if not may_annotate(place.rights):
        place.need("lr")
    return place


def may_annotate(rights: str) -> bool:
    """Return whether these rights allow annotations (RFC 5464 §3.3)."""
    return "l" in rights and bool(set("rswip") & set(rights))


def of_folder(info: FolderInfo, annotations: Iterable[Annotation], *, with_use: bool = True) -> list[MetadataEntry]:
    """Return the entries of a folder; its special use, where `with_use`, is one of them (RFC 6154 §4)."""
    entries: list[MetadataEntry] = [(each.name, each.value) for each in annotations]
    if info.special_use is not None and with_use:
        entries.insert(0, (SPECIAL_USE, info.special_use.encode("ascii")))
    return entries


def chosen(known: Sequence[MetadataEntry], asked: Iterable[str], depth: int | None = 0) -> list[MetadataEntry]:
    """Return the requested entries, with those below them as `depth` says (RFC 5464 §4.2.2).

    `depth`: 0, 1, or None for all levels. A requested entry is NIL if it does not exist, under the name that the client
    wrote.
    """
    by_name = {name.lower(): (name, value) for name, value in known}
    found: dict[str, MetadataEntry] = {}
    for name in asked:
        key = name.lower()
        if key in by_name:
            found[key] = (name, by_name[key][1])
        elif depth == 0:
            found[key] = (name, None)
        if depth != 0:
            below = key + "/"
            for other, entry in by_name.items():
                if other.startswith(below) and (depth is None or "/" not in other[len(below) :]):
                    found.setdefault(other, entry)
    return list(found.values())


def set_metadata(ctx: ImapContext, command: SetMetadata) -> Steps[Reply]:
    """Handle SETMETADATA: all changes or none, durable before OK (RFC 5464 §4.3)."""
    shared, person = holders(ctx)
    on_server, place = command.mailbox == SERVER, _place(ctx, command.mailbox)
    uses = [_use(value) for name, value in command.changes if name.lower() == SPECIAL_USE and not on_server]
    changes = [
        (person if _is_private(name) else shared, name, value)
        for name, value in command.changes
        if on_server or name.lower() != SPECIAL_USE
    ]
    if on_server and any(holder == shared for holder, _, _ in changes):
        return refuse(
            Text(
                "Thông tin của máy chủ do người quản trị quy định.",
                "Server metadata is set by the administrators.",
            ),
            b"NOPERM",
        )
    if (uses and place.box is not None) or (any(holder == shared for holder, _, _ in changes) and "w" not in place.rights):
        return refusal(NoPermission())

    def work(account: Account) -> None:
        account.annotate(None if on_server else account.folder(place.name).folder_id, changes, uses)

    try:
        yield from ctx.change(work, place)
    except AnnotationTooLong as error:
        return refuse(error.text, b"METADATA MAXSIZE %d" % error.limit_octets)
    except TooManyAnnotations as error:
        return refuse(error.text, b"METADATA TOOMANY")
    return Reply("Metadata set.")


def _use(value: bytes | None) -> str | None:
    """Return a special use in the server's spelling; the store refuses unknown ones."""
    word = None if value is None else value.decode("ascii", "replace").strip()
    return next((use for use in SPECIAL_USES if word is not None and use.lower() == word.lower()), word or None)


def _is_private(name: str) -> bool:
    return name.lower().startswith("/private/")
