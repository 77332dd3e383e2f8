"""Programs that tests drive and that are no Python packages: where each is, and what is said where it is not.

A test names them: `@pytest.mark.needs_tool("swaks", "openssl")`; a fixture calls `need("dovecot")`. Where one is missing, the
tests that need it are skipped and no other, and the last lines of the run count them by what was missing. A test that starts a
program which it has not named fails, so that none is forgotten; what Debian itself stands on (`BASE`) need not be named.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import pytest

PEERS = Path("/opt/mail-peers")
"""Where `.ci/run` unpacks the servers whose packages exclude one another: PEERS/PACKAGE."""
POSTGRESQL = Path("/usr/lib/postgresql")
"""Where Debian keeps each version of PostgreSQL: POSTGRESQL/VERSION/bin."""
BASE = frozenset("chown cp iconv mount nsenter prlimit sh sha256sum umount uname unshare".split())
"""In every Debian (its essential packages)."""
ANOTHER_ACCOUNT = "another account"
"""What some need beside programs: processes that are not root's, started by root."""
_ASIDE = "/usr/local/sbin:/usr/sbin:/sbin"
"""Where daemons lie, which is on the PATH of root alone."""
_NOT_HERE = "not here: "


@dataclass(frozen=True)
class Program:
    """One program, or several that one package brings."""

    package: str
    """Debian's."""
    files: tuple[str, ...] = ()
    """What may be started of it, the first of which is looked for; empty: what it is called."""
    as_root: bool = False
    """It gives up root, so it needs it."""
    in_namespace: bool = False
    """It is shown another file system than we see."""
    starts: tuple[str, ...] = ()
    """Others of `PROGRAMS` that it starts itself."""


PROGRAMS = {
    "chromedriver": Program("chromium-driver"),
    "chromium": Program("chromium"),
    "clamd": Program("clamav-daemon"),
    "curl": Program("curl"),
    "dovecot": Program("dovecot-imapd", ("dovecot", "doveadm", "imap")),
    "etcd": Program("etcd-server"),
    "exim": Program("exim4-daemon-light", ("exim4",), as_root=True),
    "faketime": Program("faketime"),
    "fetchmail": Program("fetchmail"),
    "getmail": Program("getmail6"),
    "gcc": Program("gcc"),
    "haproxy": Program("haproxy"),
    "import": Program("imagemagick"),
    "ldapcompare": Program("ldap-utils"),
    "ldapdelete": Program("ldap-utils"),
    "ldapmodrdn": Program("ldap-utils"),
    "ldapsearch": Program("ldap-utils"),
    "ldapwhoami": Program("ldap-utils"),
    "make": Program("make"),
    "mbsync": Program("isync"),
    "mpop": Program("mpop"),
    "mkfs.ext4": Program("e2fsprogs"),
    "msmtp": Program("msmtp"),
    "neomutt": Program("neomutt"),
    "node": Program("nodejs", ("node", "npm")),
    "opendkim": Program("opendkim"),
    "openssl": Program("openssl"),
    "opensmtpd": Program("opensmtpd", ("smtpd", "smtpctl"), as_root=True, in_namespace=True),
    "postfix": Program("postfix", ("postfix", "postmap", "postqueue", "postsuper", "postcat"), as_root=True),
    "patroni": Program("patroni"),
    "pgbouncer": Program("pgbouncer"),
    "postgres": Program("postgresql-17", ("postgres", "initdb", "psql")),
    "readpst": Program("pst-utils"),
    "redis-server": Program("redis-server"),
    "rspamd": Program("rspamd"),
    "rsyslogd": Program("rsyslog"),
    "script": Program("bsdutils"),
    "smtp-sink": Program("postfix"),
    "strace": Program("strace"),
    "swaks": Program("swaks"),
    "systemd-analyze": Program("systemd"),
    "testssl": Program("testssl.sh", starts=("openssl",)),
    "thunderbird": Program("thunderbird"),
    "Xvfb": Program("xvfb"),
}

_named: set[str] = set()
"""By the test that runs now: what it may start."""
_runs = False
"""Whether one does."""


def find(name: str) -> str | None:
    """Where a program is."""
    program = PROGRAMS[name]
    before = sorted(map(str, POSTGRESQL.glob("*/bin")), reverse=True)
    beside = map(str, PEERS.glob("*/usr/sbin"))
    path = os.pathsep.join([*before, os.environ.get("PATH", os.defpath), _ASIDE, *beside])
    return shutil.which((*program.files, name)[0], path=path)


def missing(*names: str) -> list[str]:
    """What is not here of that which these programs need."""
    lacking = []
    for name in names:
        if name == ANOTHER_ACCOUNT:
            lacking += [] if _can_be_another() else [ANOTHER_ACCOUNT]
            continue
        program = PROGRAMS[name]
        lacking += missing(*program.starts)
        if find(name) is None:
            lacking.append(f"{name} (Debian: {program.package})")
        elif program.as_root and os.geteuid() != 0:
            lacking.append(f"root, for {name}")
        elif program.in_namespace and not _may_have_namespaces():
            lacking.append(f"a mount namespace, for {name}")
    return lacking


def need(name: str) -> str:
    """Where it is; from here on it may be started. The test that runs now is skipped where it is missing."""
    if lacking := missing(name):
        lack(*lacking)
    _named.add(name)
    found = find(name)
    assert found is not None
    return found


def lack(*things: str) -> NoReturn:
    """Skip the test that runs now: this machine has no such thing."""
    pytest.skip(_NOT_HERE + "; ".join(things))


@cache
def _can_be_another() -> bool:
    """Not without root, nor where Python or this tree lies in a folder that is root's own."""
    how = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
    try:
        return (
            bool(how) and not subprocess.run([sys.executable, "-c", "import mic_mail"], check=False, cwd="/", **how).returncode
        )
    except OSError:
        return False


@cache
def _may_have_namespaces() -> bool:
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0


# ------------------------------------------------------------ of the run


def begin(item: pytest.Item) -> None:
    """A test begins: it may start what it names, and is skipped where that is missing."""
    global _runs  # noqa: PLW0603  an audit hook cannot be taken away again
    _runs = True
    _named.clear()
    names = [name for mark in item.iter_markers("needs_tool") for name in mark.args]
    if lacking := missing(*names):
        lack(*lacking)
    _named.update(set(names) & PROGRAMS.keys())


def end() -> None:
    """It is over. What was made for it and others may be ended by a program that they named."""
    global _runs  # noqa: PLW0603
    _runs = False


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook: refuse to start what the test has not named."""
    if event != "subprocess.Popen" or not _runs:
        return
    executable, words = arguments[:2]
    file = os.fsdecode(executable or words[0])
    name = os.path.basename(file)
    made_by_tests = tempfile.gettempdir() + "/", "/dev/shm/"
    if name in BASE or os.path.realpath(file).startswith((os.path.realpath(sys.executable), sys.prefix, *made_by_tests)):
        return
    may = {each for one in _named for each in (PROGRAMS[one].files or (one,))}
    if name not in may:
        raise UnnamedProgram(f"{file}: its test has to say needs_tool(...), see tests/programs.py")


class UnnamedProgram(Exception):
    """A test starts a program that others may not have."""


def skipped_for(skipped: Iterable[pytest.TestReport | pytest.CollectReport]) -> list[str]:
    """What was skipped for want of what, the most first: for the end of a run."""
    found: Counter[str] = Counter()
    for report in skipped:
        reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr).removeprefix("Skipped: ")
        wants = reason.removeprefix(_NOT_HERE).split("; ") if reason.startswith(_NOT_HERE) else []
        found.update([f"for want of {what}" for what in wants] or [f"as {reason}"])
    return [f"{number:5} skipped {why}" for why, number in found.most_common()]
