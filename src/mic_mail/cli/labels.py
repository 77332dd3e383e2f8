"""The labels of codes of findings and facts: a table shows the label (`Column.names`), JSON the code."""

from collections.abc import Mapping

from mic_mail.errors import Text
from mic_mail.i18n.labels import LabelledEnum, labels
from mic_mail.policy.credentials.app_passwords import AppPasswordScope
from mic_mail.policy.directory_changes import FIELDS
from mic_mail.policy.eligibility import Employment
from mic_mail.policy.facts import Level
from mic_mail.policy.requests import Item, RequestChannel
from mic_mail.policy.unit_mail.delegation import Part

FINDINGS: Mapping[str, Text] = {
    "index-damaged": Text("chỉ mục hỏng", "index damaged"),
    "search-damaged": Text("tệp tìm kiếm hỏng", "search file damaged"),
    "name-differs": Text("tên tệp khác chỉ mục", "file name differs"),
    "name-flags": Text("tên tệp khác cờ", "flags in the file name differ"),
    "content-changed": Text("nội dung đã bị đổi", "content changed"),
    "content-missing": Text("thiếu bản ghi nội dung", "content record missing"),
    "content-refs": Text("số lần dùng nội dung sai", "content reference count is wrong"),
    "expunged-gone": Text("thư đã xóa không còn để khôi phục", "expunged message missing"),
    "uidnext": Text("UID kế tiếp sai", "next UID is wrong"),
    "modseq": Text("số thay đổi sai", "modification sequence is wrong"),
    "folder-sidecar": Text("tệp phụ của thư mục", "folder's sidecar"),
    "account-sidecar": Text("tệp phụ của hộp thư", "mailbox's sidecar"),
    "seen-stray": Text("đánh dấu đã đọc cho thư không còn", "read mark for a missing message"),
    "counters": Text("số đếm sai", "counters"),
    "folder-renamed": Text("thư mục đổi tên", "folder renamed"),
    "folder-found": Text("thêm thư mục", "folder found"),
    "folder-gone": Text("mất thư mục", "folder missing"),
    "deleted-folder-found": Text("thấy thư mục đã xóa", "deleted folder found"),
    "message-renamed": Text("tệp thư đổi tên", "message renamed"),
    "message-gone": Text("mất thư", "message missing"),
    "message-found": Text("thêm thư", "message found"),
    "not-a-message": Text(
        "không phải tệp thư: đề nghị chuyển ra khỏi thư mục này", "not a message file: move it out of this folder"
    ),
    "file-unreadable": Text(
        "không đọc được tệp: đề nghị giao tệp cho tài khoản của máy chủ rồi chạy rescan",
        "file cannot be read: chown it to the server's user, then run rescan",
    ),
}

FINDING_DETAILS: Mapping[str, Text] = {
    "differs from the index": Text("khác chỉ mục", "differs from the index"),
    "missing or damaged": Text("thiếu hoặc hỏng", "missing or damaged"),
    "differ from a recount": Text("khác kết quả đếm lại", "differ from a recount"),
}

# The place of a secrecy marking (`policy.secrecy.degrees.MarkingPlace`).
PLACES: Mapping[str, Text] = {
    "subject": Text("tiêu đề thư", "subject"),
    "title": Text("tiêu đề tài liệu", "title"),
    "file-name": Text("tên tệp", "file name"),
    "stamp": Text("dòng đóng dấu", "stamp line"),
    "field": Text("trường độ mật", "field"),
}


class SeenHandling(LabelledEnum):
    """The handling of \\Seen: one for all, or one for each reader."""

    ONE = "one", "chung cho mọi người", "one for all"
    EACH = "each", "riêng từng người", "each person's own"


# Members of a fact's data, and `member=value` where a value is itself a code (`policy.facts.FactKind` lists them).
FACT_DATA: Mapping[str, Text] = {
    "address": Text("địa chỉ", "address"),
    "source": Text("nguồn", "source"),
    "symbol": Text("ký hiệu", "symbol"),
    "received_on": Text("ngày nhận yêu cầu", "request received"),
    "chosen_by": Text("người chọn", "chosen by"),
    "chosen_by=person": Text("người dùng", "person"),
    "level": Text("cấp", "level"),
    **{f"level={level}": level.label for level in Level},
    "cause": Text("nguyên nhân", "cause"),
    "cause=retired": Text("nghỉ hưu", "retired"),
    "cause=resigned": Text("nghỉ việc", "resigned"),
    "cause=moved": Text("chuyển công tác", "moved"),
    "cause=a": Text("không sử dụng (7.2.a)", "disuse (7.2.a)"),
    "cause=b": Text("vi phạm Điều 4 (7.2.b)", "breach of Article 4 (7.2.b)"),
    "cause=c": Text("bị chiếm dụng, lộ mật khẩu hoặc phát tán thư rác, mã độc (7.2.c)", "security (7.2.c)"),
    "counted_from": Text("tính từ", "counted from"),
    "conclusion_no": Text("số kết luận", "conclusion number"),
    "concluded_on": Text("ngày kết luận", "concluded on"),
    "signatory": Text("người ký", "signatory"),
    "asked_by": Text("người yêu cầu", "asked by"),
    "channel": Text("kênh", "channel"),
    **{f"channel={channel}": channel.label for channel in RequestChannel},
    "until": Text("đến", "until"),
    "clause": Text("theo", "clause"),
    "octets": Text("dung lượng (byte)", "octets"),
    "previous": Text("trước đó (byte)", "previous"),
    "person": Text("mã cá nhân", "person"),
    "holder": Text("hộp thư cá nhân", "holder"),
    "part": Text("vai trò", "part"),
    **{f"part={part}": part.label for part in Part},
    "rights": Text("quyền", "rights"),
    "hold": Text("mục lưu giữ", "hold"),
    "handover": Text("mục bàn giao", "handover"),
    "named_by": Text("người phân công", "named by"),
    "named_on": Text("văn bản ngày", "document of"),
    "from_holder": Text("người giao", "handed over by"),
    "witness": Text("người chứng kiến", "witness"),
    "digest": Text("mã băm SHA-256", "digest"),
    "folders": Text("số thư mục", "folders"),
    "unreadable": Text("thư không đọc được", "unreadable"),
    "archive": Text("bản lưu trữ", "archive"),
    "aside": Text("thư mục để riêng", "aside"),
    "messages": Text("số thư", "messages"),
    "modseq": Text("số thay đổi", "modseq"),
    "keep_until": Text("giữ đến hết ngày", "kept until the end of"),
    "by": Text("do", "by"),
    "by=clock": Text("đến hạn", "clock"),
    "by=operator": Text("người vận hành", "operator"),
    "trigger": Text("dấu hiệu", "trigger"),
    "created_on": Text("có từ", "exists since"),
    "trigger=outbound-rate": Text("gửi quá nhiều", "sent too much"),
    "trigger=malware": Text("gửi mã độc", "sent malware"),
    "trigger=spam": Text("gửi thư rác", "sent spam"),
    "trigger=leaked-password": Text("mật khẩu có trong danh sách bị lộ", "password in the list of leaked ones"),
    "trigger=sprayed-password": Text("mật khẩu bị dò trên nhiều hộp thư", "password tried on many mailboxes"),
    "trigger=sign-in-anomaly": Text("đăng nhập bất thường", "abnormal sign-in"),
    "recipients": Text("số người nhận", "recipients"),
    "request": Text("yêu cầu số", "request"),
    "name": Text("tên", "name"),
    "doors": Text("chỉ dùng cho", "doors"),
    **{f"doors={scope}": scope.label for scope in AppPasswordScope},
    "app_password": Text("mục mật khẩu ứng dụng", "app password"),
    "ends_app_passwords": Text("thu hồi mọi mật khẩu ứng dụng", "revokes all app passwords"),
    "address_before": Text("địa chỉ trước", "address before"),
    "led_to": Text("nay thuộc hộp thư", "now of mailbox"),
    **{
        f"{code}{end}": Text(f"{FIELDS[code].vi}{before.vi}", f"{FIELDS[code].en}{before.en}")
        for code in ("full_name", "position", "employment", "contract_from", "contract_until", "symbol", "name", "level")
        for end, before in (("", Text("", "")), ("_before", Text(" trước", " before")))
        if f"{code}{end}" not in {"symbol", "name", "level"}
    },
    **{f"level_before={level}": level.label for level in Level},
    **{f"employment{end}={each}": each.label for end in ("", "_before") for each in Employment},
    "unit_from": Text("từ đơn vị", "from unit"),
    "unit_to": Text("đến đơn vị", "to unit"),
}

# Members of a request's items, in the same form (`policy.requests.Item`).
REQUEST_ITEMS: Mapping[str, Text] = {
    **labels(Item),
    **{f"employment={employment}": employment.label for employment in Employment},
    **{code: name for code, name in FACT_DATA.items() if code.startswith(("level=", "cause="))},
}
