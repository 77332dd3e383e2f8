"""Extract text from one message, pass it to the check of markings, and collect what could not be read.

In: texts, titles, names and nested documents, from the readers of each format. Out: `Findings`. Every reader gets the `Look`;
any exception of a reader is recorded as unread and ends that document only. No text is kept.
"""

from collections.abc import Callable

from mic_mail.mime.encoded_words import compose_letters
from mic_mail.policy.naming.confusables import as_seen
from mic_mail.policy.secrecy import markings, titles
from mic_mail.policy.secrecy.degrees import Marking, MarkingPlace
from mic_mail.policy.secrecy.prefilter import may_mark
from mic_mail.textextract.limits import Budget, CannotRead
from mic_mail.textextract.message_file import ReadFailed
from mic_mail.textextract.result import Findings, FoundMarking, Missed, Unread

Reader = Callable[["Look", bytes, str, str], None]
"""Reads one document: its octets, its name and its content type, as far as they are known."""

CHARS_A_STEP = 16
"""Characters of a searched text that count as one step."""
_MOST_NOTED = 50
"""Most items recorded of each kind: they are for a log line, not for all parts of an archive."""


class Look:
    """The examination of one message, shared by all its parts."""

    def __init__(self, budget: Budget, open_document: Reader) -> None:
        self.budget = budget
        self._open = open_document
        self._found: dict[FoundMarking, None] = {}
        self._missed: dict[Missed, None] = {}
        self._depth = 0
        self.format = "message"

    @property
    def findings(self) -> Findings:
        return Findings(tuple(self._found), tuple(self._missed))

    # ------------------------------------------------------------ called by readers

    def text(self, text: str, *, margin: bool = False) -> None:
        """Check a text line by line, in any Unicode form."""
        self.budget.take_work(len(text) // CHARS_A_STEP)
        if may_mark(text):
            self.budget.take_work(text.count("\n"))
            seen = compose_letters(as_seen(text))
            self.budget.take_hints(markings.hints_in(seen, self.budget.bounds.hints + 1))
            self._note(markings.in_text(seen, margin=margin))

    def title(self, text: str, place: MarkingPlace = MarkingPlace.TITLE) -> None:
        """Check a subject, a title or the name of a sheet."""
        self._note(titles.in_title(compose_letters(as_seen(text[: titles.MAX_TITLE])), place))

    def name(self, name: str) -> None:
        """Check the name of a file."""
        self._note(titles.in_file_name(compose_letters(as_seen(name[: titles.MAX_TITLE]))))

    def document(self, content: bytes, name: str = "", kind: str = "") -> None:
        """Read a nested document: an attachment, a member of an archive, an embedded object."""
        self.guarded(lambda: self._open(self, content, name, kind))

    def guarded(self, read: Callable[[], None]) -> None:
        """Call `read` for one document; whatever it raises ends this document only."""
        outer = self.format
        self._depth += 1
        try:
            if self._depth > self.budget.bounds.depth:
                raise CannotRead(Unread.OVER_BOUNDS)
            self.budget.take_part()
            read()
        except ReadFailed:
            raise
        except CannotRead as error:
            self.missed(error.reason)
        except (RecursionError, MemoryError):
            self.missed(Unread.OVER_BOUNDS)
        except Exception:  # noqa: BLE001 - a reader's defect, or a document made to exploit one: this one is unread
            self.missed(Unread.DAMAGED)
        finally:
            self._depth -= 1
            self.format = outer

    def missed(self, reason: Unread) -> None:
        """Record that this document, or the rest of it, was not read."""
        if len(self._missed) < _MOST_NOTED:
            self._missed.setdefault(Missed(reason, self.format))

    def _note(self, marking: Marking | None) -> None:
        if marking is not None and len(self._found) < _MOST_NOTED:
            self._found.setdefault(FoundMarking(marking, self.format))
