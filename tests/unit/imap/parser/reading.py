"""One IMAP command, read from octets."""

from mic_mail.imap.command_table import GRAMMAR
from mic_mail.imap.parser.command import Arguments, Command
from mic_mail.imap.parser.events import Event
from mic_mail.imap.parser.number_set import parse_set
from mic_mail.imap.parser.reader import Limits, Reader

ONE = parse_set(b"1")
REST = parse_set(b"1:*")


def read(line: bytes, *, utf8: bool = False) -> Event:
    """The first event that a signed-in client's octets give."""
    reader = Reader(GRAMMAR, Limits.signed_in())
    reader.utf8 = utf8
    reader.feed(line)
    return reader.next()


def arguments(line: bytes, *, utf8: bool = False) -> Arguments:
    """The arguments of the command that these octets are."""
    command = read(line + b"\r\n", utf8=utf8)
    assert isinstance(command, Command)
    return command.arguments
