"""The sentences of `mic-mail log` for events and acts. Pure.

An event without a sentence is shown by its name and fields, so a new one is never left out.
"""

import re
from collections.abc import Mapping

from mic_mail.cli.act_names import ACTS, DETAILS, REFUSED
from mic_mail.cli.log_codes import OF_ACTS, OF_EVENTS, SUBJECTS, YES_NO, Codes, in_words
from mic_mail.cli.server_events import SERVER_EVENTS
from mic_mail.errors import Text, in_ascii
from mic_mail.i18n.clause_names import clause
from mic_mail.i18n.dates import readable, size

_BEFORE_A_SUBJECT = re.compile(r" (của|về|cho|vào|trong|of|for|to|in|into|on)$")
_SHOWN_ELSEWHERE = frozenset({"at", "n", "event", "act", "trace", "prev"})
EVENTS: Mapping[str, tuple[str, str]] = {
    **SERVER_EVENTS,
    "clock_stepped": (
        "Đồng hồ máy chủ bị chỉnh {seconds} giây; được tin cậy: {settled}",
        "The machine's clock was stepped by {seconds} seconds; trusted: {settled}",
    ),
    "false_instants_mended": (
        (
            "Sửa giờ ghi sai: {uses} hộp thư, {app_passwords} mật khẩu ứng dụng, {notices} thông báo, "
            "{second_factors} mã xác thực hai bước"
        ),
        "Corrected false times: {uses} mailboxes, {app_passwords} app passwords, {notices} notices, {second_factors} codes",
    ),
    "signed_in": (
        "{mailbox} đăng nhập từ {peer} qua {door} ({mechanism}), phiên {session}",
        "{mailbox} signed in from {peer} via {door} ({mechanism}), session {session}",
    ),
    "app_password_added": (
        "{mailbox} tạo mật khẩu ứng dụng số {number} trên trang mật khẩu, từ {peer}",
        "{mailbox} created app password {number} on the password page, from {peer}",
    ),
    "app_password_revoked": (
        "{mailbox} thu hồi mật khẩu ứng dụng số {number} trên trang mật khẩu, từ {peer}",
        "{mailbox} revoked app password {number} on the password page, from {peer}",
    ),
    "second_factor_asked": (
        "{mailbox} nhập đúng mật khẩu trên trang từ {peer}, chờ mã xác thực",
        "{mailbox} gave the right password on the password page, from {peer}; waiting for a code",
    ),
    "second_factor_refused": (
        "Từ chối mã xác thực của {mailbox} từ {peer}, mã {ref}",
        "Code for {mailbox} from {peer} refused, reference {ref}",
    ),
    "second_factor_set": ("{mailbox} bật xác thực hai bước, từ {peer}", "{mailbox} set up a second factor, from {peer}"),
    "second_factor_removed": ("{mailbox} tắt xác thực hai bước, từ {peer}", "{mailbox} removed the second factor, from {peer}"),
    "second_factor_closed": (
        "Xác thực hai bước của {mailbox} bị đóng vì quá nhiều mã sai; mật khẩu có thể đã lộ",
        "The second factor of {mailbox} is closed after too many wrong codes; somebody may know its password",
    ),
    "second_factor_unreadable": (
        "Không đọc được xác thực hai bước của {mailbox}: {file} không phải khóa cũ",
        "The second factor of {mailbox} cannot be read: {file} is not the key that encrypted it",
    ),
    "recovery_code_used": ("{mailbox} dùng một mã khôi phục, từ {peer}", "{mailbox} used a recovery code, from {peer}"),
    "sign_in_refused": (
        "Từ chối đăng nhập {mailbox} từ {peer} qua {door}: {reason}, mã {ref}",
        "Sign-in of {mailbox} from {peer} via {door} refused: {reason}, reference {ref}",
    ),
    "directory_searched": (
        "{mailbox} tra danh bạ qua {door} từ {peer}: {searches} lần, {entries} mục, phiên {session}",
        "{mailbox} searched the directory via {door} from {peer}: {searches} searches, {entries} entries, session {session}",
    ),
    "message_accepted": (
        "Nhận thư của <{sender}> gửi {recipients}, {size}, từ {peer}, phiên {session}; Message-ID <{message_id}>",
        "Accepted from <{sender}> for {recipients}, {size}, from {peer}, session {session}; Message-ID <{message_id}>",
    ),
    "message_judged": (
        (
            "Nguồn gốc thư: SPF {spf} ({spf_domain}), DKIM {dkim}, DMARC {dmarc} ({from_domain}), ARC {arc}, iprev {iprev}; "
            "Rspamd {spam} {score}/{required}; kết quả {action}, quy tắc {rule} ({reason})"
        ),
        (
            "Checked: SPF {spf} ({spf_domain}), DKIM {dkim}, DMARC {dmarc} ({from_domain}), ARC {arc}, iprev {iprev}; "
            "Rspamd {spam} {score}/{required}; result {action}, rule {rule} ({reason})"
        ),
    ),
    "results_removed": (
        "Bỏ khỏi phần tiêu đề thư của <{sender}> {size} kết quả kiểm tra không phải do máy chủ này ghi",
        "Removed {size} of authentication results, not written by this server, from the header of <{sender}>",
    ),
    "calendar_prefilled": (
        "Đã ghi lịch làm việc dự kiến các năm {years}, chờ Trung tâm xác nhận",
        "Recorded the expected working calendar of {years}; the Centre has to confirm it",
    ),
    "reserve_given_up": (
        "Đĩa chứa {folder} đã đầy: giải phóng chỗ dành sẵn để còn xóa được thư; thư mới bị từ chối",
        "The disk of {folder} is full: its reserve was released so that mail can be deleted; new mail is refused",
    ),
    "reserve_set_aside": (
        "Đã dành sẵn {size} trên đĩa chứa {folder}; thư mới được nhận",
        "Reserved {size} on the disk of {folder}; new mail is accepted",
    ),
    "reserve_not_made": (
        "Đĩa chứa {folder} không đủ chỗ để dành sẵn {size} (cần gấp đôi)",
        "The disk of {folder} has no room to reserve {size} (twice as much has to be free)",
    ),
    "list_unusable": (
        "Danh sách {zone} không dùng được, không được tính: {reason}",
        "The blocklist {zone} is unusable and ignored: {reason}",
    ),
    "resolver_missing": (
        "Máy không có máy chủ tên miền, hỏi 127.0.0.1: {error}",
        "This machine has no name server configured; using 127.0.0.1: {error}",
    ),
    "message_delivered": (
        "Đã chuyển vào {mailbox}, thư mục {folder}, UID {uid}",
        "Delivered to {mailbox}, folder {folder}, UID {uid}",
    ),
    "delivery_found": (
        "Hộp thư {mailbox} đã có thư này từ trước (máy chủ bị ngắt giữa chừng)",
        "{mailbox} already has the message (the server was interrupted)",
    ),
    "delivery_deferred": (
        "Chưa chuyển được cho {recipient}: {reason}, lần {attempts}, thử lại lúc {next_try}",
        "Delivery to {recipient} deferred: {reason}, attempt {attempts}, next at {next_try}",
    ),
    "delivery_given_up": (
        "Ngừng chuyển cho {recipient}: {reason}, sau {attempts} lần thử",
        "Delivery to {recipient} given up after {attempts} attempts: {reason}",
    ),
    "delivery_held": (
        "Thư của <{sender}> gửi {recipients} chờ: hộp thư gửi bị tạm khóa hoặc khóa gửi",
        "Mail from <{sender}> for {recipients} held: the sender's mailbox is suspended or send-locked",
    ),
    "message_queued": (
        "Vào hàng đợi ra tên miền khác: <{sender}> gửi {recipients}",
        "Queued for other domains: from <{sender}> for {recipients}",
    ),
    "sending_deferred": (
        "Chưa gửi được cho {recipient}, máy chủ {server}: {status} {reply}",
        "Deferred for {recipient}, server {server}: {status} {reply}",
    ),
    "message_sent": (
        "Đã gửi cho {recipient}, máy chủ {server}: {status} {reply}",
        "Sent to {recipient}, server {server}: {status} {reply}",
    ),
    "message_not_sent": (
        "Không gửi được cho {recipient}, máy chủ {server}: {status} {reply}",
        "Not sent to {recipient}, server {server}: {status} {reply}",
    ),
    "message_dropped": (
        "Đã dừng gửi cho {recipient} theo quyết định của {actor}: {reason}",
        "Dropped for {recipient} by {actor}: {reason}",
    ),
    "queue_entry_damaged": (
        "Thư trong hàng đợi không đọc được, cần quản trị viên xem: {error}",
        "A queue entry cannot be read and needs an administrator: {error}",
    ),
    "report_sent": (
        "Đã báo cho {mailbox} ({action}) về {recipients}, UID {uid}",
        "Report ({action}) about {recipients} delivered to {mailbox}, UID {uid}",
    ),
    "report_queued": (
        "Báo cáo ({action}) về {recipients} vào hàng đợi để gửi cho {reader}",
        "Report ({action}) about {recipients} queued for {reader}",
    ),
    "report_waits": (
        "Báo cáo {report} chưa chuyển được, sẽ thử lại: {error}",
        "Report {report} cannot be delivered yet and will be tried again: {error}",
    ),
    "report_without_reader": (
        "Không có hộp thư nào để báo ({action}) về {recipients} cho <{sender}>",
        "No mailbox to report to: <{sender}> gets no report ({action}) about {recipients}",
    ),
    "report_withheld": (
        "Không gửi báo cáo ({action}) về {recipients} cho <{sender}>, vì người gửi có thể là giả ({reason})",
        "Report ({action}) about {recipients} not sent to <{sender}>: the sender may be forged ({reason})",
    ),
    "delivery_dropped": (
        "Không gửi nữa theo quyết định khi khôi phục hộp thư: <{sender}> gửi {recipients} ({clause})",
        "Dropped as decided when the mailbox was restored: from <{sender}> for {recipients} ({clause})",
    ),
    "message_taken_up": (
        "Lấy lại từ hàng đợi sau {attempts} lần thử: <{sender}> gửi {recipients}, nhận lúc {accepted_at}",
        "Resumed from the spool after {attempts} attempts: from <{sender}> for {recipients}, accepted at {accepted_at}",
    ),
    "spool_entry_unreadable": (
        "Không mở được {file} trong hàng đợi ({error}): thư này chờ; xem chủ sở hữu và quyền của tệp, hoặc ổ đĩa",
        "Spool file {file} cannot be opened ({error}): this message waits; check the file's owner and mode, or the disk",
    ),
    "spool_entry_waits": ("Thư chờ trong hàng đợi: {error}", "The message waits in the spool: {error}"),
    "message_refused": (
        "Từ chối thư của <{sender}> gửi {recipients} từ {peer}: {reason}",
        "Message from <{sender}> for {recipients}, client {peer}, refused: {reason}",
    ),
    "sender_refused": (
        "Từ chối người gửi <{sender}> từ {peer}: {reason}",
        "Sender <{sender}>, client {peer}, refused: {reason}",
    ),
    "recipient_refused": (
        "Từ chối người nhận {recipient}, yêu cầu từ {peer}: {reason}",
        "Recipient {recipient}, client {peer}, refused: {reason}",
    ),
    "password_exposed": (
        "Mật khẩu của {mailbox} có người khác biết: {detail}; xử lý: {action} ({clause})",
        "The password of {mailbox} is known to others: {detail}; action: {action} ({clause})",
    ),
    "sign_in_anomaly": (
        "Đăng nhập bất thường vào {mailbox} từ mạng {network}: {rule}, {count}; tạm khóa: {suspended}",
        "Abnormal sign-in to {mailbox} from network {network}: {rule}, {count}; suspended: {suspended}",
    ),
    "sign_in_watch_not_kept": (
        "Không ghi được những gì đã theo dõi về đăng nhập: {error}",
        "The record of watched sign-ins cannot be written: {error}",
    ),
    "notice_given_up": (
        "Không gửi được thông báo “{notice}” cho {mailbox} từ {since}; không thử lại nữa, cần báo bằng cách khác",
        'Notice "{notice}" could not be delivered to {mailbox} since {since}; given up, inform them by other means',
    ),
    "directory_changed": (
        "Danh bạ: thay đổi số {order} đã được thực hiện ({changes} dòng).",
        "Directory change {order} carried out ({changes} rows)",
    ),
    "directory_change_hindered": (
        "Danh bạ: chưa thực hiện được thay đổi số {order}: {why}",
        "Directory change {order} could not be carried out: {why}",
    ),
    "aliases_released": ("Bí danh hết hạn, không nhận thư nữa: {addresses}.", "Expired aliases removed: {addresses}"),
    "requests_opened": (
        "Thư có mẫu yêu cầu của {mailbox}: {count} yêu cầu đã ghi sổ, {refused} dòng bị từ chối",
        "Request mail from {mailbox}: {count} requests entered, {refused} rows refused",
    ),
    "request_mail_failed": (
        "Chưa đọc được thư của {mailbox} gửi Trung tâm (UID {uid}), sẽ thử lại: {error}",
        "Mail from {mailbox} to the Centre (UID {uid}) cannot be read yet and will be tried again: {error}",
    ),
    "request_mail_given_up": (
        "Không thử đọc nữa thư UID {uid} của hộp thư hỗ trợ, chưa đọc được từ {since}; còn trong Hộp thư đến: {found}",
        "Request mail with UID {uid} in the help desk's mailbox, unreadable since {since}, given up; still in INBOX: {found}",
    ),
    "mailbox_suspended": ("Máy chủ tự tạm khóa {mailbox}: {trigger}", "The server suspended {mailbox}: {trigger}"),
    "syslog_unreachable": (
        "Không gửi được tới máy chủ thu nhật ký {collector}: {error}",
        "Syslog collector {collector} cannot be reached: {error}",
    ),
    "syslog_back": (
        "Máy chủ thu nhật ký {collector} nhận lại sau {tries} lần thử",
        "Syslog collector {collector} accepts messages again after {tries} attempts",
    ),
    "syslog_cursor_lost": (
        "Tệp ghi chỗ dừng của máy chủ thu nhật ký {collector} hỏng; gửi lại từ ngày {since}",
        "The position of syslog collector {collector} is lost; sending again from {since}",
    ),
    "syslog_cursor_not_kept": (
        "Không ghi được chỗ dừng của máy chủ thu nhật ký {collector}: {error}",
        "The position of syslog collector {collector} cannot be saved: {error}",
    ),
    "syslog_missed": (
        "Nhật ký bị xóa trước khi gửi tới {collector}: {octets} octet",
        "Log files were removed before they were sent to {collector}: {octets} octets",
    ),
    "dkim_key_signs": (
        "Khóa DKIM {selector} ({algorithm}) ký thư của {domain} từ bây giờ",
        "DKIM key {selector} ({algorithm}) now signs mail of {domain}",
    ),
    "dkim_key_unusable": ("Thư gửi ra ngoài tạm chờ: {error}", "Mail to other domains waits: {error}"),
    "message_not_signed": (
        "Thư của <{sender}> gửi đi không có chữ ký DKIM: {reason}",
        "Message from <{sender}> sent without a DKIM signature: {reason}",
    ),
    "messages_passed_on": (
        "{actor} đánh dấu đã chuyển UID {uids} trong {folder} của {mailbox}",
        "{actor} marked UID {uids} in {folder} of {mailbox} as passed on",
    ),
    "keeper_missing": (
        "Hộp thư {mailbox} không còn người quản lý: phân công {holder} đã hết",
        "{mailbox} has no keeper: the term of {holder} has ended",
    ),
    "handover_settled": (
        "Dấu bàn giao của {mailbox} đã khớp với hồ sơ",
        "The handover mark of {mailbox} again matches the record",
    ),
    "junk_reported": (
        "{login} chuyển hoặc đánh dấu {messages} thư trong thư mục {folder} (thư rác: {spam}), sẽ dùng để huấn luyện bộ lọc",
        "{login} moved or marked {messages} messages in folder {folder} (spam: {spam}); the spam filter will be trained",
    ),
    "message_taught": (
        "Đã huấn luyện bộ lọc bằng một thư của {mailbox} (thư rác: {spam}): {result}",
        "The spam filter was trained with a message of {mailbox} (spam: {spam}): {result}",
    ),
    "teaching_waits": (
        "Chưa huấn luyện được bộ lọc, {lessons} thư chờ: {error}",
        "The spam filter cannot be trained now, {lessons} messages wait: {error}",
    ),
    "lessons_left_out": (
        "Bỏ qua {messages} thư của {mailbox}: quá số thư được dùng để huấn luyện bộ lọc trong một giờ",
        "{messages} messages of {mailbox} not used for training: over the hourly limit",
    ),
    "submitted_judged": (
        "Thư của {login} gửi đi được bộ lọc xem: {spam}, kết quả {action}",
        "Mail submitted by {login} checked by the spam filter: {spam}, result {action}",
    ),
    "message_quarantined": (
        "Thư của <{sender}> gửi {recipients} được nhận và giữ ở khu cách ly: {reason} ({what})",
        "Message from <{sender}> for {recipients} accepted and quarantined: {reason} ({what})",
    ),
    "quarantine_told": (
        "Đã báo {mailbox} về {messages} thư đang cách ly",
        "{mailbox} notified of {messages} messages in quarantine",
    ),
    "quarantined_message_delivered": (
        "Thư của <{sender}> được cho chuyển, bỏ cách ly tới {recipients}",
        "Quarantined message from <{sender}> released to {recipients}",
    ),
    "quarantined_message_expired": (
        "Thư cách ly của <{sender}> gửi {recipients} hết hạn giữ, đã xóa",
        "Quarantined message from <{sender}> for {recipients} expired and was removed",
    ),
    "quarantined_message_damaged": (
        "Thư cách ly không còn như lúc nhận (SHA-256 {digest}), không chuyển",
        "A quarantined message was altered (SHA-256 {digest}); it is not delivered",
    ),
    "reader_protected": ("Tiến trình đọc tài liệu được cô lập bằng {in_force}", "Document readers are confined by {in_force}"),
    "reader_unprotected": (
        "Tiến trình đọc tài liệu không được cô lập đủ, thiếu {missing}",
        "Document readers are not fully confined: without {missing}",
    ),
    "process_confined": (
        "Tiến trình {of} chỉ truy cập được những gì cần dùng, nhờ {in_force}",
        "Process {of} is confined to what it needs by {in_force}",
    ),
    "process_replaced": (
        "Tiến trình {process} được khởi động lại theo cấu hình mới",
        "Process {process} restarted for the new configuration",
    ),
    "process_unconfined": (
        "Tiến trình {of} không được giới hạn đủ, thiếu {missing}",
        "Process {of} is not fully confined: without {missing}",
    ),
    "marked_message_refused": (
        "Thư của <{sender}> bị từ chối vì có dấu độ mật ({where}), mã {trace}",
        "Message from <{sender}> refused: it bears a secrecy marking ({where}), reference {trace}",
    ),
    "marked_message_flagged": (
        "Thư đến {trace} của <{sender}> có dấu độ mật ({where}); đã chuyển vào hộp thư và báo Trung tâm",
        "Incoming message {trace} from <{sender}> bears a secrecy marking ({where}); delivered, and the Centre notified",
    ),
    "message_not_inspected": (
        "Chưa xem xét hết dấu độ mật trong thư {trace} của <{sender}>: {reasons}",
        "Message {trace} from <{sender}> was not fully inspected for secrecy markings: {reasons}",
    ),
    "message_not_held": (
        "Không giữ lại được bản sao của thư {trace} có dấu độ mật: {error}",
        "Message {trace} with a secrecy marking could not be stored: {error}",
    ),
    "message_not_flagged": (
        "Không ghi lại được thư đến {trace} có dấu độ mật: {error}",
        "Incoming message {trace} with a secrecy marking could not be recorded: {error}",
    ),
    "unread_record_damaged": (
        "Chưa kiểm tra dấu độ mật trong thư {trace}: không đọc được {file} ({error}); tệp giữ nguyên, cần quản trị viên xem",
        "Message {trace} is not read for secrecy markings: {file} cannot be read ({error}); it stays, for an administrator",
    ),
    "sending_refused": (
        "Từ chối cho {mailbox} gửi thư từ {peer}: {reason}, mã {ref}",
        "Sending by {mailbox} from {peer} refused: {reason}, reference {ref}",
    ),
    "session_cut": (
        "Ngắt phiên {session} của {mailbox} từ {peer} qua {door}: {reason}, mã {ref}",
        "Session {session} of {mailbox} from {peer} via {door} closed: {reason}, reference {ref}",
    ),
    "password_not_confirmed": (
        "{mailbox} nhập sai mật khẩu hiện tại trên trang mật khẩu, từ {peer}, mã {ref}",
        "{mailbox} gave a wrong present password on the password page, from {peer}, reference {ref}",
    ),
    "content_asked": (
        "{officer} đề nghị mở nội dung hộp thư {mailbox}, đề nghị số {request}",
        "{officer} requested to open the content of {mailbox}, request {request}",
    ),
    "content_approved": (
        "{officer} đồng ý mở nội dung hộp thư {mailbox}, đề nghị số {request}, đến {until}",
        "{officer} approved opening the content of {mailbox}, request {request}, until {until}",
    ),
    "content_refused": (
        "{officer} từ chối mở nội dung hộp thư {mailbox}, đề nghị số {request}",
        "{officer} refused opening the content of {mailbox}, request {request}",
    ),
    "content_opened": (
        "{officer} mở nội dung hộp thư {mailbox}, đề nghị số {request}, vào {target}",
        "{officer} is exporting the content of {mailbox}, request {request}, to {target}",
    ),
    "content_exported": (
        "{officer} đã xuất nội dung hộp thư {mailbox}, đề nghị số {request}: {messages} thư",
        "{officer} exported the content of {mailbox}, request {request}: {messages} messages",
    ),
    "import_failed": ("Chuyển thư vào {mailbox} gặp lỗi: {error}", "Importing into {mailbox} failed: {error}"),
    "folder_created": ("{actor} tạo thư mục {folder} trong {mailbox}", "{actor} created the folder {folder} in {mailbox}"),
    "folder_deleted": ("{actor} xóa thư mục {folder} trong {mailbox}", "{actor} deleted the folder {folder} in {mailbox}"),
    "folder_renamed": (
        "{actor} đổi tên thư mục {folder} thành {to} trong {mailbox}",
        "{actor} renamed the folder {folder} to {to} in {mailbox}",
    ),
    "messages_expunged": (
        "{actor} xóa hẳn thư UID {uids} khỏi {folder} của {mailbox}",
        "{actor} expunged UIDs {uids} from {folder} of {mailbox}",
    ),
    "messages_moved": (
        "{actor} chuyển thư UID {uids} từ {folder} của {mailbox} sang {to}",
        "{actor} moved UIDs {uids} from {folder} of {mailbox} to {to}",
    ),
    "message_replaced": (
        "{actor} thay thư UID {uid} trong {folder} của {mailbox} bằng bản mới ở {to}",
        "{actor} replaced UID {uid} in {folder} of {mailbox} with a new message in {to}",
    ),
    "held_message_submitted": (
        "Thư đang giữ của <{sender}> được chuyển đi theo quyết định của hai người",
        "Held message from <{sender}> sent on, released by two people",
    ),
    "mailbox_opened": ("{actor} mở hộp thư {mailbox} từ {peer}", "{actor} opened {mailbox} from {peer}"),
}


class _Words(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "-"


_Message = Mapping[str, Text]


def message_for(fields: Mapping[str, object]) -> Text:
    """Return one line of the log as a sentence."""
    is_event = "event" in fields
    codes = OF_EVENTS if is_event else OF_ACTS
    words = {key: _word(codes.get(key, {}), value) for key, value in fields.items() if value not in (None, "", [])}
    if is_event:
        return _event(str(fields["event"]), words, fields.get("octets"))
    return _act(str(fields.get("act", "")), words)


def _event(name: str, words: dict[str, Text], octets: object) -> Text:
    if name not in EVENTS:
        return _bare(name, words)
    if isinstance(octets, int):
        words["size"] = size(octets)
    if "actor" not in words and "mailbox" in words:  # an actor in the own mailbox is not named twice
        words["actor"] = words["mailbox"]
    if "clause" in words:
        words["clause"] = clause(words["clause"].en)
    vi, en = EVENTS[name]
    return Text(
        vi.format_map(_Words({key: word.vi for key, word in words.items()})),
        en.format_map(_Words({key: word.en for key, word in words.items()})),
    )


def _act(name: str, words: _Message) -> Text:
    refused = name not in ACTS and name.endswith(REFUSED)
    asked = name.removesuffix(REFUSED) if refused else name
    act = ACTS.get(asked)
    if act is None:
        return _bare(name, words)
    subject = words.get("subject", Text("*", "*"))
    subject = SUBJECTS.get(asked, {}).get(subject.en, subject)
    vi = en = ""
    for key, title in DETAILS.items():
        if key in words:
            cited = clause(words[key].en) if key == "clause" else words[key]
            vi += f"; {title.vi}: {cited.vi}"
            en += f"; {title.en}: {cited.en}"
    if subject.en == "*":  # the act concerns everything
        done = Text(_BEFORE_A_SUBJECT.sub("", act.vi), _BEFORE_A_SUBJECT.sub("", act.en))
    else:
        done = Text(f"{act.vi} {subject.vi}", f"{act.en} {subject.en}")
    actor = words.get("actor", Text("-", "-"))
    return Text(
        f"{actor.vi}{' bị từ chối' if refused else ''} {done.vi}{vi}",
        f"{actor.en}: {'refused: ' if refused else ''}{done.en}{en}",
    )


def _bare(name: str, words: _Message) -> Text:
    shown = ", ".join(f"{key}={word.vi}" for key, word in words.items() if key not in _SHOWN_ELSEWHERE)
    return Text(f"{name}: {shown}", in_ascii(f"{name}: {shown}"))


def _word(codes: Codes, value: object) -> Text:
    """Return a value in words: a code by its table, a sentence in both languages, others unchanged."""
    if isinstance(value, Mapping) and value.keys() == {"vi", "en"}:
        return Text(str(value["vi"]), in_ascii(value["en"]))
    if isinstance(value, list):
        words = [_word(codes, each) for each in value]
        return Text(", ".join(each.vi for each in words), ", ".join(each.en for each in words))
    if isinstance(value, bool):
        return YES_NO[str(value).lower()]
    if isinstance(value, float):
        return Text(str(value).replace(".", ","), str(value))
    plain = readable(str(value))
    return in_words(codes, plain) or Text(plain, in_ascii(plain))
