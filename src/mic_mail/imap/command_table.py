"""The table of commands: one row each, with its parser, when it is allowed, and its handler.

A row is that of the `UID ` form too. The reader gets its part, the parsers, as GRAMMAR; the session looks up the row by
`Command.verb`. Standards: RFC 9051 §3, §5.5, §7.5.1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import Any, Protocol, TypeVar

from mic_mail.imap.actions import Steps
from mic_mail.imap.commands import (
    acl,
    append,
    auth,
    esearch,
    fetch,
    mailboxes,
    metadata,
    notify,
    replace,
    search,
    search_context,
    select,
    store_copy_move,
    uidbatches,
)
from mic_mail.imap.connection_state import ANY_STATE, SIGNED_IN, ConnectionState
from mic_mail.imap.context import ImapContext
from mic_mail.imap.parser import acl as acl_parser
from mic_mail.imap.parser import append as append_parser
from mic_mail.imap.parser import fetch as fetch_parser
from mic_mail.imap.parser import mailbox, messages, session, sort
from mic_mail.imap.parser import metadata as metadata_parser
from mic_mail.imap.parser import notify as notify_parser
from mic_mail.imap.parser import search as search_parser
from mic_mail.imap.parser.acl import DeleteAcl, GetAcl, ListRights, MyRights
from mic_mail.imap.parser.command import Command
from mic_mail.imap.parser.grammar import Grammar
from mic_mail.imap.parser.lexer import Cursor
from mic_mail.imap.parser.mailbox import GetQuotaRoot, Lsub, Namespace, Subscribe, Unsubscribe, Xlist
from mic_mail.imap.parser.reader import AppendMessage
from mic_mail.imap.parser.session import Capability, Check, Close, Idle, Logout, Noop, StartTls, Unauthenticate, Unselect
from mic_mail.imap.replies import Reply

C = TypeVar("C", bound=Command | AppendMessage)
C_co = TypeVar("C_co", bound=Command | AppendMessage, covariant=True)

Handler = Callable[[ImapContext, C], Steps[Reply | None]]
"""A function that carries a command out; its result None means that the tagged line is written already."""


class Expunges(Enum):
    """The commands during which EXPUNGE or VANISHED may be sent (RFC 9051 §7.5.1)."""

    ALLOWED = auto()
    BY_UID = auto()
    """Only where no message number is in use: not during FETCH, STORE, SEARCH."""
    NEVER = auto()


@dataclass(frozen=True, slots=True)
class Spec:
    """The row of one command."""

    parse: Callable[[bytes, Cursor], Any]
    """Reads the arguments, from the tag and a cursor behind the name."""
    parse_uid: Callable[[bytes, Cursor], Any] | None
    """As `parse`, behind `UID `; None: there is no such form."""
    handle: Handler[Any]
    states: ConnectionState
    """The states in which it is legal."""
    expunges: Expunges
    writes: bool = False
    """It is refused in a mailbox opened by EXAMINE."""

    def may_expunge(self, command: Command) -> bool:
        """Return whether EXPUNGE or VANISHED may be sent while this command is answered."""
        return self.expunges is Expunges.ALLOWED or (self.expunges is Expunges.BY_UID and not command.keeps_numbers)


def _row(
    parse: Callable[[bytes, Cursor], C],
    handle: Handler[C],
    states: ConnectionState = SIGNED_IN,
    expunges: Expunges = Expunges.ALLOWED,
) -> Spec:
    """Return the row of a command whose parser makes what its handler takes."""
    return Spec(parse, None, handle, states, expunges)


class _MessagesParser(Protocol[C_co]):
    def __call__(self, tag: bytes, cursor: Cursor, *, by_uid: bool) -> C_co: ...


def _on_messages(
    parse: _MessagesParser[C], handle: Handler[C], expunges: Expunges = Expunges.ALLOWED, *, writes: bool = False
) -> Spec:
    """Return the row of a command on messages of the selected mailbox, which has a `UID ` form."""
    plain, by_uid = partial(parse, by_uid=False), partial(parse, by_uid=True)
    return Spec(plain, by_uid, handle, ConnectionState.SELECTED, expunges, writes)


_ANONYMOUS = ConnectionState.NOT_AUTHENTICATED
_SELECTED = ConnectionState.SELECTED

COMMANDS: dict[str, Spec] = {
    "CAPABILITY": _row(session.bare(Capability), auth.send_capability, ANY_STATE),
    "NOOP": _row(session.bare(Noop), auth.noop, ANY_STATE),
    "LOGOUT": _row(session.bare(Logout), auth.logout, ANY_STATE),
    "ID": _row(session.id_, auth.identify, ANY_STATE),
    "STARTTLS": _row(session.bare(StartTls), auth.start_tls, _ANONYMOUS),
    "AUTHENTICATE": _row(session.authenticate, auth.authenticate, _ANONYMOUS),
    "LOGIN": _row(session.login, auth.login, _ANONYMOUS),
    "UNAUTHENTICATE": _row(  # RFC 8437 §3: no expunge event
        session.bare(Unauthenticate), auth.unauthenticate, SIGNED_IN, Expunges.NEVER
    ),
    "COMPRESS": _row(session.compress, auth.compress),
    "ENABLE": _row(session.enable, auth.enable),
    "SELECT": _row(partial(mailbox.select, read_only=False), select.select),
    "EXAMINE": _row(partial(mailbox.select, read_only=True), select.select),
    "CREATE": _row(mailbox.create, mailboxes.create),
    "DELETE": _row(mailbox.delete, mailboxes.delete),
    "RENAME": _row(mailbox.rename, mailboxes.rename),
    "SUBSCRIBE": _row(mailbox.on_mailbox(Subscribe), mailboxes.subscribe),
    "UNSUBSCRIBE": _row(mailbox.on_mailbox(Unsubscribe), mailboxes.unsubscribe),
    "LIST": _row(mailbox.list_, mailboxes.list_),
    "LSUB": _row(mailbox.listing(Lsub), mailboxes.lsub),
    "XLIST": _row(mailbox.listing(Xlist), mailboxes.xlist),
    "NAMESPACE": _row(session.bare(Namespace), mailboxes.namespace),
    "STATUS": _row(mailbox.status, mailboxes.status),
    "GETQUOTA": _row(mailbox.get_quota, mailboxes.get_quota),
    "GETQUOTAROOT": _row(mailbox.on_mailbox(GetQuotaRoot), mailboxes.get_quota_root),
    "SETQUOTA": _row(mailbox.set_quota, mailboxes.set_quota),
    "GETMETADATA": _row(metadata_parser.get_metadata, metadata.get_metadata),
    "SETMETADATA": _row(metadata_parser.set_metadata, metadata.set_metadata),
    "SETACL": _row(acl_parser.set_acl, acl.set_acl),
    "DELETEACL": _row(acl_parser.on_identifier(DeleteAcl), acl.delete_acl),
    "GETACL": _row(mailbox.on_mailbox(GetAcl), acl.get_acl),
    "LISTRIGHTS": _row(acl_parser.on_identifier(ListRights), acl.list_rights),
    "MYRIGHTS": _row(mailbox.on_mailbox(MyRights), acl.my_rights),
    "APPEND": _row(append_parser.append, append.append),
    "IDLE": _row(session.bare(Idle), select.idle),
    "NOTIFY": _row(notify_parser.notify, notify.notify),
    "ESEARCH": _row(sort.multi_search, esearch.multi_search, SIGNED_IN, Expunges.BY_UID),  # RFC 7377 §2.2
    "CHECK": _row(session.bare(Check), auth.noop, _SELECTED),
    "CLOSE": _row(session.bare(Close), select.close, _SELECTED, Expunges.NEVER),  # RFC 9051 §6.4.1
    "UNSELECT": _row(session.bare(Unselect), select.unselect, _SELECTED, Expunges.NEVER),
    "CANCELUPDATE": _row(sort.cancel_update, search_context.cancel_update, _SELECTED),
    "UIDBATCHES": _row(messages.uid_batches, uidbatches.uid_batches, _SELECTED),
    "EXPUNGE": _on_messages(messages.expunge, select.expunge, writes=True),
    "FETCH": _on_messages(fetch_parser.fetch, fetch.fetch, Expunges.BY_UID),
    "STORE": _on_messages(fetch_parser.store, store_copy_move.store, Expunges.BY_UID, writes=True),
    "SEARCH": _on_messages(search_parser.search, search.search, Expunges.BY_UID),
    "SORT": _on_messages(sort.sort, search.sort, Expunges.BY_UID),
    "THREAD": _on_messages(sort.thread, search.thread, Expunges.BY_UID),
    "COPY": _on_messages(messages.copy, store_copy_move.copy),
    "MOVE": _on_messages(messages.move, store_copy_move.move, writes=True),
    "REPLACE": _on_messages(append_parser.replace, replace.replace),
}

GRAMMAR = Grammar(
    {name.encode(): spec.parse for name, spec in COMMANDS.items()}
    | {b"UID " + name.encode(): spec.parse_uid for name, spec in COMMANDS.items() if spec.parse_uid is not None},
    frozenset(name.encode() for name, spec in COMMANDS.items() if ConnectionState.NOT_AUTHENTICATED in spec.states),
)
"""The part of the table that the reader needs."""
