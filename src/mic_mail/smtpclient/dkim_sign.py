"""Sign outgoing mail with DKIM (RFC 6376, 8301, 8463), by each signing key of the domain in From.

In: an entry of the queue. Out: the fields to put in front of its message, which is not changed. Mail that was not submitted by
an authenticated user is not signed, except for this server's own reports (the null sender, which no client can submit here).
Blocking, in one thread; a message is read in pieces.

    key or ring cannot be read      `KeyUnusable`: the message waits, since it will be signed once that is fixed
    message cannot be read          OSError: it waits, as it could not be sent either
    message cannot be signed        it goes without a signature, and `message_not_signed` says why
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import BinaryIO

from mic_mail.clock import Clock
from mic_mail.domain_name import NotAName, to_ascii
from mic_mail.errors import MicMailError
from mic_mail.log.maillog import MailLog
from mic_mail.mime import dkim
from mic_mail.mime.strict_addresses import Ambiguous, read_mailboxes
from mic_mail.queue.queue import QueueEntry
from mic_mail.smtpclient.dkim_keys import Key, KeyFolder, KeyState, KeyUnusable, Private, signature

PIECE_OCTETS = 64 << 10
MOST_HEADER_OCTETS = 1 << 20
MOST_NAMES = 500
"""Most names in `h=`: a field of a hundred kilobytes would be refused elsewhere."""
KEPT = 2_000
"""Messages whose signatures are cached, for their next attempt or domain."""
_END = b"\r\n\r\n"


class NotSigned(ValueError):
    """The reason why a message cannot be signed."""


SigningKeys = dict[str, list[tuple[Key, Private]]]
"""The signing keys of each domain."""


class Signer:
    """Signs in one process; picks up changes made by commands immediately."""

    def __init__(self, folder: KeyFolder, log: MailLog, clock: Clock) -> None:
        self._folder = folder
        self._log = log
        self._clock = clock
        self._loaded_mark: tuple[int, ...] | None = ()
        self._loaded: SigningKeys = {}
        self._signed: OrderedDict[str, bytes] = OrderedDict()
        self._logged = ""

    def sign(self, entry: QueueEntry) -> bytes:
        """Return the signature fields, empty where there are to be none."""
        try:
            keys = self._keys()
        except KeyUnusable as error:
            if self._logged != error.text.en:
                self._logged = error.text.en
                self._log.event("dkim_key_unusable", error=error.text)
            raise
        self._logged = ""
        is_ours = not entry.envelope.sender and not entry.envelope.submitted_by  # a report of this server
        if not keys or not (entry.envelope.submitted_by or is_ours):
            return b""
        if (known := self._signed.get(entry.entry_id)) is not None:
            return known
        fields = self._signed[entry.entry_id] = self._fields(entry, keys)
        if len(self._signed) > KEPT:
            self._signed.popitem(last=False)
        return fields

    def _keys(self) -> SigningKeys:
        while (mark := self._folder.mark()) != self._loaded_mark:
            try:
                self._loaded, self._loaded_mark = self._load(), mark
            except KeyUnusable:
                if mark == self._folder.mark():  # else another process has just removed a key
                    raise
            self._signed.clear()  # the key may be gone before the message is: each is signed by what is published
        return self._loaded

    def _load(self) -> SigningKeys:
        by_domain: SigningKeys = {}
        for key in self._folder.read():
            if key.state is KeyState.SIGNING:
                by_domain.setdefault(key.domain, []).append((key, self._folder.private(key)))
        return by_domain

    def _fields(self, entry: QueueEntry, keys: SigningKeys) -> bytes:
        try:
            with open(entry.path, "rb", buffering=0) as file:
                file.seek(entry.envelope.return_path_octets)
                header, rest = _read_header(file)
                fields = dkim.split_header(header)
                mine = keys.get(_author_domain(fields), [])
                return _signed(file, fields, rest, mine, self._clock.steady_us() // 1_000_000) if mine else b""
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - mail must not stop for an error in one message, or here
            reason = error.text if isinstance(error, MicMailError) else f"{type(error).__name__}: {error}"
            self._log.event("message_not_signed", trace=entry.envelope.trace_id, sender=entry.envelope.sender, reason=reason)
            return b""


def _read_header(file: BinaryIO) -> tuple[bytes, bytes]:
    """Read the header before the empty line, and the body octets read with it."""
    read = bytearray()
    while octets := file.read(PIECE_OCTETS):
        looked = max(0, len(read) - len(_END) + 1)
        read += octets
        if (at := read.find(_END, looked)) >= 0:
            return bytes(read[:at]), bytes(read[at + len(_END) :])
        if len(read) > MOST_HEADER_OCTETS:
            raise NotSigned("the header is too long")
    return bytes(read), b""


def _author_domain(fields: Sequence[tuple[bytes, bytes]]) -> str:
    """Return the domain of From, in A-labels."""
    values = [value for name, value in fields if name.lower() == b"from"]
    if len(values) != 1:
        raise NotSigned("not one From")
    try:
        domains = {to_ascii(mailbox.address.rpartition("@")[2]) for mailbox in read_mailboxes(values[0])}
    except (Ambiguous, NotAName) as error:
        raise NotSigned(f"From is not legible: {error}") from error
    if len(domains) != 1:
        raise NotSigned("authors of several domains")
    return domains.pop()


def _signed(
    file: BinaryIO, fields: Sequence[tuple[bytes, bytes]], rest: bytes, keys: Sequence[tuple[Key, Private]], at: int
) -> bytes:
    names = dkim.names_to_sign(fields)
    if len(names) > MOST_NAMES:
        raise NotSigned("too many fields of one name")
    body = dkim.BodyDigest(is_relaxed=True)
    body.update(rest)
    while octets := file.read(PIECE_OCTETS):
        body.update(octets)
    digest = body.finish().digest()
    written = []
    for key, private in keys:
        unsigned = dkim.unsigned_field(dkim.Signing(f"{key.algorithm}-sha256", key.domain, key.selector, at), names, digest)
        made = signature(private, dkim.to_be_signed(fields, names, unsigned))
        written.append(dkim.whole_field(unsigned, made))
    return b"".join(written)
