"""Hash and verify passwords.

In: passwords as people type them. Out: an argon2id hash (for PLAIN and LOGIN) and SCRAM-SHA-256 keys, always made together
from the same SASLprep form, so that no mechanism accepts a password that another one refuses. Attackers who steal the
directory attack the weaker of the two verifiers, hence the minimum of SCRAM iterations. `make` and `verify` take tens of
milliseconds and MEMORY_KIB of memory: run them in the hash executor. `VerifiedCache` costs microseconds: it is checked first,
in the event loop, so that a phone that signs in again every minute costs no hash.
"""

import base64
import contextlib
import hashlib
import hmac
import os
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import argon2

from mic_mail.auth.sasl import saslprep
from mic_mail.durable_files import make_durable
from mic_mail.errors import BadInput, Text, Trouble, in_ascii
from mic_mail.policy.credentials.verifiers import Costs, ScramKeys

SCRAM_ITERATIONS_FLOOR = 65_536
"""Minimum and default: the most that Cyrus SASL's clients accept.

These are mbsync, KMail, mutt; docs/decisions/0002.
"""
MAX_PASSWORD_OCTETS = 1024
DECOY_KEY = "decoy.key"
"""File below `server.data_dir`."""
SECRET_OCTETS = 32
"""Octets of a key file."""


@dataclass(frozen=True, slots=True)
class HashSettings:
    """Costs; the defaults are OWASP's first choice for argon2id.

    That is 19 MiB, 2 passes, 1 lane: about 20 ms here.
    """

    memory_kib: int = 19_456
    passes: int = 2
    scram_iterations: int = SCRAM_ITERATIONS_FLOOR

    def __post_init__(self) -> None:
        assert self.scram_iterations >= SCRAM_ITERATIONS_FLOOR, "config refuses less"

    def hasher(self) -> argon2.PasswordHasher:
        return argon2.PasswordHasher(
            time_cost=self.passes, memory_cost=self.memory_kib, parallelism=1, hash_len=32, salt_len=16, type=argon2.Type.ID
        )


@dataclass(frozen=True, slots=True)
class Verifiers:
    """Both verifiers of one password."""

    argon2: str = field(repr=False)
    scram: ScramKeys


UNUSABLE = Text("Mật khẩu có ký tự không dùng được.", "The password contains characters that cannot be used.")


class WeakPassword(BadInput):
    """The password does not meet the rules; the text says which."""


class BadSecret(Trouble):
    """A key file is damaged."""


def make(password: str, settings: HashSettings, salt: bytes | None = None) -> Verifiers:
    """Return both verifiers of `password`; blocking. Raise WeakPassword for text that SASLprep forbids.

    `salt` is for the SCRAM keys, where app passwords have keys with the same one (auth.app_passwords).
    """
    prepared = saslprep(password)
    if not prepared:
        raise WeakPassword(UNUSABLE)
    octets = prepared.encode()
    return Verifiers(
        settings.hasher().hash(octets), scram_keys(octets, salt or secrets.token_bytes(16), settings.scram_iterations)
    )


def scram_keys(octets: bytes, salt: bytes, iterations: int) -> ScramKeys:
    """Return the keys of a prepared password (RFC 5802 §3); blocking."""
    salted = hashlib.pbkdf2_hmac("sha256", octets, salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return ScramKeys(salt, iterations, hashlib.sha256(client_key).digest(), hmac.digest(salted, b"Server Key", "sha256"))


_NO_MEMORY = argon2.low_level.error_to_str(-22)
"""The message of ARGON2_MEMORY_ALLOCATION_ERROR."""


def verify(encoded: str, password: str) -> bool:
    """Return whether `password` matches this argon2id hash; blocking, and False for a damaged one.

    Raises `Trouble` if memory is short.
    """
    prepared = saslprep(password)
    if prepared is None or len(prepared.encode()) > MAX_PASSWORD_OCTETS:
        prepared = ""  # hash all the same, so that the time of a refusal reveals nothing
    try:
        return argon2.PasswordHasher().verify(encoded, prepared.encode()) and bool(prepared)
    except argon2.exceptions.VerificationError as error:
        if str(error) == _NO_MEMORY:  # it is unknown whether it was wrong
            raise Trouble(Text("Máy chủ hết bộ nhớ.", "The server is out of memory.")) from error
        return False
    except (argon2.exceptions.InvalidHashError, UnicodeEncodeError):
        return False


class Decoys:
    """Verifiers for unknown users: checking them costs the same as for a real user.

    Passwords keep the costs with which they were made, so decoys have the distribution of costs among the stored passwords,
    and follow it as these change. A decoy's costs and salt are functions of the name and of `key` (hinted at in RFC 5802 §9):
    repeated attempts get the same result, from every worker and after a restart, as for a real user; with other costs the salt
    differs, as after a new password.
    """

    def __init__(self, key: bytes, settings: HashSettings, stored: Callable[[], Mapping[Costs, int]]) -> None:
        """Use the costs in `stored`, with the number of passwords for each; without any, those of `settings`."""
        self._key = key
        self._settings = settings
        self._stored = stored

    def scram(self, user: str) -> ScramKeys:
        """Return keys that no password matches; cheap."""
        _, rounds = self._costs(user, {costs: count for costs, count in self._stored().items() if costs[1] is not None})
        rounds = rounds or self._settings.scram_iterations
        salt = hmac.digest(self._key, b"salt:%d:" % rounds + user.encode(), "sha256")[:16]
        return ScramKeys(salt, rounds, secrets.token_bytes(32), secrets.token_bytes(32))

    def refuse(self, user: str, password: str) -> bool:
        """Spend the time of `verify` and return False; blocking."""
        salt, hashed = (base64.b64encode(secrets.token_bytes(octets)).rstrip(b"=").decode() for octets in (16, 32))
        verify(f"{self._costs(user, self._stored())[0]}${salt}${hashed}", password)
        return False

    def _costs(self, user: str, stored: Mapping[Costs, int]) -> Costs:
        place = int.from_bytes(hmac.digest(self._key, b"costs:" + user.encode(), "sha256")[:8]) * sum(stored.values()) >> 64
        for costs in sorted(stored, key=lambda each: (each[1] or 0, each[0])):
            place -= stored[costs]
            if place < 0:
                return costs
        return f"$argon2id$v=19$m={self._settings.memory_kib},t={self._settings.passes},p=1", None


def load_secret(path: Path) -> bytes:
    """Return a key derived from the random octets in `path`, shared by all processes of a server.

    The file is created at the first call, whole or not at all. `BadSecret` for a file that is too short: its content may be
    known to others.
    """
    try:
        octets = path.read_bytes()
    except FileNotFoundError:
        octets = _make_secret(path)
    if len(octets) < SECRET_OCTETS:
        raise BadSecret(
            Text(f"Tệp khóa {path} bị hỏng.", in_ascii(f"The key file {path} is damaged.")),
            remedy=Text("Lấy lại từ bản cất giữ, hoặc xóa tệp.", "Restore it from a copy, or delete it."),
        )
    return hashlib.sha256(octets).digest()


def _make_secret(path: Path) -> bytes:
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(secrets.token_bytes(SECRET_OCTETS))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # another process was faster: its key is used by all
            os.link(fresh, path)
    finally:
        fresh.unlink()
    make_durable(path.parent)
    return path.read_bytes()


class VerifiedCache:
    """Recently verified passwords, as HMACs under a key that all servers of the same mailboxes have.

    The entries are lost when the process ends.
    """

    def __init__(self, key: bytes, capacity: int = 16_384) -> None:
        self._key = key
        self._capacity = capacity
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def digest(self, address: str, version: int, password: str) -> bytes:
        """Return the digest of a password for one credential version; a new password has a new version."""
        message = b"%d\0%b\0%b" % (version, address.encode(), password.encode("utf-8", "surrogatepass"))
        return hmac.digest(self._key, message, "sha256")

    def holds(self, digest: bytes, now: float) -> bool:
        """Return whether it was verified and has not expired."""
        until = self._until.get(digest)
        if until is None:
            return False
        if until <= now:
            del self._until[digest]
            return False
        self._until.move_to_end(digest)
        return True

    def add(self, digest: bytes, until: float) -> None:
        """Add a digest; the least recently used is dropped when full."""
        self._until[digest] = until
        self._until.move_to_end(digest)
        if len(self._until) > self._capacity:
            self._until.popitem(last=False)


LEGIBLE = "abcdefghijkmnpqrstuvwxyz23456789"  # no l, o, 0, 1: it is read aloud and typed from paper
GROUP = 4
"""Characters of a group, 20 bits."""


def generate(groups: int = 4) -> str:
    """Generate a password or code to type from paper: groups of legible characters."""
    return "-".join("".join(secrets.choice(LEGIBLE) for _ in range(GROUP)) for _ in range(groups))


def characters_of(text: str, groups: int = 4) -> str | None:
    """Return the characters of a typed password or code without hyphens, blanks and case; None if it was never made."""
    bare = "".join(sign for sign in text.lower() if sign != "-" and not sign.isspace())
    return bare if len(bare) == groups * GROUP and set(bare) <= set(LEGIBLE) else None
