"""Servers under measurement, each on loopback in a folder of its own: ours, Dovecot and Postfix from Debian's packages.

`start_*` returns a `Server` (ports, root processes, addresses) once it answers; `Server.stop` ends it. Nothing outside the
folder is touched but the system user `vbench`, which Dovecot needs to own its mail. Postfix hands its mail to Dovecot's LMTP.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from postfix_master import write_master

USERS = 200
PASSWORD = "pass"


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
    stop: Callable[[], None] = field(default=lambda: None)


def wait_for(port: int, seconds: float = 60) -> None:
    """Return when something listens on 127.0.0.1:port; TimeoutError after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port}")


def read_pid(path: Path, seconds: float = 10) -> int:
    """The number in a pid file, which a server writes some time after it listens."""
    end = time.monotonic() + seconds
    while not (path.exists() and path.read_text().strip()) and time.monotonic() < end:
        time.sleep(0.05)
    return int(path.read_text())


def start_ours(folder: Path, base: int = 13000, workers: int = 2, *, index: bool = True, settings: str = "") -> Server:
    """`mic-mail demo` with bench users; the program as it is installed beside this interpreter.

    `settings`: its configuration (TOML) in place of a demonstration's, but for doors and workers.
    """
    settings += "" if index else "[search]\nenabled = false\n"
    if settings:
        folder.mkdir()
        (folder / "mic-mail-demo").touch()
        (folder / "mic-mail.toml").write_text(settings)
    command = [str(Path(sys.executable).with_name("mic-mail")), "demo", "--data", str(folder), "--ports-from", str(base)]
    command += ["--workers", str(workers), "--cleartext", "--bench-users", str(USERS)]
    with (folder.parent / f"{folder.name}.log").open("wb") as log:
        child = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def stop() -> None:
        child.send_signal(signal.SIGTERM)
        child.wait(30)

    wait_for(base + 25, 120)
    wait_for(base + 143, 120)
    ports = {"imap": base + 143, "imaps": base + 993, "smtp": base + 25}
    inbox, status = str(folder / "mail" / "bench.test" / "u%d" / "Maildir"), str(folder / "run" / "status")
    name = "mic-mail" if index else "mic-mail, no index"
    return Server(name, [child.pid], **ports, inbox=inbox, status=status, stop=stop)


DOVECOT = """\
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
}}
service lmtp {{
  inet_listener lmtp {{
    port = {lmtp}
  }}
}}
"""


FLATCURVE = """\
mail_plugins {{
  fts = yes
  fts_flatcurve = yes
}}
fts_autoindex = yes
fts_search_add_missing = yes
language_tokenizers = generic email-address
language_tokenizer_generic_algorithm = simple
language en {{
  default = yes
  filters = lowercase snowball english-possessive stopwords
}}
fts flatcurve {{
  substring_search = yes
}}
"""
"""As Debian's dovecot-flatcurve ships it."""


def start_dovecot(folder: Path, base: int = 14000, *, flatcurve: bool = False) -> Server:
    """Dovecot with its documented high-performance login and default fsync; LMTP at base+24. Perhaps with a full-text index."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        account = pwd.getpwnam("vbench")
    except KeyError:
        subprocess.run(["useradd", "-r", "-M", "vbench"], check=True)
        account = pwd.getpwnam("vbench")
    for name in ("run", "state", "mail"):
        (folder / name).mkdir(exist_ok=True)
    os.chown(folder / "mail", account.pw_uid, account.pw_gid)
    for parent in [folder, *folder.parents][:-2]:
        parent.chmod(parent.stat().st_mode | 0o055)
    key = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]
    key += ["-subj", "/CN=localhost", "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(key, check=True, capture_output=True)
    (folder / "users").write_text("".join(f"u{i}@bench.test:{{PLAIN}}{PASSWORD}\n" for i in range(USERS)))
    ports = {"imap": base + 143, "imaps": base + 993, "lmtp": base + 24}
    text = DOVECOT + FLATCURVE if flatcurve else DOVECOT
    (folder / "dovecot.conf").write_text(text.format(d=folder, **ports))
    with (folder / "start.log").open("wb") as log:
        subprocess.run(["dovecot", "-c", str(folder / "dovecot.conf")], check=True, stdout=log, stderr=log)
    wait_for(ports["imap"])
    master = read_pid(folder / "run" / "master.pid")

    def stop() -> None:
        os.kill(master, signal.SIGTERM)
        time.sleep(1)

    inbox = str(folder / "mail" / "u%d@bench.test" / "Maildir")
    return Server(
        "flatcurve" if flatcurve else "dovecot",
        [master],
        imap=ports["imap"],
        imaps=ports["imaps"],
        smtp=ports["lmtp"],
        protocol="lmtp",
        inbox=inbox,
        stop=stop,
    )


POSTFIX = """\
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
virtual_mailbox_domains = bench.test
virtual_transport = lmtp:inet:127.0.0.1:{lmtp}
smtp_dns_support_level = disabled
message_size_limit = 104857600
mailbox_size_limit = 0
virtual_mailbox_limit = 0
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
maillog_file = {d}/postfix.log
maillog_file_prefixes = {d}
"""


def start_postfix(folder: Path, dovecot: Server, base: int = 15000) -> Server:
    """Postfix with its default queue settings in front of `dovecot`."""
    etc = folder / "etc"
    for name in ("etc", "queue", "data"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    shutil.chown(folder / "data", "postfix")
    (etc / "main.cf").write_text(POSTFIX.format(d=folder, lmtp=dovecot.smtp))
    write_master(etc / "master.cf", str(base + 25))
    control = ["postfix", "-c", str(etc)]
    with (folder / "start.log").open("wb") as log:
        subprocess.run([*control, "start"], check=True, stdout=log, stderr=log)
    wait_for(base + 25)
    pid = read_pid(folder / "queue" / "pid" / "master.pid")

    def stop() -> None:
        subprocess.run([*control, "stop"], check=False, capture_output=True)

    return Server("postfix+dovecot", [pid, *dovecot.pids], smtp=base + 25, inbox=dovecot.inbox, stop=stop)
