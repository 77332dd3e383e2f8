"""The sentences of `mic-mail log verify` for damage of the log. Pure."""

from collections.abc import Mapping

from mic_mail.errors import Text, in_ascii
from mic_mail.i18n.dates import readable
from mic_mail.log.verify import LogFault, LogFinding

_SENTENCES: Mapping[LogFault, Text] = {
    LogFault.ANCHOR_DAMAGED: Text("bản ghi niêm phong {place} không đọc được", "anchor {place} cannot be read"),
    LogFault.ANCHOR_BROKEN: Text(
        "bản ghi niêm phong {place} không nối với bản ghi trước: một trong hai đã bị thay",
        "anchor {place} does not match the anchor before it: one of them was replaced",
    ),
    LogFault.ANCHOR_GONE: Text(
        "thiếu bản ghi niêm phong {place}, nhật ký có nhắc đến: {detail}",
        "anchor {place} is missing, though the log names it: {detail}",
    ),
    LogFault.ANCHOR_OTHER: Text(
        "bản ghi niêm phong {place} khác với bản mà nhật ký ghi nhận: {detail}",
        "anchor {place} differs from the anchor that the log names: {detail}",
    ),
    LogFault.HEAD_UNKNOWN: Text(
        "mã niêm phong đã ghi lại không có trong chuỗi: nhật ký cũ hơn hoặc đã bị thay cả",
        "the noted head is not in the chain: the log is an older copy, or was replaced",
    ),
    LogFault.ALTERED: Text(
        "nội dung đã bị sửa, octet {place} (theo {detail})", "altered, octets {place} (according to {detail})"
    ),
    LogFault.SHORTER: Text("đã bị cắt bớt, octet {place} (theo {detail})", "truncated, octets {place} (according to {detail})"),
    LogFault.DELETED: Text(
        "bị xóa trước thời hạn (theo {detail})", "deleted before its retention ended (according to {detail})"
    ),
    LogFault.ADDED: Text("được thêm vào sau khi ngày đã đóng, octet {place}", "added after its day was closed, octets {place}"),
    LogFault.LATE: Text("ghi muộn, sau khi ngày đã đóng ({detail})", "written late, after its day was closed ({detail})"),
    LogFault.LINE_MISSING: Text("thiếu dòng trước dòng {place} ({detail})", "lines are missing before line {place} ({detail})"),
    LogFault.LINE_ORDER: Text("dòng {place} không đúng thứ tự ({detail})", "line {place} is out of order ({detail})"),
    LogFault.LINE_DAMAGED: Text("dòng {place} không đọc được", "line {place} cannot be read"),
    LogFault.LINE_CUT_OFF: Text("dòng {place} bị cắt do sự cố", "line {place} was cut off by a crash"),
    LogFault.ACT_BROKEN: Text(
        "dòng {place} không nối với dòng trước: có dòng bị sửa, xóa hoặc thêm",
        "line {place} does not match the line before it: a line was altered, deleted or inserted",
    ),
    LogFault.DAY_MISSING: Text("thiếu cả ngày {place} (UTC)", "the day {place} (UTC) is missing"),
    LogFault.DAY_NOT_CLOSED: Text(
        "ngày {place} chưa đóng: máy chủ chưa chạy từ đó",
        "day {place} is not closed yet: the server has not run since",
    ),
    LogFault.REMOVED_EARLY: Text("bị xóa khi chưa đủ 06 tháng ({detail})", "removed before its 6 months were over ({detail})"),
    LogFault.EXPIRED_UNTOLD: Text("hết hạn lưu, xóa bằng tay", "retention over, removed by hand"),
    LogFault.INDEX_DAMAGED: Text("chỉ mục hỏng, sẽ được lập lại", "the index is damaged and will be rebuilt"),
    LogFault.GONE: Text(
        "nhật ký đã mất: hồ sơ hộp thư có từ ngày {place}, nhật ký chỉ có từ ngày {detail}, không còn niêm phong nào",
        "the log is missing: mailbox records begin on {place}, the log begins on {detail}, and no anchor is left",
    ),
    LogFault.BEGINS_LATE: Text(
        "nhật ký bắt đầu ngày {detail}, hồ sơ hộp thư có từ ngày {place}: nhật ký trước đó không ở máy này",
        "the log begins on {detail}, mailbox records begin on {place}: the earlier log is not on this machine",
    ),
    LogFault.FACT_BROKEN: Text("hồ sơ hộp thư bị sửa từ mục {place}", "the mailbox's record was altered from fact {place} on"),
    LogFault.FACT_OTHER: Text(
        "mục {place} của hồ sơ hộp thư khác hoặc mất so với {detail}",
        "fact {place} of the mailbox's record differs or is missing (according to {detail})",
    ),
}


def fault_text(finding: LogFinding) -> Text:
    """Return what is wrong, as a sentence without its subject."""
    sentence = _SENTENCES[finding.wrong]
    words = {"place": readable(finding.place or "-"), "detail": readable(finding.detail or "-")}
    return Text(sentence.vi.format_map(words), in_ascii(sentence.en.format_map(words)))
