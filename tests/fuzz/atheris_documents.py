"""Fuzz target: the readers of documents: ZIP, Office, OpenDocument, TNEF, CMS, compound files, RTF, PDF, HTML, messages.

    python tests/fuzz/atheris_documents.py [-max_total_time=600] [CORPUS_DIR]

Allowed: `CannotRead`; of what libraries read (RTF, PDF) whatever they raise, which is noted as damage. Besides:
    a look into a message that raises; a verdict that is read back as another one
    a reader of ours that goes on long after its time, or takes more memory than a process of readers has
"""

import io
import signal
import sys
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parent.parent))
with atheris.instrument_imports(include=["mic_mail.textextract", "mic_mail.mime.html", "striprtf"]):
    from mic_mail.textextract import cms, compound, messages, office, tnef, zip_files
    from mic_mail.textextract.detect import open_document
    from mic_mail.textextract.extraction import Look
    from mic_mail.textextract.limits import Bounds, Budget, CannotRead
    from mic_mail.textextract.result import Findings
    from mic_mail.textextract.worker import look_into

from fuzzing import run

from markings.documents import FORMATS, docx, odt, pdf, rtf, xlsx, zipped

BOUNDS = Bounds(seconds=2, part_octets=1 << 20, unpacked_octets=4 << 20, text_chars=1 << 20, depth=4, parts=60)
SPARE_SECONDS = 4.0
"""Of processor time, on top of the bounds: what is done between two looks at the clock."""
LINES = ["MẬT", "a\tb"]


class _TooLong(BaseException):
    """The process of a reader would be killed here."""


def _kill(*_: object) -> None:
    raise _TooLong


signal.signal(signal.SIGVTALRM, _kill)


def must_read(read: Callable[[Look, bytes], None], octets: bytes) -> None:
    """A reader of ours: nothing but `CannotRead`, and before it would be killed."""
    signal.setitimer(signal.ITIMER_VIRTUAL, BOUNDS.seconds + SPARE_SECONDS)
    try:
        read(Look(Budget(BOUNDS, time.monotonic), open_document), octets)
    except CannotRead:
        pass
    except RecursionError:  # the look takes it for a document that is too deep
        pass
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def may_read(octets: bytes, name: str, kind: str = "") -> None:
    """A reader of others: the look notes what it raises; what takes too long is killed."""
    look = Look(Budget(BOUNDS, time.monotonic), open_document)
    signal.setitimer(signal.ITIMER_VIRTUAL, BOUNDS.seconds)
    try:
        look.document(octets, name, kind)
    except _TooLong:
        return
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    must_be_read_back(look.findings)


def must_be_read_back(verdict: Findings) -> None:
    assert Findings.decode(verdict.encode()) == verdict


# ------------------------------------------------------------ what is fuzzed


def fuzz_any(octets: bytes) -> None:
    names = ("", "a.html", "a.eml", "a.txt", "a.doc", "winmail.dat", "a.svg", "a.fodt")
    kinds = ("", "message/rfc822", "message/partial", "text/html")
    if octets:
        may_read(octets[1:], names[octets[0] % 8], kinds[octets[0] // 8 % 4])


def fuzz_message(octets: bytes) -> None:
    signal.setitimer(signal.ITIMER_VIRTUAL, BOUNDS.seconds)
    try:
        must_be_read_back(look_into(octets, BOUNDS))
    except _TooLong:
        return
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    must_read(messages.show, octets)


def fuzz_zip(octets: bytes) -> None:
    must_read(zip_files.read, octets)


def _stored(members: Mapping[str, bytes]) -> bytes:
    octets = io.BytesIO()
    with zipfile.ZipFile(octets, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return octets.getvalue()


def _members(packed: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


DOCX, XLSX, ODT = _members(docx(LINES, header=["Header"], title="t")), _members(xlsx(LINES, header="h")), _members(odt(LINES))


def fuzz_office(octets: bytes) -> None:
    """An office document one of whose members is what the fuzzer says."""
    if len(octets) < 2:
        return
    members = dict((DOCX, XLSX, ODT)[octets[0] % 3])
    members[sorted(members)[octets[1] % len(members)]] = octets[2:]
    must_read(zip_files.read, _stored(members))


def fuzz_flat(octets: bytes) -> None:
    must_read(office.read, b"<office:document " + octets)


def fuzz_tnef(octets: bytes) -> None:
    must_read(tnef.read, octets)


def fuzz_cms(octets: bytes) -> None:
    must_read(cms.read, octets)


def fuzz_compound(octets: bytes) -> None:
    must_read(compound.read, octets)


def fuzz_rtf(octets: bytes) -> None:
    may_read(b"{\\rtf1" + octets, "a.rtf")


def fuzz_pdf(octets: bytes) -> None:
    may_read(b"%PDF-1.4\n" + octets, "a.pdf")


TARGETS = (
    fuzz_any, fuzz_message, fuzz_zip, fuzz_office, fuzz_flat, fuzz_tnef, fuzz_cms, fuzz_compound, fuzz_rtf, fuzz_pdf,
)  # fmt: skip


def fuzz(octets: bytes) -> None:
    if octets:
        TARGETS[octets[0] % len(TARGETS)](octets[1:])


MAIL = b"Subject: x\r\nContent-Type: multipart/mixed; boundary=B\r\n\r\n--B\r\nContent-Type: text/html\r\n\r\n<p>M\r\n--B--\r\n"
PKCS7 = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07"
SIGNED = b"\x30\x80" + PKCS7 + b"\x02\xa0\x80\x30\x80" + PKCS7 + b"\x01\xa0\x80\x24\x80"
SEEDS: dict[Callable[[bytes], None], tuple[bytes, ...]] = {
    fuzz_any: tuple(bytes([number]) + build(LINES) for number, build in enumerate(FORMATS.values())),
    fuzz_message: (MAIL, MAIL.replace(b"text/html\r\n", b"text/plain\r\n\r\nbegin 644 x\r\n#0V%T\r\n`\r\nend\r\n")),
    fuzz_zip: (zipped({"a.txt": "MẬT", "b/c.html": "<p>x"}), zipped({"a.zip": zipped({"x.txt": "y"})})),
    fuzz_office: tuple(
        bytes([number, place]) + members[name]
        for number, members in enumerate((DOCX, XLSX, ODT))
        for place, name in enumerate(sorted(members))
    ),
    fuzz_flat: (b"xmlns:text='t'><text:p>x</text:p></office:document>",),
    fuzz_tnef: (b"\x78\x9f\x3e\x22\0\0\1\x04\x80\1\0\3\0\0\0ab\0\0\0\2\x0f\x80\6\0\2\0\0\0hi\0\0",),
    fuzz_cms: (SIGNED + b"\x04\x03abc\0\0",),
    fuzz_compound: (b"\xd0\xcf\x11\xe0" + "MẬT và tối mật".encode("utf-16-le") + b"plain text here\x07\x07x",),
    fuzz_rtf: (rtf(LINES)[6:], b"\\ansicpg1258{\\header M\\'c1t}{\\*\\shptxt x}\\u7853?}"),
    fuzz_pdf: (pdf(LINES, title="t", stamp="s")[9:],),
}


if __name__ == "__main__":
    run(fuzz, [bytes([number]) + seed for number, target in enumerate(TARGETS) for seed in SEEDS[target]])
