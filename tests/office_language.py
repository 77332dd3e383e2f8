"""The words of an office, and those of a program that no Vietnamese text may hold."""

import re

ISO_DAY = re.compile(r"\b\d{4}-\d\d-\d\d\b")
PLACEHOLDER = re.compile(r"\{[A-Z_]{2,}\}")
EVENT = re.compile(r"(?<![\w.`/-])[a-z]+(?:_[a-z]+)+(?![\w.`@-])")
QUOTED = re.compile(r"`[^`]*`")
COMMAND = re.compile(r"mic-mail(?: [a-z-]+)*(?: --[a-z-]+(?: [a-z_]+)?)*")
# An office's words, and what they stand in place of.
OFFICE: dict[str, str] = {
    r"\bcửa\b(?! sổ)": "cổng, dịch vụ",
    r"giải tỏa": "cho chuyển, bỏ cách ly",
    r"chứng thư(?! số)": "chứng thư số",
    r"(đặt|bỏ) xác thực hai bước": "bật, tắt xác thực hai bước",
    r"phút, ngày": "10 giờ 06 phút ngày",
    r"máy thu": "máy chủ thu nhật ký",
    r"mất an toàn thông tin\b(?!.*Điều)": "bị chiếm dụng, lộ mật khẩu hoặc phát tán thư rác, mã độc",
    r"dùng lần cuối|lần dùng cuối": "lần sử dụng gần nhất",
    r"chưa được trả lời quá": "đã quá 02 ngày làm việc mà chưa được trả lời",
    r"khung giờ chưa được mở": "chưa được mở trong 2 khung giờ",
}
# Words of a program's English that have a word in Vietnamese; names of protocols, products and options are not among them.
ENGLISH = re.compile(
    r"(?<!-)\b(the|and|is|are|was|password|mailbox|message|messages|error|failed|folder|queue|server|login|certificate|door|doors|"
    r"user|users|attachment|sender|recipient|recipients|deadline|officer|request|requests|retired|resigned|moved|division|"
    r"department)\b(?![@.:/_-])"
)


def wrong_words(text: str) -> list[str]:
    plain = COMMAND.sub("", QUOTED.sub("", text))
    found = [match[0] for pattern in (ISO_DAY, PLACEHOLDER, EVENT, ENGLISH) for match in pattern.finditer(plain)]
    found += [f"{match[0]} -> {better}" for bad, better in OFFICE.items() for match in re.finditer(bad, text.lower())]
    return found
