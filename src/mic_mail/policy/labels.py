"""Names of states, facts, kinds and ranks in both languages, for commands, listings and explanations."""

from collections.abc import Collection, Mapping

from mic_mail.errors import Text
from mic_mail.policy.authorization.content_access import Stage
from mic_mail.policy.authorization.roles import Role
from mic_mail.policy.clauses import Standing
from mic_mail.policy.credentials.app_passwords import AppPasswordScope
from mic_mail.policy.eligibility import Employment
from mic_mail.policy.facts import Departure, FactKind, Level, MailboxKind
from mic_mail.policy.states import State
from mic_mail.policy.unit_mail.delegation import Part

STATES: Mapping[State, Text] = {
    State.ACTIVE: Text("đang hoạt động", "active"),
    State.SEND_LOCKED: Text("khóa chức năng gửi", "send-locked"),
    State.PASSWORD_DUE: Text("phải đổi mật khẩu", "password change due"),
    State.SUSPENDED: Text("tạm khóa", "suspended"),
    State.RECLAIMED: Text("đã thu hồi", "reclaimed"),
    State.NOT_ISSUED: Text("chưa cấp", "not issued yet"),
}


def state_names(states: Collection[State]) -> Text:
    """Return the names of states that hold together, in the order of `State`."""
    names = [STATES[state] for state in State if state in states]
    return Text(", ".join(name.vi for name in names), ", ".join(name.en for name in names))


DOORS: Mapping[AppPasswordScope, Text] = {
    AppPasswordScope.IMAP: Text("IMAP", "IMAP"),
    AppPasswordScope.POP3: Text("POP3", "POP3"),
    AppPasswordScope.SUBMISSION: Text("gửi thư", "sending"),
    AppPasswordScope.LDAP: Text("danh bạ LDAP", "LDAP address book"),
    AppPasswordScope.CARDDAV: Text("danh bạ CardDAV", "CardDAV address book"),
}
ALL_DOORS = Text("mọi dịch vụ", "every service")


def scopes_named(doors: Collection[AppPasswordScope]) -> Text:
    """Return the services that an app password opens; an empty collection means all."""
    names = [DOORS[door] for door in AppPasswordScope if door in doors]
    return Text(", ".join(name.vi for name in names), ", ".join(name.en for name in names)) if names else ALL_DOORS


KINDS: Mapping[MailboxKind, Text] = {
    MailboxKind.PERSONAL: Text("cá nhân", "personal"),
    MailboxKind.UNIT: Text("đơn vị", "unit"),
    MailboxKind.GROUP: Text("nhóm", "group"),
}

FACTS: Mapping[FactKind, Text] = {
    FactKind.ISSUED: Text("cấp hộp thư", "issued"),
    FactKind.IMPORTED: Text("chuyển từ hệ thống khác", "imported"),
    FactKind.LEFT: Text("nghỉ hưu, nghỉ việc hoặc chuyển công tác", "left"),
    FactKind.LEAVE_CORRECTED: Text("đính chính việc nghỉ", "leave corrected"),
    FactKind.LEAVE_WITHDRAWN: Text("hủy việc nghỉ đã ghi nhầm", "leave withdrawn"),
    FactKind.RETURNED: Text("trở lại công tác", "returned"),
    FactKind.SUSPENDED: Text("tạm khóa", "suspended"),
    FactKind.RESTORED: Text("khôi phục", "restored"),
    FactKind.ABSENCE: Text("thông báo vắng mặt", "absence notified"),
    FactKind.ABSENCE_ENDED: Text("hết vắng mặt", "absence ended"),
    FactKind.CLOCK_STOPPED: Text("hệ thống ngừng dịch vụ", "service downtime"),
    FactKind.SENDING_LOCKED: Text("khóa gửi bằng tay", "sending locked by hand"),
    FactKind.SENDING_UNLOCKED: Text("mở khóa gửi", "sending unlocked"),
    FactKind.PASSWORD_SET: Text("đổi mật khẩu", "password chosen"),
    FactKind.UNREADABLE: Text("mục không đọc được", "cannot be read"),
    FactKind.PASSWORD_EXPOSED: Text("mật khẩu đã lộ, phải đổi", "breached password, change demanded"),
    FactKind.PASSWORD_RESET: Text("khởi tạo lại mật khẩu", "password reset"),
    FactKind.APP_PASSWORD_ADDED: Text("tạo mật khẩu ứng dụng", "app password added"),
    FactKind.APP_PASSWORD_REVOKED: Text("thu hồi mật khẩu ứng dụng", "app password revoked"),
    FactKind.SECOND_FACTOR_SET: Text("bật xác thực hai bước", "second factor set"),
    FactKind.SECOND_FACTOR_REMOVED: Text("tắt xác thực hai bước", "second factor removed"),
    FactKind.QUOTA_SET: Text("điều chỉnh dung lượng", "quota set"),
    FactKind.TRANSFERRED: Text("thuyên chuyển", "transferred"),
    FactKind.DETAILS_CHANGED: Text("thay đổi thông tin trong danh bạ", "details changed"),
    FactKind.REORGANISED: Text("tổ chức lại đơn vị", "unit reorganised"),
    FactKind.READDRESSED: Text("đổi địa chỉ", "address changed"),
    FactKind.ALIAS_ADDED: Text("thêm bí danh", "alias added"),
    FactKind.ALIAS_REMOVED: Text("bỏ bí danh", "alias removed"),
    FactKind.AUTHORISED: Text("ủy quyền sử dụng hộp thư", "rights granted"),
    FactKind.AUTHORITY_REVOKED: Text("chấm dứt ủy quyền", "rights revoked"),
    FactKind.HELD: Text("lưu giữ theo yêu cầu", "held"),
    FactKind.HOLD_RELEASED: Text("chấm dứt lưu giữ", "hold released"),
    FactKind.HANDOVER_BEGUN: Text("bắt đầu bàn giao hộp thư", "handover begun"),
    FactKind.HANDOVER_COUNTED: Text("kiểm kê để bàn giao", "handover inventory taken"),
    FactKind.HANDOVER_FINISHED: Text("hoàn thành bàn giao", "handover finished"),
    FactKind.HANDOVER_CANCELLED: Text("hủy việc bàn giao", "handover cancelled"),
    FactKind.RECLAIMED: Text("thu hồi theo yêu cầu", "reclaimed on request"),
    FactKind.RECLAIM_WITHDRAWN: Text("hủy việc thu hồi ghi sai giờ", "reclaim withdrawn"),
    FactKind.ARCHIVED: Text("lưu trữ hộp thư đã thu hồi", "archived"),
    FactKind.FREED: Text("xóa khỏi máy chủ sau khi lưu trữ", "freed"),
    FactKind.UNARCHIVED: Text("lấy lại từ bản lưu trữ", "restored from the archive"),
    FactKind.ARCHIVE_DROPPED: Text("xóa bản lưu trữ", "archive deleted"),
}

PARTS: Mapping[Part, Text] = {
    Part.KEEPER: Text("người quản lý hộp thư", "keeper"),
    Part.SUBSTITUTE: Text("người thay thế", "substitute"),
    Part.MEMBER: Text("thành viên nhóm", "member"),
}

LEVELS: Mapping[Level, Text] = {
    Level.DIVISION: Text("cấp phòng, ban trở xuống", "division level and below"),
    Level.DEPARTMENT: Text("cấp Vụ và tương đương trở lên", "department level and above"),
}

ROLES: Mapping[Role, Text] = {
    Role.CENTRE: Text("Trung tâm Thông tin", "Information Centre"),
    Role.UNIT: Text("quản trị viên đơn vị", "unit administrator"),
    Role.AUDITOR: Text("kiểm tra viên", "auditor"),
}

STAGES: Mapping[Stage, Text] = {
    Stage.ASKED: Text("chờ phê duyệt", "waiting for approval"),
    Stage.APPROVED: Text("đã phê duyệt", "approved"),
    Stage.REFUSED: Text("từ chối", "refused"),
    Stage.EXPIRED: Text("hết hạn", "expired"),
}

EMPLOYMENTS: Mapping[Employment, Text] = {
    Employment.OFFICIAL: Text("cán bộ", "official"),
    Employment.CIVIL_SERVANT: Text("công chức", "civil servant"),
    Employment.PUBLIC_EMPLOYEE: Text("viên chức", "public employee"),
    Employment.CONTRACT: Text("hợp đồng lao động", "contract"),
}

DEPARTURES: Mapping[Departure, Text] = {
    Departure.RETIRED: Text("nghỉ hưu", "retired"),
    Departure.RESIGNED: Text("nghỉ việc", "resigned"),
    Departure.MOVED: Text("chuyển đi", "moved"),
}

STANDINGS: Mapping[Standing, Text] = {
    Standing.ENFORCED: Text("đã thi hành", "enforced"),
    Standing.PARTLY: Text("một phần", "partly"),
    Standing.LATER: Text("để sau", "later"),
    Standing.PEOPLE: Text("do con người", "people"),
}
