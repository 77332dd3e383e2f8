"""Settings of malware, spam, quarantine, anomalies and security events (Reg. 7.2.c, 10.2, 16.3)."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from mic_mail.config.schema import CollectorName, Distinct, ScannerName, Section, SettingDoc
from mic_mail.config.units import DAY, GIB, HOUR, KIB, MIB, MINUTE, Location, Octets, Seconds, Unit


class Anomaly(Section):
    """Sign-ins that look like a stolen password; the person and the Centre are notified."""

    suspend: Annotated[
        bool,
        SettingDoc(
            "The server suspends a mailbox that a network got into after it had tried many others (rule `sprayed`).", "7.2.c"
        ),
    ] = False
    window: Annotated[
        Seconds, Field(ge=10 * MINUTE, le=DAY), SettingDoc("The time within which the three below count.", "7.2.c")
    ] = HOUR
    sprayed: Annotated[
        int,
        Field(ge=10, le=2_000),
        Unit("mailboxes"),
        SettingDoc("A network that nobody else uses tried so many mailboxes in vain before it got into one.", "7.2.c"),
    ] = 20
    guesses: Annotated[
        int,
        Field(ge=10, le=2_000),
        Unit("passwords"),
        SettingDoc("A network that nobody else uses tried so many passwords of a mailbox in vain before it got in.", "7.2.c"),
    ] = 15
    networks: Annotated[
        int,
        Field(ge=8, le=2_000),
        Unit("networks"),
        SettingDoc(
            "A mailbox was signed in to from so many networks (/24, /48), half as many of them far apart (/16, /32).", "7.2.c"
        ),
    ] = 15


class Malware(Section):
    """The check of messages by ClamAV."""

    clamd: Annotated[
        ScannerName,
        SettingDoc(
            "Where clamd listens: `unix:/run/clamav/clamd.ctl` or `tcp://127.0.0.1:3310`; empty: nothing is scanned.", "10.2"
        ),
    ] = ""
    seconds: Annotated[Seconds, Field(ge=1, le=3 * MINUTE), SettingDoc("An answer that takes longer is none.", "10.2")] = 60.0
    connections: Annotated[
        int, Field(ge=1, le=100), Unit("connections"), SettingDoc("To clamd at once, per worker; others wait.", "10.2")
    ] = 8
    absent: Annotated[
        Literal["refuse", "pass", "quarantine"],
        SettingDoc(
            "What becomes of a message that clamd does not answer for: its sender tries again, or it passes, or, from other "
            "servers, it is taken and kept in quarantine.",
            "10.2",
        ),
    ] = "refuse"
    suspend: Annotated[bool, SettingDoc("The mailbox that sends malware is suspended.", "7.2.c")] = True
    found: Annotated[
        Literal["refuse", "quarantine"],
        SettingDoc(
            "Mail with malware from other servers: refused, or taken and kept in quarantine; from inside it is refused.", "10.2"
        ),
    ] = "refuse"


class Rspamd(Section):
    """The spam filter."""

    url: Annotated[
        ScannerName,
        SettingDoc(
            "Where Rspamd's scanner listens: `tcp://127.0.0.1:11333` or `unix:/run/rspamd/worker.sock`; empty: not asked.",
            "10.2",
        ),
    ] = ""
    controller: Annotated[
        ScannerName,
        SettingDoc(
            "Where Rspamd's controller listens (`tcp://127.0.0.1:11334`), which learns from what people move to Junk and out "
            "of it; empty: it is taught nothing.",
            "15.5",
        ),
    ] = ""
    password: Annotated[
        Location | None,
        SettingDoc(
            "The file with the controller's password, on one line, readable by the server's account only; read when needed.",
            "10.2",
        ),
    ] = None
    seconds: Annotated[Seconds, Field(ge=1, le=2 * MINUTE), SettingDoc("An answer that takes longer is none.", "10.2")] = 20.0
    connections: Annotated[
        int, Field(ge=1, le=100), Unit("connections"), SettingDoc("To Rspamd at once, per worker; others wait.", "10.2")
    ] = 8
    largest: Annotated[
        Octets,
        Field(ge=64 * KIB, le=GIB),
        SettingDoc(
            "A larger message is not shown to Rspamd (its own `max_message` is 50 MiB): it passes, marked as such.", "10.2"
        ),
    ] = 32 * MIB
    absent: Annotated[
        Literal["refuse", "pass"],
        SettingDoc(
            "What becomes of a message that Rspamd does not answer for: its sender tries again, or it passes, marked as such.",
            "10.2",
        ),
    ] = "refuse"
    reject: Annotated[
        Literal["refuse", "quarantine", "junk"],
        SettingDoc("What becomes of mail from other servers that Rspamd rejects.", "4.2"),
    ] = "refuse"
    outgoing: Annotated[
        bool,
        SettingDoc("Mail from inside is shown to Rspamd too; what it rejects is refused, the rest goes as it is.", "7.2.c"),
    ] = False
    suspend_beyond: Annotated[
        int,
        Field(ge=0, le=10_000),
        Unit("messages an hour"),
        SettingDoc(
            "A mailbox of whose mail Rspamd rejects more than so many messages within an hour, per worker, is suspended by the "
            "server; 0: never.",
            "7.2.c",
        ),
    ] = 10
    taught_per_hour: Annotated[
        int,
        Field(ge=1, le=10_000),
        Unit("messages an hour"),
        SettingDoc("So many messages of one mailbox teach Rspamd in an hour; more are left out, and the log says so.", "15.5"),
    ] = 100


class Quarantine(Section):
    """Mail that was accepted and is not delivered until the Centre decides."""

    keep: Annotated[
        Seconds,
        Field(ge=DAY, le=366 * DAY),
        SettingDoc("How long a message is kept; then it is removed.", "4.2"),
    ] = 30 * DAY
    space: Annotated[
        Octets,
        Field(ge=MIB, le=1 << 50),
        SettingDoc("Room for it; beyond, mail that would be kept is refused for a while.", "4.2"),
    ] = 2 * GIB
    digest: Annotated[
        bool,
        SettingDoc(
            "Whoever such a message is for hears of it, in one letter a day at most; false: the log alone knows.", "4.2"
        ),
    ] = True


class Syslog(Section):
    """Security events to syslog collectors (RFC 5424)."""

    collectors: Annotated[
        tuple[CollectorName, ...],
        Distinct,
        SettingDoc(
            "Where security events go: `unix:/dev/log`, `udp://HOST:514`, `tcp://HOST:601`, `tls://HOST:6514`; none: nowhere.",
            "16.3",
        ),
    ] = ()
    facility: Annotated[
        Literal["auth", "authpriv", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"],
        SettingDoc("The facility of the messages.", "16.3"),
    ] = "authpriv"
    enterprise: Annotated[
        str,
        StringConstraints(max_length=64, pattern=r"^[1-9][0-9]{0,9}(?:\.[0-9]{1,10})*$"),
        SettingDoc(
            "The ministry's private enterprise number (IANA), for the structured data; 32473 is that of examples.", "16.3"
        ),
    ] = "32473"
    tls_ca: Annotated[
        Location | None,
        SettingDoc("Certificates (PEM) by which `tls:` collectors are known; the system's unless given.", "16.3"),
    ] = None
