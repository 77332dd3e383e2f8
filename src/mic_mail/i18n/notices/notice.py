"""What a notice is: a row of the catalogue that can be called for its letter.

In: typed parameters. Out: a `NoticeText`, subject and body in Vietnamese (NFC, as official letters are worded) and English
(ASCII). Never here: who gets it, when, and how it becomes a message (`services.notifications.notices`). Pure.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Generic, ParamSpec

from mic_mail.errors import Text
from mic_mail.i18n import dates

P = ParamSpec("P")


class Reader(StrEnum):
    """Whom a notice is written to."""

    OWNER = "owner"
    """Into the mailbox that it is about; also to its unit while nobody can sign in there."""
    UNIT = "unit"
    """Into the mailbox of the unit that manages it; where there is none, the Centre's."""
    CENTRE = "centre"
    """Into the help desk's mailbox."""


READERS: Mapping[Reader, Text] = {
    Reader.OWNER: Text("chủ hộp thư", "the mailbox's owner"),
    Reader.UNIT: Text("đơn vị quản lý", "the managing unit"),
    Reader.CENTRE: Text("Trung tâm Thông tin", "the Information Centre"),
}


@dataclass(frozen=True, slots=True)
class NoticeText:
    """What a notice says this time; salutation and signature come with the message."""

    subject: Text
    body: Text

    def sent_late(self, since: datetime) -> "NoticeText":
        """Return the letter with a last paragraph that says that it is late, and since when what it tells of has held."""
        when = dates.instant(since)
        return NoticeText(
            self.subject,
            Text(
                f"{self.body.vi}\n\nThông báo này được gửi chậm; nội dung trên có hiệu lực từ {when.vi}.",
                f"{self.body.en}\n\nThis notice is sent late; what it says has held since {when.en}.",
            ),
        )


@dataclass(frozen=True)
class Notice(Generic[P]):
    """One row: call it with its parameters for the letter."""

    name: str
    clause: str
    """By which it is written; a letter may name a point of it."""
    reader: Reader
    write: Callable[P, NoticeText]
    samples: Mapping[str, object]
    """Parameters for a preview and for tests."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> NoticeText:
        return self.write(*args, **kwargs)

    @property
    def means(self) -> str:
        """When it is sent."""
        return (self.write.__doc__ or "").strip()

    def sample(self) -> NoticeText:
        """The letter that the samples make."""
        return self.write(**self.samples)  # type: ignore[call-arg,arg-type]  # a test holds the samples to the signature


def notice(clause: str, reader: Reader, **samples: object) -> Callable[[Callable[P, NoticeText]], Notice[P]]:
    """Make a row of the function below; its name is the notice's, its docstring says when it is sent."""
    return lambda write: Notice(write.__name__, clause, reader, write, samples)
