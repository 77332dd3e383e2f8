"""Postfix, with the master that Debian's package ships, and a service that greylists when it is told to."""

import grp
import pwd
import shutil
import socketserver
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from peers.base import HOME, SIZE_LIMIT, Foreign, Place, free_port
from postfix_master import write_master
from programs import find

CONFIGURATION = """\
compatibility_level = 3.10
queue_directory = {d}/queue
data_directory = {d}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
smtp_bind_address = {address}
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
myhostname = {host}
mydestination =
alias_maps =
virtual_mailbox_domains = regexp:{d}/etc/domains
virtual_mailbox_base = {d}
virtual_mailbox_maps = static:mail/
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
message_size_limit = {size}
virtual_mailbox_limit = 0
default_transport = smtp:[127.0.0.1]:{home}
relay_transport = smtp:[127.0.0.1]:{home}
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtputf8_enable = yes
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_recipient_restrictions = check_recipient_access regexp:{d}/etc/recipients, check_policy_service inet:127.0.0.1:{grey}
smtpd_end_of_data_restrictions = check_policy_service inet:127.0.0.1:{grey}
smtpd_recipient_limit = 20
hopcount_limit = 200
smtpd_tls_security_level = may
smtpd_tls_chain_files = {d}/good.key, {d}/good.pem
tls_server_sni_maps = inline:{{ {{ expired.{domain} = {sni} }} }}
smtpd_tls_loglevel = 1
smtp_tls_security_level = {tls}
smtp_tls_secure_cert_match = mail.{ours}
smtp_tls_CAfile = {trusted}
smtp_tls_chain_files = {d}/good.key, {d}/good.pem
smtp_tls_loglevel = 1
smtp_connection_cache_on_demand = yes
smtp_connection_cache_destinations = {ours}
minimal_backoff_time = 1s
maximal_backoff_time = 10s
queue_run_delay = 1s
maillog_file = {d}/postfix.log
maillog_file_prefixes = {d}
"""
RECIPIENTS = """\
/^refused.*@/ 550 5.1.1 No such user here
/^deferred.*@/ 450 4.2.1 Not now
"""


def _beside(command: str) -> str:
    """Where a command of Postfix is: in a folder that is not on everybody's PATH."""
    return str(Path(find("postfix") or "").parent / command)


class _Policy(socketserver.StreamRequestHandler):
    """Postfix's policy protocol: attributes, an empty line, an action."""

    def handle(self) -> None:
        asked: dict[str, str] = {}
        for line in self.rfile:
            name, _, value = line.decode("utf-8", "replace").strip().partition("=")
            if name:
                asked[name] = value
                continue
            if asked.get("protocol_state") == "END-OF-MESSAGE" and getattr(self.server, "stall", False):
                self.server.stalled = True  # type: ignore[attr-defined]  # seen by `is_stalled`
                time.sleep(20)
            later = getattr(self.server, "grey", False) and asked.get("recipient", "").startswith("grey")
            self.wfile.write(b"action=" + (b"451 4.7.1 Greylisted, come back later" if later else b"dunno") + b"\n\n")
            asked = {}


class Postfix(Foreign):
    """Postfix 3."""

    name = "postfix"

    def __init__(self, place: Place) -> None:
        self._policy = socketserver.ThreadingTCPServer(("127.0.0.1", free_port("127.0.0.1")), _Policy)
        self._policy.daemon_threads = True
        self._etc = place.folder / "etc"
        super().__init__(place)

    def _configure(self) -> None:
        place = self.place
        for name in ("etc", "queue", "data", "mail"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        shutil.chown(self.folder / "data", "postfix")
        shutil.chown(self.folder / "mail", "nobody", "nogroup")
        (self.folder / "expired-chain.pem").write_bytes(self.old_key.read_bytes() + self.old_chain.read_bytes())
        (self.folder / "expired-chain.pem").chmod(0o600)
        text = CONFIGURATION.format(
            d=self.folder, address=place.address, host=self.host, domain=self.domain, home=place.home, size=SIZE_LIMIT,
            uid=pwd.getpwnam("nobody").pw_uid, gid=grp.getgrnam("nogroup").gr_gid, ours=HOME,
            grey=self._policy.server_address[1], tls="secure" if place.asks_for_tls else "may",
            trusted=place.trusted or place.authority.file, sni=self.folder / "expired-chain.pem",
        )  # fmt: skip
        (self._etc / "main.cf").write_text(text)
        (self._etc / "recipients").write_text(RECIPIENTS)
        (self._etc / "domains").write_text(f"/(^|\\.){self.domain}$/ ours\n")
        write_master(self._etc / "master.cf", f"{place.address}:{place.port}")

    def _command(self) -> Sequence[str]:
        return [_beside("postfix"), "-c", str(self._etc), "start-fg"]

    def launch(self) -> None:
        threading.Thread(target=self._policy.serve_forever, daemon=True).start()
        super().launch()

    def stop(self) -> None:
        if self.process is not None:
            self._run("postfix", "stop")
        super().stop()
        self._policy.shutdown()

    def _run(self, command: str, *words: str) -> str:
        done = subprocess.run([_beside(command), "-c", str(self._etc), *words], capture_output=True, text=True, check=False)
        return done.stdout

    def grey(self, on: bool) -> None:
        self._policy.grey = on  # type: ignore[attr-defined]  # read by `_Policy`

    def stall(self, on: bool) -> None:
        self._policy.stall = on  # type: ignore[attr-defined]  # likewise
        self._policy.stalled = False  # type: ignore[attr-defined]

    def is_stalled(self) -> bool:
        return bool(self._policy.stalled)  # type: ignore[attr-defined]

    def flush(self) -> None:
        self._run("postqueue", "-f")

    def queued(self) -> int:
        return sum(1 for folder in ("incoming", "active", "deferred", "maildrop", "hold")
                   for path in (self.folder / "queue" / folder).rglob("*") if path.is_file())  # fmt: skip

    def log(self) -> str:
        path = self.folder / "postfix.log"
        return path.read_text(errors="replace") if path.exists() else ""
