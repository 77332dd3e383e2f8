"""Settings for clauses of the regulation that can be read in more than one way.

The default is the Centre's reading. The names are those that `regulation show` prints beside the clause. What the regulation
fixes (terms of 6 and 12 months, 1 and 2 working days) is no setting and not here.
"""

from datetime import date, time
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from mic_mail.config.schema import Distinct, MailboxName, PageName, Rising, Section, SettingDoc
from mic_mail.config.units import DAY, GIB, HOUR, MIB, LocalTime, Octets, Seconds, Unit

Keyword = Annotated[str, StringConstraints(pattern=r"^[!#$&'+,./0-9:;<=>?@A-Z^_`a-z|~-]{1,60}$")]
"""A keyword of RFC 9051 (`flag-keyword`): an atom."""


class UnitAddress(Section):
    """Unit mailboxes: symbol to address."""

    collapse: Annotated[
        bool, SettingDoc("A run of characters that are not allowed becomes one `_`; false: one each.", "5.1")
    ] = True
    keep: Annotated[
        str, StringConstraints(pattern=r"^[-._]*$"), SettingDoc("Characters of a symbol that are kept as they are.", "5.1")
    ] = "-"


class Namesake(Section):
    """Personal mailboxes: the forms of addresses for people of the same name."""

    first_by: Annotated[
        Literal["received", "created"],
        SettingDoc("The first is whose request was received first, or whose mailbox was created first.", "5.4.a"),
    ] = "received"
    permute: Annotated[
        Literal["blocks", "letters"], SettingDoc("Suggestions move whole blocks (bedv, vdbe) or any letters.", "5.4.b")
    ] = "blocks"


class Address(Section):
    """The form of addresses."""

    unit: Annotated[UnitAddress, SettingDoc("Unit mailboxes.", "5.1")] = UnitAddress()
    namesake: Annotated[Namesake, SettingDoc("Namesakes.", "5.4")] = Namesake()
    shortest: Annotated[
        int, Field(ge=1, le=16), Unit("characters"), SettingDoc("Shortest local part of a personal mailbox.", "5.3")
    ] = 2
    alias_days: Annotated[
        int,
        Field(ge=0, le=3660),
        Unit("days"),
        SettingDoc("When a mailbox gets another address, the old one stays its alias this long; nobody else gets it.", "6.2"),
    ] = 90
    reserved: Annotated[tuple[str, ...], SettingDoc("Local parts that are never given to a person.", "5.3")] = (
        "abuse", "admin", "administrator", "hostmaster", "mailer-daemon", "noreply",
        "postmaster", "root", "security", "support", "webmaster",
    )  # fmt: skip


class Terms(Section):
    """The end of terms in months."""

    end: Annotated[
        Literal["end_of_day", "start_of_day"],
        SettingDoc(
            "The term ends with the end of the matching date (Civil Code 2015, Articles 147-148), or at its 00:00.", "6.4.c"
        ),
    ] = "end_of_day"
    roll: Annotated[bool, SettingDoc("A term that ends on a rest day moves to the next working day.", "6.4.c")] = False


WarnDays = tuple[Annotated[int, Field(ge=1, le=180), Unit("days")], ...]


class Leave(Section):
    """Mailboxes of leavers."""

    late_grace_days: Annotated[
        int,
        Field(ge=0, le=366),
        Unit("days"),
        SettingDoc(
            "When the notice comes so late that the mailbox is already due to be reclaimed, it waits this many days.", "6.4.c"
        ),
    ] = 7


class Reclaim(Section):
    """The period for which reclaimed mailboxes are retained."""

    warn_days: Annotated[WarnDays, Distinct, SettingDoc("The owner is warned this many days ahead.", "6.4.c")] = (30, 14, 7, 1)
    keep_days: Annotated[
        int,
        Field(ge=1, le=3660),
        Unit("days"),
        SettingDoc("A reclaimed mailbox stays on the server this long after it was archived, and can be had back.", "6.4.c"),
    ] = 30


class Inactivity(Section):
    """Suspension of unused mailboxes."""

    counts: Annotated[
        Literal["user", "any_delivery"],
        SettingDoc("What counts as use: only what the user does, or also any delivery.", "7.2.a"),
    ] = "user"
    warn_days: Annotated[WarnDays, Distinct, SettingDoc("Warnings go out this many days ahead.", "7.2.a")] = (30, 14, 7, 1)


class Restore(Section):
    """Restoration of suspended mailboxes."""

    breach_document: Annotated[bool, SettingDoc("After a breach (7.2.b) the document that lifts it is needed.", "7.3")] = True
    min_wait: Annotated[
        int,
        Field(ge=0, le=30),
        Unit("working days"),
        SettingDoc(
            "Working days that have to pass before restoration; the one day of the text is read as a deadline.", "7.3.b"
        ),
    ] = 0


class Office(Section):
    """The office day."""

    closes: Annotated[
        LocalTime, SettingDoc("A term of working days ends at this time of its last day, in Ho Chi Minh City.", "7.3.b")
    ] = time(17, 30)


class Requests(Section):
    """Requests to the Centre."""

    target_days: Annotated[
        int,
        Field(ge=1, le=60),
        Unit("working days"),
        SettingDoc(
            "Working days in which a request is answered: a target of our own, the regulation has one for 7.3.b only.", "6.2"
        ),
    ] = 3


class Maintenance(Section):
    """Announced downtime."""

    count: Annotated[
        Literal["working_days", "hours"],
        SettingDoc("3 full working days between, the day of notice not counted, or 72 hours.", "10.3"),
    ] = "working_days"


class Window(Section):
    """A span of a working day."""

    start: Annotated[time, SettingDoc("Begins; on a full five minutes.", "12.3.a")]
    end: Annotated[time, SettingDoc("Ends; on a full five minutes.", "12.3.a")]

    @field_validator("start", "end")
    @classmethod
    def _on_five_minutes(cls, edge: time) -> time:
        """Require full five minutes: reading is recorded once per `connection.actions.OPENING_MINUTES`."""
        if edge.minute % 5 or edge.second or edge.microsecond or edge.tzinfo is not None:
            raise PydanticCustomError("window_edge", "not a full five minutes of the local day")
        return edge

    @field_validator("end")
    @classmethod
    def _after_start(cls, end: time, info: ValidationInfo) -> time:
        if "start" in info.data and end <= info.data["start"]:
            raise PydanticCustomError("window", "ends before it begins")
        return end


class Openings(Section):
    """Openings of unit mailboxes."""

    counts: Annotated[
        Literal["read", "poll"],
        SettingDoc("What is an opening: the keeper reading (SELECT, FETCH), or any poll.", "12.3.a"),
    ] = "read"
    windows: Annotated[
        tuple[Window, ...],
        Field(min_length=3),
        SettingDoc("When a unit mailbox has to be opened: start of morning, end of morning, end of afternoon.", "12.3.a"),
    ] = (
        Window(start=time(7, 30), end=time(9, 0)),
        Window(start=time(10, 30), end=time(12, 0)),
        Window(start=time(16, 0), end=time(17, 30)),
    )
    remind: Annotated[
        bool,
        SettingDoc("Once a week the keeper is told in which windows of the last week the mailbox was not opened.", "12.3.a"),
    ] = True

    @field_validator("windows")
    @classmethod
    def _in_order(cls, windows: tuple[Window, ...]) -> tuple[Window, ...]:
        if any(later.start < earlier.end for earlier, later in pairwise(windows)):
            raise PydanticCustomError("windows_overlap", "the windows are not in the order of the day, or overlap")
        return windows


class PassedOn(Section):
    """The marks for mail of a unit mailbox that was handed off to the document system."""

    keywords: Annotated[
        tuple[Keyword, ...],
        SettingDoc("Message keywords (tags) that say so; upper and lower case are alike.", "12.3.c"),
    ] = ("$PassedOn", "PassedOn")
    folder: Annotated[
        str,
        StringConstraints(strip_whitespace=True, max_length=200),
        SettingDoc("A folder that says so too, with those below it: for programs without tags; empty: none.", "12.3.c"),
    ] = "Đã chuyển QLVB"
    days: Annotated[
        int,
        Field(ge=0, le=30),
        Unit("working days"),
        SettingDoc("Working days after receipt by whose end it has to be passed on; our reading of 'without delay'.", "12.3.c"),
    ] = 1
    remind: Annotated[bool, SettingDoc("Once a week the unit mailbox is told what is overdue in it.", "12.3.c")] = True


class UnitMailboxes(Section):
    """Unit mailboxes."""

    openings: Annotated[Openings, SettingDoc("Openings.", "12.3.a")] = Openings()
    passed_on: Annotated[PassedOn, SettingDoc("What is passed on to the document system.", "12.3.c")] = PassedOn()
    term_warn_days: Annotated[
        WarnDays,
        Distinct,
        SettingDoc(
            "The unit and the Centre are warned this many days before a keeper's term ends with nobody to follow.", "12.3.d"
        ),
    ] = (30, 14, 7, 1)


class Reply(Section):
    """Mail that waits for an answer."""

    addressed: Annotated[
        Literal["to", "to_and_cc"], SettingDoc("Who owes an answer: recipients in To, or also in Cc.", "12.4")
    ] = "to"
    skip_bulk: Annotated[bool, SettingDoc("Bulk and automatic mail needs no answer.", "12.4")] = True
    own_unit: Annotated[bool, SettingDoc("Mail of the own unit counts.", "12.4")] = True


class Census(Section):
    """The list of the people who use mailboxes."""

    months: Annotated[
        tuple[Annotated[int, Field(ge=1, le=12), Unit("months")], ...],
        Field(min_length=1),
        Distinct,
        Rising,
        SettingDoc("A period begins with each of these months; the list is due by the end of that month.", "14.6"),
    ] = (1, 7)


class Report(Section):
    """Reports to the leadership."""

    usage_months: Annotated[
        int,
        Field(ge=1, le=12),
        Unit("months"),
        SettingDoc("A usage report is due when the last one ended so long ago.", "16.2"),
    ] = 3


class Secrecy(Section):
    """Documents with a marking of secrecy."""

    inbound: Annotated[
        Literal["flag", "refuse"], SettingDoc("Marked mail from outside is accepted and flagged, or refused.", "4.1")
    ] = "flag"
    unreadable: Annotated[
        Literal["accept", "refuse"],
        SettingDoc(
            "What is sent and cannot be looked into (encrypted, damaged, of an unknown format) is accepted and logged, or "
            "refused. What is beyond the bounds below is always refused; what could not be read in time is to be sent again.",
            "4.1",
        ),
    ] = "accept"
    hold: Annotated[
        Seconds,
        Field(ge=0, le=366 * DAY),
        SettingDoc("How long a refused message is kept so that two people can release it; 0: not at all.", "4.1"),
    ] = 30 * DAY
    hold_space: Annotated[
        Octets,
        Field(ge=0, le=1 << 50),
        SettingDoc("Room for refused messages; beyond it they are refused and not kept.", "4.1"),
    ] = 2 * GIB
    seconds: Annotated[
        Seconds,
        Field(ge=0.5, le=60),
        SettingDoc("Processor time for one message, once it is its turn; by the clock at most twice that and a second.", "4.1"),
    ] = 5.0
    memory: Annotated[
        Octets, Field(ge=256 * MIB, le=16 * GIB), SettingDoc("Address space of a process that reads documents.", "4.1")
    ] = 512 * MIB
    unpacked: Annotated[
        Octets, Field(ge=MIB, le=16 * GIB), SettingDoc("How much the documents of one message may unpack to.", "4.1")
    ] = 256 * MIB
    depth: Annotated[
        int, Field(ge=1, le=20), Unit("levels"), SettingDoc("Documents within documents that are opened.", "4.1")
    ] = 5
    parts: Annotated[
        int, Field(ge=10, le=100_000), Unit("parts"), SettingDoc("Parts of one message that are opened.", "4.1")
    ] = 1_000
    readers: Annotated[
        int,
        Field(ge=1, le=16),
        Unit("processes"),
        SettingDoc(
            "Processes per worker that read documents, while there are any: so many for mail from inside, and so many for mail "
            "from outside.",
            "4.1",
            reload=False,
        ),
    ] = 1


class Content(Section):
    """Access to the content of another person's mailbox."""

    expires_after: Annotated[
        Seconds,
        Field(ge=HOUR, le=30 * DAY),
        SettingDoc("How long an approval holds by which the content of a mailbox may be exported.", "4.3"),
    ] = 3 * DAY


class Regulation(Section):
    """The decision that binds this server."""

    decision_no: Annotated[str, SettingDoc("Number of the decision; texts leave it out while it is empty.")] = ""
    issued_on: Annotated[
        date | None, SettingDoc("Date of the decision; the address rules do not bind mailboxes that are older.", "5.5")
    ] = None
    ministry: Annotated[str, SettingDoc("The superior body, in the head of reports and minutes.")] = (
        "Bộ Thông tin và Truyền thông"
    )
    centre: Annotated[str, SettingDoc("The operator, in the head of reports and minutes.")] = "Trung tâm Thông tin"
    place: Annotated[str, SettingDoc("The place, in the head of reports and minutes.")] = "Hà Nội"
    support: Annotated[
        MailboxName,
        SettingDoc("Where people turn to: an address, or a local part of server.domain.", "6.2"),
    ] = "support"
    password_page: Annotated[
        PageName | None,
        SettingDoc(
            "Address of the page where people change their password; the server's own where its https door is open.", "7.3.c"
        ),
    ] = None
