"""Exim. With `-C` a configuration of another's it gives up root at once, so nothing of it needs root but its beginning."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import programs
from peers.base import SIZE_LIMIT, Foreign, Place

USER = "Debian-exim"
LOGIN, PASSWORD = "bo-tttt", "mat-khau-rieng"
"""As whom one may sign in, under TLS."""
CONFIGURATION = """\
exim_path = {exim}
spool_directory = {d}/spool
log_file_path = {d}/log/%slog
pid_file_path = {d}/exim.pid
primary_hostname = {host}
qualify_domain = {domain}
domainlist ours = {domain} : *.{domain}
local_interfaces = {address}
daemon_smtp_ports = {port}
keep_environment =
deliver_drop_privilege = true
never_users =
message_size_limit = {size}
received_headers_max = 200
rfc1413_query_timeout = 0s
host_lookup =
dsn_advertise_hosts = *
tls_advertise_hosts = *
tls_certificate = {d}/${{if eq{{$tls_in_sni}}{{expired.{domain}}}{{expired}}{{good}}}}.pem
tls_privatekey = {d}/${{if eq{{$tls_in_sni}}{{expired.{domain}}}{{expired}}{{good}}}}.key
acl_smtp_rcpt = rcpt
acl_smtp_data = whole
smtp_accept_max = 100
smtp_accept_max_per_connection = 1000
smtp_accept_queue_per_connection = 0
recipients_max = 20
recipients_max_reject = false
bounce_return_body = true
timeout_frozen_after = 1h
smtputf8_advertise_hosts = *

begin acl
rcpt:
  deny local_parts = ^refused.*
       domains = +ours
       message = 5.1.1 No such user here
  defer local_parts = ^deferred.*
       domains = +ours
       message = 4.2.1 Not now
  defer local_parts = ^grey.*
       domains = +ours
       condition = ${{if exists{{{d}/grey}}}}
       message = 4.7.1 Greylisted, come back later
  accept
whole:
  accept condition = ${{if exists{{{d}/stall}}}}
         delay = 20s
  accept

begin routers
stored:
  driver = accept
  domains = +ours
  transport = store
elsewhere:
  driver = manualroute
  route_list = * 127.0.0.1::{home}
  self = send
  transport = out

begin transports
store:
  driver = appendfile
  directory = {d}/mail
  maildir_format
  user = {user}
  envelope_to_add
  return_path_add
out:
  driver = smtp
  hosts_require_tls = {tls}
  tls_verify_hosts = {tls}
  tls_verify_certificates = {trusted}
  tls_verify_cert_hostnames =
  tls_certificate = {d}/good.pem
  tls_privatekey = {d}/good.key
  hosts_try_chunking = *

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_advertise_condition = ${{if def:tls_in_cipher}}
  server_prompts = :
  server_condition = ${{if and{{{{eq{{$auth2}}{{{login}}}}}{{eq{{$auth3}}{{{password}}}}}}}}}
  server_set_id = $auth2
login:
  driver = plaintext
  public_name = LOGIN
  server_advertise_condition = ${{if def:tls_in_cipher}}
  server_prompts = Username:: : Password::
  server_condition = ${{if and{{{{eq{{$auth1}}{{{login}}}}}{{eq{{$auth2}}{{{password}}}}}}}}}
  server_set_id = $auth1

begin retry
* * F,2h,1s
"""


class Exim(Foreign):
    """Exim 4."""

    name = "exim"

    def __init__(self, place: Place) -> None:
        self._exim = programs.need("exim")
        self._file = place.folder / "exim.conf"
        super().__init__(place)

    def _configure(self) -> None:
        place = self.place
        for name in ("spool", "log", "mail"):
            (self.folder / name).mkdir(mode=0o755)
        text = CONFIGURATION.format(
            exim=self._exim, d=self.folder, host=self.host, domain=self.domain, address=place.address, port=place.port,
            size=SIZE_LIMIT, home=place.home, login=LOGIN, password=PASSWORD, user=USER, tls="*" if place.asks_for_tls else "",
            trusted=place.trusted or place.authority.file,
        )  # fmt: skip
        self._file.write_text(text)
        self._file.chmod(0o644)
        subprocess.run(["chown", "-R", f"{USER}:{USER}", str(self.folder)], check=True)
        subprocess.run(["chown", "root:root", str(self._file)], check=True)

    def _command(self) -> Sequence[str]:
        return [self._exim, "-C", str(self._file), "-bdf", "-q1m"]

    def _run(self, *words: str) -> str:
        done = subprocess.run([self._exim, "-C", str(self._file), *words], capture_output=True, text=True, check=False)
        return done.stdout

    def grey(self, on: bool) -> None:
        mark = Path(self.folder / "grey")
        mark.touch() if on else mark.unlink(missing_ok=True)

    def stall(self, on: bool) -> None:
        mark = Path(self.folder / "stall")
        mark.touch() if on else mark.unlink(missing_ok=True)

    def is_stalled(self) -> bool:
        return any((self.folder / "spool/input").glob("*-D"))

    def flush(self) -> None:
        self._run("-qff")

    def queued(self) -> int:
        return int(self._run("-bpc").strip() or 0)

    def log(self) -> str:
        return "".join(path.read_text(errors="replace") for path in sorted((self.folder / "log").glob("*log")))
