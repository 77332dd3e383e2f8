"""Settings of limits: space per mailbox (Reg.

8.3.b), and for a message, a sender, a connection (7.2.c).
"""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from mic_mail.config.schema import Distinct, MailboxName, NetworkName, Rising, Section, SettingDoc
from mic_mail.config.units import GIB, KIB, MIB, Octets, Unit

ATTACHMENT_OCTETS = 20 * MIB  # Reg. 8.3.b, read as 20 x 2^20 decoded octets, summed over a message
QUOTA_FLOOR = GIB  # Reg. 8.3.b, read as 2^30 octets
QUOTA_CEILING = 1 << 50  # larger than any disk, and close to the largest number of a database

Percent = Annotated[int, Field(ge=1, le=100), Unit("percent")]


class Quota(Section):
    """Space per mailbox."""

    default: Annotated[Octets, Field(ge=QUOTA_FLOOR, le=QUOTA_CEILING), SettingDoc("Quota of a new mailbox.", "8.3.b")] = GIB
    warn_percent: Annotated[
        tuple[Percent, ...],
        Field(min_length=1),
        Rising,
        SettingDoc("A notice goes into the mailbox when usage crosses each of these.", "8.3.c"),
    ] = (80, 90, 95)
    over: Annotated[
        Literal["temporary", "permanent"],
        SettingDoc("How mail for a full mailbox is refused: 452, the sender tries again, or 552.", "8.3.c"),
    ] = "temporary"


class Attachment(Section):
    """Attachments of one message."""

    allowed_by: Annotated[
        str, SettingDoc("The document that allows a maximum other than 20 MiB; needed before `maximum` may differ.", "8.3.b")
    ] = ""
    maximum: Annotated[
        Octets, Field(ge=0, le=GIB), SettingDoc("Sum of the decoded sizes of all attachments of one message.", "8.3.b")
    ] = ATTACHMENT_OCTETS
    text_room: Annotated[
        Octets,
        Field(ge=64 * KIB, le=64 * MIB),
        SettingDoc(
            "What a message may measure beyond its encoded attachments; SIZE and APPENDLIMIT follow from both.", "8.3.b"
        ),
    ] = 2 * MIB

    @field_validator("maximum")
    @classmethod
    def _as_the_regulation_says(cls, maximum: int, info: ValidationInfo) -> int:
        if maximum != ATTACHMENT_OCTETS and not str(info.data.get("allowed_by", "")).strip():
            raise PydanticCustomError("attachment_limit", "another limit than 20 MiB without the document that allows it")
        return maximum

    @property
    def message_octets(self) -> int:
        """The largest message (RFC 1870 SIZE, RFC 7889 APPENDLIMIT).

        Attachments in base64 lines of 60 columns, and text.
        """
        lines = -(-self.maximum // 45)  # 45 octets make a line of 60 characters and CRLF
        return lines * 62 + self.text_room


class Limits(Section):
    """The limits of one message, one connection, one network."""

    attachment: Annotated[Attachment, SettingDoc("Attachments.", "8.3.b")] = Attachment()
    connections: Annotated[
        int,
        Field(ge=10, le=1_000_000),
        Unit("connections"),
        SettingDoc(
            "Connections at once, in all workers; beyond it the oldest that has not signed in makes room, "
            "of the network that holds most of them."
        ),
    ] = 20_000
    connections_per_network: Annotated[
        int, Field(ge=1, le=1_000_000), Unit("connections"), SettingDoc("Connections per worker from one network (/24, /64).")
    ] = 1_000
    new_per_minute: Annotated[
        int,
        Field(ge=1, le=1_000_000),
        Unit("connections a minute"),
        SettingDoc("New connections a minute per worker from one network."),
    ] = 600
    exempt_networks: Annotated[tuple[NetworkName, ...], SettingDoc("Networks without the two limits above.")] = ()
    recipients_per_hour: Annotated[
        int,
        Field(ge=10, le=10_000_000),
        Unit("recipients an hour"),
        SettingDoc("Recipients that one mailbox may write to in an hour; 450 beyond, in case a password was stolen."),
    ] = 2_000
    recipients_per_day: Annotated[
        int, Field(ge=10, le=10_000_000), Unit("recipients a day"), SettingDoc("Likewise in 24 hours.")
    ] = 10_000
    messages_per_hour: Annotated[
        int,
        Field(ge=10, le=10_000_000),
        Unit("messages an hour"),
        SettingDoc("Messages that one mailbox may send in an hour; 450 beyond."),
    ] = 1_000
    messages_per_day: Annotated[
        int, Field(ge=10, le=10_000_000), Unit("messages a day"), SettingDoc("Likewise in 24 hours.")
    ] = 3_000
    octets_per_hour: Annotated[
        Octets,
        Field(ge=MIB, le=1024 * GIB),
        SettingDoc("What one mailbox may send in an hour, each message counted once; 450 beyond."),
    ] = 2 * GIB
    octets_per_day: Annotated[Octets, Field(ge=MIB, le=1024 * GIB), SettingDoc("Likewise in 24 hours.")] = 8 * GIB
    suspend_beyond: Annotated[
        float,
        Field(ge=0, le=1000),
        Unit("times"),
        SettingDoc(
            "A mailbox that goes on to so many times recipients_per_hour or messages_per_hour in an hour is suspended by the "
            "server; 0: never.",
            "7.2.c",
        ),
    ] = 2.0
    bulk_senders: Annotated[
        tuple[MailboxName, ...],
        Distinct,
        SettingDoc(
            "Mailboxes that are allowed to write to very many: `bulk_times` as much, and the server does not suspend them "
            "for it.",
            "7.2.c",
        ),
    ] = ()
    bulk_times: Annotated[
        int,
        Field(ge=1, le=1_000),
        Unit("times"),
        SettingDoc("So many times the six limits above hold for `bulk_senders`."),
    ] = 10
