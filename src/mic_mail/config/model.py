"""The configuration: one frozen tree, read once, swapped whole at a reload.

`config reference`, the commented file that `init` writes and the messages of `load` are all made from the `SettingDoc` of each
field, so the manual cannot differ from the program. A section is a class, its docstring says what it is for. Paths that are
left out are derived from `server.data_dir` by the properties at the end.

Never here: reading files (`load`), secrets (the whole tree may be printed), anything that changes after validation.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

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
from mic_mail.config.schema import Distinct, DomainName, Section, SettingDoc
from mic_mail.config.security import Anomaly, Malware, Quarantine, Rspamd, Syslog
from mic_mail.config.sending import Sending
from mic_mail.config.units import DAY, GIB, HOUR, KIB, MIB, MINUTE, Location, Octets, Seconds, Unit

LOG_MONTHS_FLOOR = 6  # Reg. 8.2
HTTPS_PORT = 443


class Server(Section):
    """The names of this server, its data folders and its account."""

    domain: Annotated[DomainName, SettingDoc("The domain of the addresses that are issued here.", "3.2", reload=False)] = (
        "mic.gov.vn"
    )
    more_domains: Annotated[
        tuple[DomainName, ...], Distinct, SettingDoc("Further domains that are local here.", reload=False)
    ] = ()
    hostname: Annotated[
        DomainName, SettingDoc("The name under which mail programs and other servers know this machine.", "3.2", reload=False)
    ] = "mail.mic.gov.vn"
    data_dir: Annotated[Location, SettingDoc("Everything that the server keeps lies below this folder.", reload=False)] = Path(
        "/var/lib/mic-mail"
    )
    run_dir: Annotated[
        Location | None, SettingDoc("Sockets of the running server; run/ below data_dir unless given.", reload=False)
    ] = None
    user: Annotated[
        str,
        SettingDoc(
            "The account that the processes run as when started by root; empty: the account that starts them.", reload=False
        ),
    ] = ""
    group: Annotated[str, SettingDoc("Likewise the group; empty: the user's own.", reload=False)] = ""

    @field_validator("more_domains")
    @classmethod
    def _other_than_the_first(cls, more: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if info.data.get("domain") in more:
            raise PydanticCustomError("duplicate", "twice", {"item": info.data["domain"]})
        return more


class Process(Section):
    """Processes, threads and their timeouts."""

    workers: Annotated[
        int, Field(ge=0, le=64), Unit("processes"), SettingDoc("Worker processes; 0: one per core.", reload=False)
    ] = 0
    pin_workers: Annotated[
        bool,
        SettingDoc("Keep each worker's event loop and its threads for mailboxes on one core, which is faster.", reload=False),
    ] = True
    io_threads: Annotated[
        int, Field(ge=2, le=128), Unit("threads"), SettingDoc("Threads per worker that wait for the disk.", reload=False)
    ] = 4
    hash_threads: Annotated[
        int,
        Field(ge=1, le=16),
        Unit("threads"),
        SettingDoc("Threads per worker that verify passwords; each takes auth.argon2_memory.", reload=False),
    ] = 2
    queue_seconds: Annotated[
        Seconds,
        Field(ge=0.1, le=300),
        SettingDoc("How long a command may wait for its turn before it is answered 'try later'."),
    ] = 20.0
    drain_seconds: Annotated[
        Seconds, Field(ge=0, le=600), SettingDoc("How long running commands may take to end at shutdown.")
    ] = 10.0
    lag_seconds: Annotated[
        Seconds,
        Field(ge=0.005, le=10),
        SettingDoc("A pause of the event loop longer than this is logged with the commands that ran.", "10.1"),
    ] = 0.05
    poll_seconds: Annotated[
        Seconds,
        Field(ge=0.05, le=60),
        SettingDoc("How often watched mailboxes and the directory are looked at, should a hint have been lost.", reload=False),
    ] = 2.0


class Storage(Section):
    """Mailboxes on disk."""

    mail_root: Annotated[Location | None, SettingDoc("The mailboxes; mail/ below data_dir unless given.", reload=False)] = None
    synchronous: Annotated[
        Literal["normal", "full"],
        SettingDoc(
            "full: also the last flag changes survive a power cut, each at the price of an fsync.", "10.1", reload=False
        ),
    ] = "normal"
    expunge_keep: Annotated[
        Seconds,
        Field(ge=0, le=366 * DAY),
        SettingDoc("How long an expunged message can be brought back; it does not count for the quota.", reload=False),
    ] = 7 * DAY
    reserve: Annotated[
        Octets,
        Field(ge=MIB, le=16 * GIB),
        SettingDoc(
            "Room set aside on each disk of mailboxes, given up so that mail can be deleted when the disk is full.",
            "10.1",
            reload=False,
        ),
    ] = 64 * MIB
    folders: Annotated[
        int,
        Field(ge=10, le=100_000),
        Unit("folders"),
        SettingDoc(
            "Folders that one mailbox may have; CREATE beyond is refused (LIMIT). Imports may make 10,000.", reload=False
        ),
    ] = 1_000
    names_after: Annotated[
        Seconds, Field(ge=0.1, le=HOUR), SettingDoc("File names follow changed flags after this time.", reload=False)
    ] = 2.0
    open_indexes: Annotated[
        int,
        Field(ge=8, le=4096),
        Unit("mailboxes"),
        SettingDoc("Mailboxes that one worker keeps open; six descriptors and 0.5 MB each.", reload=False),
    ] = 1024
    view_memory: Annotated[
        Octets, Field(ge=MIB, le=16 * GIB), SettingDoc("Memory per worker for folder lists that are kept ready.", reload=False)
    ] = 64 * MIB
    rescan: Annotated[
        Seconds,
        Field(ge=MINUTE, le=30 * DAY),
        SettingDoc("How often each mailbox is looked through for changes by other Maildir tools.", reload=False),
    ] = DAY


class Search(Section):
    """Full-text search in mailboxes."""

    enabled: Annotated[
        bool,
        SettingDoc(
            "Keep the text of all messages packed in search.sqlite beside each mailbox, about an eighth of its mail (where "
            "there are no attachments, half): searches take milliseconds then; else they read the messages.",
            reload=False,
        ),
    ] = True
    memory: Annotated[
        Octets,
        Field(ge=MIB, le=16 * GIB),
        SettingDoc(
            "Memory per worker for text that was searched lately; 64 MiB hold that of some 15,000 messages.", reload=False
        ),
    ] = 64 * MIB


class Directory(Section):
    """The directory of units, people and mailboxes."""

    url: Annotated[
        str | None,
        SettingDoc(
            "SQLAlchemy URL of the database, without a password (see ~/.pgpass); "
            "directory/directory.sqlite below data_dir unless given.",
            "6.1",
            reload=False,
        ),
    ] = None


class Log(Section):
    """The mail log and the log of administrative acts."""

    dir: Annotated[Location | None, SettingDoc("log/ below data_dir unless given.", "8.2", reload=False)] = None
    retain_months: Annotated[
        int,
        Field(ge=LOG_MONTHS_FLOOR, le=1200),
        Unit("months"),
        SettingDoc("How long the mail log is kept; administrative acts stay.", "8.2"),
    ] = 12
    segment: Annotated[Octets, Field(ge=64 * KIB, le=GIB), SettingDoc("A new file begins at this size.", reload=False)] = (
        64 * MIB
    )
    syslog: Annotated[Syslog, SettingDoc("Collectors.", "16.3")] = Syslog()


class Config(Section):
    """All settings of one server."""

    server: Annotated[Server, SettingDoc("The server.")] = Server()
    listen: Annotated[Listen, SettingDoc("Doors.")] = Listen()
    tls: Annotated[Tls, SettingDoc("TLS.")] = Tls()
    dns: Annotated[Dns, SettingDoc("Names.")] = Dns()
    process: Annotated[Process, SettingDoc("Processes.")] = Process()
    storage: Annotated[Storage, SettingDoc("Storage.")] = Storage()
    search: Annotated[Search, SettingDoc("Search.")] = Search()
    directory: Annotated[Directory, SettingDoc("Directory.")] = Directory()
    quota: Annotated[Quota, SettingDoc("Quota.", "8.3.b")] = Quota()
    limits: Annotated[Limits, SettingDoc("Limits.")] = Limits()
    auth: Annotated[Auth, SettingDoc("Sign-in.")] = Auth()
    smtp: Annotated[Smtp, SettingDoc("SMTP.")] = Smtp()
    imap: Annotated[Imap, SettingDoc("IMAP.")] = Imap()
    pop3: Annotated[Pop3, SettingDoc("POP3.", "8.1")] = Pop3()
    ldap: Annotated[Ldap, SettingDoc("LDAP.", "2.6")] = Ldap()
    web: Annotated[Web, SettingDoc("The password page.", "7.3.c")] = Web()
    sending: Annotated[Sending, SettingDoc("To other servers.", "4.2")] = Sending()
    log: Annotated[Log, SettingDoc("Logs.", "8.2")] = Log()
    inbound: Annotated[Inbound, SettingDoc("From other servers.", "10.2")] = Inbound()
    malware: Annotated[Malware, SettingDoc("Malware.", "10.2")] = Malware()
    rspamd: Annotated[Rspamd, SettingDoc("Spam.", "10.2")] = Rspamd()
    quarantine: Annotated[Quarantine, SettingDoc("Mail that is kept back.", "4.2")] = Quarantine()
    anomaly: Annotated[Anomaly, SettingDoc("Sign-ins that look like a stolen password.", "7.2.c")] = Anomaly()
    regulation: Annotated[Regulation, SettingDoc("The decision.")] = Regulation()
    address: Annotated[Address, SettingDoc("Addresses.", "5")] = Address()
    terms: Annotated[Terms, SettingDoc("Terms.", "6.4.c")] = Terms()
    leave: Annotated[Leave, SettingDoc("Leavers.", "6.4.c")] = Leave()
    reclaim: Annotated[Reclaim, SettingDoc("Reclaimed mailboxes.", "6.4.c")] = Reclaim()
    inactivity: Annotated[Inactivity, SettingDoc("Inactivity.", "7.2.a")] = Inactivity()
    restore: Annotated[Restore, SettingDoc("Restoration.", "7.3")] = Restore()
    office: Annotated[Office, SettingDoc("The office day.", "7.3.b")] = Office()
    request: Annotated[Requests, SettingDoc("Requests.", "6.2")] = Requests()
    maintenance: Annotated[Maintenance, SettingDoc("Downtime.", "10.3")] = Maintenance()
    unit: Annotated[UnitMailboxes, SettingDoc("Unit mailboxes.", "12.3")] = UnitMailboxes()
    reply: Annotated[Reply, SettingDoc("Answers.", "12.4")] = Reply()
    census: Annotated[Census, SettingDoc("Census.", "14.6")] = Census()
    report: Annotated[Report, SettingDoc("Reports.", "16.2")] = Report()
    secrecy: Annotated[Secrecy, SettingDoc("Secrecy.", "4.1")] = Secrecy()
    content: Annotated[Content, SettingDoc("Content of others.", "4.3")] = Content()

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
    def policies_dir(self) -> Path:
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
    def quarantine_dir(self) -> Path:
        """Messages that were accepted and are not delivered."""
        return self.server.data_dir / "quarantine"

    @property
    def lessons_dir(self) -> Path:
        """Messages that Rspamd has still to be trained with."""
        return self.server.data_dir / "lessons"

    @property
    def log_dir(self) -> Path:
        return self.log.dir or self.server.data_dir / "log"

    @property
    def directory_url(self) -> str:
        return self.directory.url or f"sqlite:///{self.directory_dir / 'directory.sqlite'}"

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
