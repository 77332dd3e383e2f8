"""Evidence of the installation and the directory's consistency: 3.1, 3.2, 6.5, 8.3.c."""

from mic_mail.errors import Text, in_ascii
from mic_mail.i18n import dates
from mic_mail.net.tls import BadCertificate
from mic_mail.policy.states import FINAL
from mic_mail.services.compliance.finding import Evidence, Finding, Office
from mic_mail.services.mailboxes.consistency_check import Severity, inspect
from mic_mail.services.notifications.notices import warned_levels
from mic_mail.services.operations.certificates import open_front
from mic_mail.services.settings.readings import lifecycle_settings


def shared(office: Office) -> Evidence:
    """Yield the units that use the system meant for all of them (Reg. 3.1)."""
    unit_of = {person.person_id: person.unit_id for person in office.people}
    using = {
        entry.owner.unit_id if entry.owner.person_id is None else unit_of.get(entry.owner.person_id)
        for entry, decision in office.decided()
        if not decision.states & set(FINAL)
    }
    units = {unit.unit_id for unit in office.units}
    yield "3.1", Finding(Text("đơn vị có hộp thư trong hệ thống", "units with mailboxes in the system"), len(units & using))
    yield "3.1", Finding(Text("đơn vị chưa có hộp thư nào", "units with none"), len(units - using))


def place(office: Office) -> Evidence:
    """Yield domains, the web listener, and its certificate's validity (Reg. 3.2)."""
    config = office.config
    names = ", ".join(sorted(config.domains))
    yield "3.2", Finding(Text(f"tên miền: {names}", f"domains: {names}"), len(config.domains))
    page = config.password_page
    if page is None:
        yield "3.2", Finding(Text("không mở dịch vụ https", "the door https is not open"))
    else:
        yield "3.2", Finding(Text(f"trang web tại {page}", f"web access at {in_ascii(page)}"))
    try:
        tls = open_front(config)
    except BadCertificate as error:
        yield "3.2", Finding(error.text, overdue=True)
        return
    until = dates.short(tls.ends_at)
    ending = tls.ends_within(office.now, config.tls.warn_days)
    yield "3.2", Finding(Text(f"chứng thư số có hiệu lực đến {until}", f"certificate valid until {until}"), overdue=ending)


def agreement(office: Office) -> Evidence:
    """Yield the result of `directory check` (Reg. 6.5)."""
    found = inspect(
        office.snapshot,
        office.config.mail_root,
        office.now,
        lifecycle_settings(office.config, office.snapshot.working_days),
        office.config.support,
        officers=office.directory.officers.all(),
        issued_on=office.config.regulation.issued_on,
    )
    names = {
        Severity.ERROR: Text("lỗi khi đối chiếu danh bạ với hộp thư", "errors between directory and mailboxes"),
        Severity.WARNING: Text("cảnh báo khi đối chiếu", "warnings"),
        Severity.NOTE: Text("lưu ý khi đối chiếu", "notes"),
    }
    for severity, what in names.items():
        count = sum(each.severity is severity for each in found)
        yield "6.5", Finding(what, count, overdue=severity is Severity.ERROR and count > 0)


def fullness(office: Office) -> Evidence:
    """Yield mailboxes by their last warned quota level (Reg. 8.3.c); no mailbox is opened for it."""
    live = {entry.mailbox_id for entry, decision in office.decided() if not decision.states & set(FINAL)}
    warned = {
        mailbox: level
        for mailbox, level in warned_levels(office.config.server.data_dir).items()
        if mailbox in live and level.percent
    }
    levels = sorted(office.config.quota.warn_percent)
    for low, high in zip(levels, [*levels[1:], None], strict=True):
        within = [each for each in warned.values() if low <= each.percent and (high is None or each.percent < high)]
        last = max((each.at for each in within), default=None)
        what = Text(f"hộp thư đã cảnh báo ở mức {low}%", f"mailboxes warned at {low} %")
        yield "8.3.c", Finding(what, len(within), last)
