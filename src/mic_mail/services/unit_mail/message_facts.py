"""The facts of a mailbox's messages for the duties of Article 12, read from its index.

In: an account, a folder, an instant. Out: a `MessageFacts` for each message that came since then: sender and recipients,
whether the sender is verified, its Message-ID, its references, whether it is automatic. No file is opened except for a
header that is too long for the index. A folder is read backwards from its newest message as far as needed. Blocking.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from mic_mail.clock import instant_of
from mic_mail.directory.instants import to_microseconds
from mic_mail.directory.snapshot import Entry, Snapshot
from mic_mail.errors import MicMailError
from mic_mail.mailbox_address import quoted_if_needed
from mic_mail.mime.addresses import parse_addresses
from mic_mail.mime.headers import fields, unfold
from mic_mail.policy.reclamation import is_empty
from mic_mail.policy.unit_mail import delegation, reply_deadlines
from mic_mail.policy.unit_mail.reply_deadlines import IncomingMail
from mic_mail.services.requests.submitted_by import was_submitted
from mic_mail.storage.mailstore import Account
from mic_mail.storage.types import ANSWERED, KEYWORD_SHIFT, Column, FolderInfo

_COLUMNS: Sequence[Column] = ("uid", "flags", "internaldate_us", "header")
_PIECE = 500
_LONG_HEADER = 256 << 10
_MESSAGE_ID = re.compile(r"<[^<>\s]+>")
SENT, DRAFTS = "\\Sent", "\\Drafts"
NOT_INCOMING = frozenset({SENT, DRAFTS, "\\Trash", "\\Junk"})
"""Special uses (RFC 6154) of folders without pending mail."""


@dataclass(frozen=True, slots=True)
class MessageFacts:
    uid: int
    flags: int
    """The flags by `Account.rows`: the shared state."""
    incoming: IncomingMail
    subject: bytes
    """The raw header value."""
    refers: frozenset[str]
    """The Message-IDs in In-Reply-To and References."""
    is_report: bool
    """A multipart/report: of delivery or of reading (RFC 6522)."""
    is_junk: bool = False
    """Marked as junk, by the checks or by its reader: nobody has to answer it, also outside of Junk."""

    def is_from(self, own: Collection[str], folder: FolderInfo) -> bool:
        """Return whether one of these addresses wrote it; into Sent only the mailbox's people put messages."""
        return self.incoming.sender in own if folder.special_use == SENT else self.incoming.is_from(own)


@dataclass(frozen=True, slots=True)
class PendingMessage:
    """A message that somebody still has to act on."""

    sender: str
    subject: str
    """For the mailbox's own people only."""
    received_at: datetime
    due_at: datetime


def bits_of(folder: FolderInfo, keywords: Collection[str]) -> int:
    """Return the flag bits of these keywords (in lower case) in a folder; 0 where it has none of them."""
    places = (place for place, keyword in enumerate(folder.keywords) if keyword.lower() in keywords)
    return sum(1 << (KEYWORD_SHIFT + place) for place in places)


def account_facts(
    account: Account, since: datetime, hostname: str, *, sent_only: bool = False
) -> Iterator[tuple[FolderInfo, MessageFacts]]:
    """Yield the messages of all folders but Drafts that came since then, or those in Sent only."""
    for folder in account.folders():
        if folder.special_use == SENT if sent_only else folder.selectable and folder.special_use != DRAFTS:
            for facts in folder_facts(account, folder, since, hostname):
                yield folder, facts


def holders_of(entry: Entry, snapshot: Snapshot) -> Iterator[Entry]:
    """Yield the own mailboxes of everybody who was ever named in a mailbox."""
    for person in delegation.named_person_ids(entry.facts):
        holder = snapshot.entries.get(snapshot.own.get(person, 0))
        if holder is not None and not is_empty(holder.facts):
            yield holder


def folder_facts(account: Account, folder: FolderInfo, since: datetime, hostname: str) -> Iterator[MessageFacts]:
    """Yield the messages of a folder that came since then.

    UIDs follow the order in which messages were saved, and nothing is saved before it came, so a piece that was saved
    earlier ends the search. It has to be a whole piece: in an index rebuilt from files (a foreign mailbox, a lost index) a
    moved message is as old as its file, whatever its UID.

    `hostname`: this server's, as in its trace lines.
    """
    answered, junk = ANSWERED | bits_of(folder, ("$answered",)), bits_of(folder, ("$junk",))
    since_us = to_microseconds(since)
    uids = account.view(folder.folder_id).uids
    for end in range(len(uids), 0, -_PIECE):
        piece = uids[max(0, end - _PIECE) : end]
        young = [uid for uid, saved in account.rows(folder.folder_id, piece, ("uid", "savedate_us")) if saved >= since_us]
        for uid, flags, received_us, header in account.rows(folder.folder_id, young, _COLUMNS):
            if received_us >= since_us:
                octets = header or _read_header(account, folder.folder_id, uid)
                is_foreign = _DELIVERED.search(octets) is not None and not was_submitted(octets, hostname)
                facts = _facts_of(uid, flags, octets, received_us, is_marked=bool(flags & answered), is_foreign=is_foreign)
                yield replace(facts, is_junk=True) if flags & junk else facts
        if not young:
            return


def _read_header(account: Account, folder_id: int, uid: int) -> bytes:
    try:
        with account.open_message(folder_id, uid) as message:
            return message.pread(0, _LONG_HEADER).partition(b"\r\n\r\n")[0]
    except MicMailError:  # expunged meanwhile, or unreadable: the others are yielded
        return b""


_DELIVERED = re.compile(rb"^(?:return-path|received)[ \t]*:", re.IGNORECASE | re.MULTILINE)
"""Fields that every server adds in transit (RFC 5321 §4.4), and no mail program to its own copy."""


_WANTED = frozenset(
    b"message-id from to cc subject in-reply-to references auto-submitted precedence list-id list-post list-unsubscribe "
    b"content-type return-path".split()
)
_PLAIN = ("auto-submitted", "precedence", "list-id", "list-post", "list-unsubscribe", "content-type", "return-path")


def _facts_of(uid: int, flags: int, header: bytes, received_us: int, *, is_marked: bool, is_foreign: bool) -> MessageFacts:
    found: dict[bytes, bytes] = {}
    for name, value in fields(header):
        if name in _WANTED and name not in found:
            found[name] = unfold(value)
    sender = next(iter(_addresses(found.get(b"from", b""))), "")
    plain = {name: found[name.encode()].decode("ascii", "replace").lower() for name in _PLAIN if name.encode() in found}
    ids = _MESSAGE_ID.findall(found.get(b"message-id", b"").decode("utf-8", "replace"))
    refers = (found.get(b"in-reply-to", b"") + b" " + found.get(b"references", b"")).decode("utf-8", "replace")
    incoming = IncomingMail(
        message_id=ids[0] if ids else "",
        sender=sender,
        to=frozenset(_addresses(found.get(b"to", b""))),
        cc=frozenset(_addresses(found.get(b"cc", b""))),
        received_at=instant_of(received_us // 1_000_000 * 1_000_000),
        is_marked=is_marked,
        is_automatic=reply_deadlines.is_automatic(plain, sender),
        is_foreign=is_foreign,
    )
    is_report = plain.get("content-type", "").startswith("multipart/report")
    return MessageFacts(uid, flags, incoming, found.get(b"subject", b""), frozenset(_MESSAGE_ID.findall(refers)), is_report)


def _addresses(value: bytes) -> list[str]:
    return [
        f"{quoted_if_needed(each.mailbox.decode('utf-8', 'replace'))}@{each.host.decode('utf-8', 'replace')}".lower()
        for each in (parse_addresses(value) if value else ())
        if each.mailbox and each.host
    ]
