"""The daily reminder of overdue requests to the Centre, on working days (Reg. 6.2, 7.3.b).

In: the register and the calendar. Out: at most one notice a day in the mailbox of `regulation.support`, under a key of
the day: a kill, a restart or a second run sends no second. Blocking; the housekeeper's.
"""

from mic_mail.clock import HO_CHI_MINH, Clock
from mic_mail.config.model import Config
from mic_mail.directory.repository import Directory
from mic_mail.directory.snapshot import Snapshot
from mic_mail.errors import Text
from mic_mail.i18n.notices import requests as texts
from mic_mail.services.notifications.notices import Notices
from mic_mail.services.requests.register import Due, Register
from mic_mail.storage.mailstore import MailStore

FROM_HOUR = 7
"""In Ho Chi Minh City: before the office opens."""
MOST_NAMED = 50


def remind(directory: Directory, store: MailStore, config: Config, clock: Clock, snapshot: Snapshot) -> bool:
    """Send the notice of the day if it is due and was not sent; return whether it was sent now."""
    now = clock.now().astimezone(HO_CHI_MINH)
    support = snapshot.resolve(config.support)
    key = f"requests-overdue:{now.date().isoformat()}"
    if support is None or now.hour < FROM_HOUR or snapshot.working_days.is_rest(now.date()) or directory.sent.known({key}):
        return False
    late = Register(directory, config, clock).overdue()
    if not late:
        return False
    lines = [_line(due) for due in late[:MOST_NAMED]]
    if len(late) > MOST_NAMED:
        lines.append(texts.and_more(len(late) - MOST_NAMED))
    Notices(store, config, clock).deliver(
        support, texts.requests_overdue(len(late), texts.listed(*lines)), origin=directory.sent.origin(key)
    )
    directory.sent.put({key}, clock.steady_now())
    return True


def _line(due: Due) -> Text:
    kind, filing = due.request.kind.label, due.request.filing
    about = Text(f"{kind.vi} {filing.subject.vi} ({filing.asker})", kind.en)
    return texts.overdue_row(due.request.request_id, about, due.at)
