"""The names of states and kinds, for tables and sentences. Keys are the values of policy's enumerations."""

from mic_mail.errors import Text

STATES = {
    "active": Text("hoạt động", "active"),
    "send_locked": Text("khóa gửi", "send-locked"),
    "password_due": Text("phải đổi mật khẩu", "password change due"),
    "suspended": Text("tạm khóa", "suspended"),
    "reclaimed": Text("đã thu hồi", "reclaimed"),
    "not_issued": Text("chưa cấp", "not issued yet"),
}

KINDS = {
    "personal": Text("cá nhân", "personal"),
    "unit": Text("đơn vị", "unit"),
    "group": Text("nhóm", "group"),
}
