"""Evidence from the queues and the mail log of today, which is read once (`log.counters`)."""

from collections.abc import Iterator
from contextlib import closing

from mic_mail.clock import instant_of
from mic_mail.errors import Text
from mic_mail.i18n import dates
from mic_mail.policy.facts import MailboxKind
from mic_mail.queue.queue import QueueEntry
from mic_mail.services.authentication.decision_cache import KEPT_BACK
from mic_mail.services.compliance.finding import Finding, Records, evidence
from mic_mail.services.mail_store import open_queue, open_spool

LOOKED_AT = 2000
"""The oldest entries of a long queue that are read, to stay quick; 200 us each."""
_STOPPED = ("delivery_dropped", "message_dropped")
_REFUSED = ("message_refused", "recipient_refused")


@evidence("4.2")
def waiting(records: Records) -> Iterator[Finding]:
    with closing(open_spool(records.config)) as spool:
        ids = spool.names()
        envelopes = [spool.read(each) for each in ids[:LOOKED_AT]]
    oldest = min((envelope.accepted_at_us for envelope in envelopes if envelope is not None), default=None)
    since = _since(oldest)
    what = Text(f"thư chờ vào hộp thư{since.vi}", f"messages waiting for a mailbox{since.en}")
    yield Finding(what, len(ids))


@evidence("4.2")
def leaving(records: Records) -> Iterator[Finding]:
    with closing(open_queue(records.config)) as queue:
        ids = queue.names()
        looked = list(queue.look_at_each(ids[:LOOKED_AT]))
    entries = [each for each in looked if isinstance(each, QueueEntry)]
    since = _since(min((entry.envelope.accepted_at_us for entry in entries), default=None))
    what = Text(f"thư chờ gửi ra tên miền khác{since.vi}", f"messages waiting for other domains{since.en}")
    yield Finding(what, len(ids))
    among = Text(f" (trong {LOOKED_AT} thư cũ nhất)", f" (of the oldest {LOOKED_AT})") if len(ids) > LOOKED_AT else Text("", "")
    held = sum(_is_held(records, entry) for entry in entries)
    yield Finding(Text(f"trong đó bị giữ lại{among.vi}", f"of these held{among.en}"), held)
    damaged = len(looked) - len(entries)
    if damaged:
        what = Text(f"thư trong hàng đợi không đọc được{among.vi}", f"queued messages that cannot be read{among.en}")
        yield Finding(what, damaged, overdue=True)


def _is_held(records: Records, entry: QueueEntry) -> bool:
    """Return whether an entry is held by a person, or by the state of the sending mailbox."""
    if entry.state.is_held:
        return True
    mailbox = entry.envelope.submitted_by
    if not mailbox:
        return False
    decision = records.decisions.get(mailbox)
    return decision is None or bool(decision.states & KEPT_BACK)


def _since(oldest_us: int | None) -> Text:
    if oldest_us is None:
        return Text("", "")
    at = dates.short(instant_of(oldest_us))
    return Text(f", cũ nhất từ {at}", f", the oldest since {at}")


@evidence("4.2")
def stopped(records: Records) -> Iterator[Finding]:
    events = records.today.events
    reports = Text("báo cáo gửi cho người gửi hôm nay", "reports to senders today")
    yield Finding(reports, events["report_sent"])
    refused = Text("lần từ chối thư, người nhận hôm nay", "messages and recipients refused today")
    yield Finding(refused, sum(events[name] for name in _REFUSED))
    dropped = Text("lần Trung tâm dừng gửi hôm nay", "deliveries stopped by the Centre today")
    yield Finding(dropped, sum(events[name] for name in _STOPPED))


@evidence("9.1")
def delivered(records: Records) -> Iterator[Finding]:
    whole = Text(
        "thư vào hộp thư hôm nay; không có số liệu về sửa nội dung: chương trình không có chức năng đó",
        "messages delivered to mailboxes today; changed ones are not counted: the server never changes a body",
    )
    yield Finding(whole, records.today.events["message_delivered"])


@evidence("3.3", "12.1")
def sent(records: Records) -> Iterator[Finding]:
    yield Finding(Text("thư người dùng gửi hôm nay", "messages sent by users today"), records.today.senders.total())


@evidence("12.2")
def sent_by_units(records: Records) -> Iterator[Finding]:
    of_units = {entry.address for entry in records.snapshot if entry.kind is MailboxKind.UNIT}
    count = sum(count for address, count in records.today.senders.items() if address in of_units)
    yield Finding(Text("thư gửi từ hộp thư đơn vị hôm nay", "messages sent from unit mailboxes today"), count)


@evidence("8.1")
def sign_ins(records: Records) -> Iterator[Finding]:
    yield _sign_ins(records, "IMAP", "imap")
    yield _sign_ins(records, "POP3", "pop3")
    yield _sign_ins(records, "SMTP", "submission")


@evidence("15.3")
def pop3_sign_ins(records: Records) -> Iterator[Finding]:
    yield _sign_ins(records, "POP3", "pop3")


def _sign_ins(records: Records, protocol: str, listeners: str) -> Finding:
    count = sum(times for door, times in records.today.doors.items() if door.startswith(listeners))
    return Finding(Text(f"lần đăng nhập qua {protocol} hôm nay", f"sign-ins by {protocol} today"), count)


@evidence("14.2")
def encrypted_sign_ins(records: Records) -> Iterator[Finding]:
    yield Finding(Text("lần đăng nhập hôm nay", "sign-ins today"), records.today.doors.total())
    yield Finding(Text("trong đó không mã hóa", "of these without TLS"), records.today.in_the_clear)
