"""Error messages of the operating system in both languages."""

import errno

from mic_mail.errors import Text, in_ascii

_VIETNAMESE = {
    errno.EACCES: "không có quyền",
    errno.EDQUOT: "vượt hạn mức đĩa",
    errno.EEXIST: "đã có tên này",
    errno.EIO: "lỗi đọc ghi thiết bị",
    errno.EISDIR: "là một thư mục",
    errno.ELOOP: "liên kết vòng",
    errno.ENAMETOOLONG: "tên quá dài",
    errno.ENOENT: "không có tệp hoặc thư mục này",
    errno.ENOSPC: "hết chỗ trên đĩa",
    errno.ENOTDIR: "không phải thư mục",
    errno.EPERM: "không được phép",
    errno.EROFS: "hệ thống tệp chỉ cho đọc",
}


def reason(error: OSError) -> Text:
    """Return the reason why a call failed; without a Vietnamese text here, the system's own."""
    english = error.strerror or str(error)
    return Text(_VIETNAMESE.get(error.errno or 0, english), in_ascii(english))
