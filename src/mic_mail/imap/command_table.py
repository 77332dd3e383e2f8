"""The table of commands: one row each, with its parser, when it is allowed, and its handler.

A row is that of the `UID ` form too. The reader gets its part, the parsers, as GRAMMAR; the session looks up the row by
`Command.name`. Standards: RFC 9051 §3, §5.5, §7.5.1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import Any, Protocol, TypeVar

from mic_mail.connection.actions import Steps
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
from mic_mail.imap.parser.command import Arguments
from mic_mail.imap.parser.grammar import Grammar, Parser
from mic_mail.imap.parser.lexer import Cursor
from mic_mail.imap.parser.session import no_arguments
from mic_mail.imap.replies import Reply

A = TypeVar("A", bound=Arguments)
A_co = TypeVar("A_co", bound=Arguments, covariant=True)

Handler = Callable[[ImapContext, A], Steps[Reply] | Steps[Reply | None] | Reply]
"""A function that carries a command out; its result None means that the tagged line is written already."""


class Expunges(Enum):
    """The commands during which EXPUNGE or VANISHED may be sent (RFC 9051 §7.5.1)."""

    ALLOWED = auto()
    BY_UID = auto()
    """Only where no message number is in use: not during FETCH, STORE, SEARCH."""
    NEVER = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """The row of one command."""

    parse: Parser
    parse_uid: Parser | None = None
    """As `parse`, behind `UID `; None: there is no such form."""
    handle: Callable[..., Any]
    """A `Handler`; those of APPEND and REPLACE take an `AppendMessage`, and why the command is forbidden, if it is."""
    states: ConnectionState = SIGNED_IN
    """The states in which it is legal."""
    expunges: Expunges = Expunges.ALLOWED
    capability: str = ""
    """The extension of IMAP4rev2 that it belongs to; hidden from an account, the command is unknown to it."""
    writes: bool = False
    """It is refused in a mailbox opened by EXAMINE."""

    def may_expunge(self, arguments: Arguments) -> bool:
        """Return whether EXPUNGE or VANISHED may be sent while this command is answered."""
        return self.expunges is Expunges.ALLOWED or (self.expunges is Expunges.BY_UID and not arguments.keeps_numbers)


def _row(parse: Callable[[Cursor], A], handle: Handler[A], states: ConnectionState = SIGNED_IN, **rules: Any) -> Spec:
    """Return the row of a command whose parser makes what its handler takes."""
    return Spec(parse=parse, handle=handle, states=states, **rules)


class _MessagesParser(Protocol[A_co]):
    def __call__(self, cursor: Cursor, *, by_uid: bool) -> A_co: ...


def _on_messages(parse: _MessagesParser[A], handle: Handler[A], **rules: Any) -> Spec:
    """Return the row of a command on messages of the selected mailbox, which has a `UID ` form."""
    plain, by_uid = partial(parse, by_uid=False), partial(parse, by_uid=True)
    return Spec(parse=plain, parse_uid=by_uid, handle=handle, states=ConnectionState.SELECTED, **rules)


_ANONYMOUS = ConnectionState.NOT_AUTHENTICATED
_SELECTED = ConnectionState.SELECTED

COMMANDS: dict[str, Spec] = {
    "CAPABILITY": _row(no_arguments, auth.send_capability, ANY_STATE),
    "NOOP": _row(no_arguments, auth.noop, ANY_STATE),
    "LOGOUT": _row(no_arguments, auth.logout, ANY_STATE),
    "ID": _row(session.id_, auth.identify, ANY_STATE),
    "STARTTLS": _row(no_arguments, auth.start_tls, _ANONYMOUS),
    "AUTHENTICATE": _row(session.authenticate, auth.authenticate, _ANONYMOUS),
    "LOGIN": _row(session.login, auth.login, _ANONYMOUS),
    "UNAUTHENTICATE": _row(  # RFC 8437 §3: no expunge event
        no_arguments, auth.unauthenticate, expunges=Expunges.NEVER, capability="UNAUTHENTICATE"
    ),
    "COMPRESS": _row(session.compress, auth.compress, capability="COMPRESS=DEFLATE"),
    "ENABLE": _row(session.enable, auth.enable),
    "SELECT": _row(partial(mailbox.select, read_only=False), select.select),
    "EXAMINE": _row(partial(mailbox.select, read_only=True), select.select),
    "CREATE": _row(mailbox.create, mailboxes.create),
    "DELETE": _row(mailbox.on_mailbox, mailboxes.delete),
    "RENAME": _row(mailbox.rename, mailboxes.rename),
    "SUBSCRIBE": _row(mailbox.on_mailbox, mailboxes.subscribe),
    "UNSUBSCRIBE": _row(mailbox.on_mailbox, mailboxes.unsubscribe),
    "LIST": _row(mailbox.list_, mailboxes.list_),
    "LSUB": _row(mailbox.basic_list, mailboxes.lsub),
    "XLIST": _row(mailbox.basic_list, mailboxes.xlist, capability="XLIST"),
    "NAMESPACE": _row(no_arguments, mailboxes.namespace),
    "STATUS": _row(mailbox.status, mailboxes.status),
    "GETQUOTA": _row(mailbox.get_quota, mailboxes.get_quota, capability="QUOTA"),
    "GETQUOTAROOT": _row(mailbox.on_mailbox, mailboxes.get_quota_root, capability="QUOTA"),
    "SETQUOTA": _row(mailbox.set_quota, mailboxes.set_quota, capability="QUOTA"),
    "GETMETADATA": _row(metadata_parser.get_metadata, metadata.get_metadata, capability="METADATA"),
    "SETMETADATA": _row(metadata_parser.set_metadata, metadata.set_metadata, capability="METADATA"),
    "SETACL": _row(acl_parser.set_acl, acl.set_acl, capability="ACL"),
    "DELETEACL": _row(acl_parser.on_identifier, acl.delete_acl, capability="ACL"),
    "GETACL": _row(mailbox.on_mailbox, acl.get_acl, capability="ACL"),
    "LISTRIGHTS": _row(acl_parser.on_identifier, acl.list_rights, capability="ACL"),
    "MYRIGHTS": _row(mailbox.on_mailbox, acl.my_rights, capability="ACL"),
    "APPEND": Spec(parse=append_parser.append, handle=append.append),
    "IDLE": _row(no_arguments, select.idle),
    "NOTIFY": _row(notify_parser.notify, notify.notify, capability="NOTIFY"),
    "ESEARCH": _row(  # RFC 7377 §2.2
        sort.multi_search, esearch.multi_search, expunges=Expunges.BY_UID, capability="MULTISEARCH"
    ),
    "CHECK": _row(no_arguments, auth.noop, _SELECTED),
    "CLOSE": _row(no_arguments, select.close, _SELECTED, expunges=Expunges.NEVER),  # RFC 9051 §6.4.1
    "UNSELECT": _row(no_arguments, select.unselect, _SELECTED, expunges=Expunges.NEVER),
    "CANCELUPDATE": _row(sort.cancel_update, search_context.cancel_update, _SELECTED),
    "UIDBATCHES": _row(messages.uid_batches, uidbatches.uid_batches, _SELECTED, capability="UIDBATCHES"),
    "EXPUNGE": _on_messages(messages.expunge, select.expunge, writes=True),
    "FETCH": _on_messages(fetch_parser.fetch, fetch.fetch, expunges=Expunges.BY_UID),
    "STORE": _on_messages(fetch_parser.store, store_copy_move.store, expunges=Expunges.BY_UID, writes=True),
    "SEARCH": _on_messages(search_parser.search, search.search, expunges=Expunges.BY_UID),
    "SORT": _on_messages(sort.sort, search.sort, expunges=Expunges.BY_UID, capability="SORT"),
    "THREAD": _on_messages(sort.thread, search.thread, expunges=Expunges.BY_UID),
    "COPY": _on_messages(messages.transfer, store_copy_move.copy),
    "MOVE": _on_messages(messages.transfer, store_copy_move.move, writes=True),
    "REPLACE": Spec(
        parse=append_parser.replace,
        parse_uid=append_parser.replace,
        handle=replace.replace,
        states=ConnectionState.SELECTED,
        capability="REPLACE",
        writes=True,
    ),
}

GRAMMAR = Grammar(
    {name.encode(): spec.parse for name, spec in COMMANDS.items()}
    | {b"UID " + name.encode(): spec.parse_uid for name, spec in COMMANDS.items() if spec.parse_uid is not None},
    frozenset(name.encode() for name, spec in COMMANDS.items() if ConnectionState.NOT_AUTHENTICATED in spec.states),
)
"""The part of the table that the reader needs."""
