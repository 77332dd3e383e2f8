"""`mic-mail import imap|accounts`: import from an IMAP server into one mailbox, or many (Reg. 10.4).

Passwords come from a file, a variable or a prompt, never from the command line, which everybody on the machine can read.
Without TLS only this machine itself (a tunnel) may be the source.
"""

import csv
import ipaddress
import os
import ssl
import stat
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from mic_mail.cli import output
from mic_mail.cli.acts import GroundedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.commands.import_files import DryOption, ImportAct, WithoutOption, choice_of, must_have_document
from mic_mail.cli.context import CliContext
from mic_mail.cli.import_report import REPORT, ImportProgress, record_end, rows_of, summary
from mic_mail.cli.options import Address, Commands, JsonOption, argument, option
from mic_mail.cli.output import Column, Row, spoken
from mic_mail.cli.output_files import not_readable
from mic_mail.directory.snapshot import Entry
from mic_mail.errors import BadInput, MicMailError, Refused, Text, Trouble, in_ascii
from mic_mail.i18n.os_errors import reason as system_reason
from mic_mail.log.error_fields import failure
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.authorization.roles import Right
from mic_mail.services.importers.imap import ImapSource, SourceServer
from mic_mail.services.importers.import_job import ImportJobs, ImportResult
from mic_mail.services.importers.importer import FolderChoice

app = Commands()

IMAPS_PORT = 993
_MOST_SECRET = 16 << 10
VirtualOption = Annotated[bool, option("--virtual", "Cả thư mục ảo như “Tất cả thư”.", "Also virtual folders like 'All Mail'.")]


@dataclass(frozen=True, slots=True)
class OldSystem:
    """The source server, and how to sign in to it."""

    host: Annotated[str, option("--host", "Tên máy chủ cũ.", "The old server's name.")]
    port: Annotated[int, option("--port", "Cổng, mặc định 993.", "Port; default: 993.", min=1, max=65535)] = IMAPS_PORT
    admin: Annotated[
        str | None,
        option(
            "--admin", "Tài khoản quản trị đăng nhập thay người dùng.", "The administrator who signs in on the user's behalf."
        ),
    ] = None
    password_file: Annotated[
        Path | None, option("--password-file", "Tệp có mật khẩu ở dòng đầu.", "A file with the password in its first line.")
    ] = None
    password_env: Annotated[
        str | None, option("--password-env", "Biến môi trường có mật khẩu.", "A variable with the password.")
    ] = None
    ca: Annotated[
        Path | None, option("--ca", "Chứng thư số gốc của hệ thống cũ (PEM).", "Root certificate of the old system (PEM).")
    ] = None
    plain: Annotated[
        bool, option("--plain", "Không TLS; chỉ với 127.0.0.1 hoặc ::1.", "Without TLS; only to 127.0.0.1 or ::1.")
    ] = False

    def tls(self) -> ssl.SSLContext | None:
        """Return the TLS settings of the source; None: no TLS, which only this machine itself may do without."""
        if self.plain:
            if not _is_here(self.host):
                raise Refused(
                    Text("Không TLS thì chỉ được nối tới chính máy này.", "Without TLS only this machine may be the source."),
                    clause="4.3",
                    remedy=Text("Bỏ --plain, hoặc dùng đường hầm tới 127.0.0.1.", "Omit --plain, or tunnel to 127.0.0.1."),
                )
            return None
        try:
            return ssl.create_default_context(cafile=None if self.ca is None else str(self.ca))
        except (OSError, ssl.SSLError) as error:
            raise BadInput(
                Text(f"Không đọc được chứng thư số gốc {self.ca}.", f"The root certificate {in_ascii(self.ca)} cannot be read.")
            ) from error

    def server(self, context: ssl.SSLContext | None, user: str, secret: str, *, token: bool = False) -> SourceServer:
        """Return one account of the source server."""
        return SourceServer(self.host, self.port, context, user, secret, token=token, admin=self.admin)

    def secret(self) -> str:
        """Return the password from the file or variable that was named, else from a prompt."""
        path = self.password_file
        if path is not None:
            try:
                with path.open(encoding="utf-8") as file:
                    return _given(file.readline(_MOST_SECRET).rstrip("\r\n"))
            except (OSError, UnicodeDecodeError) as error:
                raise BadInput(
                    Text(f"Không đọc được tệp mật khẩu {path}.", f"The password file {in_ascii(path)} cannot be read."),
                    remedy=Text("Tài khoản của máy chủ phải đọc được tệp đó.", "The server's account must be able to read it."),
                ) from error
        if self.password_env is not None:
            return _given(os.environ.get(self.password_env, ""))
        if not sys.stdin.isatty():
            raise BadInput(
                Text("Thiếu mật khẩu của nguồn.", "The source's password is missing."),
                remedy=Text("Dùng --password-file hoặc --password-env.", "Use --password-file or --password-env."),
            )
        return _given(typer.prompt(spoken("Mật khẩu ở hệ thống cũ", "Password at the old system"), hide_input=True, err=True))


ACCOUNTS = (Column("address", "Hộp thư", "Mailbox"), *REPORT)
RESULTS = (
    Column("user", "Tài khoản cũ", "Old account"),
    Column("address", "Hộp thư", "Mailbox"),
    Column("result", "Kết quả", "Result"),
)


@app.command("Nhập từ máy chủ IMAP vào một hộp thư.", "Import from an IMAP server into one mailbox.")
@requires(Right.ACT, act="mailbox_import", clauses="10.4")
def imap(
    address: Address,
    *,
    old: OldSystem,
    user: Annotated[str, option("--user", "Tên đăng nhập ở hệ thống cũ.", "The user's name there.")],
    oauth: Annotated[
        bool, option("--oauth", "Mật khẩu là mã OAuth (XOAUTH2).", "The password is an OAuth token (XOAUTH2).")
    ] = False,
    virtual: VirtualOption = False,
    act: ImportAct,
) -> None:
    act.carry_out(
        address, lambda work: ImapSource(old.server(old.tls(), user, old.secret(), token=oauth), work), virtual=virtual
    )


@app.command(
    "Nhập nhiều hộp thư theo tệp CSV: tài khoản,địa chỉ[,mật khẩu].", "Import many, from a CSV file: user,address[,password]."
)
@requires(Right.ACT, act="mailbox_import", clauses="10.4")
def accounts(
    file: Annotated[Path, argument("FILE", "Tệp CSV (UTF-8).", "The CSV file (UTF-8).")],
    *,
    old: OldSystem,
    parallel: Annotated[
        int, option("--parallel", "Số hộp thư cùng lúc.", "Number of mailboxes in parallel.", min=1, max=16)
    ] = 4,
    virtual: VirtualOption = False,
    without: WithoutOption = None,
    dry_run: DryOption = False,
    act: GroundedAct,
    as_json: JsonOption = False,
) -> None:
    here, origin = act.here, act.origin
    if not dry_run:
        must_have_document(origin)
    lines, context = _lines(file), old.tls()
    shared = old.secret() if any(line.secret is None for line in lines) else ""
    many = _Many(here, origin, choice_of(None, without, None, None, virtual=virtual), dry_run=dry_run)
    jobs = [(here.entry(line.address), old.server(context, line.user, line.secret or shared)) for line in lines]
    counts = Counter(entry.address for entry, _ in jobs)
    twice = [address for address, count in counts.items() if count > 1]
    if twice:
        raise BadInput(
            Text(f"{twice[0]} có hai lần, dưới hai địa chỉ.", f"{twice[0]} is listed twice, with two of its addresses.")
        )
    name = "mailbox_import_rehearse" if dry_run else "mailbox_import"
    addresses, source = [entry.address for entry, _ in jobs], f"imap://{old.host}:{old.port}"
    with act.recorded(str(file), act=name, mailboxes=addresses, source=source), ThreadPoolExecutor(parallel) as workers:
        try:
            outcomes = list(workers.map(lambda job: many.one(*job), jobs))
        except BaseException:  # Ctrl-C: do not wait hours for the others
            many.stop()
            raise
    here.store.close()
    _report(jobs, outcomes, rehearsed=dry_run, as_json=as_json)
    if any(outcome.error is not None for outcome in outcomes):
        raise Trouble(
            Text(
                f"{sum(outcome.error is not None for outcome in outcomes)} hộp thư chưa xong; chạy lại để tiếp tục.",
                f"{sum(outcome.error is not None for outcome in outcomes)} mailboxes are not done; run the command again to "
                "continue.",
            )
        )


class _Many:
    """Imports of several accounts, each independent of the others."""

    def __init__(self, here: CliContext, origin: ActContext, choice: FolderChoice, *, dry_run: bool) -> None:
        self._here = here
        self._origin = origin
        self._choice = choice
        self._dry_run = dry_run
        self._moving = here.use_cases(ImportJobs)
        self._sources: list[ImapSource] = []
        self._lock = threading.Lock()
        self._stopped = False

    def stop(self) -> None:
        """Stop the running imports; what they have imported stays."""
        with self._lock:
            self._stopped = True
        for source in self._sources:
            source.close()

    def _begun(self, source: ImapSource) -> None:
        with self._lock:
            if self._stopped:
                raise Trouble(Text("Đã dừng.", "Stopped."))
            self._sources.append(source)

    def one(self, entry: Entry, server: SourceServer) -> ImportResult:
        """Import one account; a failure here ends no other import."""
        try:
            source = ImapSource(server, self._moving.work, begun=self._begun)
            try:
                with ImportProgress((), entry.address, shows=False) as watch:
                    work = self._moving.rehearse if self._dry_run else self._moving.run
                    outcome = work(entry, source, self._choice, watch.folder_progress)
            finally:
                source.close()
        except MicMailError as error:
            outcome = ImportResult((), error)
        except Exception as error:  # noqa: BLE001 - a defect that this account's mail reveals: the others go on
            shown = repr(error)
            outcome = ImportResult((), Trouble(Text(f"Lỗi ngoài dự kiến: {shown}", f"Unexpected error: {in_ascii(shown)}")))
            self._here.log_event("import_failed", mailbox=entry.address, **failure(error))
        if not self._dry_run:
            record_end(self._here, entry.address, self._origin, outcome)
        result = summary(outcome, rehearsed=self._dry_run) if outcome.error is None else outcome.error.text
        output.note(f"{entry.address}: {output.localized(result)}")
        return outcome


def _report(
    jobs: Sequence[tuple[Entry, SourceServer]], outcomes: Sequence[ImportResult], *, rehearsed: bool, as_json: bool
) -> None:
    """Print a line for each mailbox; as JSON also for each folder."""
    if as_json:
        found = (row for (entry, _), done in zip(jobs, outcomes, strict=True) for row in rows_of(done, address=entry.address))
        output.listing(ACCOUNTS, found, as_json=True)
        return
    rows: list[Row] = [
        {
            "user": server.user,
            "address": entry.address,
            "result": summary(done, rehearsed=rehearsed) if done.error is None else done.error.text,
        }
        for (entry, server), done in zip(jobs, outcomes, strict=True)
    ]
    output.listing(RESULTS, rows, as_json=False)


@dataclass(frozen=True, slots=True)
class _Line:
    user: str
    address: str
    secret: str | None = field(repr=False)


def _lines(path: Path) -> list[_Line]:
    """Read the accounts; every line has two or three fields, and no mailbox occurs twice."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [[field.strip() for field in row] for row in csv.reader(file) if any(field.strip() for field in row)]
            mode = os.fstat(file.fileno()).st_mode
    except OSError as error:
        raise not_readable(path, system_reason(error)) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInput(Text(f"{path} không phải tệp CSV UTF-8.", "The file is not CSV in UTF-8.")) from error
    if rows and [field.lower() for field in rows[0][:2]] == ["user", "address"]:
        rows = rows[1:]
    found: dict[str, _Line] = {}
    for number, row in enumerate(rows, 1):
        if len(row) not in {2, 3} or not row[0] or not row[1] or row[1].lower() in found:
            raise BadInput(
                Text(
                    f"Tài khoản thứ {number} trong {path.name} sai dạng hoặc trùng hộp thư.",
                    f"Account {number} is malformed or listed twice.",
                ),
                remedy=Text("Mỗi dòng: tài khoản,địa chỉ[,mật khẩu].", "Each line: user,address[,password]."),
            )
        found[row[1].lower()] = _Line(row[0], row[1], row[2] if len(row) == 3 and row[2] else None)
    if any(line.secret for line in found.values()) and mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise Refused(
            Text(f"{path.name} có mật khẩu mà người khác đọc được.", "The file holds passwords and others can read it."),
            remedy=Text(f"chmod 600 {path}", f"chmod 600 {in_ascii(path)}"),
        )
    if not found:
        raise BadInput(Text(f"{path.name} không có tài khoản nào.", "The file lists no accounts."))
    return list(found.values())


def _given(secret: str) -> str:
    if not secret:
        raise BadInput(Text("Mật khẩu của nguồn để trống.", "The source's password is empty."))
    return secret


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
