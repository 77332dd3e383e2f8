"""Servers under measurement, each on loopback in a folder of its own: ours, Dovecot, Postfix and Cyrus from Debian's packages.

`start_*` returns a `Server` (ports, root processes, addresses) once it answers; `Server.stop` ends it. Nothing outside the
folder is touched but the system user `vbench`, which owns the mail of Dovecot and Cyrus. Postfix hands its mail to Dovecot's
LMTP. The package of Cyrus excludes Dovecot's, so it is unpacked beside it: see `docs/development.md`, Measuring.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from measure import ImapClient

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from postfix_master import write_master
from postgresql_server import PostgresqlServer, postgresql_server

USERS = 200
PASSWORD = "pass"
MIC_MAIL, DOVECOT, POSTFIX, CYRUS, SLAPD = "mic-mail", "dovecot", "postfix", "cyrus", "slapd"
IN_DATABASE = "mic-mail in PostgreSQL"
OURS = {MIC_MAIL, IN_DATABASE}
NAMES = {
    MIC_MAIL: "mic-mail",
    IN_DATABASE: IN_DATABASE,
    DOVECOT: "Dovecot",
    POSTFIX: "Postfix + Dovecot",
    CYRUS: "Cyrus",
    SLAPD: "slapd",
}
"""As a reader knows them."""
UNPACKED = Path("/opt/mail-peers")
"""Where packages that exclude one another are unpacked."""


@dataclass
class Server:
    """A running server: what a driver has to know of it."""

    name: str
    pids: list[int]
    imap: int = 0
    imaps: int = 0
    smtp: int = 0
    protocol: str = "smtp"
    user: str = "u%d@bench.test"
    inbox: str = ""
    status: str = ""
    """The socket on which our supervisor tells the server's state."""
    database: PostgresqlServer | None = None
    """The PostgreSQL that has the mail of ours, in place of files."""
    command_line: tuple[str, ...] = ()
    """A command that lists mailboxes."""
    stop: Callable[[], None] = field(default=lambda: None)

    def processes(self) -> list[dict[str, Any]]:
        """What our supervisor tells of each process; none before it listens."""
        with socket.socket(socket.AF_UNIX) as asking:
            try:
                asking.connect(self.status)
            except (FileNotFoundError, ConnectionRefusedError):
                return []
            said = b"".join(iter(lambda: asking.recv(1 << 16), b""))
        found: list[dict[str, Any]] = json.loads(said)["processes"]
        return found


def wait_for(port: int, seconds: float = 60) -> None:
    """Return when something listens on 127.0.0.1:port; TimeoutError after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port}")


def need_free(port: int) -> None:
    """RuntimeError where something listens already: it would be measured in place of the server that is started."""
    with socket.socket() as s:
        if s.connect_ex(("127.0.0.1", port)) == 0:
            raise RuntimeError(f"port {port} is in use; choose others with --ports-from")


def read_pid(path: Path, seconds: float = 10) -> int:
    """The number in a pid file, which a server writes some time after it listens."""
    end = time.monotonic() + seconds
    while not (path.exists() and path.read_text().strip()) and time.monotonic() < end:
        time.sleep(0.05)
    return int(path.read_text())


def terminate(pid: int, seconds: float = 20) -> None:
    """End a daemon, unless it has ended with another one, and wait until it is gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + seconds
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        time.sleep(0.1)


def run_quietly(log: Path, *command: str, env: dict[str, str] | None = None) -> None:
    """Run a command that starts daemons: a pipe would stay open as long as they live."""
    with log.open("wb") as out:
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env)


# ------------------------------------------------------------ ours


def our_program() -> str:
    """The program as it is installed beside this interpreter."""
    return str(Path(sys.executable).with_name("mic-mail"))


def start_ours(
    folder: Path,
    base: int = 13000,
    workers: int = 2,
    *,
    users: int = USERS,
    settings: str = "",
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Server:
    """`mic-mail demo` with bench users. `settings`: its configuration (TOML) in place of a demonstration's, but for doors and
    workers. `environment`: variables that it has beside ours."""
    need_free(base + 143)
    if settings:
        folder.mkdir(parents=True)
        (folder / "mic-mail-demo").touch()
        (folder / "mic-mail.toml").write_text(settings)
    command = [our_program(), "demo", "--data", str(folder), "--ports-from", str(base)]
    command += ["--workers", str(workers), "--cleartext", "--bench-users", str(users)]
    with (folder.parent / f"{folder.name}.log").open("wb") as log:
        child = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env={**os.environ, **environment})

    def stop() -> None:
        child.send_signal(signal.SIGTERM)
        child.wait(30)

    wait_for(base + 25, 120)
    wait_for(base + 143, 120)
    return Server(
        MIC_MAIL,
        [child.pid],
        imap=base + 143,
        imaps=base + 993,
        smtp=base + 25,
        inbox=str(folder / "mail" / "bench.test" / "u%d" / "Maildir"),
        status=str(folder / "run" / "status"),
        command_line=(our_program(), "--config", str(folder / "mic-mail.toml"), "mailbox", "list"),
        stop=stop,
    )


@contextmanager
def ours_in_database(folder: Path, base: int, *, users: int) -> Iterator[Server]:
    """Ours with its mailboxes in a PostgreSQL, whose COMMITs are durable and whose other settings are Debian's."""
    with postgresql_server(fsync="on", shared_buffers="128MB", max_connections="100") as database:
        assert database.process is not None
        settings = f'[storage]\ndatabase = "postgresql://test@/postgres?host={database.folder}"\n'
        server = start_ours(folder, base, users=users, settings=settings)
        server.name, server.database = IN_DATABASE, database
        server.pids.append(database.process.pid)
        try:
            yield server
        finally:
            server.stop()


# ------------------------------------------------------------ Dovecot

DOVECOT_CONF = """\
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
base_dir = {d}/run
state_dir = {d}/state
protocols = imap lmtp
listen = 127.0.0.1
log_path = {d}/dovecot.log
ssl = yes
ssl_server_cert_file = {d}/cert.pem
ssl_server_key_file = {d}/key.pem
auth_allow_cleartext = yes
mail_driver = maildir
mail_path = ~/Maildir
mail_uid = vbench
mail_gid = vbench
first_valid_uid = 1
mail_max_userip_connections = 100000
lmtp_user_concurrency_limit = unlimited
default_client_limit = 20000
default_process_limit = 10000
passdb passwd-file {{
  passwd_file_path = {d}/users
}}
userdb static {{
  fields {{
    uid = vbench
    gid = vbench
    home = {d}/mail/%{{user}}
  }}
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
service imap-login {{
  restart_request_count = unlimited
  process_min_avail = 2
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service imap {{
  process_limit = 10000
  vsz_limit = 4G
}}
service lmtp {{
  inet_listener lmtp {{
    port = {lmtp}
  }}
}}
"""


def own_mail(folder: Path, *names: str) -> None:
    """Make folders below `folder` that belong to `vbench`, whom the way to them is open for."""
    try:
        account = pwd.getpwnam("vbench")
    except KeyError:
        subprocess.run(["useradd", "-r", "-M", "vbench"], check=True)
        account = pwd.getpwnam("vbench")
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)
        os.chown(folder / name, account.pw_uid, account.pw_gid)
    for parent in [folder, *folder.parents][:-2]:
        parent.chmod(parent.stat().st_mode | 0o055)


def make_certificate(folder: Path) -> None:
    """key.pem and cert.pem, for localhost."""
    key = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]
    key += ["-subj", "/CN=localhost", "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(key, check=True, capture_output=True)


def start_dovecot(folder: Path, base: int = 14000, *, users: int = USERS) -> Server:
    """Dovecot with its documented high-performance login and default fsync; LMTP at base+24."""
    need_free(base + 143)
    own_mail(folder, "mail")
    for name in ("run", "state"):
        (folder / name).mkdir(exist_ok=True)
    make_certificate(folder)
    (folder / "users").write_text("".join(f"u{i}@bench.test:{{PLAIN}}{PASSWORD}\n" for i in range(users)))
    ports = {"imap": base + 143, "imaps": base + 993, "lmtp": base + 24}
    conf = folder / "dovecot.conf"
    conf.write_text(DOVECOT_CONF.format(d=folder, **ports))
    run_quietly(folder / "start.log", "dovecot", "-c", str(conf))
    wait_for(ports["imap"])
    master = read_pid(folder / "run" / "master.pid")
    return Server(
        DOVECOT,
        [master],
        imap=ports["imap"],
        imaps=ports["imaps"],
        smtp=ports["lmtp"],
        protocol="lmtp",
        inbox=str(folder / "mail" / "u%d@bench.test" / "Maildir"),
        command_line=("doveadm", "-c", str(conf), "mailbox", "list", "-u", "u0@bench.test"),
        stop=lambda: terminate(master),
    )


# ------------------------------------------------------------ Postfix

POSTFIX_CONF = """\
compatibility_level = 3.10
queue_directory = {d}/queue
data_directory = {d}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
myhostname = mx.bench.test
mydestination =
smtp_dns_support_level = disabled
message_size_limit = 104857600
mailbox_size_limit = 0
virtual_mailbox_limit = 0
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
maillog_file = {d}/postfix.log
maillog_file_prefixes = {d}
"""


@dataclass(frozen=True)
class Postfix:
    """An instance of Postfix in a folder of its own, with Debian's services."""

    folder: Path
    port: int

    def start(self, settings: str) -> int:
        """Return the pid of its master."""
        for name in ("etc", "queue", "data"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for parent in [self.folder, *self.folder.parents][:-2]:
            parent.chmod(parent.stat().st_mode | 0o055)
        shutil.chown(self.folder / "data", "postfix")
        (self.folder / "etc" / "main.cf").write_text(POSTFIX_CONF.format(d=self.folder) + settings)
        write_master(self.folder / "etc" / "master.cf", str(self.port))
        run_quietly(self.folder / "start.log", "postfix", "-c", str(self.folder / "etc"), "start")
        wait_for(self.port)
        return read_pid(self.folder / "queue" / "pid" / "master.pid")

    def control(self, program: str, *words: str) -> None:
        """Run one of its commands."""
        subprocess.run([program, "-c", str(self.folder / "etc"), *words], check=False, capture_output=True)

    def stop(self) -> None:
        """End it."""
        self.control("postfix", "stop")


def start_postfix(folder: Path, dovecot: Server, base: int = 15000) -> Server:
    """Postfix with its default queue settings in front of `dovecot`."""
    postfix = Postfix(folder, base + 25)
    pid = postfix.start(f"virtual_mailbox_domains = bench.test\nvirtual_transport = lmtp:inet:127.0.0.1:{dovecot.smtp}\n")
    return Server(POSTFIX, [pid, *dovecot.pids], smtp=base + 25, inbox=dovecot.inbox, stop=postfix.stop)


# ------------------------------------------------------------ Cyrus

CYRUS_CONF = """\
configdirectory: {d}/conf
defaultpartition: default
partition-default: {d}/spool
proc_path: {memory}/proc
mboxname_lockpath: {memory}/lock
lmtpsocket: {d}/conf/socket/lmtp
idlesocket: {d}/conf/socket/idle
notifysocket: {d}/conf/socket/notify
cyrus_user: vbench
hashimapspool: true
virtdomains: userid
defaultdomain: localhost
admins: cyrus
allowplaintext: yes
sasl_mech_list: PLAIN
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: {d}/sasldb2
sasl_auto_transition: no
autocreate_quota: 0
tls_server_cert: {d}/cert.pem
tls_server_key: {d}/key.pem
syslog_prefix: cyrusbench
"""
CYRUS_SERVICES = """\
START {{
  recover cmd="{bin}/ctl_cyrusdb -C {d}/imapd.conf -r"
  idled cmd="{bin}/idled -C {d}/imapd.conf"
}}
SERVICES {{
  imap cmd="{bin}/imapd -C {d}/imapd.conf -U 30" listen="127.0.0.1:{imap}" prefork=0 maxchild=6000
  imaps cmd="{bin}/imapd -C {d}/imapd.conf -s -U 30" listen="127.0.0.1:{imaps}" prefork=0 maxchild=6000
  lmtp cmd="{bin}/lmtpd -C {d}/imapd.conf -a" listen="127.0.0.1:{lmtp}" prefork=0 maxchild=200
}}
EVENTS {{
  checkpoint cmd="{bin}/ctl_cyrusdb -C {d}/imapd.conf -c" period=30
}}
"""


@cache
def cyrus_programs() -> tuple[Path, dict[str, str]] | None:
    """The root of an unpacked Cyrus, and the environment in which its programs find their libraries; None without one."""
    root = UNPACKED / "cyrus"
    if not (root / "usr/lib/cyrus/bin/imapd").exists():
        return None
    libraries = next(root.glob("usr/lib/*-linux-gnu"))
    return root, {**os.environ, "LD_LIBRARY_PATH": str(libraries), "PATH": os.environ["PATH"] + ":/usr/sbin"}


def start_cyrus(folder: Path, base: int = 16000, *, users: int = USERS) -> Server:
    """Cyrus with passwords in clear (sasldb); each user signs in once, which makes the mailbox."""
    found = cyrus_programs()
    assert found is not None
    root, environment = found
    bin_folder = root / "usr/lib/cyrus/bin"
    need_free(base + 143)
    parts = ("db", "socket", "log", "msg", "ptclient", "proc", "quota", "user", "sync", "sieve")
    own_mail(folder, "", "conf", *(f"conf/{part}" for part in parts), "spool")
    memory = Path(tempfile.mkdtemp(prefix="mic-mail-bench-", dir="/dev/shm"))  # Debian's are in /run, which is in memory
    own_mail(memory, "", "proc", "lock")
    make_certificate(folder)
    for number in range(users):
        command = [
            str(root / "usr/sbin/saslpasswd2"),
            "-p",
            "-c",
            "-f",
            str(folder / "sasldb2"),
            "-u",
            "bench.test",
            f"u{number}",
        ]
        subprocess.run(command, input=PASSWORD.encode(), check=True, env=environment, capture_output=True)
    ports = {"imap": base + 143, "imaps": base + 993, "lmtp": base + 24}
    (folder / "imapd.conf").write_text(CYRUS_CONF.format(d=folder, memory=memory))
    (folder / "cyrus.conf").write_text(CYRUS_SERVICES.format(d=folder, bin=bin_folder, **ports))
    for name in ("sasldb2", "key.pem", "cert.pem"):
        shutil.chown(folder / name, "vbench", "vbench")
    pid_file = folder / "master.pid"
    files = ["-C", str(folder / "imapd.conf"), "-M", str(folder / "cyrus.conf"), "-p", str(pid_file)]
    run_quietly(folder / "start.log", str(bin_folder / "master"), *files, "-l", "1024", "-d", env=environment)
    wait_for(ports["imap"])
    for number in range(users):
        ImapClient(ports["imap"]).login(f"u{number}@bench.test", PASSWORD).close()
    pids = [read_pid(pid_file), *_processes_with(f"{bin_folder}/idled")]  # idled leaves the tree of the master

    def stop() -> None:
        for pid in pids:
            terminate(pid)
        shutil.rmtree(memory, ignore_errors=True)

    return Server(CYRUS, pids, imap=ports["imap"], imaps=ports["imaps"], smtp=ports["lmtp"], protocol="lmtp", stop=stop)


def _processes_with(program: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "cmdline").read_bytes().startswith(program.encode() + b"\0"):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


# ------------------------------------------------------------ all


@contextmanager
def running(folder: Path, wanted: set[str], users: int = USERS, base: int = 13000) -> Iterator[dict[str, Server]]:
    """Those of `wanted` whose programs are installed, each on ports of a thousand of its own; Postfix only with Dovecot."""
    started: dict[str, Server] = {}
    with ExitStack() as stack:

        def keep(server: Server) -> Server:
            stack.callback(server.stop)
            started[server.name] = server
            return server

        if MIC_MAIL in wanted:
            keep(start_ours(folder / "ours", base, users=users))
        if IN_DATABASE in wanted and Path("/usr/lib/postgresql/17").exists():
            server = stack.enter_context(ours_in_database(folder / "in-database", base + 5000, users=users))
            started[server.name] = server
        if wanted & {DOVECOT, POSTFIX} and shutil.which("dovecot"):
            dovecot = keep(start_dovecot(folder / "dovecot", base + 1000, users=users))
            if POSTFIX in wanted and shutil.which("postfix"):
                keep(start_postfix(folder / "postfix", dovecot, base + 2000))
        if CYRUS in wanted and cyrus_programs():
            keep(start_cyrus(folder / "cyrus", base + 3000, users=users))
        yield started


def versions() -> dict[str, str]:
    """The versions of Python and of the peers that are installed."""
    found = {"python": sys.version.split()[0]}
    for name, command in (("dovecot", ["dovecot", "--version"]), ("postfix", ["postconf", "-dh", "mail_version"])):
        if shutil.which(command[0]):
            found[name] = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split(" ")[0].strip()
    if programs := cyrus_programs():
        root, environment = programs
        command = [str(root / "usr/lib/cyrus/bin/master"), "-V"]
        said = subprocess.run(command, capture_output=True, text=True, check=False, env=environment).stdout
        found["cyrus"] = said.removeprefix("cyrus-imapd ").partition("-")[0].strip()
    return found
