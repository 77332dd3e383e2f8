"""The sentences of `mic-mail log` for the server's own events: processes, files, certificates.

`log_messages` has those of mail and sign-ins. `{error}` is the text of the system or of a library.
"""

from collections.abc import Mapping

SERVER_EVENTS: Mapping[str, tuple[str, str]] = {
    # ------------------------------------------------------------ processes
    "server_started": (
        "Máy chủ khởi động, tiến trình {pid}: {workers} tiến trình phục vụ",
        "Server started, process {pid}: {workers} workers",
    ),
    "server_ready": ("Máy chủ sẵn sàng sau {seconds} giây", "Server ready after {seconds} seconds"),
    "server_stopping": (
        "Máy chủ đang dừng, chờ các phiên kết thúc nhiều nhất {seconds} giây",
        "Server stopping; sessions have up to {seconds} seconds to end",
    ),
    "server_stopped": ("Máy chủ đã dừng", "Server stopped"),
    "start_failed": (
        "Máy chủ không khởi động được: {process} không chạy",
        "Server failed to start: process {process} does not run",
    ),
    "process_died": (
        "Tiến trình {process} ({pid}) dừng đột ngột sau {lived_seconds} giây, mã {exit_code}; chạy lại sau {restart_in} giây",
        "Process {process} ({pid}) died, exit code {exit_code}, after {lived_seconds} seconds; restart in {restart_in} s",
    ),
    "process_draining": ("Tiến trình ngừng nhận việc mới", "Process accepts no new work"),
    "process_failed": ("Tiến trình gặp lỗi và dừng: {error}", "Process failed and stopped: {error}"),
    "process_failing": (
        "Tiến trình {process} không khởi động được {failures} lần liền",
        "Process {process} failed to start {failures} times in a row",
    ),
    "process_idle": (
        "Tiến trình {process} ({pid}) không có việc nên đã kết thúc; sẽ chạy lại khi có việc",
        "Process {process} ({pid}) ended for lack of work; it starts again when there is some",
    ),
    "process_hung": (
        "Tiến trình {process} ({pid}) không trả lời và bị buộc dừng",
        "Process {process} ({pid}) does not respond and is killed",
    ),
    "drain_overdue": (
        "Tiến trình {process} ({pid}) không dừng kịp và bị buộc dừng",
        "Process {process} ({pid}) did not end in time and is killed",
    ),
    "drain_cut_short": (
        "Tiến trình {process} ({pid}) bị buộc dừng theo yêu cầu dừng ngay",
        "Process {process} ({pid}) is killed: immediate stop requested",
    ),
    "process_not_started": (
        "Không khởi động được tiến trình {process}: {error}; thử lại sau {restart_in} giây",
        "Process {process} cannot be started: {error}; next attempt in {restart_in} seconds",
    ),
    "process_recovered": (
        "Tiến trình {process} hoạt động trở lại sau {restarts} lần khởi động",
        "Process {process} runs again after {restarts} restarts",
    ),
    "configuration_reloaded": (
        "Nạp lại cấu hình: đã áp dụng {taken_over}; cần khởi động lại: {needs_restart}",
        "Configuration reloaded: applied {taken_over}; needs a restart: {needs_restart}",
    ),
    "reload_refused": (
        "Không nạp lại cấu hình vì có lỗi: {mistakes}",
        "Configuration not reloaded, it has mistakes: {mistakes}",
    ),
    "loop_lagged": (
        "Tiến trình trả lời chậm {ms} ms; lệnh vừa chạy: {commands}",
        "The event loop was blocked for {ms} ms; latest commands: {commands}",
    ),
    "duty_failed": ("Việc định kỳ “{duty}” không thực hiện được: {error}", 'Scheduled job "{duty}" failed: {error}'),
    "errand_failed": ("Một việc chạy nền không thực hiện được: {error}", "A background task failed: {error}"),
    "close_failed": ("Không đóng được khi dừng: {error}", "Closing failed during the stop: {error}"),
    "visit_failed": (
        "Việc định kỳ “{visit}” không làm được với hộp thư {mailbox}: {error}",
        'Scheduled job "{visit}" failed for {mailbox}: {error}',
    ),
    "visit_resumed": (
        "Việc định kỳ “{visit}” lại làm được với hộp thư {mailbox}",
        'Scheduled job "{visit}" works again for {mailbox}',
    ),
    # ------------------------------------------------------------ connections
    "connection_refused": (
        "Từ chối kết nối từ {peer} ở cổng {door}: {reason}",
        "Connection from {peer} to {door} refused: {reason}",
    ),
    "connection_cut": ("Ngắt kết nối từ {peer}: {reason}", "Connection from {peer} closed: {reason}"),
    "connections_exhausted": ("Hết mô tả tệp cho kết nối mới: {error}", "No file descriptors left for connections: {error}"),
    "session_failed": ("Phiên gặp lỗi của máy chủ: {error}", "A session failed with a server error: {error}"),
    "imap_bug": ("Lỗi của máy chủ trong một phiên IMAP, mã {ref}", "Server error in an IMAP session, reference {ref}"),
    "pop3_bug": ("Lỗi của máy chủ trong một phiên POP3, mã {ref}", "Server error in a POP3 session, reference {ref}"),
    "ldap_bug": ("Lỗi của máy chủ trong một phiên LDAP, mã {ref}", "Server error in an LDAP session, reference {ref}"),
    "client_id": (
        "Phần mềm thư tự giới thiệu: {name} {version}, {os}",
        "Mail program identified itself as {name} {version}, {os}",
    ),
    "unauthenticated": ("Phiên trở lại trạng thái chưa đăng nhập", "The session returned to the state before sign-in"),
    "web_request_failed": (
        "Trang {path} gặp lỗi của máy chủ: {error}",
        "A request for {path} failed with a server error: {error}",
    ),
    # ------------------------------------------------------------ the password page
    "web_password_changed": (
        "{mailbox} đổi mật khẩu trên trang mật khẩu, từ {peer}",
        "{mailbox} changed its password on the password page, from {peer}",
    ),
    "web_password_refused": (
        "Từ chối mật khẩu mới của {mailbox} từ {peer}: {reason}",
        "New password of {mailbox} from {peer} refused: {reason}",
    ),
    "web_password_failed": (
        "Chưa đổi được mật khẩu của {mailbox} từ {peer}: {error}",
        "Password change of {mailbox} from {peer} failed: {error}",
    ),
    "web_app_password_failed": (
        "Chưa tạo được mật khẩu ứng dụng của {mailbox} từ {peer}: {error}",
        "Creating an app password for {mailbox} from {peer} failed: {error}",
    ),
    "web_signed_out": (
        "{mailbox} đăng xuất khỏi trang mật khẩu, từ {peer}",
        "{mailbox} signed out of the password page, from {peer}",
    ),
    # ------------------------------------------------------------ certificates
    "certificate_loaded": ("Nạp chứng thư số, có hiệu lực đến {ends_at}", "Certificate loaded, valid until {ends_at}"),
    "certificate_refused": (
        "Không dùng được chứng thư số mới, giữ chứng thư số cũ: {error}",
        "New certificate refused, the old one stays in use: {error}",
    ),
    "certificate_ending": ("Chứng thư số {certificate} hết hạn {ends_at}", "Certificate {certificate} expires {ends_at}"),
    "certificate_key_open": (
        "Khóa riêng {file} đọc được bởi tài khoản khác: đề nghị thu hẹp quyền của tệp",
        "Private key {file} can be read by other accounts: restrict the file's mode",
    ),
    # ------------------------------------------------------------ directory, clock, journal, log
    "directory_unreadable": ("Không đọc được danh bạ: {error}", "The directory cannot be read: {error}"),
    "directory_readable": (
        "Đọc lại được danh bạ sau {tries} lần thử",
        "The directory can be read again after {tries} attempts",
    ),
    "clock_untrusted": (
        "Chưa tin cậy đồng hồ ({now}, mốc đã ghi {marked}): chưa lưu trữ, chưa xóa hộp thư nào",
        "The clock is not trusted ({now}, last recorded {marked}): no mailbox is archived or deleted",
    ),
    "activity_not_recorded": (
        "Chưa ghi được lần sử dụng của hộp thư số {mailbox_id}: {error}",
        "The last use of mailbox no. {mailbox_id} could not be recorded: {error}",
    ),
    "usage_unknown": ("Chưa biết dung lượng của {mailbox}: {error}", "The usage of {mailbox} is unknown: {error}"),
    "journal_replayed": (
        "Khôi phục từ nhật ký ghi trước: {messages} thư; không còn hộp thư: {without_mailbox}",
        "Journal replayed: {messages} messages; without a mailbox now: {without_mailbox}",
    ),
    "journal_not_replayed": (
        "Chưa khôi phục được {place} từ nhật ký ghi trước: {error}",
        "The journal could not be replayed into {place}: {error}",
    ),
    "journal_unavailable": (
        "Không dùng được nhật ký ghi trước, thư được ghi thẳng: {error}",
        "The journal is unavailable; messages are written directly: {error}",
    ),
    "journal_failed": ("Không ghi được nhật ký ghi trước: {error}", "The journal cannot be written: {error}"),
    "log_anchored": ("Niêm phong nhật ký, bản ghi số {number}, mã {head}", "Log anchored, record no. {number}, head {head}"),
    "log_index_remade": ("Lập lại chỉ mục nhật ký: {reason}", "Rebuilding the log's index: {reason}"),
    "log_segments_removed": (
        "Xóa {count} tệp nhật ký quá {months} tháng ({size})",
        "Removed {count} log files older than {months} months ({size})",
    ),
    "log_removal_failed": (
        "Không xóa được {count} tệp nhật ký quá hạn: {error}",
        "{count} log files past their retention could not be removed: {error}",
    ),
    # ------------------------------------------------------------ trouble with mail
    "delivery_failed": ("Chưa nhận được thư {trace}: {error}", "Message {trace} could not be accepted: {error}"),
    "queue_lease_lost": (
        "Máy chủ này không gia hạn kịp, máy khác gửi tiếp {entries} thư của nó",
        "This node could not renew its lease in time: others go on with its {entries} messages",
    ),
    "queue_not_read": ("Không đọc được hàng chờ gửi: {error}", "The queue cannot be read: {error}"),
    "sending_failed": (
        "Lần gửi thư {trace} đến {domain} gặp lỗi của máy chủ: {error}",
        "An attempt to send {trace} to {domain} failed with a server error: {error}",
    ),
    "sending_not_counted": ("Chưa đếm được lượng thư gửi: {error}", "Sent mail cannot be counted: {error}"),
    "tls_policy_failed": (
        "Chính sách mã hóa của máy nhận không được đáp ứng: {error}",
        "The receiving server's TLS policy is not met: {error}",
    ),
    "tls_policy": (
        "Chính sách mã hóa của {domain} (MTA-STS) nay là “{mode}”",
        'The TLS policy of {domain} (MTA-STS) is now "{mode}"',
    ),
    "tls_policy_not_fetched": (
        "Không lấy được chính sách mã hóa của {domain}: {error}",
        "The TLS policy of {domain} could not be fetched: {error}",
    ),
    "tls_policy_not_kept": (
        "Không lưu được chính sách mã hóa của {domain}: {error}",
        "The TLS policy of {domain} could not be stored: {error}",
    ),
    "policies_not_refreshed": (
        "Không cập nhật được chính sách mã hóa của các tên miền: {error}",
        "The TLS policies of domains could not be refreshed: {error}",
    ),
    "smarthost_without_password": (
        "Không có mật khẩu cho máy chủ chuyển tiếp {smarthost}: {error}",
        "There is no password for the smarthost {smarthost}: {error}",
    ),
    "smarthost_sign_in_failed": (
        "Không đăng nhập được vào máy chủ chuyển tiếp {smarthost} bằng tên {login}: {error}",
        "Signing in to the smarthost {smarthost} as {login} failed: {error}",
    ),
    "malware_refused": ("Từ chối thư {trace} có mã độc {malware}", "Message {trace} refused: malware {malware}"),
    "message_not_scanned": ("Thư {trace} chưa được quét mã độc: {error}", "Message {trace} was not scanned: {error}"),
    "quarantine_waits": ("Chưa xử lý được thư cách ly: {error}", "Quarantined mail cannot be processed yet: {error}"),
    "secrecy_case_waits": (
        "Chưa xử lý được trường hợp dấu độ mật {trace}: {error}",
        "Secrecy case {trace} cannot be processed yet: {error}",
    ),
    "held_message_damaged": (
        "Thư đang giữ {trace} không còn nguyên vẹn và không được chuyển đi",
        "Held message {trace} was altered and is not sent",
    ),
    "held_message_expired": (
        "Thư đang giữ {trace} của <{sender}> đã hết hạn giữ",
        "Held message {trace} from <{sender}> expired",
    ),
    "centre_told": (
        "Đã báo Trung tâm Thông tin về thư có dấu độ mật {trace}",
        "The Centre was notified of message {trace} with a secrecy marking",
    ),
    "lesson_failed": ("Chưa báo được cho bộ lọc thư rác: {error}", "The spam filter could not be trained: {error}"),
    "lessons_expired": (
        "Bỏ {messages} thư đã quá hạn báo cho bộ lọc thư rác",
        "{messages} messages dropped: too old to train the spam filter",
    ),
    # ------------------------------------------------------------ notices and lifecycle
    "notice_sent": ("Gửi thông báo “{notice}” cho {mailbox}", 'Notice "{notice}" sent to {mailbox}'),
    "notices_sent": ("Gửi thông báo “{notice}” cho {count} hộp thư", 'Notice "{notice}" sent to {count} mailboxes'),
    "notice_failed": (
        "Chưa gửi được thông báo “{notice}” cho {mailbox}: {error}",
        'Notice "{notice}" could not be sent to {mailbox}: {error}',
    ),
    "reminder_sent": (
        "Nhắc việc hộp thư {mailbox} ({duty}): {count} mục",
        "Reminder sent to {mailbox} ({duty}): {count} entries",
    ),
    "reminder_failed": ("Chưa nhắc việc được hộp thư {mailbox}: {error}", "Reminder to {mailbox} could not be sent: {error}"),
    "suspension_failed": (
        "Chưa tạm khóa được hộp thư số {mailbox_id}: {error}",
        "Mailbox no. {mailbox_id} could not be suspended: {error}",
    ),
    "password_change_not_demanded": (
        "Chưa ghi được yêu cầu đổi mật khẩu của {mailbox}: {error}",
        "Demanding a password change of {mailbox} failed: {error}",
    ),
    "leaked_passwords_unreadable": (
        "Không đọc được danh sách mật khẩu bị lộ: {error}",
        "The list of breached passwords cannot be read: {error}",
    ),
    "mailbox_archived": ("Lưu trữ hộp thư đã thu hồi {mailbox}", "Reclaimed mailbox {mailbox} archived"),
    "mailbox_archived_anew": ("Lưu trữ lại hộp thư đã thu hồi {mailbox}", "Reclaimed mailbox {mailbox} archived again"),
    "mailbox_freed": (
        "Xóa hộp thư đã thu hồi {mailbox} khỏi máy chủ sau khi lưu trữ",
        "Reclaimed mailbox {mailbox} deleted from the server; its archive stays",
    ),
    "mailbox_not_freed": ("Chưa xóa hộp thư {mailbox}: {reason}", "{mailbox} is not deleted from the server: {reason}"),
    "files_left": (
        "Hộp thư {mailbox} có {count} tệp để người quản trị xem ({kind}): {files}",
        "{mailbox} has {count} files that need an administrator ({kind}): {files}",
    ),
    "readers_forgotten": (
        "Bỏ đánh dấu đã đọc của người không còn dùng hộp thư {mailbox}: {readers}",
        "Read marks of people who no longer use {mailbox} removed: {readers}",
    ),
}
