"""The type of a notice: a row of the catalogue that is called for its text.

In: typed parameters. Out: a `NoticeText`, subject and body in Vietnamese (NFC, worded as official letters are) and English
(ASCII). Never here: its recipients, when it is sent, and its conversion to a message (`services.notifications.notices`). Pure.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, ParamSpec

from mic_mail.errors import Text
from mic_mail.i18n import dates
from mic_mail.i18n.labels import LabelledEnum

P = ParamSpec("P")


class Reader(LabelledEnum):
    """The readers of a notice."""

    OWNER = "owner", "chủ hộp thư", "the mailbox's owner"
    """The mailbox that it is about; also its unit while nobody can sign in there."""
    UNIT = "unit", "đơn vị quản lý", "the managing unit"
    """The mailbox of the unit that manages it, or the Centre's if there is none."""
    CENTRE = "centre", "Trung tâm Thông tin", "the Information Centre"
    """The help desk's mailbox."""


@dataclass(frozen=True, slots=True)
class NoticeText:
    """The text of a notice with its values; salutation and signature come with the message."""

    subject: Text
    body: Text

    def sent_late(self, since: datetime) -> "NoticeText":
        """Return the text with a last paragraph: it is sent late, and since when its content has held."""
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
    """One row; call it with its parameters for the text."""

    name: str
    clause: str
    """The clause by which it is written; the text may name a point of it."""
    reader: Reader
    write: Callable[P, NoticeText]
    samples: Mapping[str, object]
    """Parameters for a preview and for tests."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> NoticeText:
        return self.write(*args, **kwargs)

    @property
    def means(self) -> str:
        """The occasion on which it is sent."""
        return (self.write.__doc__ or "").strip()

    def sample(self) -> NoticeText:
        return self.write(**self.samples)  # type: ignore[call-arg,arg-type]  # a test checks the samples against the signature


def notice(clause: str, reader: Reader, **samples: object) -> Callable[[Callable[P, NoticeText]], Notice[P]]:
    """Make a row of the decorated function.

    The function's name is the notice's; its docstring, which administrators read, says when it is sent.
    """
    return lambda write: Notice(write.__name__, clause, reader, write, samples)
