"""Words for the codes in log lines: a table for each member of an event or act that holds codes. Pure.

A member without a table is shown as it is: a name, a number, an address, the text of another server or a library. A test reads
the source for what each member can hold.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from mic_mail.cli.labels import FACT_DATA, FINDINGS, PLACES, SeenHandling
from mic_mail.errors import Text, in_ascii
from mic_mail.i18n.labels import labels
from mic_mail.i18n.notices.catalogue import NAMES
from mic_mail.policy import incidents, requests
from mic_mail.policy.authorization.roles import OfficerRole
from mic_mail.policy.credentials.app_passwords import AppPasswordScope
from mic_mail.policy.reclamation import Obstacle
from mic_mail.policy.suspension import QueuedMail
from mic_mail.policy.unit_mail.delegation import Part
from mic_mail.quarantine.quarantine import Reason

Codes = Mapping[Any, Text]
"""The words of codes, by the code or by the member of its enumeration."""

YES_NO: Codes = {"true": Text("có", "yes"), "false": Text("không", "no")}


def _coded(member: str) -> dict[str, Text]:
    return {code.removeprefix(f"{member}="): name for code, name in FACT_DATA.items() if code.startswith(f"{member}=")}


_ORIGIN: Codes = {
    # reasons of `mailauth` (`Origin.event`), which Authentication-Results holds in English
    "the header is too long": Text("phần tiêu đề thư quá dài", "the header is too long"),
    "a bare CR or LF in the header": Text("phần tiêu đề có dấu xuống dòng sai chuẩn", "a bare CR or LF in the header"),
    "the header has too many fields": Text("phần tiêu đề có quá nhiều trường", "the header has too many fields"),
    "a header line is not a field": Text("phần tiêu đề có dòng không phải trường", "a header line is not a field"),
    "no From": Text("thư không có trường From", "no From"),
    "several From": Text("thư có nhiều trường From", "several From"),
    "an empty From": Text("trường From để trống", "an empty From"),
    "From is ambiguous": Text("trường From có nhiều cách hiểu", "From is ambiguous"),
    "the domain in From is invalid": Text("tên miền trong From không hợp lệ", "the domain in From is invalid"),
    "authors of several domains": Text("trường From có nhiều tên miền", "authors of several domains"),
    "its policy could not be looked up": Text("chưa tra được chính sách DMARC", "its policy could not be looked up"),
    "the DNS did not answer": Text("máy chủ tên miền không trả lời", "the DNS did not answer"),
    "not answered in time": Text("không trả lời trong thời gian chờ", "not answered in time"),
    # reasons of SPF (RFC 7208), and of a record that is invalid
    "malformed domain": Text("không có tên miền để tra", "malformed domain"),
    "no SPF record at an included or redirected domain": Text(
        "tên miền trong include hay redirect không có bản ghi SPF", "no SPF record at an included or redirected domain"
    ),
    "invalid target of redirect": Text("redirect không dẫn tới tên miền nào", "invalid target of redirect"),
    "invalid target of include": Text("include không dẫn tới tên miền nào", "invalid target of include"),
    "more than one SPF record": Text("có nhiều bản ghi SPF", "more than one SPF record"),
    "too many DNS lookups": Text("quá nhiều lần tra tên miền", "too many DNS lookups"),
    "too many void lookups": Text("quá nhiều lần tra không có kết quả", "too many void lookups"),
    "too many address records of one name": Text("một tên có quá nhiều địa chỉ", "too many address records of one name"),
    "too many MX records": Text("quá nhiều máy nhận thư", "too many MX records"),
    "invalid SPF record": Text("bản ghi SPF sai", "invalid SPF record"),
    "not US-ASCII": Text("có ký tự ngoài ASCII", "not US-ASCII"),
    "too long": Text("quá dài", "too long"),
    "duplicate modifier": Text("thành phần sửa đổi (modifier) ghi hai lần", "duplicate modifier"),
    "invalid modifier": Text("thành phần sửa đổi (modifier) sai", "invalid modifier"),
    "invalid term": Text("có thành phần sai dạng", "invalid term"),
    "invalid mechanism": Text("cơ chế (mechanism) sai hoặc không có", "invalid mechanism"),
    "invalid dual-cidr-length": Text("độ dài mạng sai", "invalid dual-cidr-length"),
    "invalid domain-spec": Text("tên miền sai", "invalid domain-spec"),
    "invalid explain-string": Text("lời giải thích sai dạng", "invalid explain-string"),
    # reasons of `filters.dnsbl`
    "it lists everybody": Text("danh sách ghi mọi địa chỉ", "it lists everybody"),
    "it has no test entry": Text("danh sách không có mục thử", "it has no test entry"),
    "it answers": Text("danh sách trả lời", "it answers"),
}

_REASONS: Codes = {
    **labels(Obstacle),
    **_ORIGIN,
    **labels(Reason),
    # reasons for a refused sign-in (`services.authentication.refusals.RefusalKind`)
    "wrong-credentials": Text("sai địa chỉ hoặc mật khẩu", "wrong address or password"),
    "suspended": Text("hộp thư bị tạm khóa", "the mailbox is suspended"),
    "password-due": Text("phải đổi mật khẩu trước", "the password has to be changed first"),
    "reclaimed": Text("hộp thư đã thu hồi", "the mailbox is reclaimed"),
    "send-locked": Text("hộp thư bị khóa chức năng gửi", "the mailbox is send-locked"),
    "too-many": Text("quá nhiều lần thử", "too many attempts"),
    "unavailable": Text("máy chủ tạm thời chưa phục vụ được", "temporarily unavailable"),
    "tls-required": Text("kết nối chưa mã hóa", "the connection is not encrypted"),
    "bad-mechanism": Text("cách đăng nhập không được hỗ trợ", "unsupported authentication mechanism"),
    "malformed": Text("lệnh sai cú pháp", "malformed"),
    "not-authorised": Text("không được phân công", "not authorised for this mailbox"),
    "not-here": Text("mật khẩu này không dùng cho dịch vụ này", "this password is not valid for this service"),
    # reasons for a refused sender, recipient or message (`services.transport.envelope.Cause`)
    "no-such-mailbox": Text("không có hộp thư này", "no such mailbox"),
    "reclaimed-on-request": Text("hộp thư đã thu hồi theo yêu cầu", "the mailbox is reclaimed on request"),
    "relay-denied": Text("không chuyển tiếp cho tên miền khác", "no relaying to other domains"),
    "bad-domain": Text("tên miền không hợp lệ", "invalid domain"),
    "over-quota": Text("hộp thư đầy", "the mailbox is full"),
    "one-is-full": Text("hộp thư của một người nhận đầy", "the mailbox of one recipient is full"),
    "not-signed-in": Text("chưa đăng nhập", "not signed in"),
    "sender-not-yours": Text("địa chỉ người gửi không phải của người đăng nhập", "the sender address belongs to somebody else"),
    "sending-rate": Text("gửi quá nhiều trong thời gian ngắn", "too much mail sent in a short time"),
    "attachments-too-large": Text("tệp gửi kèm vượt mức cho phép", "the attachments are too large"),
    "message-too-large": Text("thư vượt mức cho phép", "the message is too large"),
    "header-too-large": Text("phần tiêu đề thư quá dài", "the header is too large"),
    "header-unreadable": Text("không đọc được phần tiêu đề thư", "the header cannot be read"),
    "no-valid-author": Text("thư không ghi người gửi hợp lệ", "the message names no valid author"),
    "author-twice": Text("thư ghi người gửi hai lần", "the message names its author twice"),
    "author-unreadable": Text("không đọc được người gửi ghi trong thư", "the author cannot be read"),
    "name-not-yours": Text("tên người gửi không phải của người đăng nhập", "the author's name belongs to somebody else"),
    "marked-secret": Text("có dấu độ mật", "secrecy marking"),
    "not-inspected": Text("không xem xét được hết nội dung", "could not be fully inspected"),
    "not-inspected-now": Text("chưa xem xét được nội dung, đề nghị gửi lại", "could not be inspected now"),
    "too-much-to-inspect": Text("nội dung vượt mức xem xét được", "more than can be inspected"),
    "malware": Text("có mã độc", "malware"),
    "not-scanned": Text("chưa quét được mã độc", "could not be scanned for malware"),
    "forged": Text("giả mạo người gửi", "the author is forged"),
    "not-of-author": Text("không chứng minh được là của người gửi", "not authenticated as the author's"),
    "listed": Text("máy chủ gửi có trong danh sách chặn", "the sending server is on a blocklist"),
    "not-judged": Text("chưa kiểm tra được nguồn gốc", "the origin could not be checked now"),
    "spam": Text("thư rác", "spam"),
    "spam-sent": Text("thư gửi đi bị coi là thư rác", "submitted mail is spam"),
    "put-off": Text("bộ lọc đề nghị gửi lại sau", "deferred by the spam filter"),
    "not-scored": Text("bộ lọc thư rác chưa trả lời", "the spam filter does not answer"),
    "loop": Text("thư chạy vòng giữa các máy chủ", "mail loop"),
    "bare-line-end": Text("dấu xuống dòng sai chuẩn", "bare line ends"),
    "nul-octet": Text("có octet NUL", "a NUL octet"),
    "text-line-too-long": Text("có dòng quá dài", "a line is too long"),
    "disk-full": Text("ổ đĩa đầy", "the disk is full"),
    # reasons for a refused or dropped connection
    "no-room": Text("hết chỗ kết nối", "no room for connections"),
    "rate": Text("mạng này kết nối quá nhanh", "too many connections from this network in a short time"),
    "network": Text("quá nhiều kết nối từ mạng này", "too many connections from this network"),
    "total": Text("hết chỗ kết nối", "no room for connections"),
    "no-proxy-header": Text(
        "bộ cân bằng tải không gửi PROXY protocol ở đầu kết nối", "the load balancer did not begin with the PROXY protocol"
    ),
    "proxy-header-malformed": Text("phần đầu PROXY protocol sai", "the header of the PROXY protocol is malformed"),
    "proxy-header-too-long": Text("phần đầu PROXY protocol quá dài", "the header of the PROXY protocol is too long"),
    "proxy-header-incomplete": Text(
        "phần đầu PROXY protocol bị ngắt", "the connection ended within the header of the PROXY protocol"
    ),
    "proxy-header-late": Text(
        "phần đầu PROXY protocol đến quá chậm", "the header of the PROXY protocol did not arrive in time"
    ),
    "shutdown": Text("máy chủ đang dừng", "the server is stopping"),
    "timeout": Text("quá thời gian chờ", "timed out"),
    "failed": Text("lỗi của máy chủ", "server error"),
    "signed-out": Text("phiên đã đăng xuất", "signed out"),
    # the mailbox's error for which a message waits for one recipient (`services.transport.delivery`)
    "NoMailbox": Text("không còn hộp thư này", "the mailbox is gone"),
    "OverQuota": Text("hộp thư đầy", "the mailbox is full"),
    "DiskFull": Text("ổ đĩa đầy", "the disk is full"),
    "Busy": Text("hộp thư đang bận", "the mailbox is busy"),
    "Unavailable": Text("chưa mở được hộp thư", "the mailbox cannot be opened now"),
    "Overloaded": Text("máy chủ quá tải", "the server is overloaded"),
    "OutcomeUnknown": Text("không rõ cơ sở dữ liệu đã ghi hay chưa", "whether the database has written it is unknown"),
    "JournalUnavailable": Text("chưa ghi được nhật ký ghi trước", "the journal cannot be written now"),
    "NotOurs": Text("kho thư không phải của chương trình này", "the mail store is not one of this program"),
    "AccountGone": Text("hộp thư vừa bị xóa hoặc được thay thế", "the mailbox has just been deleted or replaced"),
    "Frozen": Text("hộp thư đang bàn giao, chưa thay đổi được", "the mailbox is frozen by a handover"),
    "SpoolUnavailable": Text("chưa ghi được vào hàng đợi", "the spool cannot be written now"),
    # reasons why no report is sent (`services.queue.inbound_dsn`)
    "sender-not-authenticated": Text("chưa xác thực được người gửi", "the sender is not authenticated"),
    "junk": Text("thư bị xếp vào thư rác", "the message is junk"),
    # reasons why a mailbox is not freed (`services.mailboxes.reclamation.Finished`)
    "not-in-archive": Text("có thư không nằm trong bản lưu trữ", "it holds messages that are not in its archive"),
    # reasons for a refused code of the second factor (`services.authentication.refusals`)
    "code": Text("mã xác thực sai", "wrong code"),
    "code-closed": Text("đã nhập sai mã quá nhiều lần", "too many wrong codes"),
    "second-factor": Text("phải nhập mã xác thực", "a code is required"),
}

_NOTICES: Codes = {
    **NAMES,
    # kinds of `policy.due_notices` and keys of sent notices that differ from the notice's name
    "app_password": NAMES["app_password_added"],
    "maintenance": NAMES["downtime"],
    "request-mail": NAMES["requests_answered"],
    "request-decided": NAMES["request_decided"],
    "incident": NAMES["incident_recorded"],
    "incident-closed": NAMES["incident_closed"],
    "sign-in-anomaly": NAMES["sign_in_anomaly"],
}

_JOBS: Codes = {
    # jobs of `app.scheduled_jobs`, and their visits to each mailbox (`services.operations.jobs`)
    "certificate": Text("theo dõi chứng thư số", "watch the certificates"),
    "directory_changes": Text("thực hiện thay đổi danh bạ đến ngày", "carry out directory changes"),
    "dkim": Text("đổi khóa DKIM", "switch DKIM keys"),
    "downtimes": Text("báo tạm ngừng dịch vụ", "announce downtime"),
    "exports": Text("dọn bản xuất", "remove old exports"),
    "false_instants": Text("sửa giờ ghi sai", "correct false times"),
    "handover": Text("bàn giao", "handovers"),
    "handovers": Text("bàn giao", "handovers"),
    "idle_end": Text("kết thúc tiến trình không có việc", "end a process without work"),
    "index": Text("lập chỉ mục tìm kiếm", "index for search"),
    "journal": Text("ghi thư từ nhật ký ghi trước vào hộp thư", "move messages from the journal into mailboxes"),
    "known_networks": Text("lưu các mạng đã biết", "save known networks"),
    "log_anchor": Text("niêm phong nhật ký", "anchor the log"),
    "log_index": Text("lập chỉ mục nhật ký", "index the log"),
    "names": Text("lưu tên thư mục", "save folder names"),
    "notices": Text("gửi thông báo về hộp thư", "send notices about mailboxes"),
    "openings": Text("nhắc mở hộp thư đơn vị", "openings of unit mailboxes"),
    "outcomes": Text("báo kết quả yêu cầu", "send outcomes of requests"),
    "overdue_requests": Text("nhắc yêu cầu quá hạn", "remind of overdue requests"),
    "passed_on": Text("nhắc chuyển văn thư", "remind of passing documents on"),
    "quarantine": Text("xử lý thư cách ly", "quarantine"),
    "readers": Text("dọn đánh dấu đã đọc", "remove read marks of former readers"),
    "reclaim": Text("lưu trữ và xóa hộp thư đã thu hồi", "archive and delete reclaimed mailboxes"),
    "replies": Text("nhắc trả lời thư", "remind of unanswered mail"),
    "requests": Text("nhận yêu cầu gửi bằng thư", "read requests that come by mail"),
    "rescan": Text("quét lại tệp thư", "rescan files"),
    "reserve": Text("dành sẵn chỗ trên đĩa", "keep a reserve on disk"),
    "rest": Text("giải phóng bộ nhớ khi rỗi", "return unused memory"),
    "retention": Text("xóa nhật ký hết hạn lưu", "remove logs past their retention"),
    "secrecy": Text("xử lý thư có dấu độ mật", "marked messages"),
    "sign_ins": Text("theo dõi đăng nhập bất thường", "watch sign-ins"),
    "sent_amounts": Text("báo lượng thư đã gửi cho máy khác", "share what mailboxes have sent"),
    "spool": Text("chuyển lại thư đang chờ", "deliver waiting mail"),
    "spool_holds": Text("giữ thư đang chuyển", "hold mail being delivered"),
    "sweep": Text("dọn tệp tạm", "remove temporary files"),
    "syslog": Text("gửi nhật ký tới máy chủ thu nhật ký", "send the log to collectors"),
    "teaching": Text("huấn luyện bộ lọc thư rác", "train the spam filter"),
    "tickets": Text("thay khóa phiên TLS", "renew TLS session keys"),
    "unread": Text("đọc tiếp tài liệu trong thư đã nhận", "read the documents of accepted mail"),
    "usage": Text("tính dung lượng hộp thư", "add up the usage of mailboxes"),
    "working_calendar": Text("ghi lịch làm việc dự kiến", "record the expected working calendar"),
    # reminders of `services.unit_mail` whose duty is not called like its job
    "passedon": Text("chuyển văn thư", "passing documents on"),
    "unanswered": Text("trả lời thư", "unanswered mail"),
}

PROCESSES: Codes = {
    "worker": Text("phục vụ", "worker"),
    "house": Text("việc định kỳ", "housekeeper"),
    "sender": Text("gửi thư đi", "sender"),
    "index": Text("lập chỉ mục", "indexer"),
    "web": Text("trang web", "web"),
}

_SERVICES: Codes = {
    # names of listeners and protocols that are words; IMAP and the others are shown as they are
    "smtp": Text("SMTP nhận thư", "SMTP"),
    "submission": Text("SMTP gửi thư", "submission"),
    "submissions": Text("SMTP gửi thư (TLS)", "submissions"),
    "imap": Text("IMAP", "IMAP"),
    "imaps": Text("IMAP (TLS)", "IMAPS"),
    "pop3": Text("POP3", "POP3"),
    "pop3s": Text("POP3 (TLS)", "POP3S"),
    "ldap": Text("LDAP", "LDAP"),
    "ldaps": Text("LDAP (TLS)", "LDAPS"),
    "carddav": Text("CardDAV", "CardDAV"),
    "http": Text("trang web (HTTP)", "web pages (HTTP)"),
    "https": Text("trang web", "web pages"),
    "web": Text("trang web", "web pages"),
}

_MECHANISMS: Codes = {
    # SASL mechanism names are shown as they are
    "password": Text("mật khẩu", "password"),
    "basic": Text("mật khẩu", "password"),
    "password+code": Text("mật khẩu và mã xác thực", "password and code"),
}

_ACTIONS: Codes = {
    # results of checks of a message (`services.transport.inbound`)
    "passed": Text("cho qua", "passed"),
    "junk": Text("xếp vào thư rác", "filed as junk"),
    "held": Text("giữ ở khu cách ly", "quarantined"),
    "later": Text("đề nghị gửi lại sau", "deferred"),
    "refused": Text("từ chối", "refused"),
    # actions of a delivery report (`mime.dsn_mdn.Action`)
    "failed": Text("không chuyển được", "failed"),
    "delayed": Text("chuyển chậm", "delayed"),
    "delivered": Text("đã chuyển", "delivered"),
    "relayed": Text("đã chuyển tiếp", "relayed"),
    "expanded": Text("đã chuyển cho các thành viên", "expanded"),
    "dropped": Text("đã hủy", "dropped"),
    # actions for a leaked password (`auth.leaked_action`)
    "tell": Text("thông báo", "people are notified"),
    "change": Text("yêu cầu đổi mật khẩu", "a password change is demanded"),
    "suspend": Text("tạm khóa hộp thư", "the mailbox is suspended"),
}

_RULES: Codes = {
    # rules for mail from outside (`services.transport.inbound.origin_rules`, `rspamd_check`, `dnsbl_check`)
    "sealer": Text("máy chủ chuyển tiếp tin cậy xác nhận", "trusted sealer"),
    "report": Text("báo cáo giả danh máy chủ này", "report in our name"),
    "own-domain": Text("giả mạo tên miền của cơ quan", "own domain"),
    "partial": Text("chữ ký không phủ hết nội dung", "partial signature"),
    "name": Text("tên hiển thị là địa chỉ của cơ quan", "our address as display name"),
    "dmarc": Text("DMARC không đạt", "DMARC"),
    "author": Text("không có người gửi hợp lệ", "no valid author"),
    "unsettled": Text("chưa tra cứu được nguồn gốc", "unsettled"),
    "spf": Text("SPF không đạt", "SPF"),
    "too-many": Text("quá nhiều thư cùng lúc", "too many at once"),
    "list": Text("có trong danh sách chặn", "blocklist"),
    "rspamd-junk": Text("bộ lọc: thư rác", "filter: junk"),
    "rspamd-later": Text("bộ lọc: gửi lại sau", "filter: later"),
    "rspamd-quarantine": Text("bộ lọc: cách ly", "filter: quarantine"),
    "rspamd-refuse": Text("bộ lọc: từ chối", "filter: refuse"),
    "rspamd-absent": Text("bộ lọc chưa trả lời", "filter does not answer"),
    # rules for an anomalous sign-in (`policy.credentials.anomalies.AnomalyRule`)
    "sprayed": Text("một mạng dò mật khẩu nhiều hộp thư", "one network tries many mailboxes"),
    "guessed": Text("đăng nhập được sau nhiều lần sai", "right after many wrong passwords"),
    "scattered": Text("đăng nhập từ nhiều mạng trong thời gian ngắn", "from many networks in a short time"),
}

_FILTER: Codes = {
    **YES_NO,
    "no action": Text("không phải thư rác", "no action"),
    "greylist": Text("đề nghị gửi lại sau", "greylist"),
    "add header": Text("có thể là thư rác", "add header"),
    "rewrite subject": Text("có thể là thư rác", "rewrite subject"),
    "soft reject": Text("tạm từ chối", "soft reject"),
    "quarantine": Text("cách ly", "quarantine"),
    "discard": Text("hủy", "discard"),
    "reject": Text("từ chối", "reject"),
    "not-scored": Text("chưa chấm điểm được", "not scored"),
    "too-large": Text("thư quá lớn để chấm điểm", "too large to score"),
}

CONFINEMENT: Codes = {
    "no_new_privs": Text("chặn nâng quyền", "no_new_privs"),
    "unprivileged": Text("tài khoản không có quyền quản trị", "unprivileged"),
    "landlock": Text("Landlock", "landlock"),
    "seccomp": Text("seccomp", "seccomp"),
}

_UNREAD: Codes = {
    # `textextract.result.Unread`
    "encrypted": Text("tệp được mã hóa", "encrypted"),
    "damaged": Text("tệp hỏng", "damaged"),
    "over-bounds": Text("vượt mức xem xét được", "more than can be inspected"),
    "too-slow": Text("quá thời gian xem xét", "too slow"),
    "unknown-archive": Text("dạng tệp nén không đọc được", "unknown archive"),
    "crashed": Text("tiến trình đọc tài liệu gặp lỗi", "the reader crashed"),
    "unavailable": Text("chưa có tiến trình đọc tài liệu", "no reader was available"),
}

_TAUGHT: Codes = {
    "learned": Text("đã học", "learned"),
    "known": Text("đã biết từ trước", "known"),
    "unfit": Text("không dùng để học được", "unfit"),
}

_EXPOSED: Codes = {
    "leaked": Text("có trong danh sách mật khẩu bị lộ", "in a list of leaked passwords"),
    "sprayed": Text("đang bị dò trên nhiều hộp thư", "tried at many mailboxes"),
}

OF_EVENTS: Mapping[str, Codes] = {
    "action": _ACTIONS,
    "detail": _EXPOSED,
    "door": _SERVICES,
    "duty": _JOBS,
    "in_force": CONFINEMENT,
    "kind": FINDINGS,
    "mechanism": _MECHANISMS,
    "missing": CONFINEMENT,
    "notice": _NOTICES,
    "of": PROCESSES,
    "process": PROCESSES,
    "reason": _REASONS,
    "reasons": _UNREAD,
    "result": _TAUGHT,
    "rule": _RULES,
    "spam": _FILTER,
    "trigger": _coded("trigger"),
    "visit": _JOBS,
    "where": PLACES,
}
"""The words of codes by the event's member. Other members hold no codes."""

OF_ACTS: Mapping[str, Codes] = {
    "cause": _coded("cause"),
    "channel": labels(requests.RequestChannel),
    "doors": labels(AppPasswordScope),
    "kind": {**labels(requests.RequestKind), **labels(incidents.IncidentKind)},
    "kinds": labels(requests.RequestKind),
    "part": labels(Part),
    "queued": labels(QueuedMail),
    "role": labels(OfficerRole),
    "seen": labels(SeenHandling),
    "severity": labels(incidents.IncidentSeverity),
}
"""The same for acts, whose reason is free text."""

SUBJECTS: Mapping[str, Codes] = {
    "request_add": labels(requests.RequestKind),
    "incident_open": labels(incidents.IncidentKind),
}
"""Acts whose subject is a code, with its words."""

_WITH_MORE = re.compile(r"(?P<code>[a-z_-]+?)(?P<more>\d+| \d+|[:/].+)")
"""A code with a suffix.

The third worker, a version of Landlock, a notice with its key, or why and in which format something was not read.
"""


def listed(words: Codes, codes: Iterable[str]) -> Text:
    """Return several codes in words, separated by commas; unknown ones as they are."""
    called = [in_words(words, code) or Text(code, in_ascii(code)) for code in codes]
    return Text(", ".join(each.vi for each in called), ", ".join(each.en for each in called))


def in_words(words: Codes, code: str) -> Text | None:
    """Return the words of `code`; None for an unknown one, or for a value that is no code."""
    if code in words:
        return words[code]
    sentence, colon, place = code.partition(": ")
    if colon and sentence in words:  # why, and the place or what was found there
        named, more = words[sentence], in_words(words, place) or Text(place, in_ascii(place))
        return Text(f"{named.vi}: {more.vi}", f"{named.en}: {more.en}")
    known = _WITH_MORE.fullmatch(code)
    if known is None or known["code"] not in words:
        return None
    named, suffix = words[known["code"]], known["more"].strip()
    if suffix.startswith(":"):  # the key of a notice, which only identifies it
        return named
    if suffix.startswith("/"):
        return Text(f"{named.vi} ({suffix[1:]})", in_ascii(f"{named.en} ({suffix[1:]})"))
    return Text(f"{named.vi} {suffix}", f"{named.en} {suffix}")
