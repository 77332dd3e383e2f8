"""Evidence from the mail log and the queues: 3.3, 4.2, 8.1, 9.1, 10.2, 12.1, 12.2, 14.2, 15.3, 15.5.

Today's figures come from one pass over the log (`log.counters`); of this month only the rare events are searched, by
the index.
"""

from datetime import datetime
from itertools import islice

from mic_mail.clock import instant_of
from mic_mail.errors import Text
from mic_mail.i18n import dates
from mic_mail.log.query import Query
from mic_mail.log.search import Search
from mic_mail.policy.calendar import local_day, start_of
from mic_mail.policy.facts import MailboxKind
from mic_mail.queue import spool
from mic_mail.queue.queue import Entry, Queue
from mic_mail.queue.recipient_log import Hold
from mic_mail.services.authentication.decision_cache import KEPT_BACK
from mic_mail.services.compliance.finding import Evidence, Finding, Office

LOOKED_AT = 2000
"""The oldest entries of a long queue that are read, to stay quick; 200 us each."""
_STOPPED = ("delivery_dropped", "message_dropped")
_REFUSED = ("message_refused", "recipient_refused")


def waiting(office: Office) -> Evidence:
    """Yield messages that are accepted and not yet in every mailbox (Reg. 4.2)."""
    ids = spool.waiting(office.config.spool_dir)
    slips = (spool.read_envelope(office.config.spool_dir, each) for each in islice(ids, LOOKED_AT))
    oldest = min((slip.accepted_at_us for slip in slips if slip is not None), default=None)
    since = _since(None if oldest is None else instant_of(oldest))
    what = Text(f"thư chờ vào hộp thư{since.vi}", f"messages that wait for a mailbox{since.en}")
    yield "4.2", Finding(what, len(ids))


def leaving(office: Office) -> Evidence:
    """Yield messages for other domains: queued, held, unreadable (Reg. 4.2)."""
    queue = Queue(office.config.queue_dir)
    try:
        ids = queue.names()
        looked = [queue.look_at(each) for each in islice(ids, LOOKED_AT)]
    finally:
        queue.close()
    entries = [each for each in looked if isinstance(each, Entry)]
    oldest = min((entry.envelope.accepted_at_us for entry in entries), default=None)
    since = _since(None if oldest is None else instant_of(oldest))
    what = Text(f"thư chờ gửi ra tên miền khác{since.vi}", f"messages that wait for other domains{since.en}")
    yield "4.2", Finding(what, len(ids))
    among = Text(f" (trong {LOOKED_AT} thư cũ nhất)", f" (of the oldest {LOOKED_AT})") if len(ids) > LOOKED_AT else Text("", "")
    held = sum(_is_held(office, entry) for entry in entries)
    yield "4.2", Finding(Text(f"trong đó bị giữ lại{among.vi}", f"of these held{among.en}"), held)
    damaged = sum(each is not None for each in looked) - len(entries)
    if damaged:
        what = Text(f"thư trong hàng đợi không đọc được{among.vi}", f"queued messages that cannot be read{among.en}")
        yield "4.2", Finding(what, damaged, overdue=True)


def _is_held(office: Office, entry: Entry) -> bool:
    """Return whether an entry is held by a person, or by the state of the sending mailbox."""
    if entry.state.hold is not Hold.NO:
        return True
    mailbox = entry.envelope.submitted_by
    if not mailbox:
        return False
    decision = office.decisions.get(mailbox)
    return decision is None or bool(decision.states & KEPT_BACK)


def mail(office: Office) -> Evidence:
    """Yield messages sent, delivered, refused and reported."""
    events, senders = office.today.events, office.today.senders
    told = Text("báo cáo gửi cho người gửi hôm nay", "reports to senders today")
    yield "4.2", Finding(told, events["report_sent"])
    refused = Text("lần từ chối thư, người nhận hôm nay", "messages and recipients refused today")
    yield "4.2", Finding(refused, sum(events[name] for name in _REFUSED))
    stopped = Text("lần Trung tâm dừng gửi hôm nay", "deliveries that the Centre stopped today")
    yield "4.2", Finding(stopped, sum(events[name] for name in _STOPPED))
    whole = Text(
        "thư vào hộp thư hôm nay; không có số liệu về sửa nội dung: chương trình không có chức năng đó",
        "messages put into mailboxes today; no count of changed ones: nothing in the program changes a body",
    )
    yield "9.1", Finding(whole, events["message_delivered"])
    sent = Text("thư người dùng gửi hôm nay", "messages sent by users today")
    for clause in ("3.3", "12.1"):
        yield clause, Finding(sent, senders.total())
    of_units = {entry.address for entry in office.snapshot if entry.kind is MailboxKind.UNIT}
    by_units = sum(count for address, count in senders.items() if address in of_units)
    yield "12.2", Finding(Text("thư gửi từ hộp thư đơn vị hôm nay", "messages sent from unit mailboxes today"), by_units)


def sign_ins(office: Office) -> Evidence:
    """Yield sign-ins by protocol."""
    today = office.today
    for name, doors in (("IMAP", "imap"), ("POP3", "pop3"), ("SMTP", "submission")):
        count = sum(times for door, times in today.doors.items() if door.startswith(doors))
        what = Text(f"lần đăng nhập qua {name} hôm nay", f"sign-ins by {name} today")
        yield "8.1", Finding(what, count)
        if doors == "pop3":
            yield "15.3", Finding(what, count)
    yield "14.2", Finding(Text("lần đăng nhập hôm nay", "sign-ins today"), today.doors.total())
    yield "14.2", Finding(Text("trong đó không mã hóa", "of these without TLS"), today.in_the_clear)


def judged(office: Office) -> Evidence:
    """Yield today's results of the checks of mail from other servers (Reg. 10.2, 15.5)."""
    counts = office.today.judged
    for action, what in {
        "refused": Text(
            "thư từ bên ngoài bị từ chối khi kiểm tra hôm nay", "messages from outside refused by the checks today"
        ),
        "junk": Text("thư từ bên ngoài vào Junk hôm nay", "messages from outside put into Junk today"),
    }.items():
        for clause in ("10.2", "15.5"):
            yield clause, Finding(what, counts[action])
    if not office.config.inbound.authenticate:
        what = Text("không kiểm tra nguồn gốc thư (inbound.authenticate)", "nobody asks whose mail is (inbound.authenticate)")
        yield "10.2", Finding(what)


def malware(office: Office) -> Evidence:
    """Yield messages that the malware scanner refused since the first of the month (Reg. 15.5)."""
    first = start_of(local_day(office.now).replace(day=1))
    search = Search(office.config.log_dir)
    names = {
        "malware_refused": Text("thư có mã độc bị từ chối tháng này", "messages with malware refused this month"),
        "message_not_scanned": Text("thư chưa quét được mã độc tháng này", "messages that were not scanned this month"),
    }
    for event, what in names.items():
        found = [at for at, _ in search.each(Query(event=event, since_us=int(first.timestamp() * 1_000_000)))]
        yield "15.5", Finding(what, len(found), instant_of(max(found)) if found else None)
    if not office.config.malware.clamd:
        what = Text("không có máy quét mã độc (malware.clamd)", "no scanner is set (malware.clamd)")
        yield "15.5", Finding(what)


def _since(oldest: datetime | None) -> Text:
    if oldest is None:
        return Text("", "")
    at = dates.short(oldest)
    return Text(f", cũ nhất từ {at}", f", the oldest since {at}")
