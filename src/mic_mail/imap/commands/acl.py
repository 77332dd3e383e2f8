"""SETACL, DELETEACL, GETACL, LISTRIGHTS, MYRIGHTS: rights in mailboxes (RFC 4314).

In: commands. Out: steps. Rights follow from what the Centre recorded (Reg. 12.3, 5.2) and are the same in every folder of a
mailbox. IMAP reads and never changes them: delegations by the head of a unit are recorded by `mic-mail mailbox grant`, and a
personal mailbox cannot be shared (Reg. 15.2). A session of the mailbox itself may list the others' rights; a keeper may list
its own.
"""

from mic_mail.auth.sasl import saslprep
from mic_mail.connection.actions import Steps
from mic_mail.errors import Text
from mic_mail.imap import responses
from mic_mail.imap.context import ImapContext
from mic_mail.imap.mailbox_names import resolve
from mic_mail.imap.mailbox_names.acl_rights import may_ask, with_legacy_rights
from mic_mail.imap.mailbox_names.resolve import Place
from mic_mail.imap.parser.acl import OnIdentifier, SetAcl
from mic_mail.imap.parser.mailbox import OnMailbox
from mic_mail.imap.replies import Reply, bad, refuse
from mic_mail.storage.errors import NoSuchFolder

PERSONAL = Text(
    "Hộp thư cá nhân không chia sẻ được (khoản 2 Điều 15 Quy chế).", "A personal mailbox cannot be shared (Reg. 15.2)."
)
NAMED = Text(
    "Thủ trưởng đơn vị phân công, Trung tâm Thông tin ghi nhận (khoản 3 Điều 12 Quy chế).",
    "The head of the unit names the people, and the Centre records them (Reg. 12.3).",
)
NO_IDENTIFIER = "Invalid identifier."


def set_acl(ctx: ImapContext, command: SetAcl | OnIdentifier) -> Steps[Reply]:
    """Refuse the change for everybody, with the clause."""
    if not saslprep(command.identifier):
        return bad(NO_IDENTIFIER)
    place = yield from _existing(ctx, command.mailbox)
    common = place.box is not None or ctx.host.records_access(ctx.mailbox_id)
    return refuse(NAMED if common else PERSONAL, b"NOPERM")


delete_acl = set_acl


def get_acl(ctx: ImapContext, command: OnMailbox) -> Steps[Reply]:
    """Return the rights in the own mailbox, also of others who may use it; needs `a` (RFC 4314 §4)."""
    place = yield from _existing(ctx, command.mailbox, "a")
    holders = {_me(ctx): place.rights, **ctx.host.holders(ctx.mailbox_id)}
    acl = {who: with_legacy_rights(rights) for who, rights in holders.items()}
    ctx.write(responses.acl(resolve.client_name(place, ctx.boxes), acl, utf8=ctx.utf8))
    return Reply("Rights listed.")


def list_rights(ctx: ImapContext, command: OnIdentifier) -> Steps[Reply]:
    """Return the rights that an identifier always has here; none can be granted.

    The identifier is returned as written (§3.4).
    """
    who = saslprep(command.identifier)
    if not who:
        return bad(NO_IDENTIFIER)
    place = yield from _existing(ctx, command.mailbox, "a")
    required = with_legacy_rights(place.rights) if who.lower() == _me(ctx) else b""
    ctx.write(responses.list_rights(resolve.client_name(place, ctx.boxes), command.identifier, required, utf8=ctx.utf8))
    return Reply("Rights listed.")


def my_rights(ctx: ImapContext, command: OnMailbox) -> Steps[Reply]:
    """Return the client's rights; any right suffices to ask (RFC 4314 §4)."""
    place = yield from _existing(ctx, command.mailbox)
    ctx.write(responses.my_rights(resolve.client_name(place, ctx.boxes), with_legacy_rights(place.rights), utf8=ctx.utf8))
    return Reply("Rights listed.")


def _existing(ctx: ImapContext, name: str, letters: str = "") -> Steps[Place]:
    """Return a mailbox that exists and may be seen; one that may not be seen does not exist (RFC 4314 §6)."""
    place = ctx.place(name)
    if not may_ask(place.rights):
        raise NoSuchFolder(name)
    yield from ctx.ask(lambda account: account.folder(place.name), place)
    place.need(letters)
    return place


def _me(ctx: ImapContext) -> str:
    assert ctx.signed_in is not None
    return ctx.signed_in.address
