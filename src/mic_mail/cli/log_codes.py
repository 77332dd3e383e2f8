"""The words for codes that stand in lines of the log: why something was refused, cut or put off, and yes or no.

What is not here is shown as it stands: names of protocols, addresses, what another server or a library has said.
"""

from collections.abc import Mapping

from mic_mail.errors import Text

CODES: Mapping[str, Text] = {
    "true": Text("có", "yes"),
    "false": Text("không", "no"),
    # why a sign-in was refused (`services.signin.refusals.RefusalKind`)
    "wrong-credentials": Text("sai địa chỉ hoặc mật khẩu", "wrong address or password"),
    "suspended": Text("hộp thư bị tạm khóa", "the mailbox is suspended"),
    "password-due": Text("phải đổi mật khẩu trước", "the password has to be changed first"),
    "reclaimed": Text("hộp thư đã thu hồi", "the mailbox is reclaimed"),
    "send-locked": Text("hộp thư bị khóa chức năng gửi", "the mailbox is send-locked"),
    "too-many": Text("quá nhiều lần thử", "too many attempts"),
    "unavailable": Text("máy chủ tạm thời chưa phục vụ được", "not available now"),
    "tls-required": Text("kết nối chưa mã hóa", "the connection is not encrypted"),
    "bad-mechanism": Text("cách đăng nhập không được hỗ trợ", "no such way to sign in"),
    "malformed": Text("lệnh sai cú pháp", "malformed"),
    "not-authorised": Text("không được phân công", "no authority"),
    "not-here": Text("mật khẩu này không dùng cho dịch vụ này", "the password does not open this service"),
    # why a sender, a recipient or a message was refused (`services.transport.envelope.Cause`)
    "no-such-mailbox": Text("không có hộp thư này", "no such mailbox"),
    "reclaimed-on-request": Text("hộp thư đã thu hồi theo yêu cầu", "the mailbox is reclaimed on request"),
    "relay-denied": Text("không chuyển tiếp cho tên miền khác", "no relaying to other domains"),
    "bad-domain": Text("tên miền không hợp lệ", "no valid domain"),
    "over-quota": Text("hộp thư đầy", "the mailbox is full"),
    "one-is-full": Text("hộp thư của một người nhận đầy", "the mailbox of one recipient is full"),
    "not-signed-in": Text("chưa đăng nhập", "not signed in"),
    "sender-not-yours": Text("địa chỉ người gửi không phải của người đăng nhập", "the sender's address is another's"),
    "sending-rate": Text("gửi quá nhiều trong thời gian ngắn", "too much was sent in a short time"),
    "attachments-too-large": Text("tệp đính kèm vượt mức cho phép", "the attachments are too large"),
    "message-too-large": Text("thư vượt mức cho phép", "the message is too large"),
    "header-too-large": Text("phần tiêu đề thư quá dài", "the header is too large"),
    "header-unreadable": Text("không đọc được phần tiêu đề thư", "the header cannot be read"),
    "no-valid-author": Text("thư không ghi người gửi hợp lệ", "the message names no valid author"),
    "author-twice": Text("thư ghi người gửi hai lần", "the message names its author twice"),
    "author-unreadable": Text("không đọc được người gửi ghi trong thư", "the author cannot be read"),
    "name-not-yours": Text("tên người gửi không phải của người đăng nhập", "the author's name is another's"),
    "marked-secret": Text("có dấu độ mật", "marked as secret"),
    "not-inspected": Text("không xem xét được hết nội dung", "could not be inspected whole"),
    "not-inspected-now": Text("chưa xem xét được nội dung, đề nghị gửi lại", "could not be inspected now"),
    "too-much-to-inspect": Text("nội dung vượt mức xem xét được", "more than can be inspected"),
    "malware": Text("có mã độc", "malware"),
    "not-scanned": Text("chưa quét được mã độc", "could not be scanned for malware"),
    "forged": Text("giả mạo người gửi", "the author is forged"),
    "not-of-author": Text("không chứng minh được là của người gửi", "not proved to be the author's"),
    "listed": Text("máy chủ gửi có trong danh sách chặn", "the sending server is on a block list"),
    "not-judged": Text("chưa kiểm tra được nguồn gốc", "the origin could not be judged now"),
    "spam": Text("thư rác", "spam"),
    "spam-sent": Text("thư gửi đi bị coi là thư rác", "what was sent is spam"),
    "put-off": Text("bộ lọc đề nghị gửi lại sau", "put off by the filter"),
    "not-scored": Text("bộ lọc thư rác chưa trả lời", "the spam filter does not answer"),
    "loop": Text("thư chạy vòng giữa các máy chủ", "the message goes round in a loop"),
    "bare-line-end": Text("dấu xuống dòng sai chuẩn", "bare line ends"),
    "nul-octet": Text("có octet NUL", "a NUL octet"),
    "text-line-too-long": Text("có dòng quá dài", "a line is too long"),
    "disk-full": Text("ổ đĩa đầy", "the disk is full"),
    # why a connection was refused or cut
    "no-room": Text("hết chỗ kết nối", "no room for connections"),
    "quota": Text("hộp thư đầy", "the mailbox is full"),
}
