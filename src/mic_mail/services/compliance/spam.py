"""Evidence of the spam filter and the quarantine: clauses 4.2, 10.2, 15.5."""

from datetime import datetime

from mic_mail.clock import instant_of
from mic_mail.errors import Text
from mic_mail.log.query import Query
from mic_mail.log.search import Search
from mic_mail.policy.calendar import local_day, start_of
from mic_mail.quarantine.quarantine import Quarantine, Record, State
from mic_mail.services.compliance.finding import Evidence, Finding, Office

_ENDS = {
    State.DELIVERED: Text("thư được cho chuyển, bỏ cách ly", "quarantined messages that were released"),
    State.DROPPED: Text("thư cách ly bị hủy", "quarantined messages that were dropped"),
    State.EXPIRED: Text("thư cách ly hết hạn giữ", "quarantined messages that expired"),
}


def quarantine(office: Office) -> Evidence:
    """Yield quarantined messages, whether recipients were notified, and the recent results."""
    records = list(Quarantine(office.config.quarantine_dir).records())
    held = [record for record in records if record.state is State.HELD]
    yield "4.2", Finding(Text("thư đang cách ly", "messages in quarantine"), len(held), _last(held))
    untold = sum(not record.told for record in held)
    if untold and office.config.quarantine.digest:
        yield "4.2", Finding(Text("trong đó chưa báo người nhận", "of these not told to anybody yet"), untold)
    for state, what in _ENDS.items():
        ended = [record for record in records if record.state is state]
        yield "15.5", Finding(what, len(ended), _last(ended))


def learning(office: Office) -> Evidence:
    """Yield people's spam reports since the first of the month (Reg. 15.5)."""
    if not office.config.rspamd.url:
        yield "10.2", Finding(Text("chưa đặt bộ lọc thư rác (rspamd.url)", "no filter against spam is set (rspamd.url)"), None)
    if not office.config.rspamd.controller:
        what = Text("bộ lọc không được dạy từ Junk (rspamd.controller)", "nothing learns from Junk (rspamd.controller)")
        yield "15.5", Finding(what, None)
        return
    first = start_of(local_day(office.now).replace(day=1))
    query = Query(event="message_taught", since_us=int(first.timestamp() * 1_000_000))
    found = [at for at, _ in Search(office.config.log_dir).each(query)]
    what = Text("thư dùng để dạy bộ lọc tháng này", "messages that taught the filter this month")
    yield "15.5", Finding(what, len(found), instant_of(max(found)) if found else None)


def _last(records: list[Record]) -> datetime | None:
    return instant_of(max(record.at_us for record in records)) if records else None
