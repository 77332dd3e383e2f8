"""The configuration: one frozen tree, read once, swapped whole at a reload.

`config reference`, the commented file that `init` writes and the messages of `load` are all made from the `About` of each
field, so the manual cannot drift from the program. A section is a class, its docstring says what it is for. Paths that are
left out are derived from `server.data_dir` by the properties at the end.

Never here: reading files (`load`), secrets (the tree may be printed whole), anything that changes after validation.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from mic_mail.config.doors import Dns, Imap, Ldap, Listen, Pop3, Smtp, Tls, Web
from mic_mail.config.inbound import Inbound
from mic_mail.config.readings import (
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
    WarnDays,
)
from mic_mail.config.section import About, Distinct, DomainName, MailboxName, NetworkName, Rising, Section
from mic_mail.config.security import Anomaly, Malware, Quarantine, Rspamd, Syslog
from mic_mail.config.sending import Sending
from mic_mail.config.units import DAY, GIB, HOUR, KIB, MIB, MINUTE, Location, Octets, Seconds, Unit

ATTACHMENT_OCTETS = 20 * MIB  # Reg. 8.3.b, read as 20 x 2^20 decoded octets, summed over a message
QUOTA_FLOOR = GIB  # Reg. 8.3.b, read as 2^30 octets
QUOTA_CEILING = 1 << 50  # no disk has more, and no database's number holds much more
LOG_MONTHS_FLOOR = 6  # Reg. 8.2
FORMER_PASSWORDS = 24  # as many as the directory keeps verifiers of
HTTPS_PORT = 443

Percent = Annotated[int, Field(ge=1, le=100), Unit("percent")]


class Server(Section):
    """Who this server is and where it keeps its data."""

    domain: Annotated[DomainName, About("The domain of the addresses that are issued here.", "3.2", reload=False)] = (
        "mic.gov.vn"
    )
    more_domains: Annotated[tuple[DomainName, ...], Distinct, About("Further domains that are local here.", reload=False)] = ()
    hostname: Annotated[
        DomainName, About("The name under which mail programs and other servers know this machine.", "3.2", reload=False)
    ] = "mail.mic.gov.vn"
    data_dir: Annotated[Location, About("Everything that the server keeps lies below this folder.", reload=False)] = Path(
        "/var/lib/mic-mail"
    )
    run_dir: Annotated[
        Location | None, About("Sockets of the running server; run/ below data_dir unless given.", reload=False)
    ] = None
    user: Annotated[
        str,
        About("The account that the processes run as when started by root; empty: the account that starts them.", reload=False),
    ] = ""
    group: Annotated[str, About("Likewise the group; empty: the user's own.", reload=False)] = ""

    @field_validator("more_domains")
    @classmethod
    def _other_than_the_first(cls, more: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if info.data.get("domain") in more:
            raise PydanticCustomError("duplicate", "twice", {"item": info.data["domain"]})
        return more


class Process(Section):
    """Processes, threads and their patience."""

    workers: Annotated[
        int, Field(ge=0, le=64), Unit("processes"), About("Worker processes; 0: one per core.", reload=False)
    ] = 0
    pin_workers: Annotated[
        bool,
        About("Keep each worker's event loop and its threads for mailboxes on one core, which is faster.", reload=False),
    ] = True
    io_threads: Annotated[
        int, Field(ge=2, le=128), Unit("threads"), About("Threads per worker that wait for the disk.", reload=False)
    ] = 4
    hash_threads: Annotated[
        int,
        Field(ge=1, le=16),
        Unit("threads"),
        About("Threads per worker that verify passwords; each takes auth.argon2_memory.", reload=False),
    ] = 2
    queue_seconds: Annotated[
        Seconds, Field(ge=0.1, le=300), About("How long a command may wait for its turn before it is answered 'try later'.")
    ] = 20.0
    drain_seconds: Annotated[Seconds, Field(ge=0, le=600), About("How long running commands may take to end at shutdown.")] = (
        10.0
    )
    lag_seconds: Annotated[
        Seconds,
        Field(ge=0.005, le=10),
        About("A pause of the event loop longer than this is logged with the commands that ran.", "10.1"),
    ] = 0.05
    poll_seconds: Annotated[
        Seconds,
        Field(ge=0.05, le=60),
        About("How often watched mailboxes and the directory are looked at, should a hint have been lost.", reload=False),
    ] = 2.0


class Storage(Section):
    """Mailboxes on disk."""

    mail_root: Annotated[Location | None, About("The mailboxes; mail/ below data_dir unless given.", reload=False)] = None
    synchronous: Annotated[
        Literal["normal", "full"],
        About("full: also the last flag changes survive a power cut, each at the price of an fsync.", "10.1", reload=False),
    ] = "normal"
    expunge_keep: Annotated[
        Seconds,
        Field(ge=0, le=366 * DAY),
        About("How long an expunged message can be brought back; it does not count for the quota.", reload=False),
    ] = 7 * DAY
    names_after: Annotated[
        Seconds, Field(ge=0.1, le=HOUR), About("File names follow changed flags after this time.", reload=False)
    ] = 2.0
    open_indexes: Annotated[
        int,
        Field(ge=8, le=4096),
        Unit("mailboxes"),
        About("Mailboxes that one worker keeps open; six descriptors and 0.5 MB each.", reload=False),
    ] = 1024
    view_memory: Annotated[
        Octets, Field(ge=MIB, le=16 * GIB), About("Memory per worker for folder lists that are kept ready.", reload=False)
    ] = 64 * MIB
    rescan: Annotated[
        Seconds,
        Field(ge=MINUTE, le=30 * DAY),
        About("How often each mailbox is looked through for changes by other Maildir tools.", reload=False),
    ] = DAY


class Search(Section):
    """Finding text in mailboxes."""

    enabled: Annotated[
        bool,
        About(
            "Keep the text of all messages packed in search.sqlite beside each mailbox, about an eighth of its mail (where "
            "there are no attachments, half): searches take milliseconds then; else they read the messages.",
            reload=False,
        ),
    ] = True
    memory: Annotated[
        Octets,
        Field(ge=MIB, le=16 * GIB),
        About("Memory per worker for text that was searched lately; 64 MiB hold that of some 15,000 messages.", reload=False),
    ] = 64 * MIB


class Directory(Section):
    """The directory of units, people and mailboxes."""

    url: Annotated[
        str | None,
        About(
            "SQLAlchemy URL of the database, without a password (see ~/.pgpass); directory.sqlite below data_dir unless given.",
            "6.1",
            reload=False,
        ),
    ] = None


class Quota(Section):
    """Space per mailbox."""

    default: Annotated[Octets, Field(ge=QUOTA_FLOOR, le=QUOTA_CEILING), About("Quota of a new mailbox.", "8.3.b")] = GIB
    warn_percent: Annotated[
        tuple[Percent, ...],
        Field(min_length=1),
        Rising,
        About("A notice goes into the mailbox when usage crosses each of these.", "8.3.c"),
    ] = (80, 90, 95)
    over: Annotated[
        Literal["temporary", "permanent"],
        About("How mail for a full mailbox is refused: 452, the sender tries again, or 552.", "8.3.c"),
    ] = "temporary"


class Attachment(Section):
    """Attachments of one message."""

    allowed_by: Annotated[
        str, About("The document that allows a maximum other than 20 MiB; needed before `maximum` may differ.", "8.3.b")
    ] = ""
    maximum: Annotated[
        Octets, Field(ge=0, le=GIB), About("Sum of the decoded sizes of all attachments of one message.", "8.3.b")
    ] = ATTACHMENT_OCTETS
    text_room: Annotated[
        Octets,
        Field(ge=64 * KIB, le=64 * MIB),
        About("What a message may measure beyond its encoded attachments; SIZE and APPENDLIMIT follow from both.", "8.3.b"),
    ] = 2 * MIB

    @field_validator("maximum")
    @classmethod
    def _as_the_regulation_says(cls, maximum: int, info: ValidationInfo) -> int:
        if maximum != ATTACHMENT_OCTETS and not str(info.data.get("allowed_by", "")).strip():
            raise PydanticCustomError("attachment_limit", "another limit than 20 MiB without the document that allows it")
        return maximum

    @property
    def message_octets(self) -> int:
        """The largest message (RFC 1870 SIZE, RFC 7889 APPENDLIMIT): attachments in base64 lines of 60 columns, and text."""
        lines = -(-self.maximum // 45)  # 45 octets make a line of 60 characters and CRLF
        return lines * 62 + self.text_room


class Limits(Section):
    """What one message, one connection, one network may take."""

    attachment: Annotated[Attachment, About("Attachments.", "8.3.b")] = Attachment()
    connections: Annotated[
        int, Field(ge=10, le=1_000_000), Unit("connections"), About("Connections at once, in all workers.")
    ] = 20_000
    connections_per_network: Annotated[
        int, Field(ge=1, le=1_000_000), Unit("connections"), About("Connections per worker from one network (/24, /64).")
    ] = 1_000
    new_per_minute: Annotated[
        int,
        Field(ge=1, le=1_000_000),
        Unit("connections a minute"),
        About("New connections a minute per worker from one network."),
    ] = 600
    exempt_networks: Annotated[tuple[NetworkName, ...], About("Networks without the two limits above.")] = ()
    recipients_per_hour: Annotated[
        int,
        Field(ge=10, le=10_000_000),
        Unit("recipients an hour"),
        About("Recipients that one mailbox may write to in an hour; 450 beyond, in case a password was stolen."),
    ] = 2_000
    recipients_per_day: Annotated[
        int, Field(ge=10, le=10_000_000), Unit("recipients a day"), About("Likewise in 24 hours.")
    ] = 10_000
    messages_per_hour: Annotated[
        int,
        Field(ge=10, le=10_000_000),
        Unit("messages an hour"),
        About("Messages that one mailbox may send in an hour; 450 beyond."),
    ] = 1_000
    messages_per_day: Annotated[int, Field(ge=10, le=10_000_000), Unit("messages a day"), About("Likewise in 24 hours.")] = (
        3_000
    )
    octets_per_hour: Annotated[
        Octets,
        Field(ge=MIB, le=1024 * GIB),
        About("What one mailbox may send in an hour, each message counted once; 450 beyond."),
    ] = 2 * GIB
    octets_per_day: Annotated[Octets, Field(ge=MIB, le=1024 * GIB), About("Likewise in 24 hours.")] = 8 * GIB
    suspend_beyond: Annotated[
        float,
        Field(ge=0, le=1000),
        Unit("times"),
        About(
            "A mailbox that goes on to so many times recipients_per_hour or messages_per_hour in an hour is suspended by the "
            "server; 0: never.",
            "7.2.c",
        ),
    ] = 2.0
    bulk_senders: Annotated[
        tuple[MailboxName, ...],
        Distinct,
        About(
            "Mailboxes that are allowed to write to very many: `bulk_times` as much, and the server does not suspend them "
            "for it.",
            "7.2.c",
        ),
    ] = ()
    bulk_times: Annotated[
        int,
        Field(ge=1, le=1_000),
        Unit("times"),
        About("So many times the six limits above hold for `bulk_senders`."),
    ] = 10


class Auth(Section):
    """Passwords and sign-in."""

    cleartext: Annotated[bool, About("Allow sign-in without TLS; for tests on one machine only.", "10.2", reload=False)] = False
    channel_binding: Annotated[
        bool,
        About(
            "Offer SCRAM-SHA-256-PLUS, bound by tls-server-end-point, in TLS 1.2 also by tls-unique; false where programs "
            "insist on tls-exporter.",
            "10.2",
        ),
    ] = True
    scram_iterations: Annotated[
        int,
        Field(ge=65_536, le=10_000_000),
        Unit("rounds"),
        About(
            "PBKDF2 rounds of the SCRAM-SHA-256 keys of new passwords; Cyrus SASL's clients refuse more than 65,536.", "10.2"
        ),
    ] = 65_536
    argon2_time: Annotated[
        int, Field(ge=1, le=20), Unit("passes"), About("argon2id passes over memory, for new passwords.", "10.2")
    ] = 3
    argon2_memory: Annotated[Octets, Field(ge=8 * MIB, le=GIB), About("argon2id memory, for new passwords.", "10.2")] = 32 * MIB
    cache_seconds: Annotated[
        Seconds, Field(ge=0, le=DAY), About("A verified password is known again for this long without a hash.")
    ] = HOUR
    failures_per_network: Annotated[
        int,
        Field(ge=3, le=100_000),
        Unit("wrong passwords"),
        About("Wrong passwords from one network in `failure_window` before it has to wait.", "4.3"),
    ] = 60
    failures_per_mailbox: Annotated[
        int,
        Field(ge=3, le=100_000),
        Unit("wrong passwords"),
        About("Wrong passwords for one mailbox from one network in `failure_window` before it has to wait.", "4.3"),
    ] = 10
    failure_window: Annotated[Seconds, Field(ge=10, le=DAY), About("See the two above.", "4.3")] = 10 * MINUTE
    leaked_passwords: Annotated[
        Location | None,
        About(
            "A list of leaked passwords, one a line, or their SHA-1 (`HASH:count`, as Have I Been Pwned has them), sorted "
            "(`LC_ALL=C sort`) unless small; none of them may be chosen.",
            "7.2.c",
        ),
    ] = None
    leaked_action: Annotated[
        Literal["tell", "change", "suspend"],
        About(
            "What follows when somebody signs in with one of them, or with one that is tried at anomaly.sprayed mailboxes: the "
            "person and the Centre are told; it has to be changed; the mailbox is suspended.",
            "7.2.c",
        ),
    ] = "suspend"
    password_length: Annotated[
        int, Field(ge=8, le=128), Unit("characters"), About("Shortest password that is accepted.", "10.2")
    ] = 10
    password_reuse: Annotated[
        int,
        Field(ge=0, le=FORMER_PASSWORDS),
        Unit("passwords"),
        About("A new password must be none of so many that the mailbox had before; 0: only not the one it has.", "15.2"),
    ] = 5
    app_passwords: Annotated[
        int,
        Field(ge=0, le=100),
        Unit("passwords"),
        About("How many app passwords a mailbox may have at once; 0: none can be made, and none opens anything.", "15.2"),
    ] = 20
    second_factor: Annotated[
        Literal["off", "offered", "administrators", "everyone"],
        About(
            "Codes of a device (TOTP) besides the password: nobody is asked, also who has one; whoever wants one at the page; "
            "officers must have one to change anything by commands; everybody must at the page.",
            "15.2",
        ),
    ] = "offered"
    app_passwords_only: Annotated[
        bool,
        About(
            "Where a mailbox has a second factor, app passwords alone open all doors but the page; false: its own as well.",
            "15.2",
        ),
    ] = True
    password_age: Annotated[
        Seconds, Field(ge=0, le=3660 * DAY), About("A password older than this is due for change; 0: never.", "15.2")
    ] = 0.0
    password_warn_days: Annotated[
        WarnDays,
        Distinct,
        About(
            "The owner gets a notice this many days before the password is due for change; the page warns from the first on.",
            "15.2",
        ),
    ] = (14, 7, 1)


class Log(Section):
    """The mail log and the log of administrative acts."""

    dir: Annotated[Location | None, About("log/ below data_dir unless given.", "8.2", reload=False)] = None
    retain_months: Annotated[
        int,
        Field(ge=LOG_MONTHS_FLOOR, le=1200),
        Unit("months"),
        About("How long the mail log is kept; administrative acts stay.", "8.2"),
    ] = 12
    segment: Annotated[Octets, Field(ge=64 * KIB, le=GIB), About("A new file begins at this size.", reload=False)] = 64 * MIB
    syslog: Annotated[Syslog, About("Collectors.", "16.3")] = Syslog()


class Config(Section):
    """All settings of one server."""

    server: Annotated[Server, About("The server.")] = Server()
    listen: Annotated[Listen, About("Doors.")] = Listen()
    tls: Annotated[Tls, About("TLS.")] = Tls()
    dns: Annotated[Dns, About("Names.")] = Dns()
    process: Annotated[Process, About("Processes.")] = Process()
    storage: Annotated[Storage, About("Storage.")] = Storage()
    search: Annotated[Search, About("Search.")] = Search()
    directory: Annotated[Directory, About("Directory.")] = Directory()
    quota: Annotated[Quota, About("Quota.", "8.3.b")] = Quota()
    limits: Annotated[Limits, About("Limits.")] = Limits()
    auth: Annotated[Auth, About("Sign-in.")] = Auth()
    smtp: Annotated[Smtp, About("SMTP.")] = Smtp()
    imap: Annotated[Imap, About("IMAP.")] = Imap()
    pop3: Annotated[Pop3, About("POP3.", "8.1")] = Pop3()
    ldap: Annotated[Ldap, About("LDAP.", "2.6")] = Ldap()
    web: Annotated[Web, About("The password page.", "7.3.c")] = Web()
    sending: Annotated[Sending, About("To other servers.", "4.2")] = Sending()
    log: Annotated[Log, About("Logs.", "8.2")] = Log()
    inbound: Annotated[Inbound, About("From other servers.", "10.2")] = Inbound()
    malware: Annotated[Malware, About("Malware.", "10.2")] = Malware()
    rspamd: Annotated[Rspamd, About("Spam.", "10.2")] = Rspamd()
    quarantine: Annotated[Quarantine, About("Mail that is kept back.", "4.2")] = Quarantine()
    anomaly: Annotated[Anomaly, About("Sign-ins that look like a stolen password.", "7.2.c")] = Anomaly()
    regulation: Annotated[Regulation, About("The decision.")] = Regulation()
    address: Annotated[Address, About("Addresses.", "5")] = Address()
    terms: Annotated[Terms, About("Terms.", "6.4.c")] = Terms()
    leave: Annotated[Leave, About("Leavers.", "6.4.c")] = Leave()
    reclaim: Annotated[Reclaim, About("Reclaimed mailboxes.", "6.4.c")] = Reclaim()
    inactivity: Annotated[Inactivity, About("Inactivity.", "7.2.a")] = Inactivity()
    restore: Annotated[Restore, About("Restoration.", "7.3")] = Restore()
    office: Annotated[Office, About("The office day.", "7.3.b")] = Office()
    request: Annotated[Requests, About("Requests.", "6.2")] = Requests()
    maintenance: Annotated[Maintenance, About("Downtime.", "10.3")] = Maintenance()
    unit: Annotated[UnitMailboxes, About("Unit mailboxes.", "12.3")] = UnitMailboxes()
    reply: Annotated[Reply, About("Answers.", "12.4")] = Reply()
    census: Annotated[Census, About("Census.", "14.6")] = Census()
    report: Annotated[Report, About("Reports.", "16.2")] = Report()
    secrecy: Annotated[Secrecy, About("Secrecy.", "4.1")] = Secrecy()
    content: Annotated[Content, About("Content of others.", "4.3")] = Content()

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
        """What is sent to other servers; on the file system of the spool, whose files it links."""
        return self.server.data_dir / "queue"

    @property
    def policies_dir(self) -> Path:
        """What other domains say about TLS to their mail servers (RFC 8461), as long as they say it."""
        return self.server.data_dir / "sts"

    @property
    def sent_dir(self) -> Path:
        """How much each mailbox has sent in the last hour and day, by process."""
        return self.server.data_dir / "sent"

    @property
    def held_dir(self) -> Path:
        """Marked messages that were refused, and records of those that came in."""
        return self.server.data_dir / "held"

    @property
    def quarantine_dir(self) -> Path:
        """Messages that were taken and are not delivered."""
        return self.server.data_dir / "quarantine"

    @property
    def lessons_dir(self) -> Path:
        """What Rspamd is still to be taught."""
        return self.server.data_dir / "lessons"

    @property
    def log_dir(self) -> Path:
        return self.log.dir or self.server.data_dir / "log"

    @property
    def directory_url(self) -> str:
        return self.directory.url or f"sqlite:///{self.server.data_dir / 'directory.sqlite'}"

    @property
    def certificate(self) -> Path:
        return self.tls.certificate or self.server.data_dir / "tls" / "cert.pem"

    @property
    def key(self) -> Path:
        return self.tls.key or self.server.data_dir / "tls" / "key.pem"

    @property
    def domains(self) -> tuple[str, ...]:
        """Every domain that is local, the first one being that of new addresses."""
        return (self.server.domain, *self.server.more_domains)

    @property
    def support(self) -> str:
        """The whole address of the Centre's help desk (Reg. 6.2)."""
        support = self.regulation.support
        return support if "@" in support else f"{support}@{self.server.domain}"

    @property
    def password_page(self) -> str | None:
        """Where people change their password (Reg. 7.3.c): as named, or the server's own page where its door is open."""
        port = self.listen.https
        if self.regulation.password_page is not None or "https" not in self.listen.doors or port == 0:
            return self.regulation.password_page
        return f"https://{self.server.hostname}{'' if port == HTTPS_PORT else f':{port}'}/"

    @property
    def message_octets(self) -> int:
        """The largest message that any door takes."""
        return self.limits.attachment.message_octets
