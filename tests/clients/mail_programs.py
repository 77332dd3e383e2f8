"""Mail programs, and how each is run."""

import subprocess
from pathlib import Path


def run(command: list[str], *, home: Path, **how: object) -> subprocess.CompletedProcess[bytes]:
    """Run a program with a home folder of its own; its complaint is the test's."""
    done = subprocess.run(
        command,
        env={"HOME": str(home), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TERM": "vt100"},
        capture_output=True,
        timeout=100,
        check=False,
        **how,  # type: ignore[call-overload]
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")[-3000:]
    return done


MBSYNC = """\
IMAPAccount ours
Host localhost
Port {port}
User dvbe@mic.gov.vn
Pass "{password}"
TLSType IMAPS
SystemCertificates no
CertificateFile {certificate}

IMAPStore there
Account ours

MaildirStore here
SubFolders Verbatim
Path {home}/mail/
Inbox {home}/mail/INBOX

Channel all
Far :there:
Near :here:
Patterns INBOX Archive
Create Near
Expunge Both
SyncState *
"""


def names(said: str) -> list[str]:
    return [line.removeprefix("dn: ") for line in said.splitlines() if line.startswith("dn: ")]
