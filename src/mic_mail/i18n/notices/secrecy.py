"""Notices about messages marked as secret (Reg. 4.1).

To the Centre about mail from outside, to senders about the decision of two people.
"""

from mic_mail.errors import Text, in_ascii
from mic_mail.i18n.clause_names import clause
from mic_mail.i18n.messages import DEGREES
from mic_mail.i18n.notices.notice import NoticeText, Reader, notice
from mic_mail.i18n.plurals import counted

REFERENCE = "01JD3M6Q8V"


@notice("4.1", Reader.CENTRE, reference=REFERENCE, sender="a@example.org", recipients=2, degree="confidential")
def inbound_marked(reference: str, sender: str, recipients: int, degree: str) -> NoticeText:
    """A message from outside seems to be marked as a state secret; its content is not quoted."""
    cited, named = clause("4.1"), DEGREES[degree]
    return NoticeText(
        Text("Có thư đến mang dấu hiệu độ mật", "Incoming mail with a secrecy marking"),
        Text(
            f"Hệ thống đã nhận một thư từ bên ngoài có dấu hiệu mang dấu độ mật ({named.vi}), người gửi {sender}, "
            f"{recipients} người nhận, mã {reference}. Thư đã được chuyển đến người nhận; đề nghị Trung tâm Thông tin xem xét "
            f"theo {cited.vi} (mic-mail secrecy show {reference}).",
            f"A message from outside (sender {in_ascii(sender)}) seems to be marked {named.en}; reference "
            f"{reference}, delivered to {counted(recipients, 'recipient', 'recipients')}. Please examine it under {cited.en} "
            f"(mic-mail secrecy show {reference}).",
        ),
    )


@notice("4.1", Reader.OWNER, reference=REFERENCE)
def held_released(reference: str) -> NoticeText:
    """A refused message of the mailbox was released by two people."""
    cited = clause("4.1")
    return NoticeText(
        Text("Thư của Ông/Bà đã được chuyển đi", "Your message has been released"),
        Text(
            f"Thư mã {reference} trước đây bị từ chối theo {cited.vi} nay đã được Trung tâm Thông tin cho chuyển đến "
            "người nhận.",
            f"The message {reference}, refused earlier under {cited.en}, was released by the Information Centre and is being "
            "sent to its recipients.",
        ),
    )


@notice("4.1", Reader.OWNER, reference=REFERENCE)
def held_discarded(reference: str) -> NoticeText:
    """A refused message of the mailbox stays refused."""
    cited = clause("4.1")
    return NoticeText(
        Text("Thư của Ông/Bà không được chuyển đi", "Your message will not be sent"),
        Text(
            f"Trung tâm Thông tin giữ nguyên việc từ chối thư mã {reference} theo {cited.vi}; thư không được chuyển đến người "
            "nhận.",
            f"The Information Centre upholds the refusal of the message {reference} ({cited.en}); it was not sent to its "
            "recipients.",
        ),
    )
