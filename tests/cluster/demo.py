"""`make cluster-demo`: a cluster of three machines on this one, for a trial, until Ctrl-C or `make cluster-demo-stop`.

A message a second goes through it, and what becomes of them is told. Whatever is killed is started again after
`RESTART_SECONDS`, as systemd would do. Each start makes a new cluster.
"""

import contextlib
import os
import shutil
import signal
import smtplib
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import programs
from cluster.local_cluster import MACHINES, PORTS_FROM, PROGRAMS, LocalCluster, local_cluster
from population import PASSWORD

FOLDER = Path(__file__).parents[2] / "cluster-demo"
PID_FILE = FOLDER / "pid"
NETWORK = "127.7.0"
RESTART_SECONDS = 40.0
PEOPLE = ("an", "binh", "chi")
LETTER = b"From: a@vnpt.example\r\nTo: %s\r\nSubject: %d\r\nMessage-ID: <%d@vnpt.example>\r\n\r\nXin ch\xc3\xa0o\r\n"


class Mail(threading.Thread):
    """Sends a message a second to one of the people, through the front, and sends it again until it is accepted."""

    def __init__(self, front: str) -> None:
        super().__init__(daemon=True)
        self._front = front
        self.ending = threading.Event()
        self.accepted = 0
        self.refused = 0
        """Attempts that were told to come again, or that a connection ended."""
        self.longest = 0.0
        """Seconds that a message took at most to be accepted, since `forget`."""

    def run(self) -> None:
        while not self.ending.wait(1):
            began = time.monotonic()
            while not self.ending.is_set() and not self._is_accepted():
                self.refused += 1
                self.ending.wait(0.5)
            self.longest = max(self.longest, time.monotonic() - began)

    def _is_accepted(self) -> bool:
        to = f"{PEOPLE[self.accepted % len(PEOPLE)]}@mic.gov.vn"
        with (
            contextlib.suppress(OSError, smtplib.SMTPException),
            smtplib.SMTP(self._front, PORTS_FROM + 25, timeout=30) as client,
        ):
            client.sendmail("a@vnpt.example", [to], LETTER % (to.encode(), self.accepted, self.accepted))
            self.accepted += 1
            return True
        return False


def main() -> None:
    """Run the demonstration, or with the argument `stop` end one that runs."""
    if sys.argv[1:] == ["stop"]:
        stop()
        return
    if lacking := programs.missing(*PROGRAMS):
        sys.exit(f"Missing: {', '.join(lacking)}. Install the packages; the services that they start are not used.")
    if any(_processes()):
        sys.exit("A demonstration is running: make cluster-demo-stop")
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    PID_FILE.write_text(str(os.getpid()))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print("Starting (half a minute to a minute):", flush=True)
    with contextlib.suppress(KeyboardInterrupt), local_cluster(FOLDER, NETWORK, tell=_tell) as cluster:
        for person in PEOPLE:
            cluster.nodes[0].population.issue(person)
        _explain(cluster)
        mail = Mail(cluster.front)
        mail.start()
        try:
            _watch(cluster, mail)
        finally:
            mail.ending.set()
            print("Stopping ...", flush=True)


def stop() -> None:
    """End a demonstration that runs, or what is left of one whose own process was killed."""
    with contextlib.suppress(OSError, ValueError):
        pid = int(PID_FILE.read_text())
        if b"cluster.demo" in _command(pid):
            os.kill(pid, signal.SIGTERM)
            limit = time.monotonic() + 90
            while Path(f"/proc/{pid}").exists() and time.monotonic() < limit:
                time.sleep(0.2)  # before the next look
    for pid in _processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _processes() -> Iterator[int]:
    """Yield the processes of a demonstration in this checkout: they work in its folder, or name a file in it."""
    for path in Path("/proc").glob("[0-9]*"):
        pid = int(path.name)
        with contextlib.suppress(OSError):
            if os.fsencode(FOLDER) in _command(pid) or (path / "cwd").resolve().is_relative_to(FOLDER):
                yield pid


def _command(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def _tell(what: str) -> None:
    print(f"  {what}", flush=True)


def _explain(cluster: LocalCluster) -> None:
    ports = {"SMTP": 25, "submission (STARTTLS)": 587, "submission (TLS)": 465, "IMAP (STARTTLS)": 143, "IMAP (TLS)": 993}
    print(f"\nConnect to {cluster.front}, as a mail client or by hand; the certificate is self-signed, its name localhost:")
    for name, port in ports.items():
        print(f"  {name:24} {cluster.front}:{PORTS_FROM + port}")
    print(f"Mailboxes: {', '.join(f'{person}@mic.gov.vn' for person in PEOPLE)}; password: {PASSWORD}")
    print(f"\nThe three machines are {', '.join(cluster.addresses.values())}. Processes, to be killed by kill -9:")
    for number in MACHINES:
        found = {part.name: part.pids()[:1] for part in cluster.machine(number)}
        print("  " + "  ".join(f"{name} {pids[0] if pids else '-'}" for name, pids in found.items()))
    for node in cluster.nodes[:1]:
        print(f"\nCommands: PGPASSFILE={cluster.passwords_file} mic-mail --config {node.file} status")
    print(f"Configuration, data and logs: {cluster.folder}. Stop: Ctrl-C, or make cluster-demo-stop.\n", flush=True)


def _watch(cluster: LocalCluster, mail: Mail) -> None:
    """Say what changes, and start what has ended."""
    ended: dict[str, float] = {}
    primary, said_at = cluster.primary(), time.monotonic()
    while True:
        time.sleep(1)  # before the next look
        now = time.monotonic()
        for name, part in cluster.parts.items():
            if part.pids() or name.startswith("postgresql"):
                ended.pop(name, None)
            elif name not in ended:
                ended[name] = now
                _say(f"{name} has ended; it is started again in {RESTART_SECONDS:.0f} s")
            elif now - ended[name] > RESTART_SECONDS:
                part.start()
                _say(f"{name} is started again")
        if (found := cluster.primary()) != primary and found is not None:
            _say(f"the primary is PostgreSQL {found} now")
            primary = found
        if now - said_at > 30:
            _say(f"{mail.accepted} messages accepted, {mail.refused} attempts put off; at most {mail.longest:.1f} s for one")
            mail.longest, said_at = 0.0, now


def _say(what: str) -> None:
    print(time.strftime("%H:%M:%S"), what, flush=True)


if __name__ == "__main__":
    main()
