"""ZIP, and what is made of it: archives, Office Open XML, OpenDocument. Within bounds: no member unpacks beyond its room.

In: the octets of a file that begins like a ZIP. Out: names of members, and each member as a document of its own; office
documents go to `office`. What is encrypted or damaged is noted, member by member. No member is ever written to a disk.
"""

import lzma
import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO

from mic_mail.mime.encoded_words import decode_octets
from mic_mail.textextract import office
from mic_mail.textextract.extraction import Look
from mic_mail.textextract.limits import CannotRead
from mic_mail.textextract.result import Unread

_ENCRYPTED = 0x1
_UTF8 = 0x800
_READ_OCTETS = 1 << 20


def read(look: Look, content: bytes) -> None:
    """An archive, or a document that is one."""
    try:
        archive = zipfile.ZipFile(BytesIO(content))
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise CannotRead(Unread.DAMAGED) from error
    with archive:
        names = set(archive.namelist())
        if "[Content_Types].xml" in names:
            office.read_ooxml(look, _Members(look, archive))
        elif "content.xml" in names or "META-INF/manifest.xml" in names:
            office.read_odf(look, _Members(look, archive))
        else:
            _read_archive(look, archive)


def _read_archive(look: Look, archive: zipfile.ZipFile) -> None:
    members = _Members(look, archive)
    for info in members.all():
        look.budget.take_work(office.MEMBER_STEPS)
        try:
            members.show(info)
        except CannotRead as error:
            look.missed(error.reason)


def _name(info: zipfile.ZipInfo) -> str:
    """As who packed it wrote it: without the flag of UTF-8 in whatever charset that machine had."""
    if info.flag_bits & _UTF8:
        return info.filename
    try:
        return decode_octets(info.filename.encode("cp437"))
    except UnicodeEncodeError:
        return info.filename


def _alone(info: zipfile.ZipInfo) -> zipfile.ZipInfo:
    """The member as if it shared no octets with others: what may be read, our bounds decide.

    The library would refuse such a member, warn of it or read it, as its release has it.
    """
    alone = zipfile.ZipInfo(info.orig_filename)
    for what in ("header_offset", "compress_type", "compress_size", "file_size", "CRC", "flag_bits"):
        setattr(alone, what, getattr(info, what))
    return alone


class _Members:
    """The members of an open archive, by name."""

    def __init__(self, look: Look, archive: zipfile.ZipFile) -> None:
        self._look = look
        self._archive = archive

    def all(self) -> Iterator[zipfile.ZipInfo]:
        """In the order of the archive; asked for time on the way. Of one name there may be several."""
        for info in self._archive.infolist():
            self._look.budget.check_time()
            yield info

    def show(self, info: zipfile.ZipInfo) -> None:
        """A member with its name, as a document of its own."""
        name = _name(info)
        for part in name.split("/"):
            self._look.name(part)
        if not info.filename.endswith("/"):  # `is_dir` of Python 3.11 looks at the last letter of a name that may have none
            self._look.document(self.read(info), name)

    def read(self, wanted: str | zipfile.ZipInfo) -> bytes:
        """A member, unpacked; `CannotRead` if it is encrypted, damaged or larger than there is room for."""
        budget = self._look.budget
        info = self._archive.getinfo(wanted) if isinstance(wanted, str) else wanted
        if info.flag_bits & _ENCRYPTED:
            raise CannotRead(Unread.ENCRYPTED)
        room = budget.remaining()
        pieces: list[bytes] = []
        size = 0
        try:
            with self._archive.open(_alone(info)) as file:
                while piece := file.read(_READ_OCTETS):
                    budget.check_time()
                    size += len(piece)
                    if size > room:  # what the header says of the size is not believed
                        raise CannotRead(Unread.OVER_BOUNDS)
                    pieces.append(piece)
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, OSError, ValueError) as error:
            raise CannotRead(Unread.DAMAGED) from error
        budget.take_octets(size)
        return b"".join(pieces)


Members = _Members
