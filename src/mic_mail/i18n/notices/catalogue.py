"""All notices by name, in the order of their modules, as `mic-mail notice list` shows them."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from mic_mail.errors import BadInput, Text
from mic_mail.i18n.notices import (
    announcements,
    centre,
    delegation,
    delivery_reports,
    leavers,
    mailbox,
    quarantine,
    requests,
    secrecy,
    unit_mail,
)
from mic_mail.i18n.notices.notice import Notice

MODULES: tuple[ModuleType, ...] = (
    mailbox,
    leavers,
    requests,
    announcements,
    delegation,
    unit_mail,
    secrecy,
    quarantine,
    delivery_reports,
    centre,
)

CATALOGUE: Mapping[str, Notice[Any]] = {
    row.name: row for module in MODULES for row in vars(module).values() if isinstance(row, Notice)
}
NAMES: Mapping[str, Text] = {
    "welcome": Text("chào mừng", "welcome"),
    "welcome_unit": Text("chào mừng hộp thư đơn vị", "welcome to a unit's mailbox"),
    "welcome_group": Text("chào mừng hộp thư nhóm", "welcome to a group's mailbox"),
    "quota": Text("dung lượng sắp hết", "mailbox nearly full"),
    "app_password_added": Text("có mật khẩu ứng dụng mới", "new app password"),
    "factor_set": Text("đã bật xác thực hai bước", "second factor set"),
    "factor_removed": Text("đã tắt xác thực hai bước", "second factor removed"),
    "inactivity": Text("sắp bị tạm khóa do không sử dụng", "suspension for disuse ahead"),
    "suspended": Text("hộp thư bị tạm khóa", "mailbox suspended"),
    "restored": Text("hộp thư được khôi phục", "mailbox restored"),
    "notices_void": Text("đính chính thông báo gửi do đồng hồ sai", "correction of notices sent at a wrong time"),
    "not_sent": Text("thư chưa được gửi", "message not sent"),
    "absence_noted": Text("đã ghi nhận vắng mặt", "absence recorded"),
    "password_ending": Text("mật khẩu sắp hết hạn", "password expires soon"),
    "password_ended": Text("mật khẩu đã hết hạn", "password expired"),
    "password_exposed": Text("cần đổi mật khẩu ngay", "password must be changed now"),
    "transferred": Text("đã cập nhật đơn vị công tác", "person transferred"),
    "reorganised": Text("đơn vị được tổ chức lại", "unit reorganised"),
    "readdressed": Text("hộp thư có địa chỉ mới", "mailbox has a new address"),
    "led_elsewhere": Text("thư mới đến đơn vị kế thừa", "mail goes to the successor"),
    "sign_in_anomaly": Text("đăng nhập bất thường", "abnormal sign-in"),
    "send_locked": Text("khóa chức năng gửi", "sending locked"),
    "reclaim_coming": Text("hộp thư sắp bị thu hồi", "reclaim ahead"),
    "reclaimed": Text("hộp thư bị thu hồi", "mailbox reclaimed"),
    "archived": Text("hộp thư đã được lưu trữ", "mailbox archived"),
    "freed": Text("hộp thư đã được xóa khỏi máy chủ", "mailbox deleted from the server"),
    "requests_answered": Text("kết quả tiếp nhận yêu cầu", "answer to the request form"),
    "request_form_unreadable": Text("mẫu yêu cầu không đọc được", "request form cannot be read"),
    "requests_overdue": Text("yêu cầu quá hạn", "requests overdue"),
    "request_decided": Text("kết quả giải quyết yêu cầu", "request decided"),
    "incident_closed": Text("kết thúc sự cố", "incident closed"),
    "downtime": Text("tạm ngừng dịch vụ", "downtime"),
    "downtime_cancelled": Text("hủy tạm ngừng dịch vụ", "downtime cancelled"),
    "replies_late": Text("thư quá hạn trả lời", "answers overdue"),
    "term_ending": Text("sắp hết thời hạn phân công", "term of a keeper ends soon"),
    "term_ended": Text("hết thời hạn phân công", "term of a keeper ended"),
    "not_opened": Text("hộp thư chưa được mở đủ", "unit mailbox not opened often enough"),
    "not_passed_on": Text("thư chưa chuyển văn thư", "messages not passed on"),
    "exported": Text("thư được xuất để lưu trữ", "mail exported for the records"),
    "inbound_marked": Text("thư đến có dấu độ mật", "incoming message with a secrecy marking"),
    "held_released": Text("thư được cho chuyển đi", "marked message released"),
    "held_discarded": Text("thư không được chuyển đi", "marked message discarded"),
    "kept_back": Text("thư đang bị cách ly", "messages in quarantine"),
    "not_delivered": Text("thư không gửi được", "message not delivered"),
    "not_delivered_yet": Text("thư gửi chậm", "message delayed"),
    "relayed": Text("thư đã chuyển tới máy chủ khác", "message relayed"),
    "dropped": Text("thư bị dừng gửi", "message dropped"),
    "delivered": Text("thư đã tới hộp thư", "message delivered"),
    "mailbox_full": Text("hộp thư người nhận đầy", "recipient's mailbox full"),
    "mailbox_stayed_full": Text("hộp thư người nhận vẫn đầy", "recipient's mailbox stayed full"),
    "mailbox_unavailable": Text("thư chuyển chậm vào hộp thư", "recipient's mailbox unavailable"),
    "mailbox_stayed_unavailable": Text("thư không chuyển được vào hộp thư", "recipient's mailbox stayed unavailable"),
    "mailbox_reclaimed": Text("hộp thư người nhận đã thu hồi", "recipient's mailbox reclaimed"),
    "passwords_exposed": Text("mật khẩu bị lộ đang được dùng", "leaked passwords in use"),
    "suspended_by_server": Text("máy chủ tự tạm khóa hộp thư", "mailbox suspended by the server"),
    "certificate_ending": Text("chứng thư số sắp hết hạn", "certificate expires soon"),
    "sign_in_anomaly_found": Text("phát hiện đăng nhập bất thường", "abnormal sign-in found"),
    "not_freed": Text("chưa xóa được hộp thư", "mailbox not deleted"),
    "clock_untrusted": Text("đồng hồ máy chủ cần được xác nhận", "clock needs confirmation"),
    "incident_recorded": Text("đơn vị báo sự cố", "incident reported by a unit"),
}
"""The names of notices in listings and the log; their subjects contain values."""


def find(name: str) -> Notice[Any]:
    found = CATALOGUE.get(name)
    if found is None:
        raise BadInput(
            Text(f"Không có thông báo “{name}”.", "No such notice."),
            remedy=Text("Xem: mic-mail notice list", "See: mic-mail notice list"),
        )
    return found
