"""Notices of the Centre (`i18n.notices`): composed as messages and delivered to a mailbox.

A notice is one message in INBOX, Vietnamese with English below, published past the quota: a full mailbox must not refuse
the warning about it. Blocking; executors and commands only.

The message is marked as automatic and has no return address, so that nothing replies to it: Return-Path `<>`,
Auto-Submitted (RFC 3834 §5), and X-Auto-Response-Suppress, for Outlook and Exchange. One text part: every mail program
shows it, and it stays readable when forwarded or printed.

Each notice has an origin key, so one that is requested twice is delivered once. Quota warnings come once per crossing:
the level of the last warning is stored in `<data_dir>/notices/<mailbox id>` with the crossing's number, and falls only
when usage is HYSTERESIS points below it, so that one mail in and one out is no crossing.
"""

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.errors import Text, as_written
from mic_mail.i18n import dates, messages
from mic_mail.i18n.notices import mailbox as letters
from mic_mail.i18n.notices.notice import NoticeText
from mic_mail.ids import trace_id
from mic_mail.mailbox_address import MailboxAddress
from mic_mail.mime.compose import Attachment, Mailbox, bilingual, compose
from mic_mail.mime.imap_structure import answers_of
from mic_mail.policy.facts import MailboxKind
from mic_mail.storage.delivery import Delivery
from mic_mail.storage.mailstore import MailStore
from mic_mail.storage.types import INBOX, Published

FOLDER = "notices"
RETURN_PATH = b"Return-Path: <>\r\n"
HYSTERESIS = 2
"""Percentage points below a level before it may be warned of again."""


WELCOMES = {
    MailboxKind.PERSONAL: letters.welcome,
    MailboxKind.UNIT: letters.welcome_unit,
    MailboxKind.GROUP: letters.welcome_group,
}


class Addressee(Protocol):
    """The mailbox properties that a notice needs; directory entries and records have this shape."""

    @property
    def mailbox_id(self) -> int: ...
    @property
    def kind(self) -> MailboxKind: ...
    @property
    def address(self) -> str: ...
    @property
    def home(self) -> str: ...
    @property
    def display_name(self) -> str: ...
    @property
    def quota_octets(self) -> int: ...


def level_of(percent: float, levels: Sequence[int], warned: int) -> int:
    """Return the usage level, given the last warned one: it rises immediately, and falls with hysteresis."""
    reached = max((level for level in levels if percent >= level), default=0)
    held = max((level for level in levels if level <= warned and percent >= level - HYSTERESIS), default=0)
    return max(reached, held)


@dataclass(frozen=True, slots=True)
class Warned:
    """The level of a mailbox since `at`; 0 %: it has fallen below all of them."""

    percent: int
    at: datetime


def warned_levels(data_dir: Path) -> Mapping[int, Warned]:
    """Return the level of each mailbox that was ever warned (Reg. 8.3.c); an invalid file is skipped."""
    found: dict[int, Warned] = {}
    with contextlib.suppress(FileNotFoundError), os.scandir(data_dir / FOLDER) as files:
        for file in files:
            if file.name.isascii() and file.name.isdigit():
                with contextlib.suppress(OSError, ValueError):
                    level, _ = Path(file.path).read_text().split()
                    found[int(file.name)] = Warned(int(level), datetime.fromtimestamp(file.stat().st_mtime, UTC))
    return found


class Notices:
    """The notices of one process; safe from several threads."""

    def __init__(self, store: MailStore, config: Config, clock: Clock) -> None:
        self._store = store
        self._config = config
        self._clock = clock
        self._folder = config.server.data_dir / FOLDER
        self._warned: dict[int, int] = {}

    def welcome(self, mailbox: Addressee) -> Published:
        """Send the welcome notice (Reg. 5.1, 5.2, 6.4.a), once in the life of a mailbox."""
        page = self._config.password_page
        change = letters.change_at_page(page) if page else letters.change_at_centre(self._config.support)
        letter = WELCOMES[mailbox.kind](mailbox.address, change)
        return self.deliver(mailbox, letter, origin=f"welcome:{mailbox.mailbox_id}")

    @property
    def renew(self) -> Text:
        """The instructions to change an expiring password."""
        return letters.renew_at(self._config.password_page or self._config.support)

    def usage(self, mailbox: Addressee, used_octets: int) -> Published | None:
        """Check the usage after a change; warn if it crossed a level upwards (Reg. 8.3.c).

        On the path of every delivery: a dictionary and an integer division unless the level moved.
        """
        percent = 100 * used_octets / mailbox.quota_octets
        levels = self._config.quota.warn_percent
        warned = self._warned.get(mailbox.mailbox_id)
        if warned is not None and level_of(percent, levels, warned) == warned:
            return None
        return self._level_moved(mailbox, percent, levels)

    def _level_moved(self, mailbox: Addressee, percent: float, levels: Sequence[int]) -> Published | None:
        warned, crossing = self._remembered(mailbox.mailbox_id)
        level = level_of(percent, levels, warned)
        notice = None
        if level > warned:
            # Two workers that see the same crossing make the same key, and the store accepts one.
            origin = f"quota:{mailbox.mailbox_id}:{crossing + 1}:{level}"
            notice = self.deliver(mailbox, letters.quota(int(percent), mailbox.quota_octets), origin=origin)
        if level != warned:
            self._remember(mailbox.mailbox_id, level, crossing + 1)
        self._warned[mailbox.mailbox_id] = level
        return notice

    def _remembered(self, mailbox_id: int) -> tuple[int, int]:
        """Return the level last warned of and the number of the crossing."""
        with contextlib.suppress(OSError, ValueError):
            level, crossing = (self._folder / str(mailbox_id)).read_text().split()
            return int(level), int(crossing)
        return 0, 0

    def _remember(self, mailbox_id: int, level: int, crossing: int) -> None:
        self._folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        path = self._folder / str(mailbox_id)
        fresh = Path(f"{path}.{os.getpid()}.{trace_id(self._clock.steady_us())}")
        fresh.write_text(f"{level} {crossing}\n")
        fresh.replace(path)

    def deliver(self, mailbox: Addressee, letter: NoticeText, *, origin: str, in_reply_to: str | None = None) -> Published:
        """Deliver one notice into INBOX past the quota; a second one of the same `origin` is dropped."""
        message = self.compose(
            mailbox.display_name, MailboxAddress.parse(mailbox.address), letter, kind=mailbox.kind, in_reply_to=in_reply_to
        )
        return self.put(mailbox, message, origin=origin)

    def put(self, mailbox: Addressee, message: bytes, *, origin: str) -> Published:
        """Deliver a composed message into INBOX past the quota, once per `origin`."""
        account = self._store.account_of(mailbox)
        staged = account.stage()
        try:
            staged.write(message)
            staged.finish()
            delivery = Delivery(staged, answers_of(message), received_at_us=self._clock.steady_us(), origin=origin)
            return account.publish(account.folder(INBOX).folder_id, [delivery])[0]
        finally:
            staged.discard()

    def compose(
        self,
        name: str,
        address: MailboxAddress,
        letter: NoticeText,
        *,
        kind: MailboxKind | None = None,
        in_reply_to: str | None = None,
        report: Sequence[Attachment] = (),
    ) -> bytes:
        """Compose the message of a notice to `name <address>`.

        `kind`: of the mailbox, None: not ours; `in_reply_to`: the Message-ID that it answers; `report`: the
        machine-readable parts of a delivery report (RFC 6522).
        """
        centre, support = messages.CENTRE, self._config.support
        to = f"Ông/Bà {name}" if kind is MailboxKind.PERSONAL else name
        message = compose(
            sender=Mailbox(centre.vi, MailboxAddress.parse(support)),
            to=[Mailbox(name, address)],
            subject=f"{letter.subject.vi} / {as_written(letter.subject.en)}",
            text=bilingual(
                f"Kính gửi: {to}\n\n{letter.body.vi}\n\nMọi vướng mắc đề nghị liên hệ {support}.\n\n{centre.vi}",
                f"Dear {name},\n\n{as_written(letter.body.en)}\n\nFor help, please write to {support}.\n\n{centre.en}",
            ),
            date=dates.local(self._clock.steady_now()),
            message_id=f"{trace_id(self._clock.steady_us())}@{self._config.server.hostname}",
            in_reply_to=in_reply_to,
            auto_submitted="auto-replied" if report else "auto-generated",
            attachments=report,
            report_type="delivery-status" if report else None,
            extra=[("X-Auto-Response-Suppress", "All"), ("Content-Language", "vi, en")],
        )
        return RETURN_PATH + message
