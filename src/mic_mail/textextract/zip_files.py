"""ZIP files: archives, Office Open XML, OpenDocument. No member unpacks beyond the budget.

In: the octets of a file that begins like a ZIP. Out: names of members, and each member as a document of its own; office
documents go to `office`. Encrypted or damaged members are recorded one by one. No member is ever written to disk.
"""

import zipfile
from io import BytesIO

from mic_mail.textextract import office
from mic_mail.textextract.extraction import Look
from mic_mail.textextract.limits import CannotRead
from mic_mail.textextract.result import Unread
from mic_mail.textextract.zip_members import Members


def read(look: Look, content: bytes) -> None:
    """Read an archive, or a document in that format."""
    try:
        archive = zipfile.ZipFile(BytesIO(content))
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise CannotRead(Unread.DAMAGED) from error
    with archive:
        members = Members(look, archive)
        if "[Content_Types].xml" in members.names:
            office.read_ooxml(look, members)
        elif "content.xml" in members.names or "META-INF/manifest.xml" in members.names:
            office.read_odf(look, members)
        else:
            members.read_each(members.show)
