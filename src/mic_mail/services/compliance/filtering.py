"""Evidence of the checks of messages: secrecy markings, origin, malware, spam filter and quarantine."""

from collections.abc import Iterator
from contextlib import closing

from mic_mail.clock import instant_of
from mic_mail.errors import Text
from mic_mail.log.query import Query
from mic_mail.log.search import LogSearch
from mic_mail.policy.calendar import local_day, start_of
from mic_mail.quarantine import held_messages
from mic_mail.quarantine.quarantine import QuarantineState
from mic_mail.quarantine.unread_messages import UnreadMessages
from mic_mail.services.compliance.finding import Finding, Records, dated, evidence
from mic_mail.services.mail_store import open_held, open_quarantine


@evidence("4.1")
def marked(records: Records) -> Iterator[Finding]:
    stages = held_messages.HeldState
    with closing(open_held(records.config)) as held:
        messages = list(held.records())

    def counted(what: Text, *states: held_messages.HeldState, overdue: bool = False) -> Finding:
        return dated(what, [instant_of(record.at_us) for record in messages if record.state in states], overdue=overdue)

    yield counted(Text("thư bị từ chối đang giữ", "refused messages held"), *held_messages.OPEN)
    yield counted(Text("thư được hai người cho chuyển", "messages that two people released"), stages.RELEASED, stages.SUBMITTED)
    yield counted(Text("thư đến có dấu độ mật", "marked messages from outside"), stages.FLAGGED)
    if any(record.state is stages.ASKED for record in messages):
        what = Text("đề nghị chờ người thứ hai", "requests that wait for a second person")
        yield counted(what, stages.ASKED, overdue=True)
    if damaged := UnreadMessages(records.config.unread_dir).damaged():
        what = Text("thư đến chưa kiểm tra được, hồ sơ hỏng", "messages from outside with a damaged record, not inspected")
        yield Finding(what, damaged, overdue=True)


@evidence("10.2", "15.5")
def judged(records: Records) -> Iterator[Finding]:
    counts = records.today.judged
    refused = Text("thư từ bên ngoài bị từ chối khi kiểm tra hôm nay", "messages from outside refused by the checks today")
    yield Finding(refused, counts["refused"])
    junk = Text("thư từ bên ngoài vào Junk hôm nay", "messages from outside filed as Junk today")
    yield Finding(junk, counts["junk"])


@evidence("10.2")
def unset_checks(records: Records) -> Iterator[Finding]:
    if not records.config.inbound.authenticate:
        what = Text(
            "không kiểm tra nguồn gốc thư (inbound.authenticate)", "senders are not authenticated (inbound.authenticate)"
        )
        yield Finding(what)
    if not records.config.rspamd.url:
        yield Finding(Text("chưa đặt bộ lọc thư rác (rspamd.url)", "no spam filter is configured (rspamd.url)"))


@evidence("15.5")
def malware(records: Records) -> Iterator[Finding]:
    refused = Text("thư có mã độc bị từ chối tháng này", "messages with malware refused this month")
    yield _this_month(records, "malware_refused", refused)
    skipped = Text("thư chưa quét được mã độc tháng này", "messages that were not scanned this month")
    yield _this_month(records, "message_not_scanned", skipped)
    if not records.config.malware.clamd:
        yield Finding(Text("không có máy quét mã độc (malware.clamd)", "no malware scanner is configured (malware.clamd)"))


_ENDS = {
    QuarantineState.DELIVERED: Text("thư được cho chuyển, bỏ cách ly", "quarantined messages that were released"),
    QuarantineState.DROPPED: Text("thư cách ly bị hủy", "quarantined messages that were dropped"),
    QuarantineState.EXPIRED: Text("thư cách ly hết hạn giữ", "quarantined messages that expired"),
}


@evidence("4.2")
def quarantined(records: Records) -> Iterator[Finding]:
    with closing(open_quarantine(records.config)) as quarantine:
        held = [record for record in quarantine.records() if record.state is QuarantineState.HELD]
    yield dated(Text("thư đang cách ly", "messages in quarantine"), [instant_of(record.at_us) for record in held])
    untold = sum(not record.told for record in held)
    if untold and records.config.quarantine.digest:
        yield Finding(Text("trong đó chưa báo người nhận", "of these not yet notified"), untold)


@evidence("15.5")
def quarantine_ends(records: Records) -> Iterator[Finding]:
    with closing(open_quarantine(records.config)) as quarantine:
        messages = list(quarantine.records())
    for state, what in _ENDS.items():
        yield dated(what, [instant_of(record.at_us) for record in messages if record.state is state])


@evidence("15.5")
def learned(records: Records) -> Iterator[Finding]:
    if not records.config.rspamd.controller:
        yield Finding(
            Text(
                "bộ lọc không được huấn luyện từ Junk (rspamd.controller)", "Junk does not train the filter (rspamd.controller)"
            )
        )
        return
    what = Text("thư dùng để huấn luyện bộ lọc tháng này", "messages used to train the filter this month")
    yield _this_month(records, "message_taught", what)


def _this_month(records: Records, event: str, what: Text) -> Finding:
    """Count an event since the first of the month; it is rare, and found by the index."""
    first = start_of(local_day(records.now).replace(day=1))
    query = Query(event=event, since_us=int(first.timestamp() * 1_000_000))
    return dated(what, [instant_of(at) for at, _ in LogSearch(records.config.log_dir).each(query)])
