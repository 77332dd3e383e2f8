"""DKIM signatures verify elsewhere, whatever a message looks like: by OpenDKIM, by dkimpy, and by the letter of RFC 6376."""

import base64
import hashlib
import os
import random
import re
import shutil
import subprocess
import tracemalloc
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import dkim as dkimpy
import pytest

import programs
from addresses import parsed
from dkim_corpus import AUTHOR, HEAD, TEXT, messages
from mic_mail.clock import SystemClock
from mic_mail.log.maillog import MailLog
from mic_mail.mailbox_address import NULL_PATH, ReversePath
from mic_mail.mime import dkim
from mic_mail.queue.local_queue import LocalQueue
from mic_mail.queue.queue import QueueEntry, QueueEnvelope, QueueRecipient
from mic_mail.services.operations.dkim import DkimKeys
from mic_mail.smtpclient.dkim_keys import Algorithm, Key, KeyFolder, KeyState, KeyUnusable
from mic_mail.smtpclient.dkim_sign import MOST_HEADER_OCTETS, Signer

DOMAIN = "mic.gov.vn"
DVBE = parsed("dvbe@mic.gov.vn")
RETURN_PATH = b"Return-Path: <dvbe@mic.gov.vn>\r\n"
CORPUS = dict(messages())


class Signing:
    """A signer with both kinds of keys, and a queue."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keys = KeyFolder(folder)
        self.life = DkimKeys(self.keys, SystemClock())
        self.log = MailLog(folder / "log", "sender", clock=SystemClock(), threaded=False)
        self.queue = LocalQueue(folder / "queue")
        self.signer = Signer(self.keys, self.log, SystemClock())
        self._numbers = count(1)
        for algorithm in Algorithm:
            (key,) = self.life.add([DOMAIN], algorithm, 2048, algorithm.value)
            self.life.use(key.selector, [DOMAIN])

    def entry(self, message: bytes, *, submitted_by: int = 7, sender: ReversePath = DVBE) -> QueueEntry:
        entry_id = f"{next(self._numbers):032x}"
        source = self.folder / entry_id
        source.write_bytes(RETURN_PATH + message)
        envelope = QueueEnvelope(
            trace_id=entry_id, sender=sender, recipients=(QueueRecipient(parsed("lan@one.example")),), accepted_at_us=0,
            return_path_octets=len(RETURN_PATH), submitted_by=submitted_by,
        )  # fmt: skip
        self.queue.put(entry_id, source, envelope)
        entry = self.queue.read(entry_id)
        assert entry is not None
        return entry

    def signed(self, message: bytes) -> bytes:
        """As it leaves."""
        fields = self.signer.sign(self.entry(message))
        assert fields.count(b"DKIM-Signature:") == 2
        return fields + message

    def events(self) -> str:
        return "".join(path.read_text() for path in (self.folder / "log").glob("*.jsonl"))


@pytest.fixture
def signing(tmp_path: Path) -> Signing:
    return Signing(tmp_path)


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Signing:
    return Signing(tmp_path_factory.mktemp("standing"))


def verdicts(keys: Sequence[Key], message: bytes) -> list[bool]:
    """What dkimpy says of both signatures; older ones stand behind ours."""
    records = {key.name: key.record for key in keys}

    def ask(name: bytes, timeout: float = 5) -> bytes:  # noqa: ARG001, RUF100 - dkimpy says it
        return records[name.decode().rstrip(".")].encode()

    return [dkimpy.DKIM(message).verify(which, dnsfunc=ask) for which in range(2)]


def test_the_corpus_is_one() -> None:
    assert len(CORPUS) >= 60


OBSOLETE = {"spaces before the colon"}
"""dkimpy does not read them at all."""
NO_END = {"70,000 spaces", "a line of 200,000 with spaces"}
"""dkimpy takes a minute for them."""


@pytest.mark.parametrize("name", sorted(CORPUS.keys() - OBSOLETE - NO_END))
def test_dkimpy_verifies(standing: Signing, name: str) -> None:
    assert verdicts(standing.life.all(), standing.signed(CORPUS[name])) == [True, True]


@pytest.mark.needs_tool("opendkim")
def test_opendkim_verifies(standing: Signing, tmp_path: Path) -> None:
    """Each signature of RSA, and where this OpenDKIM knows it, of Ed25519."""
    zone = "".join(f"{key.name} {key.record}\n" for key in standing.life.all())
    (tmp_path / "keys").write_text(zone)
    (tmp_path / "conf").write_text(f"Mode v\nTestPublicKeys {tmp_path / 'keys'}\nMaximumHeaders 0\n")
    opendkim = programs.need("opendkim")
    version = subprocess.run([opendkim, "-V"], capture_output=True, text=True, check=True).stdout
    wanted, failed = {"rsa-sha256"} | ({"ed25519-sha256"} if "ed25519" in version else set()), {}
    for number, (name, message) in enumerate(CORPUS.items()):
        file = tmp_path / f"{number}.eml"
        end = b"" if message.endswith(b"\n") else b"\r\n"  # as OpenDKIM's reader of files wants it, and DATA makes it
        file.write_bytes(standing.signed(message) + end)
        command = [opendkim, "-x", str(tmp_path / "conf"), "-vv", "-t", str(file)]
        told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout
        passed = set(re.findall(r"dkim=pass [^;]*header\.a=(\S+) header\.s=(?:rsa|ed25519) ", told))
        if passed != wanted:
            failed[name] = told
    assert failed == {}


def by_the_letter(body: bytes) -> bytes:
    """RFC 6376 §3.4.4: only CRLF ends a line."""
    lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in body.split(b"\r\n")]
    while lines and not lines[-1]:
        lines.pop()
    return b"".join(line + b"\r\n" for line in lines)


def test_a_body_in_any_pieces() -> None:
    """Bare CR and LF, as BINARYMIME allows them, and cuts anywhere."""
    rng = random.Random(6376)
    for _ in range(20_000):
        body = bytes(rng.choice(b" \t\r\n\r\nab") for _ in range(rng.randrange(24)))
        made, at = dkim.BodyDigest(is_relaxed=True), 0
        while at < len(body):
            piece = body[at : at + rng.randrange(5)]
            made.update(piece)
            at += len(piece)
        assert made.finish().digest() == hashlib.sha256(by_the_letter(body)).digest(), body


def test_the_example_of_the_rfc() -> None:
    """RFC 6376 §3.4.5 and Appendix A of RFC 8463."""
    assert dkim.relaxed_field(b"A", b" X") == b"a:X"
    assert dkim.relaxed_field(b"B ".strip(), b" Y\t\r\n\tZ  ") == b"b:Y Z"
    assert dkim.split_header(b"A: X\r\nB : Y\t\r\n\tZ  \r\n") == [(b"A", b" X"), (b"B", b" Y\t\r\n\tZ  ")]
    body = dkim.BodyDigest(is_relaxed=True)
    body.update(b"Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n")
    assert base64.b64encode(body.finish().digest()) == b"2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8="


def test_nobody_adds_to_it(signing: Signing) -> None:
    """Each field that a reader is shown is signed once more than it is there (RFC 6376 §8.15)."""
    signed = signing.signed(HEAD + b"\r\nhello\r\n")
    for name in dkim.OVERSIGNED:
        assert verdicts(signing.life.all(), name + b": added\r\n" + signed) == [False, False], name
    with pytest.raises(dkimpy.ValidationError, match="body hash"):
        verdicts(signing.life.all(), signed.replace(b"hello", b"hallo"))
    assert verdicts(signing.life.all(), b"Received: by another\r\n" + signed) == [True, True]
    assert b" l=" not in signed
    assert b" x=" not in signed


def test_binary(signing: Signing) -> None:
    """The digest is that of what is sent, not of what it would be with other line ends."""
    body = b"\x00\x01\n\r\r\n \n\x00 \r\n\r"
    signed = signing.signed(TEXT + b"\r\n" + body)
    digest = base64.b64encode(hashlib.sha256(by_the_letter(body)).digest())
    assert signed.count(b"bh=" + digest) == 2


def test_no_lines_that_are_too_long(signing: Signing) -> None:
    for name, message in CORPUS.items():
        fields = signing.signed(message).removesuffix(message)
        assert max(map(len, fields.split(b"\r\n"))) <= 78, name


@pytest.mark.parametrize(
    "header",
    [
        b"From: a@other.example\r\n",
        b"From: a@sub.mic.gov.vn\r\n",
    ],
)
def test_of_others_nothing_is_said(signing: Signing, header: bytes) -> None:
    assert signing.signer.sign(signing.entry(header + b"\r\nx\r\n")) == b""
    assert "message_not_signed" not in signing.events()


def test_what_nobody_has_signed_in_for(signing: Signing) -> None:
    """But for what this server has written itself: a report (RFC 3464), from the null sender."""
    assert signing.signer.sign(signing.entry(HEAD + b"\r\nx\r\n", submitted_by=0)) == b""
    assert signing.signer.sign(signing.entry(HEAD + b"\r\nx\r\n", submitted_by=0, sender=NULL_PATH)) != b""


@pytest.mark.parametrize(
    "message",
    [
        b"Subject: no author\r\n\r\nx\r\n",
        AUTHOR + AUTHOR + b"\r\nx\r\n",
        AUTHOR + b"this is no field\r\n\r\nx\r\n",
        AUTHOR + b": no name\r\n\r\nx\r\n",
        AUTHOR + b"X: a\nFrom: b@mic.gov.vn\r\nno field\r\n\r\nx\r\n",
        b"From: broken <<dvbe@mic.gov.vn\r\n\r\nx\r\n",
        AUTHOR + b"To: a@one.example\r\n" * 600 + b"\r\nx\r\n",
        AUTHOR + b"X: y\r\n" * (MOST_HEADER_OCTETS // 5) + b"\r\nx\r\n",
    ],
)
def test_what_cannot_be_signed_goes_without(signing: Signing, message: bytes) -> None:
    """And the log says so, once."""
    entry = signing.entry(message)
    assert signing.signer.sign(entry) == signing.signer.sign(entry) == b""
    assert signing.events().count('"message_not_signed"') == 1


def test_a_message_that_cannot_be_read_is_not_sent_unsigned(signing: Signing) -> None:
    entry = signing.entry(HEAD + b"\r\nx\r\n")
    entry.path.unlink()
    with pytest.raises(OSError, match="No such file"):
        signing.signer.sign(entry)


def test_signed_once(signing: Signing) -> None:
    """A second try sends the same octets; once the keys change it is signed anew."""
    entry = signing.entry(HEAD + b"\r\nx\r\n")
    first = signing.signer.sign(entry)
    assert signing.signer.sign(entry) is first
    (key,) = signing.life.add([DOMAIN], Algorithm.ED25519, 0, None)
    signing.life.use(key.selector, [DOMAIN])
    assert f"s={key.selector};".encode() in signing.signer.sign(entry)


def test_of_a_large_message_little_is_kept(signing: Signing) -> None:
    line = base64.b64encode(bytes(57)) + b"\r\n"
    entry = signing.entry(TEXT + b"\r\n" + line * (25 * 2**20 // len(line)))
    tracemalloc.start()
    try:
        signing.signer.sign(entry)
        assert tracemalloc.get_traced_memory()[1] < 2 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("body", [b" ", b"\r\n", b" \r\n", b"\t\r", b"\r\r\n"])
def test_what_is_made_to_be_slow(body: bytes) -> None:
    """25 MB take a second or so: nothing is looked at again and again."""
    made, piece = dkim.BodyDigest(is_relaxed=True), body * (65_536 // len(body))
    for _ in range(25 * 2**20 // len(piece)):
        made.update(piece)
    assert len(made.finish().digest()) == 32


# ------------------------------------------------------------ keys that cannot be used


def file_of(signing: Signing, state: KeyState = KeyState.SIGNING) -> Path:
    key = next(key for key in signing.life.all() if key.state is state)
    return signing.keys.path / f"{key.name}.pem"


def link(path: Path) -> None:
    elsewhere = path.with_name("elsewhere")
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def second_name(path: Path) -> None:
    os.link(path, path.with_name("second"))


def other_key(path: Path) -> None:
    other = Signing(path.parent.parent / "other")
    path.write_bytes(file_of(other).read_bytes())


DAMAGE = {
    "readable by others": lambda path: path.chmod(0o640),
    "gone": lambda path: path.unlink(),
    "garbage": lambda path: path.write_bytes(b"\x00garbage"),
    "empty": lambda path: path.write_bytes(b""),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a link": link,
    "a second name": second_name,
    "another key": other_key,
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path, 0o600)),
}


@pytest.mark.parametrize(
    ("which", "how"),
    [("key", how) for how in DAMAGE] + [("ring", how) for how in DAMAGE if how not in ("gone", "another key")],
)
def test_a_file_that_must_not_be_believed(signing: Signing, which: str, how: str) -> None:
    """Mail waits; the file is named; mended, it goes on. Nothing of a secret is told."""
    path = file_of(signing) if which == "key" else signing.keys.path / "ring.json"
    kept, entry = path.read_bytes(), signing.entry(HEAD + b"\r\nx\r\n")
    DAMAGE[how](path)
    fresh = Signer(signing.keys, signing.log, SystemClock())
    for _ in range(2):
        with pytest.raises(KeyUnusable, match=re.escape(path.name)) as told:
            fresh.sign(entry)
    assert signing.events().count('"dkim_key_unusable"') == 1
    assert "PRIVATE" not in signing.events() + repr(told.value)
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    path.unlink(missing_ok=True)
    path.with_name("second").unlink(missing_ok=True)
    path.write_bytes(kept)
    path.chmod(0o600)
    assert fresh.sign(entry).count(b"DKIM-Signature") == 2


def test_a_folder_that_others_may_enter(signing: Signing) -> None:
    signing.keys.path.chmod(0o755)
    fresh, entry = Signer(signing.keys, signing.log, SystemClock()), signing.entry(HEAD + b"\r\nx\r\n")
    with pytest.raises(KeyUnusable, match=re.escape(str(signing.keys.path))):
        fresh.sign(entry)
    signing.keys.path.chmod(0o700)
    assert fresh.sign(entry)


def test_where_there_are_no_keys(tmp_path: Path) -> None:
    signing = Signing(tmp_path)
    shutil.rmtree(signing.keys.path)
    assert signing.signer.sign(signing.entry(HEAD + b"\r\nx\r\n")) == b""
