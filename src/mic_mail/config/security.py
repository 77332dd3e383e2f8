"""Settings of what is watched, and who is told: sign-in anomalies (Reg. 7.2.c), collectors of security events (Reg. 16.3)."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from mic_mail.config.section import About, CollectorName, Distinct, ScannerName, Section
from mic_mail.config.units import DAY, HOUR, MINUTE, Location, Seconds, Unit


class Anomaly(Section):
    """Sign-ins that look like a stolen password: told to the person and the Centre."""

    suspend: Annotated[
        bool,
        About(
            "The server suspends a mailbox that a network got into after it had tried many others (rule `sprayed`).", "7.2.c"
        ),
    ] = False
    window: Annotated[
        Seconds, Field(ge=10 * MINUTE, le=DAY), About("The time within which the three below count.", "7.2.c")
    ] = HOUR
    sprayed: Annotated[
        int,
        Field(ge=10, le=2_000),
        Unit("mailboxes"),
        About("A network that nobody else uses tried so many mailboxes in vain before it got into one.", "7.2.c"),
    ] = 20
    guesses: Annotated[
        int,
        Field(ge=10, le=2_000),
        Unit("passwords"),
        About("A network that nobody else uses tried so many passwords of a mailbox in vain before it got in.", "7.2.c"),
    ] = 15
    networks: Annotated[
        int,
        Field(ge=8, le=2_000),
        Unit("networks"),
        About(
            "A mailbox was signed in to from so many networks (/24, /48), half as many of them far apart (/16, /32).", "7.2.c"
        ),
    ] = 15


class Malware(Section):
    """The check of messages by ClamAV."""

    clamd: Annotated[
        ScannerName,
        About(
            "Where clamd listens: `unix:/run/clamav/clamd.ctl` or `tcp://127.0.0.1:3310`; empty: nothing is scanned.", "10.2"
        ),
    ] = ""
    seconds: Annotated[Seconds, Field(ge=1, le=5 * MINUTE), About("An answer that takes longer is none.", "10.2")] = 60.0
    connections: Annotated[
        int, Field(ge=1, le=100), Unit("connections"), About("To clamd at once, per worker; others wait.", "10.2")
    ] = 8
    absent: Annotated[
        Literal["refuse", "pass"],
        About("What becomes of a message that clamd does not answer for: its sender tries again, or it passes.", "10.2"),
    ] = "refuse"
    suspend: Annotated[bool, About("The mailbox that sends malware is suspended.", "7.2.c")] = True


class Syslog(Section):
    """Security events to collectors of syslog (RFC 5424)."""

    collectors: Annotated[
        tuple[CollectorName, ...],
        Distinct,
        About(
            "Where security events go: `unix:/dev/log`, `udp://HOST:514`, `tcp://HOST:601`, `tls://HOST:6514`; none: nowhere.",
            "16.3",
        ),
    ] = ()
    facility: Annotated[
        Literal["auth", "authpriv", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"],
        About("The facility of the messages.", "16.3"),
    ] = "authpriv"
    enterprise: Annotated[
        str,
        StringConstraints(max_length=64, pattern=r"^[1-9][0-9]{0,9}(?:\.[0-9]{1,10})*$"),
        About("The ministry's private enterprise number (IANA), for the structured data; 32473 is that of examples.", "16.3"),
    ] = "32473"
    tls_ca: Annotated[
        Location | None, About("Certificates (PEM) by which `tls:` collectors are known; the system's unless given.", "16.3")
    ] = None
