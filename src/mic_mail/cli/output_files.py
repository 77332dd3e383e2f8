"""Files that a command writes or reads for its caller.

They are written whole or not at all, readable by their owner and group. A command runs with the powers of the server's account,
whoever typed it (Reg. 6.1): it never writes or reads among the server's own files, and only the Centre's people replace an
existing file.
"""

import contextlib
import errno
import os
import shlex
import stat
from collections.abc import Sequence
from pathlib import Path
from secrets import token_hex
from typing import Annotated

from mic_mail.cli import output
from mic_mail.cli.context import CliContext
from mic_mail.cli.options import option
from mic_mail.documents import csv_writer, html, pdf, xlsx
from mic_mail.documents.document import Document
from mic_mail.errors import BadInput, Text, Trouble, in_ascii
from mic_mail.i18n.os_errors import reason

KINDS = (".pdf", ".xlsx", ".html", ".csv")


def write_file(here: CliContext, path: Path, octets: bytes) -> Path:
    """Write the file; its folder is created.

    Raise `Trouble` with the system's reason, and `BadInput` for a forbidden place.
    """
    must_be_a_place_for_files(here, path)
    if os.path.exists(path) and not os.path.isfile(path):  # a regular file in place of /dev/stdout is never meant
        raise BadInput(
            Text(f"“{path}” không phải là tệp.", f"{in_ascii(path)} is not a file."),
            remedy=Text("Chọn tên khác.", "Choose another name."),
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        _put(here, path, octets)
    except OSError as error:
        why = reason(error)
        raise Trouble(
            Text(f"Không ghi được tệp {path}: {why.vi}.", f"The file {in_ascii(path)} cannot be written: {why.en}.")
        ) from error
    return path


def _put(here: CliContext, path: Path, octets: bytes) -> None:
    """Write into the folder that is open, under a random name, then move the file to its name.

    Otherwise a link of that name, or another folder put in its place meanwhile, would have the server's account write where the
    caller may not.
    """
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    fresh = f".{token_hex(12)}"
    try:
        must_be_a_place_for_files(here, Path(os.path.realpath(f"/proc/self/fd/{folder}")) / path.name)
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
        try:
            with open(fd, "wb") as file:
                file.write(octets)
                os.fchmod(fd, 0o640)
            if here.is_centre:
                os.replace(fresh, path.name, src_dir_fd=folder, dst_dir_fd=folder)
            else:
                _put_where_nothing_is(folder, fresh, path.name)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(fresh, dir_fd=folder)
    finally:
        os.close(folder)


def _put_where_nothing_is(folder: int, fresh: str, name: str) -> None:
    """Link the file to its name; raise `FileExistsError` where one was created meanwhile."""
    try:
        os.link(fresh, name, src_dir_fd=folder, dst_dir_fd=folder)
    except FileExistsError:
        raise
    except OSError:  # the file system has no hard links, as on a USB stick
        os.replace(fresh, name, src_dir_fd=folder, dst_dir_fd=folder)


def read_file(here: CliContext, path: Path, most: int) -> bytes:
    """Read a caller's file: at most `most` octets and one more.

    Raise `BadInput` for what is no file, cannot be read, or is among the server's own: the output of a command must not
    disclose other people's mail (Reg. 4.3).
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe without a writer is empty
        with open(fd, "rb") as file:
            kind = os.fstat(fd).st_mode
            if not (stat.S_ISREG(kind) or stat.S_ISFIFO(kind)):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            _must_not_be_the_servers(here, path, Path(os.path.realpath(f"/proc/self/fd/{fd}")))
            os.set_blocking(fd, True)
            return file.read(most + 1)
    except OSError as error:
        raise not_readable(path, reason(error)) from error
    except ValueError as error:
        raise not_readable(path, Text("tên không hợp lệ", "not a valid file name")) from error


def not_readable(path: Path, why: Text) -> BadInput:
    return BadInput(Text(f"Không đọc được tệp {path}: {why.vi}.", f"The file {in_ascii(path)} cannot be read: {why.en}."))


def must_be_a_place_for_files(here: CliContext, path: Path) -> None:
    """Refuse a place among the server's own files, and, except for the Centre, an existing file."""
    _must_not_be_the_servers(here, path, Path(os.path.realpath(path)))
    if os.path.lexists(path) and not here.is_centre:
        raise BadInput(
            Text(f"Tệp {path} đã có.", f"The file {in_ascii(path)} already exists."),
            remedy=Text("Chọn tên khác.", "Choose another name."),
        )


def _must_not_be_the_servers(here: CliContext, path: Path, real: Path) -> None:
    if os.path.exists(here.config_path) and _is_the_servers(here, real):
        raise BadInput(
            Text(f"“{path}” nằm trong thư mục của máy chủ.", f"{in_ascii(path)} is inside the server's own folders."),
            remedy=Text("Chọn thư mục khác.", "Choose another folder."),
        )


def _is_the_servers(here: CliContext, path: Path) -> bool:
    config = here.config
    folders = (config.server.data_dir, config.run_dir, config.mail_root, config.log_dir)
    files = (here.config_path, config.certificate, config.key, config.directory_url.removeprefix("sqlite:///"))
    within = any(path.is_relative_to(os.path.realpath(folder)) for folder in folders)
    return within or path in {Path(os.path.realpath(file)) for file in files}


def _must_be_of_a_kind(path: Path | None) -> Path | None:
    if path is not None and path.suffix.lower() not in KINDS:
        raise _unknown_kind(path)
    return path


def _unknown_kind(path: Path) -> BadInput:
    return BadInput(
        Text(f"Không rõ loại tệp “{path.name}”.", "The file's name has no known ending."),
        remedy=Text(f"Đặt tên kết thúc bằng {', '.join(KINDS)}.", f"Use one of {', '.join(KINDS)}."),
    )


_OUT = option("--out", "Tệp .pdf, .xlsx, .html hoặc .csv.", "A file .pdf, .xlsx, .html or .csv.", callback=_must_be_of_a_kind)
DocumentFile = Annotated[Path, _OUT]
OptionalDocumentFile = Annotated[Path | None, _OUT]


def write_paper(here: CliContext, path: Path, paper: Document) -> list[Path]:
    """Write the document in the form of the file's suffix.

    CSV holds one table, so each table gets a file: name-1.csv, name-2.csv.
    """
    match path.suffix.lower():
        case ".pdf":
            return [write_file(here, path, pdf.write(paper))]
        case ".xlsx":
            return [write_file(here, path, xlsx.write(paper))]
        case ".html":
            return [write_file(here, path, html.write(paper))]
        case ".csv":
            return [
                write_file(here, path.with_name(f"{path.stem}-{number}{path.suffix}"), csv_writer.write(table))
                for number, table in enumerate(paper.tables, 1)
            ]
        case _:
            raise _unknown_kind(path)


def print_written(files: Sequence[Path]) -> None:
    names = ", ".join(map(str, files))
    output.note(f"Đã ghi {names}.", f"Written: {in_ascii(names)}.")


def print_how_to_verify(target: Path) -> None:
    command = f"`cd {shlex.quote(str(target))} && sha256sum -c SHA256SUMS`"
    output.note(f"Kiểm tra lại: {command}", f"To verify: {in_ascii(command)}")
