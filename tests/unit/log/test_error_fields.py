"""What the log says of an error."""

import json
from datetime import UTC, datetime
from pathlib import Path

from mic_mail.clock import ManualClock
from mic_mail.errors import Text, Trouble, in_ascii
from mic_mail.log.error_fields import described, failure
from mic_mail.log.maillog import HIDDEN, MailLog
from mic_mail.storage.errors import DiskFull


def logged(tmp_path: Path, error: BaseException) -> dict[str, object]:
    """The event as it stands in the log."""
    log = MailLog(tmp_path, "test", clock=ManualClock(datetime(2026, 11, 24, 9, 0, tzinfo=UTC)), threaded=False)
    log.event("duty_failed", duty="rounds", **failure(error))
    log.close()
    (segment,) = tmp_path.glob("*.jsonl")
    event: dict[str, object] = json.loads(segment.read_text().splitlines()[0])
    return event


def deeply_below(calls: int) -> None:
    if calls:
        try:
            deeply_below(calls - 1)
        except KeyError as error:
            raise KeyError("x" * 100) from error
    else:
        raise KeyError("folder")


def test_of_a_defect_the_log_has_the_line_however_long_the_way_there(tmp_path: Path) -> None:
    """A field has an end, and what raised it stands at the end of a traceback."""
    try:
        deeply_below(20)
    except KeyError as error:
        event = logged(tmp_path, error)
    where = str(event["where"])
    assert where.endswith(f"KeyError: '{'x' * 100}'\n")
    assert 'raise KeyError("x" * 100) from error' in where
    assert HIDDEN not in where
    assert event["error"] == f"KeyError('{'x' * 100}')"


def test_this_programs_own_errors_are_told_in_both_languages() -> None:
    """With the detail that the machine gave; what a library says stays as it is."""
    assert described(DiskFull("mail: /srv/thư: ENOSPC")) == Text(
        f"{DiskFull.TOLD.vi} (mail: /srv/thư: ENOSPC)", f"{DiskFull.TOLD.en} ({in_ascii('mail: /srv/thư: ENOSPC')})"
    )
    assert described(Trouble(Text("Bận.", "Busy."))) == Text("Bận.", "Busy.")
    assert described(KeyError("x")) == "'x'"
    assert described(TimeoutError()) == "TimeoutError"


def test_what_explains_itself_needs_no_line(tmp_path: Path) -> None:
    """What the program raises on purpose, and what the system says."""
    trouble = Trouble(Text("Hộp thư đang bận.", "The mailbox is busy."))
    for error, told in (
        (trouble, {"vi": "Hộp thư đang bận.", "en": "The mailbox is busy."}),
        (OSError(28, "No space"), "[Errno 28] No space"),
        (OSError(), "OSError"),
    ):
        folder = tmp_path / f"{type(error).__name__}{error.args}"
        folder.mkdir()
        event = logged(folder, error)
        assert (event["error"], event.get("where")) == (told, None)
