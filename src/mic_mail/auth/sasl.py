"""The server's side of SASL: PLAIN (RFC 4616), LOGIN as sent by Outlook, SCRAM-SHA-256(-PLUS).

SCRAM is RFC 5802, 7677. In: the decoded responses of a client, one by one (base64, `*` and `=` are left to the protocol). Out:
one `Step` each:

    Challenge       send this and pass the response to `step`
    CheckPassword   check whether this password is right; the exchange is over
    NeedKeys        look up the SCRAM keys of this user and pass them to `keys` (decoy keys if there is none)
    Done            the client proved that it knows the password
    Failed          it is over, and the reason (for the log; not for an unauthenticated client)

Never: I/O, time, passwords in a `repr`, an exception for anything that a client can send. Input is bounded by MAX_RESPONSE.

Own code instead of `scramp` 1.5 (well maintained, sans-I/O): the server's side is 120 lines, while scramp raises on a client's
bad input, refuses every authorization identity, and requires asn1crypto for the client's side only.
"""

import base64
import hashlib
import hmac
import re
import stringprep
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from mic_mail.policy.credentials.verifiers import ScramKeys

MAX_RESPONSE = 12_288
"""Octets of one response after base64 (RFC 4954 §4 bounds the encoded line by the same figure)."""

MAX_CHARACTERS = 512
"""Characters of a name or a password; longer ones are refused before they are prepared.

Normalization is quadratic in a run of combining marks (2 ms at this length, half a second at MAX_RESPONSE), and
unauthenticated clients may send them.
"""

PLUS = "SCRAM-SHA-256-PLUS"
Bindings = Mapping[str, bytes]
"""The types of channel binding of a connection, and the octets of each."""
NO_BINDING: Bindings = MappingProxyType({})


class Failure(StrEnum):
    """The reason for which an exchange failed."""

    MALFORMED = "malformed"
    TOO_LONG = "too-long"
    WRONG_PROOF = "wrong-proof"
    CHANNEL_BINDING = "channel-binding"
    BINDING_TYPE = "channel-binding-type"
    DOWNGRADE = "downgrade"
    UNSUPPORTED_EXTENSION = "unsupported-extension"


@dataclass(frozen=True, slots=True)
class Challenge:
    """Octets for the client."""

    data: bytes


@dataclass(frozen=True, slots=True)
class CheckPassword:
    """The client claims to be `user`.

    `authorize_as` is empty or the mailbox that it wants to act as.
    """

    user: str
    password: str = field(repr=False)
    authorize_as: str = ""


@dataclass(frozen=True, slots=True)
class NeedKeys:
    """SCRAM needs the keys of `user`."""

    user: str


@dataclass(frozen=True, slots=True)
class Done:
    """The client proved the password without revealing it to the server."""

    user: str
    authorize_as: str = ""
    stored_key: bytes = field(default=b"", repr=False, compare=False)
    """The stored key that the proof belongs to."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The exchange failed; `user` is set if the client had named itself."""

    failure: Failure
    user: str = ""


Step = Challenge | CheckPassword | NeedKeys | Done | Failed

_MALFORMED = Failed(Failure.MALFORMED)


class Exchange(ABC):
    """One sign-in attempt with one mechanism."""

    PROMPT = b""
    """The first challenge, for a client that sent no initial response."""
    _has_begun = False

    def step(self, response: bytes | None) -> Step:
        """Continue with the client's response; None if the client sent no initial response."""
        has_begun, self._has_begun = self._has_begun, True
        if response is None:
            return _MALFORMED if has_begun else Challenge(self.PROMPT)
        return self._continue(response) if len(response) <= MAX_RESPONSE else Failed(Failure.TOO_LONG)

    @abstractmethod
    def _continue(self, response: bytes) -> Step: ...

    def keys(self, keys: ScramKeys, others: Sequence[ScramKeys] = ()) -> Step:
        """Continue after `NeedKeys`.

        A proof for any of `others`, which share salt and iterations with `keys`, is accepted too.
        """
        return _MALFORMED


# ---------------------------------------------------------------- SASLprep


def saslprep(text: str) -> str | None:
    """Return `text` prepared by RFC 4013 for queries (unassigned code points pass), or None if forbidden.

    Both verifiers of a password are made from this form, so a password typed as NFC or NFD is one password.
    """
    if len(text) > MAX_CHARACTERS:
        return None
    if text.isascii() and text.isprintable():  # nothing below maps, forbids or reorders any of these
        return text
    mapped = "".join(" " if stringprep.in_table_c12(c) else c for c in text if not stringprep.in_table_b1(c))  # RFC 4013 §2.1
    prepared = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)  # §2.2; stringprep is defined on Unicode 3.2
    if any(forbidden(c) for c in prepared for forbidden in _PROHIBITED):  # §2.3
        return None
    return prepared if _bidi_allowed(prepared) else None


_PROHIBITED: tuple[Callable[[str], bool], ...] = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def _bidi_allowed(text: str) -> bool:
    """Check RFC 3454 §6: text with RandALCat characters has no LCat ones, and starts and ends with one."""
    if not any(stringprep.in_table_d1(c) for c in text):
        return True
    return (
        not any(stringprep.in_table_d2(c) for c in text)
        and stringprep.in_table_d1(text[0])
        and stringprep.in_table_d1(text[-1])
    )


def _utf8(octets: bytes) -> str | None:
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return None


# ---------------------------------------------------------------- PLAIN, LOGIN


class Plain(Exchange):
    """PLAIN (RFC 4616 §2): `[authzid] NUL authcid NUL passwd` in one response."""

    def _continue(self, response: bytes) -> Step:
        text = _utf8(response)
        parts = text.split("\0") if text is not None else []
        if len(parts) != 3 or not parts[1] or not parts[2]:
            return _MALFORMED
        authorize_as, user, password = parts
        return CheckPassword(user, password, authorize_as)


class Login(Exchange):
    """LOGIN (draft-murchison-sasl-login) as Outlook requires it.

    It needs exactly these two prompts, and may send the user name with the NUL of its C string; .NET sends the name as initial
    response.
    """

    PROMPT = b"Username:"
    PASSWORD_PROMPT = b"Password:"

    def __init__(self) -> None:
        self._user: str | None = None

    def _continue(self, response: bytes) -> Step:
        if self._user is None:
            user = _utf8(response.rstrip(b"\0"))
            if not user or "\0" in user:
                return _MALFORMED
            self._user = user
            return Challenge(self.PASSWORD_PROMPT)
        password = _utf8(response)
        if not password or "\0" in password:
            return _MALFORMED
        return CheckPassword(self._user, password)


# ---------------------------------------------------------------- SCRAM


@dataclass(frozen=True, slots=True)
class ClientFirst:
    """The parsed client-first-message (RFC 5802 §7)."""

    flag: str  # 'n', 'y' or the name of a channel binding type
    authorize_as: str
    user: str
    nonce: str
    gs2_header: bytes
    bare: bytes


def parse_client_first(message: bytes) -> ClientFirst | Failed:
    """Parse `gs2-cbind-flag "," [ "a=" authzid ] "," "n=" user "," "r=" nonce ["," extensions]`."""
    text = _utf8(message)
    if text is None or text.count(",") < 3:
        return _MALFORMED
    flag, authzid, bare = text.split(",", 2)
    if flag.startswith("p="):
        flag = flag[2:]
    elif flag not in {"n", "y"}:
        return _MALFORMED
    authorize_as = _name(authzid.removeprefix("a=")) if authzid.startswith("a=") else ""
    if authorize_as is None or (authzid and not authzid.startswith("a=")):
        return _MALFORMED
    if bare.startswith("m="):  # §5.1: an unknown mandatory extension ends the exchange
        return Failed(Failure.UNSUPPORTED_EXTENSION)
    attributes = bare.split(",")
    if len(attributes) < 2 or not attributes[0].startswith("n=") or not attributes[1].startswith("r="):
        return _MALFORMED
    user, nonce = _name(attributes[0][2:]), attributes[1][2:]
    if not user or not _printable(nonce):
        return _MALFORMED
    header_length = len(message) - len(bare.encode())
    return ClientFirst(flag, authorize_as, user, nonce, message[:header_length], message[header_length:])


def _name(saslname: str) -> str | None:
    """Decode a saslname and prepare it; None if invalid.

    §5.1: `=2C` and `=3D` are decoded, any other `=` is an error.
    """
    if saslname.replace("=2C", "").replace("=3D", "").count("="):
        return None
    return saslprep(saslname.replace("=2C", ",").replace("=3D", "="))


def _printable(nonce: str) -> bool:
    """Return whether a nonce is `printable` (§7: %x21-2B / %x2D-7E); the server's part is appended to it."""
    return bool(nonce) and all("!" <= c <= "~" and c != "," for c in nonce)


class Scram(Exchange):
    """SCRAM (RFC 5802 §5) with SHA-256 (RFC 7677), with or without channel binding.

    `bindings` are the types of channel binding (RFC 5929) of this connection, with their octets. If there are any, this server
    announced the -PLUS mechanism: a 'y' from the client ("you seem not to offer it") then reveals a downgrade attack (§6).
    """

    def __init__(self, *, plus: bool, bindings: Bindings, nonce: Callable[[], str]) -> None:
        self._plus = plus
        self._bindings = bindings
        self._make_nonce = nonce
        self._first: ClientFirst | None = None
        self._keys: ScramKeys | None = None
        self._pairs: tuple[ScramKeys, ...] = ()
        self._server_first = b""
        self._nonce = ""
        self._proved: ScramKeys | None = None

    def _continue(self, response: bytes) -> Step:
        if self._first is None:
            return self._client_first(response)
        if self._proved is not None:
            # Neither SMTP (RFC 4954 §4) nor IMAP (RFC 9051 §6.2.2) carries data with success, so the server's signature was
            # sent as a challenge, to which the client responds with nothing.
            first = self._first
            return Done(first.user, first.authorize_as, self._proved.stored_key) if not response else _MALFORMED
        return self._client_final(self._first, response) if self._keys else _MALFORMED

    def _client_first(self, response: bytes) -> Step:
        first = parse_client_first(response)
        if isinstance(first, Failed):
            return first
        if self._plus and first.flag not in self._bindings:  # §6.1: the client's type, or none
            return Failed(Failure.BINDING_TYPE, first.user)
        if not self._plus and first.flag not in {"n", "y"}:
            return Failed(Failure.CHANNEL_BINDING, first.user)
        if first.flag == "y" and self._bindings:
            return Failed(Failure.DOWNGRADE, first.user)
        self._first = first
        return NeedKeys(first.user)

    def keys(self, keys: ScramKeys, others: Sequence[ScramKeys] = ()) -> Step:
        if self._first is None or self._keys is not None:
            return _MALFORMED
        self._keys = keys
        self._pairs = (keys, *others)
        self._nonce = self._first.nonce + self._make_nonce()
        salt = base64.b64encode(keys.salt).decode()
        self._server_first = f"r={self._nonce},s={salt},i={keys.iterations}".encode()
        return Challenge(self._server_first)

    def _client_final(self, first: ClientFirst, response: bytes) -> Step:
        """Parse `"c=" base64(gs2-header [cbind-data]) "," "r=" nonce ["," extensions] "," "p=" base64(proof)`."""
        without_proof, mark, proof_text = response.rpartition(b",p=")
        attributes = without_proof.split(b",")
        if not mark or len(attributes) < 2 or not attributes[0].startswith(b"c=") or not attributes[1].startswith(b"r="):
            return _MALFORMED
        bound, proof = decode_base64(attributes[0][2:]), decode_base64(proof_text)
        if bound is None or proof is None or len(proof) != hashlib.sha256().digest_size:
            return _MALFORMED
        if not hmac.compare_digest(attributes[1][2:], self._nonce.encode()):
            return _MALFORMED
        expected = first.gs2_header + (self._bindings[first.flag] if self._plus else b"")
        if not hmac.compare_digest(bound, expected):
            return Failed(Failure.CHANNEL_BINDING, first.user)
        auth_message = b",".join((first.bare, self._server_first, without_proof))
        for pair in self._pairs:  # always all of them: 3 us each
            if _proves(proof, pair.stored_key, auth_message):
                self._proved = pair
        if self._proved is None:
            return Failed(Failure.WRONG_PROOF, first.user)
        return Challenge(b"v=" + base64.b64encode(_hmac(self._proved.server_key, auth_message)))


def _proves(proof: bytes, stored_key: bytes, auth_message: bytes) -> bool:
    """Return whether `proof` was made with the password of `stored_key` (RFC 5802 §3)."""
    client_key = bytes(a ^ b for a, b in zip(proof, _hmac(stored_key, auth_message), strict=True))
    return hmac.compare_digest(hashlib.sha256(client_key).digest(), stored_key)


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def decode_base64(text: bytes) -> bytes | None:
    """Return the octets of a response, or None if it is not exactly base64 with its padding (RFC 4648 §4)."""
    return base64.b64decode(text) if _BASE64.fullmatch(text) else None


_BASE64 = re.compile(rb"(?:[A-Za-z0-9+/]{4})*+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")


# ---------------------------------------------------------------- mechanisms


PLAINTEXT_MECHANISMS = ("PLAIN", "LOGIN")
SCRAM_MECHANISMS = (PLUS, "SCRAM-SHA-256")


def offered(*, tls: bool, plus: bool, cleartext: bool, scram: bool = True) -> tuple[str, ...]:
    """Return the mechanisms to announce, strongest first; none if a password would be sent in plain text.

    SCRAM does not send the password, but without TLS the session that follows is readable on the way, so it requires TLS like
    the others.
    """
    if not tls and not cleartext:
        return ()
    by_proof = () if not scram else SCRAM_MECHANISMS if plus else SCRAM_MECHANISMS[1:]
    return (*by_proof, *PLAINTEXT_MECHANISMS)


def begin(mechanism: str, *, bindings: Bindings = NO_BINDING, nonce: Callable[[], str]) -> Exchange | None:
    """Begin an exchange with `mechanism` (any case); None for an unsupported one."""
    match mechanism.upper():
        case "PLAIN":
            return Plain()
        case "LOGIN":
            return Login()
        case "SCRAM-SHA-256":
            return Scram(plus=False, bindings=bindings, nonce=nonce)
        case "SCRAM-SHA-256-PLUS" if bindings:
            return Scram(plus=True, bindings=bindings, nonce=nonce)
        case _:
            return None
