"""The members of a ZIP file, by name; none unpacks beyond the budget, and none is written to disk."""

import lzma
import zipfile
import zlib
from collections.abc import Callable

from mic_mail.mime.encoded_words import decode_octets
from mic_mail.textextract.extraction import Look
from mic_mail.textextract.limits import CannotRead
from mic_mail.textextract.result import Unread

_ENCRYPTED = 0x1
_UTF8 = 0x800
_READ_OCTETS = 1 << 20
MEMBER_STEPS = 50
"""Steps for a member that is not opened as a document. A presentation has five for each slide."""


def _name(info: zipfile.ZipInfo) -> str:
    """Return the name as its packer wrote it: without the UTF-8 flag in that machine's charset."""
    if info.flag_bits & _UTF8:
        return info.filename
    try:
        return decode_octets(info.filename.encode("cp437"))
    except UnicodeEncodeError:
        return info.filename


def _alone(info: zipfile.ZipInfo) -> zipfile.ZipInfo:
    """Return the member as if it shared no octets: how the library treats overlaps differs by version."""
    alone = zipfile.ZipInfo(info.orig_filename)
    for name in ("header_offset", "compress_type", "compress_size", "file_size", "CRC", "flag_bits"):
        setattr(alone, name, getattr(info, name))
    return alone


class Members:
    """The members of an open archive, by name."""

    def __init__(self, look: Look, archive: zipfile.ZipFile) -> None:
        self._look = look
        self._archive = archive
        self.names = frozenset(archive.namelist())

    def read_each(self, read: Callable[[zipfile.ZipInfo], None]) -> None:
        """Read the members in the order of the archive; names may repeat. One that cannot be read is recorded."""
        for info in self._archive.infolist():
            self._look.budget.check_time()
            self._look.budget.take_work(MEMBER_STEPS)
            try:
                read(info)
            except CannotRead as error:
                self._look.missed(error.reason)

    def show(self, info: zipfile.ZipInfo) -> None:
        """Pass a member with its name to the look, as a document of its own."""
        name = _name(info)
        for part in name.split("/"):
            self._look.name(part)
        if not info.filename.endswith("/"):  # `is_dir` of Python 3.11 fails on an empty name
            self._look.document(self.read(info), name)

    def read(self, wanted: str | zipfile.ZipInfo) -> bytes:
        """Return a member, unpacked; `CannotRead` if it is encrypted, damaged or exceeds the budget."""
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
                    if size > room:  # the size in the header is not trusted
                        raise CannotRead(Unread.OVER_BOUNDS)
                    pieces.append(piece)
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, OSError, ValueError) as error:
            raise CannotRead(Unread.DAMAGED) from error
        budget.take_octets(size)
        return b"".join(pieces)
