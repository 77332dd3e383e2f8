"""A whole Dovecot on loopback, with TLS and sign-in: the old system from which mail is moved in."""

import os
import pwd
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import programs
from clients.dovecot import need_dovecot
from harness import NAMES
from mic_mail.clock import SystemClock
from mic_mail.net.tls import self_signed, write_pair
from waiting import wait_for

PASSWORD = "mật khẩu cũ"
_CONFIGURATION = """\
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
base_dir = {d}/run
state_dir = {d}/state
protocols = imap
listen = 127.0.0.1
log_path = {d}/log
ssl = yes
ssl_server_cert_file = {d}/cert.pem
ssl_server_key_file = {d}/key.pem
auth_mechanisms = plain login
auth_failure_delay = 0
mail_driver = maildir
mail_path = ~/Maildir
mail_uid = nobody
mail_gid = nogroup
first_valid_uid = 1
default_login_user = nobody
default_internal_user = nobody
default_internal_group = nogroup
passdb masters {{
  driver = passwd-file
  passwd_file_path = {d}/masters
  master = yes
}}
passdb users {{
  driver = passwd-file
  passwd_file_path = {d}/users
}}
userdb static {{
  fields {{
    uid = nobody
    gid = nogroup
    home = {d}/mail/%{{user}}
  }}
}}
namespace inbox {{
  inbox = yes
  separator = /
  mailbox Gesendet {{
    special_use = \\Sent
  }}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = 0
  }}
  inet_listener imaps {{
    port = {port}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
}}
"""


class OldSystem:
    """A running Dovecot."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.certificate = folder / "cert.pem"

    def maildir(self, user: str) -> Path:
        """Where its mail lies."""
        return self.folder / "mail" / user / "Maildir"

    def fill(self, user: str, folder: str, *messages: tuple[str, bytes]) -> None:
        """Put messages (name, content) into a folder of a Maildir."""
        place = self.maildir(user) / folder
        for inner in ("cur", "new", "tmp"):
            (place / inner).mkdir(parents=True, exist_ok=True)
        for name, octets in messages:
            (place / "cur" / name).write_bytes(octets)
        self.give(self.folder / "mail")

    def give(self, path: Path) -> None:
        """To the account that Dovecot reads mail as."""
        nobody = pwd.getpwnam("nobody")
        for each in (path, *path.rglob("*")):
            os.chown(each, nobody.pw_uid, nobody.pw_gid)


def start_old_system(users: tuple[str, ...]) -> Iterator[OldSystem]:
    """A Dovecot with these users, and an administrator `admin`; or the reason why there is none."""
    program = need_dovecot()
    if os.geteuid() != 0:
        programs.lack("root, for dovecot")
    with tempfile.TemporaryDirectory(prefix="mic-old-") as name, socket.create_server(("127.0.0.1", 0)) as free:
        folder, port = Path(name), free.getsockname()[1]
        free.close()
        folder.chmod(0o755)
        for inner in ("run", "state", "mail"):
            (folder / inner).mkdir()
        write_pair(folder / "cert.pem", folder / "key.pem", self_signed(NAMES, SystemClock().now()))
        (folder / "users").write_text("".join(f"{user}:{{PLAIN}}{PASSWORD}\n" for user in users))
        (folder / "masters").write_text(f"admin:{{PLAIN}}{PASSWORD}\n")
        (folder / "dovecot.conf").write_text(_CONFIGURATION.format(d=folder, port=port))
        system = OldSystem(folder, port)
        system.give(folder / "mail")
        with (folder / "start").open("wb") as said:  # no pipe: the daemon would keep it open
            subprocess.run([program, "-c", str(folder / "dovecot.conf")], check=True, stdout=said, stderr=said)
        wait_for((folder / "run" / "master.pid").exists)
        master = int((folder / "run" / "master.pid").read_text())
        try:
            yield system
        finally:
            os.kill(master, signal.SIGTERM)
            wait_for(lambda: not Path(f"/proc/{master}").exists())
