"""`mic-mail demo`: a complete server for a trial, on loopback only, with one mailbox in each state.

Everything is in one folder, which later starts find as it was left; `mic-mail --config demo-data/mic-mail.toml` works beside
it. The password of its mailboxes is public, so the folder must hold nothing else: `MARKER` is the first file that it creates,
and a folder with files and without the marker is refused. Changes of the configuration by its user stay.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from mic_mail.cli import output
from mic_mail.cli.authorization import open_to_all
from mic_mail.cli.context import CliContext
from mic_mail.cli.options import Commands, option
from mic_mail.cli.output import Column, Row, row_of, spoken
from mic_mail.cli.progress import progress_bar
from mic_mail.clock import Clock
from mic_mail.config import manual
from mic_mail.config.listeners import DOORS, Listen
from mic_mail.config.load import load
from mic_mail.config.model import Config
from mic_mail.errors import BadInput, Refused, Text, Trouble, in_ascii
from mic_mail.i18n.os_errors import reason as system_reason

DEFAULT_DATA = Path("demo-data")
DEFAULT_PORTS_FROM = 2000
STANDARD_PORTS = {door: Listen().port(door) for door in DOORS if door != "http"}
HOST = "127.0.0.1"
MARKER = "mic-mail-demo"
"""The file that marks a folder as a demonstration's."""

MAILBOXES = (
    Column("address", "Địa chỉ", "Address"),
    Column("name", "Tên", "Name", of="display_name"),
    Column("kind", "Loại", "Kind"),
    Column("state", "Trạng thái", "State"),
    Column("clauses", "Điều khoản", "Clause", cites=True),
    Column("usage_percent", "Đã dùng (%)", "Used (%)", right=True),
)
CONNECTIONS = (
    Column("service", "Dịch vụ", "Service"),
    Column("server", "Máy chủ", "Server"),
    Column("port", "Cổng", "Port", right=True),
    Column("security", "Bảo mật", "Security"),
)

app = Commands()


@app.command("Chạy thử một máy chủ đầy đủ trên máy này.", "Run a complete server on this machine, for a trial.")
@open_to_all()
def demo(
    here: CliContext,
    *,
    data: Annotated[Path, option("--data", "Thư mục dữ liệu.", "The data folder.")] = DEFAULT_DATA,
    ports_from: Annotated[
        int, option("--ports-from", "Cộng thêm vào số cổng chuẩn.", "Number added to the standard ports.", min=0, max=64_000)
    ] = DEFAULT_PORTS_FROM,
    workers: Annotated[int, option("--workers", "0: một cho mỗi lõi.", "0: one per core.", min=0, max=64)] = 0,
    cleartext: Annotated[bool, option("--cleartext", "Cho đăng nhập không mã hóa.", "Allow sign-in without TLS.")] = False,
    bench_users: Annotated[
        int, option("--bench-users", "Thêm u0.. tại bench.test.", "Add u0.. at bench.test.", min=0, max=100_000)
    ] = 0,
) -> None:
    from mic_mail.app.child_process import make_ready, run_child
    from mic_mail.app.demands import demands_of
    from mic_mail.process.serve import run_supervisor

    clock = here.clock
    claim(data)
    path = data / "mic-mail.toml"
    config = configuration(path, ports_from=ports_from, workers=workers, cleartext=cleartext)

    def begin() -> None:  # only once no other demonstration runs here
        path.write_text(manual.write(config, output.language()), encoding="utf-8")
        apart(lambda: prepare(config, clock, bench_users))

    def announce(ports: dict[str, int]) -> None:
        apart(lambda: show(config, path, clock, ports))

    raise typer.Exit(
        run_supervisor(
            config,
            lambda: load(path),
            load=lambda: make_ready(config),
            be=run_child,
            demands=demands_of(config),
            tee=True,
            begin=begin,
            announce=announce,
        )
    )


def apart(work: Callable[[], None]) -> None:
    """Do this in a child, which reports its errors itself; raise `typer.Exit` where it fails.

    In the supervisor, what the work loads would stay in memory, and the gaps that it leaves between other objects would be
    filled by each process of the server in a copy of its own.
    """
    from mic_mail.cli.main import exit_code_of
    from mic_mail.process.fork import fork

    child = fork(lambda: exit_code_of(work), (), "mic-demo", ends_with_parent=True)
    try:
        code = child.wait()
    except KeyboardInterrupt:  # a key of the terminal does not reach the child
        child.kill()
        child.wait()
        raise
    if code < 0:
        raise ChildProcessError(f"the process that makes the demonstration ended by signal {-code}")
    if code > 0:
        raise typer.Exit(code)


def claim(data: Path) -> None:
    """Make `data` a demonstration's folder; one that holds anything else is refused and left unchanged."""
    from mic_mail.services.demo.population import MARKER as POPULATED

    shown = in_ascii(data)
    try:
        if data.exists() and not data.is_dir():
            raise BadInput(
                Text(f"{data} không phải thư mục.", f"{shown} is not a folder."),
                remedy=Text("Chọn thư mục khác bằng --data.", "Name a folder with --data."),
            )
        data.mkdir(mode=0o750, parents=True, exist_ok=True)
        there = set(os.listdir(data))
        if there and not there & {MARKER, POPULATED}:
            raise Refused(
                Text(
                    f"{data} có dữ liệu không phải của máy chủ chạy thử.",
                    f"{shown} contains something other than a demonstration.",
                ),
                remedy=Text(
                    "Chọn thư mục chưa có hoặc trống bằng --data; hộp thư mẫu có mật khẩu công khai.",
                    "Name an empty or new folder with --data: the demonstration's passwords are public.",
                ),
            )
        (data / MARKER).touch()
    except OSError as error:
        why = system_reason(error)
        raise Trouble(
            Text(f"Không tạo được {data}: {why.vi}.", f"{shown} cannot be created: {why.en}."),
            remedy=Text("Chọn thư mục khác bằng --data.", "Name another folder with --data."),
        ) from error


def configuration(path: Path, *, ports_from: int, workers: int, cleartext: bool) -> Config:
    """Return the options of this start, merged over the file of an earlier start."""
    known = load(path).model_dump() if path.exists() else _beginning()
    known["server"]["data_dir"] = path.parent.absolute()
    known["listen"].update({door: port + ports_from for door, port in STANDARD_PORTS.items()})
    known["process"]["workers"] = workers
    known["auth"]["cleartext"] = cleartext
    known["regulation"]["password_page"] = f"https://{HOST}:{STANDARD_PORTS['https'] + ports_from}/"
    return Config.model_validate(known)


def _beginning() -> dict[str, Any]:
    return {
        "server": {},
        "listen": {"addresses": (HOST,), "doors": tuple(STANDARD_PORTS)},
        "process": {},
        "auth": {},
        "regulation": {},
        "limits": {"exempt_networks": ("127.0.0.0/8", "::1/128")},
        "sending": {"paused": True},  # a demonstration sends nothing to other servers
    }


def prepare(config: Config, clock: Clock, bench_users: int) -> None:
    """Create the certificate and the population, where they are missing."""
    from mic_mail.services.demo.population import Population
    from mic_mail.services.mail_store import OPEN_BY_COMMANDS, open_mail_store, prepare_mail_store

    certify(config, clock)
    prepare_mail_store(config)
    store = open_mail_store(config, clock, open_accounts=OPEN_BY_COMMANDS)
    try:
        with progress_bar() as bar:
            task = bar.add_task(spoken("Đang tạo hộp thư mẫu", "Making the mailboxes"), total=None)
            for address in Population(config, store, clock).fill(bench_users):
                bar.update(task, advance=1, description=address)
    finally:
        store.close()


def certify(config: Config, clock: Clock) -> None:
    """Create a self-signed certificate; a valid one stays, since mail programs may have accepted it."""
    from mic_mail.net.tls import BadCertificate, TlsFront, self_signed, write_pair

    try:
        holds = not TlsFront(config.certificate, config.key).ends_within(clock.now(), 1)
    except BadCertificate:
        holds = False
    if not holds:
        names = ["localhost", HOST, "::1", config.server.hostname]
        write_pair(config.certificate, config.key, self_signed(names, clock.now()))


def show(config: Config, path: Path, clock: Clock, ports: dict[str, int]) -> None:
    """Print what a person needs to try the server: the mailboxes, and the settings of a mail program."""
    from mic_mail.services.demo.population import PASSWORD

    title = Text(f"Hộp thư mẫu, mật khẩu chung: {PASSWORD}", f"Mailboxes; all have the password {PASSWORD}")
    output.listing(MAILBOXES, mailbox_rows(config, clock), as_json=False, title=title)
    rows: list[Row] = [
        {"service": service, "server": HOST, "port": ports[door], "security": security}
        for door, service, security in (
            ("imaps", spoken("Nhận (IMAP)", "Incoming (IMAP)"), "SSL/TLS"),
            ("imap", spoken("hoặc (IMAP)", "or (IMAP)"), "STARTTLS"),
            ("pop3s", spoken("hoặc (POP3)", "or (POP3)"), "SSL/TLS"),
            ("pop3", spoken("hoặc (POP3)", "or (POP3)"), "STARTTLS"),
            ("submissions", spoken("Gửi (SMTP)", "Outgoing (SMTP)"), "SSL/TLS"),
            ("submission", spoken("hoặc (SMTP)", "or (SMTP)"), "STARTTLS"),
            ("smtp", spoken("Từ máy chủ khác", "From other servers"), "STARTTLS"),
            ("ldaps", spoken("Danh bạ (LDAP)", "Address book (LDAP)"), "SSL/TLS"),
            ("ldap", spoken("hoặc (LDAP)", "or (LDAP)"), "STARTTLS"),
        )
        if door in ports
    ]
    output.listing(CONNECTIONS, rows, as_json=False, title=Text("Cấu hình phần mềm thư", "Settings for a mail program"))
    if config.password_page is not None:
        output.line(Text(f"Trang mật khẩu: {config.password_page}", f"Password page: {config.password_page}"))
        output.line(
            Text(
                f"Danh bạ cho điện thoại, Thunderbird (CardDAV): {config.password_page}",
                f"Address book for telephones, Thunderbird (CardDAV): {config.password_page}",
            )
        )
    output.line(
        Text(
            "Tên đăng nhập là địa chỉ đầy đủ; xác thực bằng mật khẩu thông thường; chấp nhận chứng thư số tự ký một lần.",
            "User name: the full address. Authentication: normal password. Accept the self-signed certificate once.",
        )
    )
    output.line(Text(f"Cấu hình: {path}. Dừng bằng Ctrl-C.", f"Configuration: {in_ascii(path)}. Stop with Ctrl-C."))


def mailbox_rows(config: Config, clock: Clock) -> list[Row]:
    from mic_mail.directory.repository import Directory
    from mic_mail.services.demo.population import DEMO
    from mic_mail.services.mail_store import OPEN_BY_COMMANDS, open_mail_store, prepare_mail_store
    from mic_mail.services.settings import lifecycle_settings

    directory = Directory(config.directory_url, clock=clock)
    prepare_mail_store(config)
    store = open_mail_store(config, clock, open_accounts=OPEN_BY_COMMANDS)
    snapshot, rows = directory.load_snapshot(), list[Row]()
    settings = lifecycle_settings(config, snapshot.working_days)
    for member in DEMO:
        entry = snapshot.resolve(member.address)
        if entry is None:
            continue
        decision = entry.decide(clock.now(), settings)
        used = store.account_of(entry).quota().octets if decision.receives else 0
        row = row_of(
            MAILBOXES,
            entry,
            state=[output.localized(state.label) for state in sorted(decision.states)],
            clauses=sorted({reason.clause for reason in decision.reasons}),
            usage_percent=round(100 * used / entry.quota_octets),
        )
        rows.append(row)
    store.close()
    directory.close()
    return rows
