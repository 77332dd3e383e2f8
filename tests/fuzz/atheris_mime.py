"""Coverage-guided fuzzing of the MIME room: `python tests/fuzz/atheris_mime.py [corpus folders] -max_total_time=600`.

Allowed: any octets have any structure. Not allowed, each an assertion here:
    an exception
    a scan or answers that depend on how the octets were cut, a running count that falls or passes the total
    a part that lies outside its parent, lines that are no LFs, a decoded size that is not what decoding gives
    an answer against the grammar of RFC 9051, or in more than 7 bits
    a section that lies outside the message; HEADER.FIELDS and HEADER.FIELDS.NOT that are together not the header
    authors that are read strictly and are others to the tolerant reader; `Ambiguous` is allowed
    a report of delivery or reading whose values are long, or more of whose recipients than there may be
"""

import sys
import tempfile
import unicodedata
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1]))

with atheris.instrument_imports(include=["mic_mail.mime"]):
    from mic_mail.mailbox_address import quoted_if_needed
    from mic_mail.mime import addresses, dates, encoded_words, headers, preview  # noqa: F401 - instrumented
    from mic_mail.mime.dsn_mdn import MOST_RECIPIENTS, DeliveryReport, DispositionReport, read_report
    from mic_mail.mime.encodings import decode
    from mic_mail.mime.imap_structure import answers
    from mic_mail.mime.part_table import Sections, encode
    from mic_mail.mime.scanner import Scanner
    from mic_mail.mime.strict_addresses import Ambiguous, addresses_in, read_mailboxes
    from mic_mail.mime.structure import Scan

from messages.answers import check
from messages.hard import HARD
from messages.reports import REPORTS
from messages.scans import everything, scan

_SECTIONS = ((), (1,), (2,), (1, 1), (2, 1), (1, 2, 1))


def scan_counting(message: bytes, step: int) -> Scan:
    """The scan of a message in chunks of `step`, with the running count watched."""
    scanner = Scanner()
    before = 0
    for start in range(0, len(message), step):
        scanner.feed(message[start : start + step])
        assert scanner.attachment_octets >= before
        before = scanner.attachment_octets
    found = scanner.finish()
    assert before <= found.attachment_octets
    return found


def check_parts(message: bytes, found: Scan) -> None:
    """Every part lies where it can."""
    assert found.root.body_end == found.octets == len(message)
    stack = [found.root]
    while stack:
        this = stack.pop()
        assert this.header_start <= this.body_start <= this.body_end
        assert this.lines == message.count(b"\n", this.body_start, this.body_end)
        at = this.body_start
        for child in this.children:
            assert at <= child.header_start
            assert child.body_end <= this.body_end
            at = child.body_end
        if not this.children:
            raw = message[this.body_start : this.body_end]
            assert this.decoded_octets == len(decode(raw, this.encoding.decode("latin-1")))
        stack += this.children


def check_sections(message: bytes, found: Scan) -> None:
    """Every section can be read."""
    sections = Sections(encode(found))
    for numbers in _SECTIONS:
        for kind in ("", "HEADER", "TEXT", "MIME"):
            place = sections.locate(numbers, kind)
            assert place is None or 0 <= place[0] <= place[0] + place[1] <= len(message)


def check_cuts(header: bytes) -> None:
    """What is asked for and what is not make up the header."""
    names = [b"subject", b"content-type"]
    both = headers.cut(header, names).split(b"\n") + headers.cut(header, names, others=True).split(b"\n")
    assert sorted(line for line in both if line.strip(b"\r")) == sorted(
        line for line in header.split(b"\n") if line.strip(b"\r")
    )


def check_authors(header: bytes) -> None:
    """Whoever is read as an author is one to everybody."""
    for _, value in headers.fields(header):
        try:
            found = read_mailboxes(value)
        except Ambiguous:
            continue
        tolerant = [
            (
                unicodedata.normalize("NFC", (one.mailbox or b"").decode()),
                unicodedata.normalize("NFC", (one.host or b"").decode()),
            )
            for one in addresses.parse_addresses(value)
        ]
        composed = [f"{quoted_if_needed(local)}@{host}".lower() for local, host in tolerant]
        assert composed == [mailbox.address for mailbox in found]
        for mailbox in found:
            for text in mailbox.shown:
                addresses_in(text)


def check_report(message: bytes) -> None:
    """Whatever is reported is short."""
    match read_report(message):
        case DeliveryReport(envelope_id, message_ids, recipients):
            assert len(recipients) <= MOST_RECIPIENTS + 1
            told = [text for each in recipients for text in (each.original, each.final, each.status, each.diagnostic)]
            assert all(len(text) <= 500 for text in (envelope_id, *message_ids, *told))
        case DispositionReport(message_ids, recipient, disposition):
            assert all(len(text) <= 500 for text in (recipient, disposition, *message_ids))


def test_one_input(octets: bytes) -> None:
    """One input: a step, then a message."""
    if not octets:
        return
    step, message = octets[0] or 256, octets[1:]
    found = scan(message)
    shown = answers(found)
    check(shown)
    cut = scan_counting(message, step)
    assert everything(cut) == everything(found)
    assert answers(cut) == shown
    check_parts(message, found)
    check_sections(message, found)
    check_cuts(found.header)
    check_authors(found.header)
    check_report(message)


def main() -> None:
    """Seeds are the hard messages that are not long."""
    with tempfile.TemporaryDirectory() as name:
        for number, message in enumerate((*HARD.values(), *REPORTS.values())):
            if len(message) < 6_000:
                (Path(name) / str(number)).write_bytes(b"\x07" + message)
        atheris.Setup([*sys.argv, name], test_one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
