"""TNEF: `winmail.dat`, in which Outlook packs attachments for itself ([MS-OXTNEF]).

In: the octets of one. Out: subject, text and names, and each attachment as a document. There is no maintained library for it;
all that is needed of the format is a list of attributes with their lengths. Rich text, which is compressed within, is not
read.
"""

from struct import Struct, error

from mic_mail.mime.encoded_words import decode_octets
from mic_mail.policy.secrecy.degrees import MarkingPlace
from mic_mail.textextract.extraction import Look
from mic_mail.textextract.limits import CannotRead
from mic_mail.textextract.result import Unread

_HEAD = 6
_STEPS_OF_AN_ATTRIBUTE = 6
_ATTRIBUTE = Struct("<BII")
_SUBJECT, _BODY, _TITLE, _DATA = 0x00018004, 0x0002800C, 0x00018010, 0x0006800F


def read(look: Look, content: bytes) -> None:
    """Read one file; names of attachments may come before or after the data, so each is checked alone."""
    at = _HEAD
    while at < len(content):
        look.budget.check_time()
        look.budget.take_work(_STEPS_OF_AN_ATTRIBUTE)
        try:
            _, attribute, length = _ATTRIBUTE.unpack_from(content, at)
        except error as broken:
            raise CannotRead(Unread.DAMAGED) from broken
        start = at + _ATTRIBUTE.size
        data = content[start : start + length]
        if len(data) < length:
            raise CannotRead(Unread.DAMAGED)
        if attribute == _SUBJECT:
            look.title(decode_octets(data.rstrip(b"\0")), MarkingPlace.SUBJECT)
        elif attribute == _TITLE:
            look.name(decode_octets(data.rstrip(b"\0")))
        elif attribute == _BODY:
            look.text(decode_octets(data.rstrip(b"\0")))
        elif attribute == _DATA:
            look.document(data)
        at = start + length + 2  # a checksum follows
