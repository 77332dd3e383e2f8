"""Moving a mailbox out of Dovecot: `mic-mail import imap` beside `mbsync`, in turn, from one source into one server.

    python bench/importing.py [MESSAGES]

Both fetch the same INBOX over TLS from a Dovecot on loopback. mbsync stores into a mailbox of a running mic-mail by IMAP (TLS),
which is how mail came here without `import`; `import` publishes into another one beside the same running server. Prints seconds
and messages per second of each, once empty and once more when everything is there already.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from servers import start_dovecot, start_ours

MESSAGES = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
OURS, THEIRS = 24_000, 24_500
MBSYNC = """\
IMAPAccount old
Host localhost
Port {old}
User u0@bench.test
Pass pass
TLSType IMAPS
CertificateFile {old_cert}

IMAPStore old
Account old

IMAPAccount new
Host localhost
Port {new}
User u1@bench.test
Pass pass
TLSType IMAPS
CertificateFile {new_cert}

IMAPStore new
Account new

Channel move
Far :old:
Near :new:
Patterns INBOX
Sync Pull
Create Near
SyncState {state}/
"""


def message(number: int, chance: random.Random) -> bytes:
    """2 to 12 KB of text, like a ministry's letters without their files."""
    body = "\r\n".join("Kính gửi các đơn vị, đề nghị xem công văn kèm theo. " * 2 for _ in range(chance.randint(15, 90)))
    head = (
        f"Return-Path: <a{number}@mic.gov.vn>\r\nReceived: from x by y; Tue, 1 Oct 2019 10:00:00 +0700\r\n"
        f"From: =?utf-8?B?TmfGsOG7nWk=?= <a{number}@mic.gov.vn>\r\nTo: b@mic.gov.vn\r\nSubject: Cong van {number}\r\n"
        f"Date: Tue, 1 Oct 2019 10:00:{number % 60:02} +0700\r\nMessage-ID: <{number}@mic.gov.vn>\r\n"
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    )
    return head.encode() + body.encode() + b"\r\n"


def fill(inbox: Path, owner: str) -> None:
    """Put the messages into a Maildir before Dovecot looks at it."""
    chance = random.Random(7)
    for name in ("cur", "new", "tmp"):
        (inbox / name).mkdir(parents=True, exist_ok=True)
    for number in range(MESSAGES):
        octets = message(number, chance)
        flags = "S" if number % 3 else ""
        (inbox / "cur" / f"{1569898800 + number}.M{number}P1.old,S={len(octets)},W={len(octets)}:2,{flags}").write_bytes(octets)
    subprocess.run(["chown", "-R", owner, str(inbox.parent)], check=True)


def timed(name: str, command: list[str], env: dict[str, str]) -> None:
    """Run it and say how long it took."""
    start = time.monotonic()
    done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - start
    lines = (done.stderr or done.stdout).strip().splitlines()
    rate, last = MESSAGES / seconds, "".join(lines[-1:])
    print(f"{name:28} {seconds:7.1f} s {rate:8.0f} messages/s  rc {done.returncode}  {last}", flush=True)


def main() -> None:
    """Start both servers, move, stop them."""
    folder = Path(tempfile.mkdtemp(prefix="moving-bench-", dir="/var/tmp"))
    old = start_dovecot(folder / "dovecot", THEIRS)
    try:
        fill(Path(old.inbox % 0), "vbench")
        new = start_ours(folder / "ours", OURS, 1)
        try:
            certificate = folder / "ours" / "tls" / "cert.pem"
            (folder / "mbsyncrc").write_text(
                MBSYNC.format(
                    old=old.imaps,
                    new=new.imaps,
                    old_cert=folder / "dovecot/cert.pem",
                    new_cert=certificate,
                    state=folder / "state",
                )
            )
            (folder / "password").write_text("pass\n")
            env = {"MIC_MAIL_CONFIG": str(folder / "ours" / "mic-mail.toml"), "LC_ALL": "C.UTF-8"}
            ours = [sys.executable, "-m", "mic_mail", "--lang", "en", "import", "imap", "u2@bench.test", "--host", "localhost"]
            ours += ["--port", str(old.imaps), "--user", "u0@bench.test", "--password-file", str(folder / "password")]
            ours += ["--ca", str(folder / "dovecot/cert.pem"), "--document", "1/YC"]
            mbsync = ["mbsync", "-c", str(folder / "mbsyncrc"), "move"]
            for turn in ("first", "again"):
                timed(f"import imap, {turn}", ours, env)
                if shutil.which("mbsync"):
                    timed(f"mbsync, {turn}", mbsync, env)
            timed("import --verify", [*ours, "--verify"], env)
        finally:
            new.stop()
    finally:
        old.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
