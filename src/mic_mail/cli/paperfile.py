"""Files of papers that a command writes: whole or not at all, readable by their owner and group."""

import os
from collections.abc import Sequence
from pathlib import Path

from mic_mail.cli import output
from mic_mail.errors import BadInput, Text, Trouble, in_ascii
from mic_mail.i18n.system import reason
from mic_mail.papers import html, pdf, plain, sheets
from mic_mail.papers.paper import Paper

KINDS = (".pdf", ".xlsx", ".html", ".csv")


def write_file(path: Path, octets: bytes) -> Path:
    """Write or replace the file; the folder is made. `Trouble` with the system's reason."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        try:
            fresh.write_bytes(octets)
            fresh.chmod(0o640)
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
    except OSError as error:
        why = reason(error)
        raise Trouble(
            Text(f"Không ghi được tệp {path}: {why.vi}.", f"The file {in_ascii(path)} cannot be written: {why.en}.")
        ) from error
    return path


def check_kind(path: Path) -> None:
    """Refuse a file whose name does not say which of `KINDS` it is to be."""
    if path.suffix.lower() not in KINDS:
        raise BadInput(
            Text(f"Không rõ loại tệp “{path.name}”.", "The file's name does not say what it is."),
            remedy=Text(f"Đặt tên kết thúc bằng {', '.join(KINDS)}.", f"Let it end with {', '.join(KINDS)}."),
        )


def write_paper(path: Path, paper: Paper) -> list[Path]:
    """The paper in the form that the name asks for; CSV holds one table, so each table gets a file: name-1.csv, name-2.csv."""
    check_kind(path)
    match path.suffix.lower():
        case ".pdf":
            return [write_file(path, pdf.write(paper))]
        case ".xlsx":
            return [write_file(path, sheets.write(paper))]
        case ".html":
            return [write_file(path, html.write(paper))]
        case _:
            return [
                write_file(path.with_name(f"{path.stem}-{number}{path.suffix}"), plain.write(table))
                for number, table in enumerate(paper.tables, 1)
            ]


def tell_written(files: Sequence[Path]) -> None:
    """Say which files were written."""
    names = ", ".join(map(str, files))
    output.note(Text(f"Đã ghi {names}.", f"{len(files)} files are written." if len(files) > 1 else "The file is written."))
