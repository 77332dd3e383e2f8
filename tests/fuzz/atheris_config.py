"""Fuzz target: the configuration, and tables that people fill in (CSV, XLSX).

    python tests/fuzz/atheris_config.py [-max_total_time=600] [CORPUS_DIR]

Allowed: `ConfigErrors`, `UnreadableSheet`. Besides, each an assertion here:
    a mistake whose words are not for people: several lines, control characters, not ASCII in English, a line that is not there
    a configuration that is written and read back as another one
    a table that is written and read back as another one but for NFC; a field that a spreadsheet would run
"""

import csv
import io
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from unicodedata import normalize

import atheris

sys.path.insert(0, str(Path(__file__).parent.parent))
with atheris.instrument_imports(include=["mic_mail.config", "mic_mail.documents.csv_writer"]):
    from mic_mail.config import load, manual
    from mic_mail.config.load import ConfigErrors
    from mic_mail.documents import csv_writer, xlsx
    from mic_mail.documents.document import Column, Sheet, Table, UnreadableSheet

from fuzzing import run

from mic_mail.i18n.language import Language

FILE = Path("/nowhere/mic-mail.toml")
LEAST = '[server]\ndomain = "mic.gov.vn"\n'
SETTINGS = [setting.key for setting in load.settings()]
RUN = ("=", "+", "-", "@", "\t", "\r")


def must_be_for_people(errors: ConfigErrors, octets: bytes) -> None:
    lines = octets.count(b"\n") + 1
    assert errors.mistakes
    for mistake in errors.mistakes:
        assert 0 <= mistake.line <= lines, (mistake, octets)
        for text in (mistake.reason, mistake.remedy):
            assert text.en.isascii(), text
            assert text.en.isprintable(), text
            assert text.vi.isprintable(), text
        assert mistake.key.isprintable(), mistake


def fuzz_config(octets: bytes) -> None:
    try:
        config = load.parse(octets, FILE)
    except ConfigErrors as errors:
        must_be_for_people(errors, octets)
        return
    for language in Language:
        again = load.parse(manual.write(config, language).encode(), FILE)
        assert again == config, octets


def fuzz_setting(octets: bytes) -> None:
    """Lines: the number of a setting, then what is behind its equals sign."""
    text = LEAST
    for line in octets.split(b"\n")[:6]:
        if line:
            key = SETTINGS[int.from_bytes(line[:2]) % len(SETTINGS)]
            section, _, name = key.rpartition(".")
            text += f"[{section}]\n{name} = {line[2:].decode('utf-8', 'replace')}\n"
    fuzz_config(text.encode())


def fuzz_value(octets: bytes) -> None:
    """A text as TOML: what is written is that text again."""
    text = octets.decode("utf-8", "replace")
    assert tomllib.loads(f"x = {manual.value(text)}")["x"] == text, text
    assert tomllib.loads(f"x = {manual.value((text, len(octets), True))}")["x"] == [text, len(octets), True]


def fuzz_csv(octets: bytes) -> None:
    octets = octets[:600]
    try:
        sheet = csv_writer.read(octets)
    except UnreadableSheet:
        return
    assert all(len(fields) == len(sheet.heading) for _, fields in sheet.rows)
    table = Table("x", [Column(f"c{n}") for n in range(len(sheet.heading))], [fields for _, fields in sheet.rows])
    written = csv_writer.write(table)
    for row in csv.reader(io.StringIO(written.decode("utf-8-sig"), newline="")):
        assert not any(cell.startswith(RUN) for cell in row), (octets, row)
    again = csv_writer.read(written)
    kept = [tuple(normalize("NFC", cell) for cell in fields) for _, fields in sheet.rows if any(fields)]
    if isinstance(again, Sheet) and not any(cell.startswith("'") or cell != cell.strip() for fields in kept for cell in fields):
        assert [fields for _, fields in again.rows] == kept, (octets, written)


def fuzz_xlsx(octets: bytes) -> None:
    try:
        sheet = xlsx.read(octets)
    except UnreadableSheet:
        return
    assert all(len(fields) == len(sheet.heading) for _, fields in sheet.rows)


TARGETS = (fuzz_config, fuzz_setting, fuzz_value, fuzz_csv, fuzz_xlsx)


def fuzz(octets: bytes) -> None:
    if octets:
        TARGETS[octets[0] % len(TARGETS)](octets[1:])


def packed() -> bytes:
    """A workbook as a unit sends it in."""
    from datetime import UTC, datetime

    return xlsx.form(Table("x", [Column("Họ tên"), Column("Đơn vị")], [("Bê", "CNTT")]), datetime(2026, 11, 26, tzinfo=UTC))


SEEDS: dict[Callable[[bytes], None], tuple[bytes, ...]] = {
    fuzz_config: (
        LEAST.encode(), b'[server]\ndomain = "x.vn"\n[quota]\ndefault = "1 GiB"\n[[doors.imap]]\n',
        b"[server]\ndomain = [1, {a = 2}]\n",
    ),
    fuzz_setting: (
        b'\0\1"a"\n\0\2[1, 2]\n\0\3{a = 1}',
        b'\0\x30"20 MiB"\n\0\x31"2 min"\n\0\x50true',
        b"\0\x20-1\n\0\x40[\"127.0.0.1\"]",
    ),
    fuzz_value: ("Bộ \"x\" \\ \x7f\x00\u2028".encode(),),
    fuzz_csv: (b"a;b\n1;2\n\n3", b"\xef\xbb\xbfh,i\n\"x, y\",\"q\"\"\"\n'=1,-2\n"),
    fuzz_xlsx: (packed(),),
}  # fmt: skip


if __name__ == "__main__":
    run(fuzz, [bytes([number]) + seed for number, target in enumerate(TARGETS) for seed in SEEDS[target]])
