"""The regulation, clause by clause: its text, what this server does, and the settings that read it.

Out: `CLAUSES`, in the order of the text, and `clause(id)`. The text is in today's Vietnamese usage, and in English. What a row
does not hold names the clause where it is: the code that obeys it cites it (`Reg. 6.4.c`), a command by
`@requires(..., clauses=)`, a figure by `@evidence`, a test by its name (`test_clause_6_4_c`) or its marker `clause`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mic_mail.errors import BadInput, Text
from mic_mail.i18n.labels import LabelledEnum


class ClauseStanding(LabelledEnum):
    """The degree to which this version of the program obeys a clause by itself."""

    ENFORCED = "enforced", "đã thi hành", "enforced"
    PARTLY = "partly", "một phần", "partly"
    PEOPLE = "people", "do con người", "people"
    """The clause binds people; the server supplies the evidence."""


@dataclass(frozen=True, slots=True)
class Clause:
    """One clause of the regulation."""

    id: str
    text: Text
    does: Text
    standing: ClauseStanding
    settings: tuple[str, ...] = ()
    """Settings that choose its reading or its figure."""
    reading: Text | None = None
    """The default reading of an ambiguous text."""
    uncounted: Text | None = None
    """The reason why no figure of the server is evidence for it."""


ENFORCED, PARTLY, PEOPLE = ClauseStanding


def _row(
    clause_id: str,
    standing: ClauseStanding,
    text: tuple[str, str],
    does: tuple[str, str],
    *,
    settings: str = "",
    reading: tuple[str, str] | None = None,
    uncounted: tuple[str, str] | None = None,
) -> Clause:
    return Clause(
        clause_id,
        Text(*text),
        Text(*does),
        standing,
        tuple(settings.split()),
        Text(*reading) if reading else None,
        Text(*uncounted) if uncounted else None,
    )


_CONDUCT = ("không có số liệu: do con người thực hiện", "no count: it is for people to do")


# fmt: off
ROWS: tuple[Clause, ...] = (
    _row("2.3", ENFORCED,
        ("Tài khoản gồm địa chỉ thư điện tử và mật khẩu.", "An account is an address and a password."),
        ("Tên đăng nhập là địa chỉ đầy đủ; hộp thư đơn vị, nhóm có tài khoản riêng.",
         "The sign-in name is the full address; unit and group mailboxes have accounts of their own.")),
    _row("2.4", ENFORCED,
        ("Hộp thư cá nhân: cấp cho cá nhân.", "A personal mailbox is issued to a person."),
        ("Loại hộp thư “cá nhân”, gắn với một người trong danh bạ.", "Kind `personal`, tied to one person of the directory.")),
    _row("2.5", ENFORCED,
        ("Hộp thư đơn vị: cấp cho cơ quan, đơn vị dùng chung.", "A unit mailbox is issued to a unit for common use."),
        ("Loại hộp thư “đơn vị”, gắn với một đơn vị.", "Kind `unit`, tied to one unit.")),
    _row("2.6", ENFORCED,
        ("Danh bạ điện tử: dữ liệu về đơn vị, cá nhân dùng thư điện tử và các hệ thống dùng chung khác.",
         "The directory lists units and people who use this and the ministry's other shared systems."),
        (("Cá nhân không có hộp thư vẫn ở trong danh bạ. Tra cứu bằng phần mềm thư qua LDAP và CardDAV sau khi đăng nhập, chỉ "
          "đọc; xuất vCard, LDIF, CSV có ghi nhật ký. Chỉ có tên, đơn vị, chức vụ, địa chỉ; không có tình trạng hộp thư."),
         ("People without a mailbox stay in it. Mail programs search it, read-only, by LDAP and CardDAV after a sign-in; "
          "exports as vCard, LDIF and CSV are logged. It has names, units, positions and addresses, but no mailbox states.")),
        settings="listen.ldap listen.ldaps ldap.anonymous_networks web.carddav",
        reading=("Người đã nghỉ không còn trong danh bạ từ ngày chính thức nghỉ; hộp thư tạm khóa vẫn được nêu như thường.",
                 "A leaver is not listed from the official day on; a suspended mailbox is listed like any other.")),
    _row("3.1", ENFORCED,
        ("Hệ thống dùng chung cơ bản của Bộ.", "The ministry's basic shared system."),
        ("Không cần dịch vụ bên ngoài nào để hoạt động.", "It needs no outside service.")),
    _row("3.2", PARTLY,
        ("Vận hành trên hạ tầng của Bộ; tên miền mic.gov.vn; truy nhập tại https://mail.mic.gov.vn.",
         "Runs on the ministry's own infrastructure; domain mic.gov.vn; web access at https://mail.mic.gov.vn."),
        ("Trang mật khẩu tại tên máy này, chưa có webmail; tên miền, tên máy là cấu hình với các giá trị mặc định này.",
         "The password page is served there; there is no webmail yet; domain and host names are settings with these defaults."),
        settings="server.domain server.hostname listen.https"),
    _row("3.3", PEOPLE,
        ("Chỉ dùng cho công vụ.", "For official use only."),
        ("Chứng cứ: nhật ký thư.", "Evidence: the mail log.")),
    _row("4.1", ENFORCED,
        ("Cấm gửi tài liệu mật, tối mật, tuyệt mật.", "Confidential, secret and top secret documents must not be sent."),
        (("Kiểm tra dấu độ mật ở tiêu đề, nội dung, tên tệp và tài liệu gửi kèm; từ chối có nêu điều khoản; nhầm lẫn do hai "
          "người cho chuyển (`secrecy ask`, `secrecy release`)."),
         ("Markings are searched in subject, text, file names and documents; a refusal names the clause; two people release "
          "what was refused by mistake (`secrecy ask`, `secrecy release`).")),
        settings="secrecy.inbound secrecy.unreadable secrecy.hold",
        reading=("Kiểm tra khi gửi và khi lưu vào Thư đã gửi; thư có dấu mật từ ngoài vào được nhận và báo Trung tâm.",
                 "Checked on sending and on APPEND to Sent; marked mail from outside is accepted and flagged to the Centre.")),
    _row("4.2", ENFORCED,
        ("Cấm cản trở, thay đổi quá trình gửi, nhận thư.",
         "The process of sending and receiving must not be obstructed or altered."),
        (("Không bỏ, chuyển hướng hay sao chép thư một cách lặng lẽ; mọi từ chối, giữ lại, dừng gửi đều ghi nhật ký và báo "
          "lại; thư cách ly được báo người nhận."),
         ("Nothing is dropped, redirected or copied silently; every refusal, hold and drop is logged; senders are notified "
          "of drops, recipients of quarantined mail.")),
        settings="quarantine.keep quarantine.digest"),
    _row("4.3", ENFORCED,
        ("Cấm chiếm đoạt tài khoản, đọc, thay đổi, giả mạo thư của người khác.",
         "Accounts must not be taken over; others' mail must not be read, changed or forged."),
        (("Người gửi chỉ dùng địa chỉ của mình, và của đơn vị, nhóm đã ủy quyền (12.3); hạn chế số lần đăng nhập sai; nội "
          "dung hộp thư chỉ mở khi có căn cứ và người thứ hai phê duyệt, có hạn, ghi nhật ký từng bước."),
         ("A sender may use only the mailbox's own addresses and those of units and groups that authorised it (12.3); "
          "failed sign-ins are limited; content is opened only on a document and with a second person's approval, for a "
          "limited time, and each step is logged.")),
        settings="auth.failures_per_network auth.failures_per_mailbox auth.failure_window content.expires_after"),
    _row("5.1", ENFORCED,
        ("Địa chỉ hộp thư đơn vị là ký hiệu đơn vị theo Quyết định 1553/QĐ-BTTTT; ký tự không hợp lệ thay bằng “_”.",
         "A unit's address is its registered symbol (decision 1553); characters that are not allowed become `_`."),
        ("Lấy ký hiệu từ danh mục, không đoán từ tên: PTTH&TTĐT thành ptth_ttdt.",
         "The symbol comes from the register, never guessed from the name: PTTH&TTDT becomes ptth_ttdt."),
        settings="address.unit.collapse address.unit.keep",
        reading=("Một dãy ký tự không hợp lệ thành một “_”, bỏ ở đầu và cuối; “-” giữ nguyên, “.” thành “_”.",
                 "A run of illegal characters becomes one `_`, edges stripped; `-` is kept, `.` becomes `_`.")),
    _row("5.2", ENFORCED,
        ("Địa chỉ hộp thư nhóm do Trung tâm Thông tin chọn: dễ nhớ, khoa học, không trùng lặp.",
         "A group's address is chosen by the Centre: easy to remember, systematic, unique."),
        ("Gợi ý từ tên; kiểm tra không trùng với mọi địa chỉ đang có và đã từng có.",
         "Suggested from the name; unique over all addresses that exist or ever existed.")),
    _row("5.3", ENFORCED,
        ("Địa chỉ hộp thư cá nhân: viết tắt họ, tên đệm hợp với tên, không dấu (Đỗ Văn Bê: dvbe).",
         "A personal address: initials of family and middle names, then the given name, no diacritics (Do Van Be: dvbe)."),
        ("Tạo từ họ tên ở mọi dạng Unicode; tên hỏng do bảng mã cũ bị từ chối, không đoán.",
         "Made from the name in any Unicode form; names damaged by old encodings are refused, never guessed."),
        settings="address.shortest address.reserved"),
    _row("5.4.a", ENFORCED,
        ("Trùng họ tên: người đăng ký đầu tiên được dạng địa chỉ chuẩn.",
         "Same name: the first to register gets the plain form."),
        ("Địa chỉ đã cấp không bao giờ cấp cho người khác.", "An address once given is never given to another person."),
        settings="address.namesake.first_by",
        reading=("“Đầu tiên” tính theo lúc nhận yêu cầu.", "The first is the one whose request was received first.")),
    _row("5.4.b", ENFORCED,
        ("Người khác chọn: hoán chuyển thứ tự chữ cái hoặc hovaten.tendonvi.",
         "Others choose: letters in another order, or hovaten.tendonvi."),
        ("Gợi ý theo thứ tự; lựa chọn được ghi là của cá nhân; không thêm số.",
         "Suggestions in order; the choice is recorded as the person's; no number suffixes."),
        settings="address.namesake.permute",
        reading=("Hoán chuyển cả khối (bedv, vdbe); áp dụng cho mọi trường hợp trùng địa chỉ, không chỉ trùng họ tên.",
                 "Whole blocks change places (bedv, vdbe); applied to every clash of addresses, not only to equal names.")),
    _row("5.5", ENFORCED,
        ("Định dạng chỉ áp dụng cho hộp thư cấp mới sau Quy chế.",
         "The rule binds only mailboxes issued after the regulation."),
        (("Địa chỉ có trước ngày ban hành, và địa chỉ chuyển sang không rõ ngày (`import address`), được giữ nguyên và ghi là "
          "cũ; quy tắc chỉ kiểm tra hộp thư cấp sau."),
         ("Addresses older than the decision, and imported ones of unknown age (`import address`), are kept and marked as "
          "old; the rules are checked only for later mailboxes.")),
        settings="regulation.issued_on"),
    _row("6.1", ENFORCED,
        ("Chỉ Trung tâm Thông tin cấp mới, thay đổi, thu hồi hộp thư; quản lý thống nhất danh bạ.",
         "Only the Centre issues, changes and reclaims mailboxes, and manages the directory."),
        (("Chỉ cán bộ của Trung tâm đã được ghi nhận thay đổi được; quản trị viên đơn vị chỉ thấy đơn vị mình, kiểm tra "
          "viên chỉ đọc; mỗi việc ghi người thực hiện."),
         ("Only recorded officers of the Centre can change anything; a unit's administrator sees only that unit, an auditor "
          "only reads; each act records who did it."))),
    _row("6.2", ENFORCED,
        ("Đơn vị gửi yêu cầu bằng văn bản hoặc qua support@.", "Units ask by letter, or by mail to support@."),
        ("Sổ yêu cầu: ngày nhận, đơn vị, kênh, số văn bản, hạn, kết quả; mẫu gửi từ hộp thư đơn vị đến support@ tự vào sổ.",
         ("A register of requests: day of receipt, unit, channel, document, deadline, result; a form sent from a unit's "
          "mailbox to support@ is entered automatically.")),
        settings="regulation.support request.target_days address.alias_days",
        reading=("Quy chế không đặt thời hạn; thời hạn ở đây là mục tiêu của Trung tâm.",
                 "The regulation sets no deadline; this one is the Centre's own target.")),
    _row("6.3", ENFORCED,
        ("Chỉ cán bộ, công chức, viên chức, hợp đồng từ 01 năm được cấp mới hộp thư cá nhân.",
         "New personal mailboxes only for officials, civil servants, public employees, or contracts of a year or more."),
        ("Kiểm tra khi cấp; trọn một năm dương lịch là đủ; hợp đồng ngắn hơn về sau không làm mất hộp thư.",
         "Checked at issue; a full calendar year is enough; a later, shorter contract does not take the mailbox away.")),
    _row("6.4.a", ENFORCED,
        ("Tuyển dụng, tiếp nhận: sau quyết định, đơn vị quản lý thông báo để tạo hộp thư.",
         "Recruits and arrivals: after the decision the managing unit notifies the Centre, which creates the mailbox."),
        ("Cấp hộp thư kèm số văn bản; mật khẩu đầu tiên phải đổi khi đăng nhập lần đầu; có thư chào mừng.",
         ("Issued with the document's number; the first password must be changed at the first sign-in; a welcome message is "
          "sent."))),
    _row("6.4.b", ENFORCED,
        ("Thuyên chuyển trong Bộ: đơn vị tiếp nhận thông báo để cập nhật danh bạ.",
         "Transfer between units: the receiving unit notifies the Centre, and the directory is updated."),
        ("Giữ nguyên hộp thư, địa chỉ, thư; danh bạ thay đổi, cả chức danh và cấp; cá nhân được thông báo.",
         "Mailbox, address and mail stay; the directory changes, position and level too; the person is notified.")),
    _row("6.4.c", ENFORCED,
        (("Nghỉ hưu, nghỉ việc, chuyển công tác: cấp phòng trở xuống khóa gửi ngay, thu hồi sau 06 tháng; cấp Vụ "
          "trở lên khóa gửi sau 01 tháng, thu hồi sau 12 tháng."),
         ("Leavers: at division level and below sending is locked at once and the mailbox reclaimed after 6 months; at "
          "department level and above, after 1 month and 12 months.")),
        (("Tính từ ngày chính thức, không từ ngày thông báo; tự động; chỉ hộp thư cá nhân; chức danh chưa rõ thì hỏi. Cảnh báo "
          "trước; thu hồi xong thì lưu trữ, giữ một thời gian rồi mới xóa khỏi máy chủ; lấy lại được."),
         ("Counted from the official day, not the notice; automatic; personal mailboxes only; an unknown rank must be "
          "given. The owner is warned; a reclaimed mailbox is archived, kept for a time and then deleted from the server; "
          "it can be restored.")),
        settings="terms.end terms.roll leave.late_grace_days reclaim.warn_days "
                 "reclaim.keep_days",
        reading=(("Thời hạn hết lúc 24 giờ ngày cuối (Bộ luật Dân sự 2015, Điều 147, 148): nghỉ 31/08/2026, thu "
                  "hồi 0 giờ 01/03/2027. Thông báo muộn: việc thu hồi đã đến hạn chờ 7 ngày."),
                 ("The term ends with its last day (Civil Code 2015, Articles 147-148): left 31/08/2026, reclaimed "
                  "00:00 01/03/2027. Late notice: a reclaim already due waits 7 days."))),
    _row("6.5", ENFORCED,
        ("Thường xuyên rà soát danh bạ cho thống nhất với hộp thư đang hoạt động.",
         "The directory is regularly reviewed so that it agrees with the mailboxes in use."),
        ("`directory check` liệt kê mọi điểm không khớp; mỗi thay đổi có văn bản, giá trị trước và sau (`directory history`).",
         "`directory check` lists every disagreement; each change has its document, old and new value (`directory history`).")),
    _row("7.1", ENFORCED,
        ("Tạm khóa: không truy nhập, không sử dụng; vẫn nhận thư.", "Suspended: no access, no use; mail is still received."),
        ("Từ chối đăng nhập ở mọi dịch vụ, ngắt phiên đang mở, giữ lại thư đang chờ gửi; vẫn nhận thư đến.",
         "Sign-in is refused by every service, open sessions end, queued messages wait; incoming mail is accepted.")),
    _row("7.2.a", ENFORCED,
        ("Không gửi, nhận trong 06 tháng mà không thông báo lý do.",
         "No sending or receiving for 6 months without a notified reason."),
        ("Tự động, có cảnh báo trước; vắng mặt có thông báo thì không tính; ngày hệ thống ngừng không tính.",
         "Automatic, with warnings; a notified absence and days of downtime do not count."),
        settings="inactivity.counts inactivity.warn_days terms.end",
        reading=("Chỉ tính việc người dùng làm; chưa dùng lần nào thì tính từ ngày cấp; hết vắng mặt tính lại 6 tháng.",
                 ("Only the user's own activity counts; if never used, the 6 months begin at the issue; after an absence "
                  "they begin anew."))),
    _row("7.2.b", ENFORCED,
        ("Vi phạm Điều 4 theo kết luận của Lãnh đạo Bộ.",
         "A breach of Article 4 on the conclusion of the ministry's leadership."),
        ("Phải có số, ngày, người ký kết luận; thiếu thì từ chối.",
         "The conclusion's number, date and a recorded signatory are required."),
        settings="restore.breach_document"),
    _row("7.2.c", ENFORCED,
        ("Bị virus, chiếm dụng, lộ mật khẩu; phát tán thư rác, mã độc.",
         "Infected, hijacked, password leaked, spreading spam or malware."),
         (("Tạm khóa bằng lệnh, và tự động khi gửi mã độc (ClamAV), thư rác (Rspamd, nếu đặt), gửi quá nhiều, đăng nhập bằng "
           "mật khẩu đã lộ, đang bị dò; đăng nhập bất thường được báo cá nhân và Trung tâm; phiên bị ngắt trong vài giây."),
          ("Suspended by command, and automatically when the mailbox sends malware (ClamAV), spam (Rspamd, if configured) "
           "or far too much mail, or is signed in to with a password that leaked or is being tried at many mailboxes; "
           "abnormal sign-ins are reported to the person and the Centre; sessions end within seconds.")),
         settings="malware.clamd malware.suspend rspamd.outgoing rspamd.suspend_beyond "
                  "limits.recipients_per_hour limits.recipients_per_day "
                 "limits.messages_per_hour limits.messages_per_day limits.octets_per_hour limits.octets_per_day "
                 "limits.suspend_beyond limits.bulk_senders limits.bulk_times auth.leaked_passwords auth.leaked_action "
                 "anomaly.suspend anomaly.window anomaly.sprayed anomaly.guesses anomaly.networks"),
    _row("7.3.a", ENFORCED,
        ("Đơn vị, cá nhân liên hệ bằng văn bản, fax, điện thoại để khôi phục.",
         "The unit or person asks by letter, fax or telephone."),
        ("Yêu cầu ghi người đề nghị và kênh liên hệ, mọi kênh đều được; báo cho chủ hộp thư và đơn vị.",
         "A request records who asked and by which channel; any channel is accepted; owner and unit are notified.")),
    _row("7.3.b", ENFORCED,
        ("Sau 01 ngày làm việc: xác minh, kích hoạt, khởi tạo lại mật khẩu.",
         "1 working day after receipt: verified, reactivated, password reset."),
        ("Khôi phục luôn đặt lại mật khẩu; hạn tính theo lịch làm việc, quá hạn thì nhắc mỗi ngày làm việc.",
         ("A restore always resets the password; it is due by the working calendar, with a reminder on each working day "
          "after that.")),
        settings="restore.min_wait restore.breach_document office.closes",
        reading=("Là thời hạn, không phải thời gian chờ; vi phạm Điều 4 cần văn bản.",
                 "It is a deadline, not a waiting period; a breach of Article 4 needs the document.")),
    _row("7.3.c", ENFORCED,
        ("Phải đổi mật khẩu trong lần truy nhập đầu tiên sau khi kích hoạt.",
         "The password has to be changed at first sign-in."),
        ("Trước khi đổi chỉ vào được trang mật khẩu của máy chủ; phần mềm thư được chỉ đến đó; đơn vị cũng vậy.",
         "Until then only the server's password page can be used, and mail programs refer to it; this holds for units too."),
        settings="regulation.password_page listen.https"),
    _row("8.1", ENFORCED,
        ("Người dùng lưu trữ trên máy mình bằng phần mềm thư.", "Users archive on their own PC with a mail program."),
        ("Outlook, Thunderbird và các phần mềm khác kết nối qua IMAP, hoặc tải hết thư về máy qua POP3; tự tìm cấu hình.",
         "Outlook, Thunderbird and others work by IMAP, or fetch everything by POP3; they set themselves up."),
        settings="listen.pop3 listen.pop3s"),
    _row("8.2", ENFORCED,
        ("Lưu nhật ký hệ thống, gửi nhận, lỗi trong 06 tháng.",
         "Logs of system, sending, receiving, errors are kept 6 months."),
        (("Nhật ký thư được xóa khi hết thời gian lưu, không sớm hơn 06 tháng; nhật ký quản trị luôn còn. Tìm bằng `log "
          "search`, `log trace`; chuỗi niêm phong từng giờ, từng ngày; `log verify` nêu dòng, tệp, ngày bị sửa, xóa, thêm."),
         ("The mail log is deleted when its retention ends, never before 6 months; the audit log stays. `log search` and "
          "`log trace` search it; a chain of anchors covers each hour and day; `log verify` names lines, files and days "
          "that were altered, deleted or added.")),
        settings="log.retain_months log.dir log.segment",
        reading=("Ít nhất 06 tháng; mặc định 12.", "At least 6 months; 12 by default.")),
    _row("8.3.a", ENFORCED,
        ("Dung lượng được thường xuyên điều chỉnh tăng.", "Quota is regularly adjusted upwards."),
        ("Giảm dung lượng phải có lý do.", "A decrease needs a reason.")),
    _row("8.3.b", ENFORCED,
        ("Tối thiểu 01 GB/hộp thư; tệp gửi kèm tối đa 20 MB/thư.",
         "At least 1 GB per mailbox; attachments up to 20 MB per message."),
        ("Không nhận dung lượng dưới 1 GiB; đếm tệp gửi kèm sau giải mã.",
         "No quota under 1 GiB; attachments are measured after decoding."),
        settings="quota.default limits.attachment.maximum limits.attachment.text_room limits.attachment.allowed_by",
        reading=("Tổng sau giải mã của một thư; 1 GB = 2^30, 20 MB = 20 x 2^20.",
                 "The decoded total of one message; 1 GB = 2^30, 20 MB = 20 x 2^20.")),
    _row("8.3.c", ENFORCED,
        ("Cảnh báo vào hộp thư khi gần hết dung lượng.", "A warning is sent to a mailbox that is nearly full."),
        ("Báo một lần mỗi khi vượt ngưỡng; không bị dung lượng chặn.",
         "Once per crossing of a threshold; never blocked by the quota."),
        settings="quota.warn_percent quota.over"),
    _row("9.1", ENFORCED,
        ("Không chịu trách nhiệm về nội dung trừ khi sửa đổi.",
         "The operator is not answerable for content unless it changes it."),
        ("Thân thư đi qua nguyên vẹn từng byte; không thêm chân thư, không sửa chủ đề.",
         "Bodies pass byte for byte; no footers, no subject tags.")),
    _row("9.2", ENFORCED,
        ("Không chịu trách nhiệm về lưu trữ tự động, trung gian, tạm thời.",
         "Nor is it answerable for automatic, intermediate, temporary storage."),
        (("Hàng đợi được xóa sau khi phát xong, `log trace` cho thấy thư nằm ở đâu, bao lâu; lưu giữ theo yêu cầu chỉ khi có "
          "văn bản, trong thời gian đó không thư nào bị hủy."),
         ("The spool entry is deleted after delivery; `log trace` shows where a message lay and for how long; a legal hold "
          "needs the authority's document, and while it lasts nothing in the mailbox is destroyed."))),
    _row("10.1", PARTLY,
        ("Bảo đảm ổn định, tốc độ, dung lượng, dự phòng; xử lý sự cố.",
         "Stability, speed, capacity, standby, incident handling."),
        ("Sao lưu hằng giờ, khôi phục trên máy khác, chỉ số, kiểm tra tình trạng; sổ sự cố. Chưa có máy tự tiếp quản.",
         ("Hourly backups, restore on another machine, metrics, health checks, a register of incidents. There is no "
          "automatic failover yet.")),
        settings="process.lag_seconds storage.synchronous web.monitor_networks"),
    _row("10.2", ENFORCED,
        ("An ninh, chống virus, lọc thư rác, xóa và lưu trữ, đổi mật khẩu, quyền truy nhập.",
         "Security, virus protection, spam filtering, deletion and archiving, password change, access rights."),
        (("Thư được quét mã độc bằng ClamAV, có thì từ chối; thư đến được kiểm tra nguồn gốc (SPF, DKIM, DMARC), giả mạo thì "
          "từ chối hoặc vào Junk; Rspamd lọc thư rác; chính sách mật khẩu, mã hóa kết nối, khóa gửi."),
         ("Messages are scanned by ClamAV, and refused if they contain malware; the origin of incoming mail is checked "
          "(SPF, DKIM, DMARC), and forged mail is refused or filed as Junk; Rspamd filters spam; password policy, encrypted "
          "connections, send locks.")),
        settings="inbound.own_domain inbound.dmarc rspamd.url rspamd.absent rspamd.reject "
                 "malware.clamd malware.absent malware.found auth.password_length auth.cleartext tls.minimum "
                 "storage.expunge_keep"),
    _row("10.3", ENFORCED,
        ("Ngừng dịch vụ vì kỹ thuật phải báo trước tối thiểu 03 ngày làm việc.",
         "Technical downtime must be announced at least 3 working days ahead."),
        (("Từ chối thông báo ngắn hạn hơn; gửi tới mọi hộp thư, báo khi đăng nhập IMAP và trên trang mật khẩu; sự cố là ngoại "
          "lệ, vào sổ sự cố, có lý do và báo cáo."),
         ("A shorter notice is refused; announced to every mailbox, at IMAP sign-in and on the password page; an incident "
          "is the exception: it is registered, with a reason and a report.")),
        settings="maintenance.count",
        reading=("Trọn 3 ngày làm việc ở giữa, không tính ngày thông báo.",
                 "3 full working days between, the day of notice not counted.")),
    _row("10.4", ENFORCED,
        ("Hỗ trợ chuyển đổi dữ liệu thư từ hệ thống khác.", "Help for units that move mail from other systems."),
        (("`import`: từ IMAP, Maildir, mbox, EML, PST, khi người dùng vẫn làm việc; dừng lúc nào cũng chạy tiếp được, không "
          "thư nào vào hai lần; --verify so từng thư. Maildir của Dovecot còn được tiếp quản nguyên vị."),
         ("`import`: from IMAP, Maildir, mbox, EML and PST, while people work; it can be stopped and continued at any time "
          "and imports no message twice; --verify compares each message. A Dovecot Maildir can also be taken over in place."))),
    _row("11.1", PEOPLE,
        ("Văn bản được gửi, nhận trong và giữa các đơn vị.", "What may be sent within and between units."),
        ("Chứng cứ: nhật ký thư, báo cáo gửi nhận của hộp thư đơn vị.",
         "Evidence: the mail log, the correspondence report of a unit mailbox.")),
    _row("11.2", PEOPLE,
        ("Khuyến khích gửi đồng thời bản điện tử tới “nơi nhận”.", "Electronic copies to those named as recipients."),
        ("Chứng cứ: nhật ký thư, báo cáo gửi nhận của hộp thư đơn vị.",
         "Evidence: the mail log, the correspondence report of a unit mailbox.")),
    _row("11.3", PEOPLE,
        ("Thư từ hộp thư cá nhân không thay thế bản chính thức.", "A personal mailbox never replaces the official copy."),
        ("Chứng cứ: nhật ký thư, báo cáo gửi nhận của hộp thư đơn vị.",
         "Evidence: the mail log, the correspondence report of a unit mailbox.")),
    _row("11.4", ENFORCED,
        ("Văn bản phải lưu ở hệ thống lưu trữ ngoài hệ thống thư.",
         "Documents are kept in a records system outside the mail system."),
        ("Xuất thư đơn vị thành tệp EML kèm mã băm, theo văn bản và đề nghị của người quản lý; làm tiếp được khi bị ngắt.",
         ("A unit's mail is exported as EML files with digests, on a document and at the keeper's request; an interrupted "
          "export can be continued."))),
    _row("12.1", PEOPLE,
        ("Cá nhân chịu trách nhiệm về nội dung thư gửi từ hộp thư của mình.", "People answer for what they send."),
        ("Chứng cứ: nhật ký thư.", "Evidence: the mail log.")),
    _row("12.2", PEOPLE,
        ("Hộp thư đơn vị dùng cho giao dịch hành chính.", "Unit mailboxes for administrative dealings."),
        ("Chứng cứ: nhật ký thư.", "Evidence: the mail log.")),
    _row("12.3", ENFORCED,
        ("Thủ trưởng có thể phân công một người quản lý hộp thư đơn vị.",
         "The head may put one person in charge of the unit mailbox."),
        ("Một người quản lý thuộc đơn vị, có văn bản, thời hạn; người thay thế có ngày; đọc ở Shared/ bằng mật khẩu của mình.",
         ("One keeper of the unit, with document and term; a substitute with dates; both read it below Shared/ with their "
          "own password.")),
        reading=("Người thay thế và người quản lý cùng có quyền trong những ngày đó; chuyển đơn vị hoặc nghỉ thì hết quyền.",
                 "Keeper and substitute both have access on the named days; a person who changes units or leaves has none.")),
    _row("12.3.a", ENFORCED,
        ("Mở hộp thư đơn vị ít nhất 03 lần mỗi ngày làm việc.",
         "The unit mailbox is opened at least 3 times each working day."),
        ("Nhật ký ghi ai mở, lúc nào; báo cáo theo hộp thư, ngày làm việc và khung giờ; mỗi tuần nhắc người quản lý.",
         ("The log records who opened it and when; a report by mailbox, working day and window; the keeper is reminded once "
          "a week.")),
        settings="unit.openings.counts unit.openings.windows unit.openings.remind",
        reading=("Người giữ đọc thư (SELECT, FETCH); trong ba khung giờ.",
                 "The keeper reading (SELECT, FETCH); in three windows.")),
    _row("12.3.b", ENFORCED,
        ("Báo cáo Thủ trưởng về tình trạng gửi nhận.", "The keeper reports to the head of the unit on mail sent and received."),
        ("Báo cáo theo hộp thư đơn vị: gửi, nhận lúc nào, xác nhận (DSN, MDN) và trả lời của từng người nhận.",
         ("A report by unit mailbox: when mail was sent and received, with the confirmations (DSN, MDN) and answers of each "
          "recipient."))),
    _row("12.3.c", ENFORCED,
        ("Chuyển kịp thời văn bản đến vào hệ thống quản lý văn bản.",
         "What arrives is passed on to the document system without delay."),
        ("Đánh dấu bằng nhãn, thư mục hoặc lệnh; danh sách chưa chuyển kèm thời hạn; mỗi tuần nhắc vào hộp thư.",
         "Marked by a tag, a folder or a command; a list of unmarked mail with deadlines; a weekly reminder to the mailbox."),
        settings="unit.passed_on.keywords unit.passed_on.folder unit.passed_on.days unit.passed_on.remind",
        reading=("“Kịp thời”: hết giờ làm việc ngày làm việc sau ngày nhận; bỏ qua thư tự động.",
                 "'Without delay': by the end of office hours of the working day after receipt; automatic mail skipped.")),
    _row("12.3.d", ENFORCED,
        ("Hết phân công: bàn giao nguyên trạng hộp thư cùng mật khẩu và nội dung.",
         "When the authority ends, the mailbox is handed over as it stands, with password and content."),
        (("Trong khi bàn giao không thư nào bị xóa, chuyển; kiểm kê từng thư theo mã băm, biên bản để ký, đối chiếu về sau; "
          "chuyển quyền, kết thúc phiên cũ; hết phân công mà chưa có người nhận thì nhắc và báo động."),
         ("During a handover nothing is expunged or moved; each message is listed by its digest, with minutes to sign and "
          "later verification; rights move and old sessions end; a term that ends without a successor causes warnings and "
          "an alarm.")),
        settings="unit.term_warn_days",
        reading=(("Khởi tạo lại mật khẩu thay cho giao mật khẩu đang dùng; hết phân công thì hết quyền truy nhập, hộp thư vẫn "
                  "nhận thư."),
                 ("The password is reset instead of handed over; access ends with the term, and the mailbox still receives "
                  "mail."))),
    _row("12.4", ENFORCED,
        ("Trả lời thư trong vòng 02 ngày làm việc.", "Mail is answered within 2 working days."),
        ("Danh sách chưa trả lời trong 30 ngày kèm thời hạn; nhắc vào hộp thư mỗi tuần một lần.",
         "A list of mail unanswered in the last 30 days, with deadlines; a weekly reminder to the mailbox."),
        settings="reply.addressed reply.skip_bulk reply.own_unit office.closes",
        reading=("Thư có tên ở trường To; bỏ qua thư hàng loạt, tự động; hạn là hết giờ làm việc ngày thứ hai.",
                 ("Only mail with the mailbox in To; bulk and automatic mail is skipped; due at the end of office hours of "
                  "the second day."))),
    _row("13.1", ENFORCED,
        ("Chữ Việt theo TCVN 6909:2001 (Unicode).", "Vietnamese in TCVN 6909:2001 (Unicode)."),
        ("UTF-8 dạng NFC trong mọi thông báo; nhận địa chỉ và thư UTF-8; tìm kiếm có dấu hay không dấu đều ra.",
         "All notices are UTF-8 in NFC; UTF-8 mail and addresses are accepted; searches match with and without diacritics.")),
    _row("13.2", ENFORCED,
        ("Theo Danh mục tiêu chuẩn kỹ thuật của Nhà nước.", "The state's catalogue of technical standards."),
        ("SMTP, MIME, IMAP4rev1, POP3, LDAP v3 (chỉ đọc), HTTP, TLS, IPv4 và IPv6; S/MIME đi qua nguyên vẹn.",
         "SMTP, MIME, IMAP4rev1, POP3, LDAP v3 (read-only), HTTP, TLS, IPv4 and IPv6; S/MIME passes intact."),
        settings="listen.addresses listen.doors"),
    _row("14.1", PEOPLE,
        ("Đơn vị tuân thủ quy định.", "Units keep the rules."),
        ("Không có việc cho máy chủ.", "Nothing for a server to do."),
        uncounted=_CONDUCT),
    _row("14.2", PEOPLE,
        ("Đơn vị bảo đảm an toàn phần mềm thư trên máy trạm.", "Units secure the mail programs on their PCs."),
        ("Chỉ chấp nhận kết nối mã hóa.", "Only encrypted connections are accepted.")),
    _row("14.3", ENFORCED,
        ("Đơn vị duy trì danh sách hộp thư cập nhật.", "The unit keeps its list of mailboxes up to date."),
        (("Quản trị viên đơn vị đọc danh sách của đơn vị mình và đơn vị trực thuộc, không thấy đơn vị khác; đính chính bằng "
          "yêu cầu, gắn với dòng của bản thống kê."),
         ("Its administrator reads the list of the unit and those below it, and of no others; corrections are requests "
          "linked to the line of the census."))),
    _row("14.4", ENFORCED,
        ("Ghi lại sự cố nghiêm trọng, gửi Trung tâm Thông tin.", "Serious incidents are recorded and sent to the Centre."),
        (("Sổ sự cố: đơn vị ghi bằng lệnh hoặc mẫu gửi support@, báo ngay Trung tâm; diễn biến, biện pháp, kết quả; nhật ký "
          "của sự cố thành một tệp có mã kiểm tra."),
         ("A register of incidents: a unit reports by command or by a form to support@, and the Centre is notified at once; "
          "notes, measures, result; the log of an incident as one file with digests."))),
    _row("14.5", ENFORCED,
        ("Đơn vị có kế hoạch chuyển sang hệ thống này.", "Units plan to leave other systems."),
        ("`migration`: sổ các đơn vị còn dùng hệ thống khác, hạn chuyển, số lần lùi, quá hạn; có trong thống kê và báo cáo.",
         ("`migration`: the register of units on other systems, with due dates, postponements and overdue plans; part of "
          "census and report."))),
    _row("14.6", ENFORCED,
        ("Mỗi 06 tháng thống kê danh sách người dùng.", "Every 6 months units list those who use mailboxes."),
        ("Bản thống kê theo đơn vị để ký (PDF, XLSX), thay đổi so với kỳ trước, tổng hợp cho Trung tâm, ai chưa xác nhận.",
         ("A census per unit to sign (PDF, XLSX), changes since the last one, a summary for the Centre, and the units that "
          "have not confirmed.")),
        settings="census.months",
        reading=("Kỳ bắt đầu vào tháng 1 và tháng 7; hạn xác nhận là hết tháng đó.",
                 "Periods begin in January and July; a list is due by the end of that month.")),
    _row("15.1", PEOPLE,
        ("Cá nhân chấp hành quy định.", "People keep the rules."),
        ("Không có việc cho máy chủ.", "Nothing for a server to do."),
        uncounted=_CONDUCT),
    _row("15.2", ENFORCED,
        ("Bảo vệ tài khoản; định kỳ đổi mật khẩu; mất mật khẩu phải báo ngay.",
         "Guard the account; change the password periodically; a lost one is reported at once."),
        (("Ai biết mật khẩu thì đổi tại trang mật khẩu; mất thì khởi tạo lại theo văn bản hoặc thư từ hộp thư đơn vị, không tự "
          "làm; không dùng lại; có tuổi tối đa, được nhắc trước; hộp thư cá nhân không chia sẻ."),
         ("Users change the password on the password page; a lost one is reset on a letter or on mail from the unit's "
          "mailbox, never by the user; no reuse; a maximum age with warnings; personal mailboxes are not shared.")),
        settings="auth.password_age auth.password_length auth.password_reuse auth.password_warn_days web.idle_seconds"),
    _row("15.3", PEOPLE,
        ("Cá nhân tự lưu trữ dữ liệu thư.", "People keep their own archives."),
        ("Phần mềm thư tải được toàn bộ hộp thư.", "Mail programs can download the whole mailbox.")),
    _row("15.4", PEOPLE,
        ("Không dùng hộp thư đăng ký mạng xã hội, website thương mại.", "No sign-ups to social networks, shops, forums."),
        ("Chứng cứ: nhật ký thư.", "Evidence: the mail log."),
        uncounted=("không có số liệu: phải đọc thư của người khác mới biết (4.3)",
                   "no count: others' mail would have to be read (4.3)")),
    _row("15.5", ENFORCED,
        ("Xóa thư rác, mã độc; báo sự cố.", "Users delete spam and malicious mail; report errors."),
        ("Thư mục Junk trong mọi hộp thư, bộ lọc học từ thư được chuyển vào hoặc ra; mã độc bị từ chối; khu cách ly.",
         ("A Junk folder in every mailbox; the filter learns from messages moved into and out of it; malware is refused; a "
          "quarantine.")),
        settings="malware.clamd rspamd.controller rspamd.taught_per_hour quarantine.keep"),
    _row("16.1.a", PEOPLE,
        ("Thủ trưởng bảo đảm việc tuân thủ.", "Heads see to it that the rules are kept."),
        ("Không có việc cho máy chủ.", "Nothing for a server to do."),
        uncounted=_CONDUCT),
    _row("16.1.b", ENFORCED,
        ("Thủ trưởng kiểm tra, đôn đốc việc sử dụng.", "Heads check and promote the use of the system."),
        ("Báo cáo theo đơn vị: hộp thư, biến động, thư theo ngày.", "Report per unit: mailboxes, changes, mail by days.")),
    _row("16.1.c", ENFORCED,
        ("Thống kê tình hình sử dụng khi Trung tâm yêu cầu.", "Statistics on the Centre's request."),
        ("Báo cáo theo đơn vị, PDF, XLSX, HTML, CSV.", "Report per unit as PDF, XLSX, HTML, CSV.")),
    _row("16.2", ENFORCED,
        ("Trung tâm duy trì hệ thống, định kỳ báo cáo Lãnh đạo Bộ.", "The Centre keeps it running and reports at intervals."),
        ("Báo cáo sử dụng: hộp thư, thư theo ngày, dung lượng, sự cố, việc quá hạn; nhắc khi đến kỳ.",
         "Usage report: mailboxes, mail by days, storage, incidents, what is overdue; due at intervals."),
        settings="report.usage_months"),
    _row("16.3", ENFORCED,
        ("VNCERT chủ trì khắc phục sự cố an toàn thông tin.", "VNCERT leads in security incidents."),
        (("Sự kiện an ninh là dòng nhật ký có cấu trúc, gửi tới máy chủ thu nhật ký (syslog, RFC 5424), không mất khi máy chủ "
          "đó hỏng; `incident export` trích xuất nhật ký của sự cố kèm báo cáo và chuỗi niêm phong."),
         ("Security events are structured log lines sent to syslog collectors (RFC 5424), and none is lost while a "
          "collector is down; `incident export` exports an incident's log with its report and the chain of anchors.")),
        settings="log.syslog.collectors log.syslog.facility log.syslog.enterprise log.syslog.tls_ca"),
    _row("16.4", PEOPLE,
        ("Tập huấn, đào tạo.", "Training."),
        ("Không có việc cho máy chủ.", "Nothing for a server to do."),
        uncounted=_CONDUCT),
    _row("16.5", PEOPLE,
        ("Kinh phí.", "Budget."),
        ("Chứng cứ: thư xuất kèm mã băm theo đề nghị đã phê duyệt.",
         "Evidence: messages exported with digests on an approved request.")),
    _row("17", PEOPLE,
        ("Khen thưởng, xử lý vi phạm, khiếu nại.", "Rewards, violations, complaints."),
        ("Chứng cứ: hồ sơ hộp thư và nhật ký, sửa là lộ (`log verify`); trích xuất có mã kiểm tra (`log export`).",
         ("Evidence: mailbox records and logs in which alterations are detected (`log verify`); excerpts with digests (`log "
          "export`)."))),
    _row("18", ENFORCED,
        ("Vướng mắc phản ánh về Trung tâm Thông tin để tổng hợp.", "Problems are reported to the Centre, which collects them."),
        (("Một loại yêu cầu, có hạn và kết quả, báo lại đơn vị; bản tổng hợp theo đơn vị, trạng thái, trả lời trong hạn."),
         ("A kind of request with a deadline and a result, which is sent to the unit; summaries by unit, state and "
           "timeliness."))),
)
# fmt: on

CLAUSES: Mapping[str, Clause] = {row.id: row for row in ROWS}


class UnknownClause(BadInput):
    """The regulation has no clause of this id."""


def clause(clause_id: str) -> Clause:
    """Return the clause `Article.Clause.Point`, e.g. 6.4.c."""
    found = CLAUSES.get(clause_id.strip().lower())
    if found is None:
        raise UnknownClause(
            Text(f"Quy chế không có điểm, khoản “{clause_id}”.", "No such clause in the regulation."),
            remedy=Text("Xem: mic-mail regulation list", "See: mic-mail regulation list"),
        )
    return found
