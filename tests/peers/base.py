"""What the mail servers of others have in common: they run in a folder of the test's own, on a loopback address of their own.

`Foreign` is one such server with the domain NAME.example (and all below it) and the host mx.NAME.example (also
ta.NAME.example). It takes mail for its domain from everybody and for all others from loopback; mail for `mic.gov.vn` (and what
else has no home) it brings to us. What it stores lies in one Maildir, whoever it is for. By the local part a recipient is

    refused...     refused for good (550 5.1.1)
    deferred...    refused for now (450 4.2.1)
    grey...        likewise, as long as `grey(True)` holds
    another        accepted

At `expired.NAME.example` it shows (by SNI) a certificate that has ended. The chain holds the authority. Where their
programs are, and what they need, is in `programs`.
"""

import contextlib
import os
import smtplib
import socket
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from certificate_authority import Authority
from waiting import wait_for

HOME = "mic.gov.vn"
SIZE_LIMIT = 1_000_000
"""Octets of a message that they take."""


def free_port(*addresses: str) -> int:
    """One that nobody has on any of these."""
    while True:
        with socket.socket() as first:
            first.bind((addresses[0], 0))
            port: int = first.getsockname()[1]
            try:
                for address in addresses[1:]:
                    with socket.socket() as one:
                        one.bind((address, port))
            except OSError:
                continue
            return port


@dataclass(frozen=True)
class Place:
    """Where a server runs, and what it is given."""

    folder: Path
    """Its own; everybody may enter all above it."""
    address: str
    port: int
    home: int
    """Where we listen on 127.0.0.1; 0: nowhere."""
    authority: Authority
    asks_for_tls: bool = True
    """As a client: TLS to a certificate of `trusted`, or nothing."""
    trusted: Path | None = None


class Foreign(ABC):
    """One server."""

    name: ClassVar[str]

    def __init__(self, place: Place) -> None:
        self.place = place
        self.folder = place.folder
        self.domain, self.host = f"{self.name}.example", f"mx.{self.name}.example"
        self.process: subprocess.Popen[bytes] | None = None
        self.mail = self.folder / "mail"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.chain, self.key = self._pair("good", self.host, f"ta.{self.domain}", days=90)
        self.old_chain, self.old_key = self._pair("expired", f"expired.{self.name}.example", days=-1)
        self._configure()

    @abstractmethod
    def _configure(self) -> None:
        """Write its files."""

    @abstractmethod
    def _command(self) -> Sequence[str]:
        """What runs it in the foreground."""

    @abstractmethod
    def grey(self, on: bool) -> None:
        """Whether `grey...` is deferred."""

    @abstractmethod
    def stall(self, on: bool) -> None:
        """Whether it falls silent where a message has come whole (OpenSMTPD: at once)."""

    @abstractmethod
    def is_stalled(self) -> bool:
        """Whether somebody waits for that."""

    @abstractmethod
    def flush(self) -> None:
        """Let it try at once whatever waits."""

    @abstractmethod
    def queued(self) -> int:
        """Messages that it has not got rid of."""

    @abstractmethod
    def log(self) -> str:
        """What it has written so far."""

    def _pair(self, name: str, *names: str, days: int) -> tuple[Path, Path]:
        """Its own copies: who may read a key is different with each."""
        copies = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        for source, copy in zip(self.place.authority.pair(*names, days=days, with_authority=True), copies, strict=True):
            copy.write_bytes(source.read_bytes())
            copy.chmod(0o600)
        return copies

    # ------------------------------------------------------------ life

    def start(self) -> None:
        """Until it greets."""
        self.launch()
        self.wait()

    def wait(self) -> None:
        """Until it greets."""
        wait_for(self.answers, f"{self.name} does not start: {self.folder}")

    def launch(self) -> None:
        """Begin."""
        with (self.folder / "stdout").open("ab") as out:
            self.process = subprocess.Popen(self._command(), stdout=out, stderr=out, stdin=subprocess.DEVNULL, process_group=0)

    def answers(self) -> bool:
        """Whether it greets."""
        assert self.process is not None
        assert self.process.poll() is None, (
            f"{self.name} has ended: {(self.folder / 'stdout').read_text()[-2000:]}\n{self.log()}"
        )
        try:
            with socket.create_connection((self.place.address, self.place.port), 5) as one:
                return one.recv(4)[:4] == b"220 "
        except OSError:
            return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()
            self.process = None

    def kill(self) -> None:
        """All of its processes at once, as when the machine goes."""
        if self.process is not None:
            for pid in self.pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 9)
            self.process.wait(10)
            self.process = None

    def pids(self) -> list[int]:
        """Its processes: the one that was started and all below it."""
        assert self.process is not None
        children: dict[int, list[int]] = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                after = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            children.setdefault(int(after[1]), []).append(int(stat.parent.name))
        found = [self.process.pid]
        for pid in found:
            found += children.get(pid, [])
        return found

    # ------------------------------------------------------------ mail

    def stored(self) -> list[bytes]:
        """The messages in its Maildir, in the order of their arrival, with line ends as it keeps them (LF)."""
        files = [path for folder in ("new", "cur") for path in (self.mail / folder).glob("*")]
        return [path.read_bytes() for path in sorted(files, key=lambda path: path.stat().st_mtime_ns)]

    def stored_with(self, mark: bytes) -> list[bytes]:
        """Those that hold this."""
        return [octets for octets in self.stored() if mark in octets]

    def submit(
        self,
        sender: str,
        to: Sequence[str],
        octets: bytes,
        *,
        mail_options: Sequence[str] = ("BODY=8BITMIME",),
        rcpt_options: Sequence[str] = (),
    ) -> None:
        """Hand it a message to bring to others."""
        with smtplib.SMTP(self.place.address, self.place.port, "client.example", timeout=30) as smtp:
            smtp.ehlo()
            assert smtp.sendmail(sender, list(to), octets, list(mail_options), list(rcpt_options)) == {}
