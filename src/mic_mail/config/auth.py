"""Settings of passwords and sign-in (Reg. 4.3, 10.2, 15.2)."""

from typing import Annotated, Literal

from pydantic import Field

from mic_mail.config.regulation import WarnDays
from mic_mail.config.schema import Distinct, Section, SettingDoc
from mic_mail.config.units import DAY, GIB, HOUR, MIB, MINUTE, Location, Octets, Seconds, Unit

FORMER_PASSWORDS = 24  # as many verifiers as the directory retains


class Auth(Section):
    """Passwords and sign-in."""

    cleartext: Annotated[
        bool, SettingDoc("Allow sign-in without TLS; for tests on one machine only.", "10.2", reload=False)
    ] = False
    channel_binding: Annotated[
        bool,
        SettingDoc(
            "Offer SCRAM-SHA-256-PLUS, bound by tls-server-end-point, in TLS 1.2 also by tls-unique; false where programs "
            "insist on tls-exporter.",
            "10.2",
        ),
    ] = True
    scram_in_tls13: Annotated[
        bool,
        SettingDoc(
            "Offer SCRAM in TLS 1.3 too; then msmtp, mpop and other programs with GNU SASL cannot sign in there unless they "
            "are set to PLAIN.",
            "10.2",
        ),
    ] = False
    scram_iterations: Annotated[
        int,
        Field(ge=65_536, le=10_000_000),
        Unit("rounds"),
        SettingDoc(
            "PBKDF2 rounds of the SCRAM-SHA-256 keys of new passwords; Cyrus SASL's clients refuse more than 65,536.", "10.2"
        ),
    ] = 65_536
    argon2_time: Annotated[
        int, Field(ge=1, le=20), Unit("passes"), SettingDoc("argon2id passes over memory, for new passwords.", "10.2")
    ] = 3
    argon2_memory: Annotated[Octets, Field(ge=8 * MIB, le=GIB), SettingDoc("argon2id memory, for new passwords.", "10.2")] = (
        32 * MIB
    )
    cache_seconds: Annotated[
        Seconds, Field(ge=0, le=DAY), SettingDoc("A verified password is known again for this long without a hash.")
    ] = HOUR
    failures_per_network: Annotated[
        int,
        Field(ge=3, le=100_000),
        Unit("wrong passwords"),
        SettingDoc("Wrong passwords from one network in `failure_window` before it has to wait.", "4.3"),
    ] = 60
    failures_per_mailbox: Annotated[
        int,
        Field(ge=3, le=100_000),
        Unit("wrong passwords"),
        SettingDoc("Wrong passwords for one mailbox from one network in `failure_window` before it has to wait.", "4.3"),
    ] = 10
    failure_window: Annotated[Seconds, Field(ge=10, le=DAY), SettingDoc("See the two above.", "4.3")] = 10 * MINUTE
    leaked_passwords: Annotated[
        Location | None,
        SettingDoc(
            "A list of leaked passwords, one a line, or their SHA-1 (`HASH:count`, as Have I Been Pwned has them), sorted "
            "(`LC_ALL=C sort`) unless small; none of them may be chosen.",
            "7.2.c",
        ),
    ] = None
    leaked_action: Annotated[
        Literal["tell", "change", "suspend"],
        SettingDoc(
            "What follows when somebody signs in with one of them, or with one that is tried at anomaly.sprayed mailboxes: the "
            "person and the Centre are told; it has to be changed; the mailbox is suspended.",
            "7.2.c",
        ),
    ] = "suspend"
    password_length: Annotated[
        int, Field(ge=8, le=128), Unit("characters"), SettingDoc("Shortest password that is accepted.", "10.2")
    ] = 10
    password_reuse: Annotated[
        int,
        Field(ge=0, le=FORMER_PASSWORDS),
        Unit("passwords"),
        SettingDoc("A new password must be none of so many that the mailbox had before; 0: only not the one it has.", "15.2"),
    ] = 5
    app_passwords: Annotated[
        int,
        Field(ge=0, le=100),
        Unit("passwords"),
        SettingDoc("How many app passwords a mailbox may have at once; 0: none can be made, and none opens anything.", "15.2"),
    ] = 20
    second_factor: Annotated[
        Literal["off", "offered", "administrators", "everyone"],
        SettingDoc(
            "Codes of a device (TOTP) besides the password: nobody is asked, also who has one; whoever wants one at the page; "
            "officers must have one to change anything by commands; everybody must at the page.",
            "15.2",
        ),
    ] = "offered"
    app_passwords_only: Annotated[
        bool,
        SettingDoc(
            "Where a mailbox has a second factor, app passwords alone open all doors but the page; false: its own as well.",
            "15.2",
        ),
    ] = True
    password_age: Annotated[
        Seconds, Field(ge=0, le=3660 * DAY), SettingDoc("A password older than this is due for change; 0: never.", "15.2")
    ] = 180 * DAY
    password_warn_days: Annotated[
        WarnDays,
        Distinct,
        SettingDoc(
            "The owner gets a notice this many days before the password is due for change; the page warns from the first on.",
            "15.2",
        ),
    ] = (14, 7, 1)
