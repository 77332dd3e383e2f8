"""Standard output that fails: a full disk, and a reader that ends before it has read everything (`| head`).

Where standard error fails, nobody can be told, and nothing else changes.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TextIO

from mic_mail.errors import Text, Trouble
from mic_mail.i18n.os_errors import reason as system_reason


class _Reader:
    """The program behind the pipe, in this run."""

    is_gone = False


def begin() -> None:
    """Begin a run: nothing is known of its reader."""
    _Reader.is_gone = False


class Unwritable(Trouble):
    """Standard output cannot be written, as on a full disk."""


class ReaderGone(Exception):
    """The reader has closed the pipe (`| head`). Not an OSError, which Typer would turn into exit code 1."""


def unwritable(error: OSError) -> Unwritable:
    """Return the error to show when standard output failed with `error`."""
    why = system_reason(error)
    return Unwritable(
        Text(f"Không ghi được kết quả: {why.vi}.", f"The result cannot be written: {why.en}."),
        remedy=Text("Kiểm tra nơi kết quả được chuyển đến.", "Check where the output is sent."),
    )


def silence() -> None:
    """Discard what is left in the buffer: Python would fail again when it flushes at exit."""
    _discard(sys.stdout)


def _discard(stream: TextIO) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


@contextlib.contextmanager
def beside() -> Iterator[None]:
    """Let writing to standard error fail: neither the command nor its exit code depends on it."""
    try:
        yield
        sys.stderr.flush()
    except OSError:
        _discard(sys.stderr)


def leave_reader() -> None:
    """Note that the reader has closed the pipe, and discard what it has not read."""
    _Reader.is_gone = True
    silence()


def reader_is_gone() -> bool:
    """Return whether the reader has closed the pipe before it had all of the output."""
    return _Reader.is_gone


def is_lost() -> bool:
    """Return whether standard output still holds what it could not write."""
    try:
        sys.stdout.flush()
    except OSError:
        return True
    return False


@contextlib.contextmanager
def written(*, ends: bool = False) -> Iterator[None]:
    """Translate errors of writing to standard output.

    A reader that has seen enough ends the command only where the output is all that is left to do.
    """
    try:
        yield
    except BrokenPipeError as error:
        leave_reader()
        if ends:
            raise ReaderGone from error
    except OSError as error:
        raise unwritable(error) from error
