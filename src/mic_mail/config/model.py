"""The configuration: one frozen tree, read once, swapped whole at a reload.

`config reference`, the commented file that `init` writes and the messages of `load` are all made from the fields
(`schema.setting`), so the manual cannot differ from the program. A section is a class; its docstring and `vi` are the heading
of its table. Paths that are left out are derived from `server.data_dir` by the properties at the end.

Never here: reading files (`load`), secrets (the whole tree may be printed), anything that changes after validation.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from mic_mail.config.auth import Auth
from mic_mail.config.inbound import Inbound
from mic_mail.config.limits import Limits, Quota
from mic_mail.config.listeners import Dns, Imap, Ldap, Listen, Pop3, Smtp, Tls, Web
from mic_mail.config.regulation import (
    Address,
    Census,
    Content,
    Inactivity,
    Leave,
    Maintenance,
    Office,
    Reclaim,
    Regulation,
    Reply,
    Report,
    Requests,
    Restore,
    Secrecy,
    Terms,
    UnitMailboxes,
)
from mic_mail.config.schema import Distinct, DomainName, Section, rule, setting
from mic_mail.config.security import Anomaly, Malware, Quarantine, Rspamd, Syslog
from mic_mail.config.sending import Sending
from mic_mail.config.units import DAY, GIB, HOUR, KIB, MIB, MINUTE, Location, Octets, Seconds, Unit
from mic_mail.config.validation import Invalid

LOG_MONTHS_FLOOR = 6  # Reg. 8.2
HTTPS_PORT = 443


class Server(Section):
    """Names of this server, its data folders and its account."""

    vi: ClassVar[str] = "Tên, thư mục dữ liệu và tài khoản hệ thống của máy chủ."

    domain: DomainName = setting("mic.gov.vn", clause="3.2", reload=False).means(
        "Tên miền của các địa chỉ được cấp.", "The domain of new addresses."
    )
    more_domains: Annotated[tuple[DomainName, ...], Distinct] = setting((), reload=False).means(
        "Các tên miền khác do máy chủ này quản lý.", "Further local domains."
    )
    hostname: DomainName = setting("mail.mic.gov.vn", clause="3.2", reload=False).means(
        "Tên mà phần mềm thư và máy chủ khác dùng để kết nối tới máy này.",
        "The name by which mail programs and other servers reach this machine.",
    )
    data_dir: Location = setting(Path("/var/lib/mic-mail"), reload=False).means(
        "Mọi dữ liệu của máy chủ nằm dưới thư mục này.", "The folder that holds all data of the server."
    )
    run_dir: Location | None = setting(None, reload=False).means(
        "Thư mục chứa socket của máy chủ đang chạy; mặc định run/ trong `data_dir`.",
        "Folder for the sockets of the running server; default: run/ below `data_dir`.",
    )
    user: str = setting("", reload=False).means(
        "Tài khoản hệ thống của các tiến trình khi khởi động bằng root; để trống: tài khoản khởi động.",
        "System account of the processes when started by root; empty: the account that starts them.",
    )
    group: str = setting("", reload=False).means(
        "Nhóm của các tiến trình khi khởi động bằng root; để trống: nhóm chính của `user`.",
        "Group of the processes when started by root; empty: the primary group of `user`.",
    )

    @staticmethod
    @rule("more_domains")
    def _other_than_the_first(more: tuple[str, ...], before: Mapping[str, Any]) -> tuple[str, ...]:
        if before.get("domain") in more:
            raise Invalid("duplicate", "twice", item=before["domain"])
        return more


class Process(Section):
    """Processes, threads and their timeouts."""

    vi: ClassVar[str] = "Tiến trình, luồng và thời gian chờ."

    workers: int = setting(0, ge=0, le=64, unit=Unit.PROCESSES, reload=False).means(
        "Số tiến trình phục vụ; 0: mỗi lõi một tiến trình.", "Worker processes; 0: one per core."
    )
    pin_workers: bool = setting(True, reload=False).means(
        "Giữ vòng lặp sự kiện và các luồng xử lý hộp thư của mỗi tiến trình trên cùng một lõi: nhanh hơn.",
        "Keep each worker's event loop and mailbox threads on one core, which is faster.",
    )
    io_threads: int = setting(4, ge=2, le=128, unit=Unit.THREADS, reload=False).means(
        "Số luồng của mỗi tiến trình để đọc, ghi đĩa.", "Threads per worker for disk access."
    )
    hash_threads: int = setting(2, ge=1, le=16, unit=Unit.THREADS, reload=False).means(
        "Số luồng của mỗi tiến trình để kiểm tra mật khẩu; mỗi luồng dùng `auth.argon2_memory`.",
        "Threads per worker that verify passwords; each uses `auth.argon2_memory`.",
    )
    queue_seconds: Seconds = setting(20.0, ge=0.1, le=300).means(
        "Một lệnh được chờ đến lượt bao lâu trước khi trả lời 'thử lại sau'.",
        "How long a command may wait for its turn before it fails temporarily.",
    )
    drain_seconds: Seconds = setting(10.0, ge=0, le=600).means(
        "Thời gian cho các lệnh đang chạy kết thúc khi dừng máy chủ.",
        "How long running commands may take to finish at shutdown.",
    )
    lag_seconds: Seconds = setting(0.05, clause="10.1", ge=0.005, le=10).means(
        "Vòng lặp sự kiện dừng lâu hơn mức này thì ghi nhật ký kèm lệnh đang chạy.",
        "A longer pause of the event loop is logged with the commands that ran.",
    )
    poll_seconds: Seconds = setting(2.0, ge=0.05, le=60, reload=False).means(
        "Chu kỳ kiểm tra hộp thư đang mở và danh bạ, phòng khi mất tín hiệu báo.",
        "How often open mailboxes and the directory are polled, in case a notification was lost.",
    )


class Storage(Section):
    """Mailboxes on disk."""

    vi: ClassVar[str] = "Hộp thư trên đĩa."

    mail_root: Location | None = setting(None, reload=False).means(
        "Thư mục hộp thư; mặc định mail/ trong `data_dir`.", "Folder of the mailboxes; default: mail/ below `data_dir`."
    )
    database: str | None = setting(None, clause="10.1", reload=False).means(
        "URL của cơ sở dữ liệu PostgreSQL giữ hộp thư và các hàng đợi thay cho tệp, không kèm mật khẩu (xem ~/.pgpass). "
        "Chưa hoàn chỉnh: thư được giữ lại chờ quyết định vẫn nằm trên đĩa của máy này; chưa dùng cho thư thật.",
        "URL of a PostgreSQL database that holds mailboxes, spool and queue in place of files, without a password "
        "(see ~/.pgpass). Unfinished: messages held for administrators lie on the disk of this machine; not for real mail.",
    )
    connections: int = setting(8, ge=2, le=100, unit=Unit.CONNECTIONS, reload=False).means(
        "Số kết nối tối đa của mỗi tiến trình tới cơ sở dữ liệu của hộp thư; tiến trình gửi và tiến trình phục vụ đầu tiên có "
        "thêm một.",
        "Most connections of each process to the database of the mailboxes; the sender and the first worker have one more.",
    )
    synchronous: Literal["normal", "full"] = setting("normal", clause="10.1", reload=False).means(
        "full: cả thay đổi cờ cuối cùng cũng được giữ khi mất điện, mỗi thay đổi tốn một lần fsync.",
        "full: the last flag changes survive a power failure too, at the cost of one fsync each.",
    )
    expunge_keep: Seconds = setting(7 * DAY, ge=0, le=366 * DAY, reload=False).means(
        "Thư đã xóa khôi phục được trong bao lâu; không tính vào dung lượng.",
        "How long an expunged message can be restored; it does not count against the quota.",
    )
    reserve: Octets = setting(64 * MIB, clause="10.1", ge=MIB, le=16 * GIB, reload=False).means(
        "Dung lượng dành sẵn trên mỗi đĩa chứa hộp thư, được giải phóng khi đĩa đầy để vẫn xóa được thư.",
        "Space reserved on each disk of mailboxes, released when the disk is full so that mail can be deleted.",
    )
    folders: int = setting(1_000, ge=10, le=100_000, unit=Unit.FOLDERS, reload=False).means(
        "Số thư mục, và số thư mục được theo dõi, tối đa của một hộp thư; thêm nữa bị từ chối. Khi nhập thư được đến 10.000.",
        "Most folders, and most subscriptions, of one mailbox; more are refused (LIMIT). Imports may make up to 10,000.",
    )
    names_after: Seconds = setting(2.0, ge=0.1, le=HOUR, reload=False).means(
        "Tên tệp được cập nhật theo cờ sau khoảng này.", "File names follow changed flags after this delay."
    )
    open_indexes: int = setting(1024, ge=8, le=4096, unit=Unit.MAILBOXES, reload=False).means(
        "Số hộp thư mỗi tiến trình giữ mở; mỗi hộp thư dùng 6 mô tả tệp và 0,5 MB.",
        "Mailboxes that one worker keeps open; each takes six file descriptors and 0.5 MB.",
    )
    view_memory: Octets = setting(64 * MIB, ge=MIB, le=16 * GIB, reload=False).means(
        "Bộ nhớ của mỗi tiến trình cho danh sách thư lưu tạm.", "Memory per worker for cached folder lists."
    )
    rescan: Seconds = setting(DAY, ge=MINUTE, le=30 * DAY, reload=False).means(
        "Chu kỳ rà soát từng hộp thư để tìm thay đổi do công cụ Maildir khác.",
        "How often each mailbox is scanned for changes by other Maildir tools.",
    )


class Search(Section):
    """Full-text search in mailboxes."""

    vi: ClassVar[str] = "Tìm kiếm toàn văn trong hộp thư."

    enabled: bool = setting(True, reload=False).means(
        "Lập chỉ mục nội dung mọi thư, cạnh mỗi hộp thư (search.sqlite, hoặc trong cơ sở dữ liệu của hộp thư), cỡ một phần "
        "tám dung lượng thư (một nửa nếu thư không có tệp gửi kèm): tìm kiếm mất vài mili giây; nếu không, mỗi lần tìm phải "
        "đọc lại thư.",
        "Index the text of all messages, beside each mailbox (search.sqlite, or in the database of the mailboxes), about an "
        "eighth of its mail (half, where there are no attachments): searches take milliseconds; without it they read the "
        "messages.",
    )
    memory: Octets = setting(64 * MIB, ge=MIB, le=16 * GIB, reload=False).means(
        "Bộ nhớ của mỗi tiến trình cho nội dung vừa được tìm; 64 MiB giữ được nội dung của khoảng 15.000 thư.",
        "Memory per worker for recently searched text; 64 MiB hold that of some 15,000 messages.",
    )


class Directory(Section):
    """The directory of units, people and mailboxes."""

    vi: ClassVar[str] = "Danh bạ đơn vị, cá nhân, hộp thư."

    url: str | None = setting(None, clause="6.1", reload=False).means(
        "URL của cơ sở dữ liệu, không kèm mật khẩu (xem ~/.pgpass); mặc định cùng nơi với hộp thư (`storage.database`), hoặc "
        "directory/directory.sqlite trong `data_dir`.",
        "URL of the database, without a password (see ~/.pgpass); default: where the mailboxes are (`storage.database`), or "
        "directory/directory.sqlite below `data_dir`.",
    )


class Log(Section):
    """The mail log and the audit log."""

    vi: ClassVar[str] = "Nhật ký thư và nhật ký quản trị."

    dir: Location | None = setting(None, clause="8.2", reload=False).means(
        "Thư mục nhật ký; mặc định log/ trong `data_dir`.", "Folder of the logs; default: log/ below `data_dir`."
    )
    retain_months: int = setting(12, clause="8.2", ge=LOG_MONTHS_FLOOR, le=1200, unit=Unit.MONTHS).means(
        "Thời gian lưu nhật ký thư; nhật ký quản trị không bị xóa.",
        "How long the mail log is retained; the audit log is never deleted.",
    )
    segment: Octets = setting(64 * MIB, ge=64 * KIB, le=GIB, reload=False).means(
        "Bắt đầu tệp mới khi đạt kích cỡ này.", "Size at which a new log file is started."
    )
    syslog: Syslog = Syslog()


_HOST = re.compile(r"(\[[^]]*\]|[^:\[]*)(:(?P<port>[0-9]{1,5}))?")
"""One of the hosts of a PostgreSQL's URL (libpq, Connection URIs), which may be several."""


def ports_of_database(url: str) -> frozenset[int]:
    """Return the ports of all hosts of a PostgreSQL's URL; raise ValueError for what is none."""
    scheme, _, rest = url.partition("://")
    hosts = re.split("[/?]", rest, maxsplit=1)[0].rpartition("@")[2].split(",")
    found = [_HOST.fullmatch(host) for host in hosts]
    if scheme != "postgresql" or not all(found):
        raise ValueError("no URL of PostgreSQL")
    return frozenset(int(host["port"] or 5432) for host in found if host)


def is_postgresql(url: str) -> bool:
    """Return whether this is a URL of PostgreSQL as libpq takes it; SQLAlchemy's own forms name a driver, too."""
    return url.startswith("postgresql://")


def directory_file(url: str) -> Path | None:
    """Return the file of the usual database; None for another database or another form of URL."""
    prefix = "sqlite:///"
    return Path(url.removeprefix(prefix)) if url.startswith(prefix) and "?" not in url else None


class Config(Section):
    """All settings of one server."""

    server: Server = Server()
    listen: Listen = Listen()
    tls: Tls = Tls()
    dns: Dns = Dns()
    process: Process = Process()
    storage: Storage = Storage()
    search: Search = Search()
    directory: Directory = Directory()
    quota: Quota = Quota()
    limits: Limits = Limits()
    auth: Auth = Auth()
    smtp: Smtp = Smtp()
    imap: Imap = Imap()
    pop3: Pop3 = Pop3()
    ldap: Ldap = Ldap()
    web: Web = Web()
    sending: Sending = Sending()
    log: Log = Log()
    inbound: Inbound = Inbound()
    malware: Malware = Malware()
    rspamd: Rspamd = Rspamd()
    quarantine: Quarantine = Quarantine()
    anomaly: Anomaly = Anomaly()
    regulation: Regulation = Regulation()
    address: Address = Address()
    terms: Terms = Terms()
    leave: Leave = Leave()
    reclaim: Reclaim = Reclaim()
    inactivity: Inactivity = Inactivity()
    restore: Restore = Restore()
    office: Office = Office()
    request: Requests = Requests()
    maintenance: Maintenance = Maintenance()
    unit: UnitMailboxes = UnitMailboxes()
    reply: Reply = Reply()
    census: Census = Census()
    report: Report = Report()
    secrecy: Secrecy = Secrecy()
    content: Content = Content()

    @property
    def run_dir(self) -> Path:
        return self.server.run_dir or self.server.data_dir / "run"

    @property
    def mail_root(self) -> Path:
        return self.storage.mail_root or self.server.data_dir / "mail"

    @property
    def spool_dir(self) -> Path:
        return self.server.data_dir / "spool"

    @property
    def queue_dir(self) -> Path:
        """The queue of mail to other servers; on the file system of the spool, whose files it links."""
        return self.server.data_dir / "queue"

    @property
    def dkim_dir(self) -> Path:
        """The DKIM keys that sign outgoing mail."""
        return self.server.data_dir / "dkim"

    @property
    def mta_sts_dir(self) -> Path:
        """The cached MTA-STS policies of other domains (RFC 8461), until they expire."""
        return self.server.data_dir / "sts"

    @property
    def sent_dir(self) -> Path:
        """The counters of what each mailbox has sent in the last hour and day, by process."""
        return self.server.data_dir / "sent"

    @property
    def held_dir(self) -> Path:
        """Messages refused for a marking of secrecy, and records of those that were accepted."""
        return self.server.data_dir / "held"

    @property
    def unread_dir(self) -> Path:
        """Accepted messages from outside that are still to be read for markings, with their records."""
        return self.held_dir / "unread"

    @property
    def quarantine_dir(self) -> Path:
        """Messages that were accepted and are not delivered."""
        return self.server.data_dir / "quarantine"

    @property
    def training_dir(self) -> Path:
        """Messages that Rspamd has still to be trained with."""
        return self.server.data_dir / "lessons"

    @property
    def log_dir(self) -> Path:
        return self.log.dir or self.server.data_dir / "log"

    @property
    def directory_url(self) -> str:
        """Return the URL of the directory; with the mailboxes in a database it lies there, too, one for all servers."""
        return self.directory.url or self.storage.database or f"sqlite:///{self.directory_dir / 'directory.sqlite'}"

    @property
    def directory_file(self) -> Path | None:
        """The file of the directory; None if it is in another database."""
        return directory_file(self.directory_url)

    @property
    def directory_dir(self) -> Path:
        """The folder of the directory and the files that SQLite makes beside it.

        Apart from the keys, so that a process can be allowed this folder and no key.
        """
        return self.server.data_dir / "directory"

    @property
    def state_dir(self) -> Path:
        """Small state files of the housekeeper, replaced as a whole; every process may read them."""
        return self.server.data_dir / "state"

    @property
    def certificate(self) -> Path:
        return self.tls.certificate or self.server.data_dir / "tls" / "cert.pem"

    @property
    def key(self) -> Path:
        return self.tls.key or self.server.data_dir / "tls" / "key.pem"

    @property
    def domains(self) -> tuple[str, ...]:
        """Every local domain; new addresses are in the first one."""
        return (self.server.domain, *self.server.more_domains)

    @property
    def support(self) -> str:
        """The full address of the Centre's help desk (Reg. 6.2)."""
        support = self.regulation.support
        return support if "@" in support else f"{support}@{self.server.domain}"

    @property
    def password_page(self) -> str | None:
        """The page where people change their password (Reg. 7.3.c).

        As configured, or else the server's own page where its https listener is enabled.
        """
        port = self.listen.https
        if self.regulation.password_page is not None or "https" not in self.listen.doors or port == 0:
            return self.regulation.password_page
        return f"https://{self.server.hostname}{'' if port == HTTPS_PORT else f':{port}'}/"

    @property
    def message_octets(self) -> int:
        """The largest message that any listener accepts."""
        return self.limits.attachment.message_octets
