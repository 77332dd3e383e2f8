"""Settings of the listeners: addresses and ports, certificates, and the limits of each protocol."""

from typing import Annotated, Literal, get_args

from pydantic import Field, StringConstraints

from mic_mail.config.schema import AddressName, Distinct, DomainName, NameserverName, NetworkName, Section, SettingDoc
from mic_mail.config.units import DAY, GIB, HOUR, KIB, MIB, MINUTE, Location, Octets, Seconds, Unit

DoorName = Literal["smtp", "submission", "submissions", "imap", "imaps", "pop3", "pop3s", "ldap", "ldaps", "http", "https"]
DOORS: tuple[DoorName, ...] = get_args(DoorName)
Port = Annotated[int, Field(ge=0, le=65535), Unit("port")]


class Listen(Section):
    """Addresses, ports and enabled listeners."""

    addresses: Annotated[
        tuple[AddressName, ...],
        Field(min_length=1),
        Distinct,
        SettingDoc("Where to listen; 0.0.0.0 and :: mean all.", "13.2", reload=False),
    ] = ("0.0.0.0", "::")  # noqa: S104 - a mail server listens on every interface
    doors: Annotated[
        tuple[DoorName, ...], Field(min_length=1), Distinct, SettingDoc("Which doors are open.", "13.2", reload=False)
    ] = DOORS
    smtp: Annotated[Port, SettingDoc("Mail from other servers (0 here and below: any free port).", reload=False)] = 25
    submission: Annotated[Port, SettingDoc("Mail from users, STARTTLS.", reload=False)] = 587
    submissions: Annotated[Port, SettingDoc("Mail from users, TLS from the first octet.", reload=False)] = 465
    imap: Annotated[Port, SettingDoc("Mailboxes, STARTTLS.", reload=False)] = 143
    imaps: Annotated[Port, SettingDoc("Mailboxes, TLS from the first octet.", reload=False)] = 993
    pop3: Annotated[Port, SettingDoc("Fetching mail from INBOX, STLS.", "8.1", reload=False)] = 110
    pop3s: Annotated[Port, SettingDoc("Fetching mail from INBOX, TLS from the first octet.", "8.1", reload=False)] = 995
    ldap: Annotated[Port, SettingDoc("The directory as an address book, StartTLS.", "2.6", reload=False)] = 389
    ldaps: Annotated[Port, SettingDoc("The directory as an address book, TLS from the first octet.", "2.6", reload=False)] = 636
    http: Annotated[Port, SettingDoc("Leads web browsers to https and does nothing else.", reload=False)] = 80
    https: Annotated[
        Port, SettingDoc("The page where people change their password and see the state of their mailbox.", "3.2", reload=False)
    ] = 443
    backlog: Annotated[
        int,
        Field(ge=16, le=65535),
        Unit("connections"),
        SettingDoc("Connections that may wait to be accepted, per socket.", reload=False),
    ] = 1024

    def port(self, door: str) -> int:
        """Return the port of a listener."""
        number: int = getattr(self, door)
        return number


class Web(Section):
    """The page where people change their password."""

    ministry_en: Annotated[
        str,
        StringConstraints(max_length=100, pattern=r"^[ -~]*$"),
        SettingDoc("`regulation.ministry` in English (ASCII), for the top of the page.", "3.2"),
    ] = "Ministry of Information and Communications"
    more_names: Annotated[
        tuple[DomainName, ...],
        Distinct,
        SettingDoc("Further host names under which browsers may ask for it, beside server.hostname."),
    ] = ()
    idle_seconds: Annotated[
        Seconds, Field(ge=MINUTE, le=HOUR), SettingDoc("Who does nothing for so long has to sign in again.", "15.2")
    ] = 10 * MINUTE
    session_seconds: Annotated[
        Seconds, Field(ge=MINUTE, le=DAY), SettingDoc("Who has been signed in for so long has to sign in again.", "15.2")
    ] = HOUR
    carddav: Annotated[bool, SettingDoc("The directory as an address book by CardDAV, at the same address.", "2.6")] = True
    monitor_networks: Annotated[
        tuple[NetworkName, ...],
        Distinct,
        SettingDoc(
            "Networks from which /metrics (Prometheus) and /health are answered; to all others they do not exist.", "10.1"
        ),
    ] = ("127.0.0.0/8", "::1/128")
    request_seconds: Annotated[
        Seconds, Field(ge=1, le=10 * MINUTE), SettingDoc("A connection that brings no whole request in this time is closed.")
    ] = 20.0


class Dns(Section):
    """Name resolution."""

    nameservers: Annotated[
        tuple[NameserverName, ...],
        Distinct,
        SettingDoc(
            "Name servers (`127.0.0.1`, `[::1]:5353`); none: those of the machine. What validates DNSSEC has to be on this one."
        ),
    ] = ()
    seconds: Annotated[Seconds, Field(ge=1, le=MINUTE), SettingDoc("An answer that takes longer is none.")] = 10.0


class CertificatePair(Section):
    """A further certificate."""

    certificate: Annotated[Location, SettingDoc("Certificate chain (PEM), shown to who asks for a name that stands in it.")]
    key: Annotated[Location, SettingDoc("Its private key (PEM), readable by the server's account only.")]


class Tls(Section):
    """Certificate and key."""

    certificate: Annotated[
        Location | None, SettingDoc("Certificate chain (PEM); tls/cert.pem below data_dir unless given.")
    ] = None
    key: Annotated[
        Location | None, SettingDoc("Its private key (PEM), readable by the server's account only; tls/key.pem unless given.")
    ] = None
    more: Annotated[
        tuple[CertificatePair, ...],
        Field(max_length=100),
        Distinct,
        SettingDoc(
            "Certificates for further names of this server, each a table [[tls.more]]; the first one is shown to all others."
        ),
    ] = ()
    suites: Annotated[
        Literal["modern", "compatible"],
        SettingDoc(
            "Suites of TLS 1.2: modern (ECDHE with GCM or ChaCha20), or compatible: CBC too, for mail programs on Windows 7 "
            "and 8.1. The door for other mail servers always has both, since who finds none there sends in clear.",
            "10.2",
        ),
    ] = "modern"
    minimum: Annotated[Literal["1.2", "1.3"], SettingDoc("The oldest version of TLS that is spoken.", "10.2", reload=False)] = (
        "1.2"
    )
    warn_days: Annotated[
        int, Field(ge=1, le=365), Unit("days"), SettingDoc("Warn so many days before the certificate ends.")
    ] = 21


class Smtp(Section):
    """Receiving and submission."""

    recipients: Annotated[
        int,
        Field(ge=100, le=10_000),
        Unit("recipients"),
        SettingDoc("Recipients of one message (RFC 5321 §4.5.3.1.8: at least 100)."),
    ] = 1_000
    errors: Annotated[int, Field(ge=3, le=1_000), Unit("errors"), SettingDoc("Errors in one connection before 421.")] = 20
    junk_commands: Annotated[
        int,
        Field(ge=10, le=10_000_000),
        Unit("commands"),
        SettingDoc(
            "Commands that bring no message (NOOP, RSET, ...) after the last accepted one before each counts as an error."
        ),
    ] = 100
    command_seconds: Annotated[
        Seconds, Field(ge=10, le=HOUR), SettingDoc("Wait for a command (RFC 5321 §4.5.3.2.7: at least 5 minutes).")
    ] = 5 * MINUTE
    data_seconds: Annotated[Seconds, Field(ge=10, le=HOUR), SettingDoc("Wait for the next octet of a message.")] = 3 * MINUTE
    message_seconds: Annotated[
        Seconds, Field(ge=MINUTE, le=DAY), SettingDoc("One message may take this long, and longer only above `slowest_rate`.")
    ] = 10 * MINUTE
    slowest_rate: Annotated[
        Octets, Field(ge=0, le=GIB), SettingDoc("Octets per second below which a long transfer is cut.")
    ] = KIB
    messages_per_connection: Annotated[
        int, Field(ge=1, le=10_000_000), Unit("messages"), SettingDoc("Messages in one connection.")
    ] = 10_000
    repair_line_ends: Annotated[
        tuple[NetworkName, ...],
        SettingDoc("Networks of known old devices whose bare LF is made CRLF; others' is refused."),
    ] = ()
    binarymime: Annotated[bool, SettingDoc("Offer BINARYMIME (RFC 3030) to other mail servers.")] = False
    confirms: Annotated[
        bool,
        SettingDoc(
            "Offer DSN (RFC 3461) to other mail servers and confirm deliveries to senders whose domain SPF or DKIM "
            "authenticates."
        ),
    ] = False
    subaddress: Annotated[
        str,
        StringConstraints(max_length=1, pattern=r"^[+=_-]?$"),
        SettingDoc("What separates the detail from the mailbox (dvbe+detail@); empty: no details."),
    ] = "+"


class Imap(Section):
    """Reading mail."""

    sign_in_seconds: Annotated[
        Seconds, Field(ge=10, le=HOUR), SettingDoc("A connection that has not signed in is closed after this time.")
    ] = 3 * MINUTE
    idle_seconds: Annotated[
        Seconds,
        Field(ge=30 * MINUTE, le=7 * DAY),
        SettingDoc("A silent session is closed after this time (RFC 9051 §5.4: at least 30 minutes)."),
    ] = 31 * MINUTE
    still_here_seconds: Annotated[
        Seconds,
        Field(ge=10, le=HOUR),
        SettingDoc("During IDLE a line is sent this often, so that no middlebox forgets the connection."),
    ] = 2 * MINUTE
    command_octets: Annotated[
        Octets,
        Field(ge=8 * KIB, le=16 * MIB),
        SettingDoc("Longest command of a signed-in session, literals of APPEND excepted."),
    ] = 64 * KIB
    errors: Annotated[
        int, Field(ge=3, le=1_000), Unit("commands"), SettingDoc("Commands in a row that make no sense before BYE.")
    ] = 20
    sessions_per_mailbox: Annotated[
        int, Field(ge=4, le=10_000), Unit("sessions"), SettingDoc("Sessions of one mailbox per worker.")
    ] = 64
    compress: Annotated[bool, SettingDoc("Offer COMPRESS=DEFLATE.")] = True
    rev2: Annotated[bool, SettingDoc("Announce IMAP4rev2.")] = True
    uidonly: Annotated[
        bool, SettingDoc("Announce UIDONLY (RFC 9586): mail without message numbers; Outlook does not work beside it.")
    ] = False
    unauthenticate: Annotated[
        bool, SettingDoc("Announce UNAUTHENTICATE (RFC 8437): one connection for several mailboxes, one after the other.")
    ] = True


class Pop3(Section):
    """Fetching mail."""

    sign_in_seconds: Annotated[
        Seconds, Field(ge=10, le=HOUR), SettingDoc("A connection that has not signed in is closed after this time.")
    ] = 3 * MINUTE
    idle_seconds: Annotated[
        Seconds,
        Field(ge=10 * MINUTE, le=DAY),
        SettingDoc("A silent session is closed after this time, and nothing is deleted (RFC 1939 §3: at least 10 minutes)."),
    ] = 11 * MINUTE
    errors: Annotated[
        int,
        Field(ge=3, le=1_000),
        Unit("commands"),
        SettingDoc("Commands in a row that make no sense before the connection ends."),
    ] = 20
    sessions_per_mailbox: Annotated[
        int,
        Field(ge=4, le=10_000),
        Unit("sessions"),
        SettingDoc("Sessions of one mailbox per worker; none locks the others out."),
    ] = 64


class Ldap(Section):
    """The directory as an address book by LDAP; read-only."""

    anonymous_networks: Annotated[
        tuple[NetworkName, ...],
        Distinct,
        SettingDoc("Networks from which who has not signed in may search too; empty: nobody.", "2.6"),
    ] = ()
    entries: Annotated[
        int, Field(ge=10, le=100_000), Unit("entries"), SettingDoc("Entries in the answer to one search, or in one page of it.")
    ] = 500
    search_seconds: Annotated[Seconds, Field(ge=1, le=MINUTE), SettingDoc("A search that takes longer is ended.")] = 5.0
    sign_in_seconds: Annotated[
        Seconds, Field(ge=10, le=HOUR), SettingDoc("A connection that has not signed in is closed after this time.")
    ] = MINUTE
    idle_seconds: Annotated[
        Seconds,
        Field(ge=MINUTE, le=DAY),
        SettingDoc(
            "A silent session is closed after this time; so is one that may search without signing in, whatever it asks."
        ),
    ] = 15 * MINUTE
    errors: Annotated[
        int,
        Field(ge=3, le=1_000),
        Unit("requests"),
        SettingDoc("Requests in a row that make no sense before the connection ends."),
    ] = 20
    sessions_per_mailbox: Annotated[
        int, Field(ge=4, le=10_000), Unit("sessions"), SettingDoc("Sessions of one mailbox per worker.")
    ] = 16
