"""What the operating system answers, in both languages."""

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
    """Why a call failed; what has no Vietnamese here stays as the system says it."""
    english = error.strerror or str(error)
    return Text(_VIETNAMESE.get(error.errno or 0, english), in_ascii(english))
