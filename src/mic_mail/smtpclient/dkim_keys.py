"""Store the DKIM signing keys on disk: private keys in protected files, and a ring with their states.

    data_dir/dkim/                                   0700
        lock                                         held (flock) by the process that changes the ring
        SELECTOR._domainkey.DOMAIN.pem               0600, PKCS #8; named as its record in the DNS
        ring.json                                    0600, all keys and their states, nothing secret

Order of writes (a kill after any step is safe): a new key is written whole under another name, fsynced, renamed, and only then
listed in the ring. The ring is replaced as a whole, so two keys change places in one step. A removed key leaves the ring
before its file. A file that the ring does not list is never used. No file is read through a link, nor one that others may read
or write.

Blocking. In: a folder. Out: `Key`s, without anything secret; private keys only from `private`.
"""

import contextlib
import fcntl
import json
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

from mic_mail.durable_files import make_durable, write_all
from mic_mail.errors import Text, Trouble, in_ascii
from mic_mail.i18n.labels import LabelledEnum
from mic_mail.i18n.os_errors import reason as system_reason
from mic_mail.mime import dkim

FOLDER: Final = "dkim"
FORMAT: Final = 1
RING: Final = "ring.json"
LEAST_BITS: Final = 2048
"""Bits; RFC 8301 §3.2 requires 1024 and recommends 2048."""
MOST_BITS: Final = 4096
"""Bits; verifiers need not support longer keys (RFC 6376 §3.3.3)."""
_LOCK: Final = "lock"
_NEW: Final = ".new-"
_LARGEST: Final = 1 << 20
_SELECTOR: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
"""One label of a host name."""

Private = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


class Algorithm(StrEnum):
    """Key types, as `k=` names them (RFC 6376 §3.6.1, RFC 8463 §4)."""

    RSA = "rsa"
    ED25519 = "ed25519"


class KeyState(LabelledEnum):
    """The state of a key."""

    ANNOUNCED = "announced", "chờ có trong DNS", "waits for the DNS"
    """Its record has to be published in the DNS; it signs nothing yet."""
    SIGNING = "signing", "đang ký", "signs"
    RETIRED = "retired", "đã ngừng ký", "retired"
    """It no longer signs; its record stays for mail in transit."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a domain, without its secret."""

    domain: str
    """As in the DNS, in A-labels."""
    selector: str
    algorithm: Algorithm
    bits: int
    record: str
    """The DNS record that has to be published."""
    state: KeyState
    made_at_us: int
    since_us: int
    """Start of the state."""

    @property
    def name(self) -> str:
        """The DNS name of its record (RFC 6376 §3.6.2.1)."""
        return f"{self.selector}._domainkey.{self.domain}"


class KeyUnusable(Trouble):
    """The ring or a key cannot be read, or must not be trusted; the text names the file and the reason."""


def generate(algorithm: Algorithm, bits: int) -> Private:
    """Generate a key; `bits` for RSA."""
    if algorithm is Algorithm.ED25519:
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65_537, bits)


def record_of(private: Private) -> str:
    """Return the DNS record of a key."""
    if isinstance(private, rsa.RSAPrivateKey):
        encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        return dkim.record(Algorithm.RSA, private.public_key().public_bytes(encoding, form))
    return dkim.record(Algorithm.ED25519, private.public_key().public_bytes_raw())


def signature(private: Private, octets: bytes) -> bytes:
    """Sign octets (RFC 6376 §3.3.1); Ed25519 signs their SHA-256 digest (RFC 8463 §3)."""
    if isinstance(private, rsa.RSAPrivateKey):
        return private.sign(octets, padding.PKCS1v15(), hashes.SHA256())
    digest = hashes.Hash(hashes.SHA256())
    digest.update(octets)
    return private.sign(digest.finalize())


def is_selector(text: str) -> bool:
    """Return whether a selector is allowed here: one label, in lower case."""
    return _SELECTOR.fullmatch(text) is not None


class Ring:
    """The keys while this process holds the lock."""

    def __init__(self, keys: Sequence[Key], folder: "KeyFolder", fd: int) -> None:
        self.keys = list(keys)
        self._folder = folder
        self._fd = fd
        self._unnamed: list[Key] = []
        """Keys whose file exists, and which the ring does not list yet."""

    def store(self, key: Key, private: Private) -> None:
        """Write a key's file; the ring has to list it afterwards."""
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        self.take(key, private.private_bytes(encoding, form, serialization.NoEncryption()))

    def take(self, key: Key, octets: bytes) -> None:
        """Write a key's file from the content of another folder's."""
        self._unnamed.append(key)
        _put(self._fd, _file_of(key), octets)

    def save(self) -> None:
        """Write the ring with `keys`."""
        _put(self._fd, RING, json.dumps({"format": FORMAT, "keys": [asdict(key) for key in self.keys]}, indent=1).encode())
        self._unnamed.clear()

    def give_up(self) -> None:
        """Remove the files of keys that were not saved, so that no secret is left behind."""
        for key in self._unnamed:
            with contextlib.suppress(OSError):
                self.drop_file(key)

    def drop_file(self, key: Key) -> None:
        """Remove the file of a key that the ring no longer lists."""
        (self._folder.path / _file_of(key)).unlink(missing_ok=True)
        os.fsync(self._fd)


class KeyFolder:
    """The folder of a server's keys."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / FOLDER

    def mark(self) -> tuple[int, ...] | None:
        """A value that changes with the ring; None if there is no ring, and nothing signs."""
        try:
            found = os.lstat(self.path / RING)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(RING, system_reason(error)) from error
        return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size

    def read(self) -> tuple[Key, ...]:
        """Return all keys, in the order of their creation."""
        if self.mark() is None:
            return ()
        octets = self._read(RING)
        try:
            ring = json.loads(octets)
            if ring["format"] != FORMAT:
                raise ValueError(f"format {ring['format']!r}")
            return tuple(_key(fields) for fields in ring["keys"])
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            why = Text("không đọc hiểu được", f"it cannot be understood, {in_ascii(error)}"[:200])
            raise self._unusable(RING, why) from error

    def private(self, key: Key) -> Private:
        """Return a key's secret.

        Raises `KeyUnusable` also where the file holds another key than the announced one.
        """
        file = _file_of(key)
        try:
            private = serialization.load_pem_private_key(self._read(file), None)
        except (ValueError, TypeError, UnsupportedAlgorithm):  # the error might show some of it
            private = None
        if not isinstance(private, rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey):
            raise self._unusable(file, Text("không phải khóa RSA hay Ed25519", "not an RSA or Ed25519 key")) from None
        if record_of(private) != key.record:
            raise self._unusable(file, Text("là khóa khác với khóa đã công bố", "it differs from the announced key"))
        return private

    @contextlib.contextmanager
    def changing(self) -> Iterator[Ring]:
        """Lock the ring for changes, creating the folder if needed. Other processes wait."""
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(self.path, 0o700)
                make_durable(self.path.parent)
            fd = self._open_folder()
            try:
                lock = os.open(_LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=fd)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX)
                    _drop_unfinished(fd)
                    ring = Ring(self.read(), self, fd)
                    try:
                        yield ring
                    except BaseException:
                        ring.give_up()
                        raise
                finally:
                    os.close(lock)
            finally:
                os.close(fd)
        except OSError as error:
            why = system_reason(error)
            raise Trouble(
                Text(
                    f"Không đổi được khóa DKIM: {self.path}: {why.vi}.",
                    f"DKIM keys cannot be changed: {in_ascii(self.path)}: {why.en}.",
                )
            ) from error

    def copy_into(self, data_dir: Path) -> None:
        """Copy ring and keys at one moment into another data folder; nothing if there is no ring.

        For a key that is unusable here too, raises `KeyUnusable` after the others are copied.
        """
        if self.mark() is None:
            return
        unusable: list[KeyUnusable] = []
        with self.changing() as ring, KeyFolder(data_dir).changing() as copy:
            for key in ring.keys:
                try:
                    self.private(key)
                    copy.take(key, self._read(_file_of(key)))
                except KeyUnusable as error:
                    unusable.append(error)
            copy.keys = ring.keys
            copy.save()
        if unusable:
            raise unusable[0]

    def _open_folder(self) -> int:
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            self._must_be_private("", os.fstat(fd))
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _read(self, file: str) -> bytes:
        try:
            folder = self._open_folder()
            try:
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                with open(os.open(file, flags, dir_fd=folder), "rb") as opened:
                    self._must_be_private(file, os.fstat(opened.fileno()))
                    return opened.read(_LARGEST)
            finally:
                os.close(folder)
        except OSError as error:
            raise self._unusable(file, system_reason(error)) from error

    def _must_be_private(self, file: str, found: os.stat_result) -> None:
        if file and (not stat.S_ISREG(found.st_mode) or found.st_nlink != 1):
            raise self._unusable(file, Text("không phải tệp thường có một tên", "it is not a regular file with one link"))
        if found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise self._unusable(
                file,
                Text(
                    "người khác cũng có quyền, hoặc không thuộc máy chủ",
                    "its mode lets others use it, or the server does not own it",
                ),
            )

    def _unusable(self, file: str, why: Text) -> KeyUnusable:
        path = self.path / file if file else self.path
        return KeyUnusable(
            Text(f"Khóa DKIM không dùng được: {path}: {why.vi}.", f"DKIM keys cannot be used: {in_ascii(path)}: {why.en}."),
            remedy=_RING_REMEDY if file == RING else _REMEDY,
        )


_REMEDY = Text(
    "Sửa chủ sở hữu và quyền (thư mục 0700, tệp 0600), hoặc tạo khóa mới: `mic-mail dkim key rotate`.",
    "Correct owner and mode (folder 0700, files 0600), or create another key: `mic-mail dkim key rotate`.",
)
_RING_REMEDY = Text(
    "Sửa chủ sở hữu và quyền (thư mục 0700, tệp 0600). Tệp hỏng: chép lại keys/dkim của bản sao lưu, hoặc chuyển tệp đi nơi "
    "khác rồi tạo khóa mới: `mic-mail dkim key add`.",
    "Correct owner and mode (folder 0700, files 0600). If it is damaged, copy keys/dkim back from a backup, or set it aside "
    "and make new keys: `mic-mail dkim key add`.",
)
"""Every command that changes keys reads the ring first."""


def _key(fields: dict[str, object]) -> Key:
    key = Key(**fields)  # type: ignore[arg-type]  # checked below
    algorithm, state = Algorithm(key.algorithm), KeyState(key.state)
    texts, numbers = (key.domain, key.selector, key.record), (key.bits, key.made_at_us, key.since_us)
    if not all(isinstance(text, str) for text in texts) or not all(isinstance(number, int) for number in numbers):
        raise ValueError("a value of another type")
    if not is_selector(key.selector) or "/" in key.domain:
        raise ValueError("a name that is none")
    return Key(key.domain, key.selector, algorithm, key.bits, key.record, state, key.made_at_us, key.since_us)


def _file_of(key: Key) -> str:
    return f"{key.name}.pem"


def _put(folder: int, name: str, octets: bytes) -> None:
    """Write a file whole, or not at all."""
    new = f"{_NEW}{os.getpid()}"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new, dir_fd=folder)
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        write_all(fd, octets)
        os.fsync(fd)
        os.rename(new, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(new, dir_fd=folder)
        raise
    finally:
        os.close(fd)
    os.fsync(folder)


def _drop_unfinished(folder: int) -> None:
    """Remove files left by a killed process; the lock excludes other writers."""
    for name in os.listdir(folder):
        if name.startswith(_NEW):
            os.unlink(name, dir_fd=folder)
