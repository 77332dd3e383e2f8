"""OpenSMTPD. Its paths are built in (spool, socket, helpers): it runs in a mount namespace where these are the test's own."""

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import programs
from peers.base import HOME, SIZE_LIMIT, Foreign

CONFIGURATION = """\
pki good cert "{d}/good.pem"
pki good key "{d}/good.key"
pki expired.{domain} cert "{d}/expired.pem"
pki expired.{domain} key "{d}/expired.key"
ca trusted cert "{trusted}"
table refused {{ "^refused.*" }}
table deferred {{ "^deferred.*" }}
table grey file:{d}/grey
table everybody {{ "@" = "nobody" }}
queue ttl 2h
smtp max-message-size {size}
filter refuse phase rcpt-to match rcpt-to regex <refused> reject "550 5.1.1 No such user here"
filter defer phase rcpt-to match rcpt-to regex <deferred> reject "450 4.2.1 Not now"
filter greylist phase rcpt-to match rcpt-to regex <grey> reject "451 4.7.1 Greylisted, come back later"
filter all chain {{ refuse, defer, greylist }}
listen on {address} port {port} tls pki good pki expired.{domain} hostname {host} filter all
action store maildir "{d}/mail" virtual <everybody>
action ours relay host "{scheme}://127.0.0.1:{home}" {tls} helo {host}
match from any for domain {{ "{domain}", "*.{domain}" }} action store
match from any for any action ours
"""
BINDS = {"spool": "/var/spool", "run": "/run", "lib": "/var/lib", "libexec": "/usr/libexec"}
"""Folders of the test, and what they are to the server."""


class OpenSmtpd(Foreign):
    """OpenSMTPD 7."""

    name = "opensmtpd"

    def _configure(self) -> None:
        place = self.place
        for name in ("spool/smtpd", "run", "lib/opensmtpd/empty", "mail"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "spool/smtpd").chmod(0o711)
        shutil.chown(self.folder / "mail", "nobody", "nogroup")
        (self.folder / "grey").write_text("nobody-at-all\n")
        text = CONFIGURATION.format(
            d=self.folder, address=place.address, port=place.port, host=self.host, domain=self.domain, size=SIZE_LIMIT,
            home=place.home, ours=HOME, trusted=place.trusted or place.authority.file,
            scheme="smtp+tls" if place.asks_for_tls else "smtp", tls="tls ca trusted" if place.asks_for_tls else "",
        )  # fmt: skip
        self._file = self.folder / "smtpd.conf"
        self._file.write_text(text)

    def _command(self) -> Sequence[str]:
        smtpd = Path(programs.need("opensmtpd"))
        helpers = smtpd.parents[1] / "libexec"
        binds = [f"mount --bind {helpers if name == 'libexec' else self.folder / name} {at}" for name, at in BINDS.items()]
        script = " && ".join([*binds, f"exec {smtpd} -d -v -f {self._file}"])
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]

    def _control(self, *words: str) -> str:
        control = Path(programs.need("opensmtpd")).with_name("smtpctl")
        assert self.process is not None
        command = ["nsenter", f"--mount=/proc/{self.process.pid}/ns/mnt", str(control), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, group="opensmtpq").stdout

    def grey(self, on: bool) -> None:
        (self.folder / "grey").write_text("^grey.*\n" if on else "nobody-at-all\n")
        self._control("update", "table", "grey")

    def stall(self, on: bool) -> None:
        """Those that are killed later stay so."""
        for pid in self.pids() if on else ():
            os.kill(pid, signal.SIGSTOP)

    def is_stalled(self) -> bool:
        return True

    def flush(self) -> None:
        self._control("schedule", "all")

    def queued(self) -> int:
        return len(self._control("show", "queue").splitlines())

    def log(self) -> str:
        path = Path(self.folder / "stdout")
        return path.read_text(errors="replace") if path.exists() else ""
