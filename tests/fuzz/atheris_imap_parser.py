"""Coverage-guided fuzzing of the IMAP reader: `python tests/fuzz/atheris_imap_parser.py [corpus folders] -max_total_time=600`.

Allowed: any octets give any events. Not allowed, each an assertion here:
    an exception; a call of `next` that does not come to rest
    more octets held than the limit of a command
    events that depend on how the octets were cut
    a message of an APPEND with more or fewer octets than announced
    a name of a mailbox, an answer's text or a fetch label that could end a line
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["mic_mail.imap"]):
    from mic_mail.imap import responses
    from mic_mail.imap.command_table import GRAMMAR
    from mic_mail.imap.parser.command import Command
    from mic_mail.imap.parser.events import NEED_INPUT, AppendChunk, AppendEnd, AppendMessage, BadLine, Event, LongCommand
    from mic_mail.imap.parser.fetch import Fetch
    from mic_mail.imap.parser.fetch_items import Binary, Section
    from mic_mail.imap.parser.mailbox import Create, Select
    from mic_mail.imap.parser.reader import Limits, Reader

LIMITS = (Limits.signed_in(), Limits.before_sign_in(), Limits(64, 48, 256, patient=True))
SEEDS = (
    b"a LOGIN {4+}\r\ndvbe \"x\\\"\"\r\nb NOOP\r\n",
    b"a UID FETCH 1:*,7 (UID BODY.PEEK[1.2.HEADER.FIELDS.NOT (From \"To\")]<0.5> PREVIEW (LAZY)) (CHANGEDSINCE 5 VANISHED)\r\n",
    b"a APPEND Sent (\\Seen $x) \"17-Jul-1996 02:44:25 -0700\" {3+}\r\nabc UTF8 (~{2+}\r\nxy)\r\n",
    b"a SELECT &AOk- (QRESYNC (1 2 3:4 (1:2 3:4)) CONDSTORE)\r\na CREATE x (USE (\\Sent))\r\n",
    b"a SEARCH RETURN (MIN SAVE) CHARSET UTF-8 OR NOT (SINCE 1-Feb-2024 $) HEADER a {1+}\r\nx\r\n",
    b"a SEARCH MODSEQ \"/flags/\\\\seen\" all 5\r\n",
    b"a LIST (SUBSCRIBED RECURSIVEMATCH) \"\" (% \"*\") RETURN (STATUS (UNSEEN MESSAGES) CHILDREN)\r\na STATUS x (SIZE)\r\n",
    b"a STORE 1 (UNCHANGEDSINCE 3) -FLAGS.SILENT (\\Draft y)\r\n",
    b"a UID REPLACE 7 Drafts (\\Draft) {3+}\r\nabc\r\na LIST \"\" * RETURN (METADATA (/shared/comment))\r\n",
    b"a SETMETADATA \"\" (/private/vendor/x/y ~{2+}\r\nx\0 /shared/comment NIL)\r\na GETMETADATA (DEPTH 1) x (/private)\r\n",
    b"a IDLE\r\nDONE\r\na ID (\"a\" NIL)\r\na AUTHENTICATE PLAIN =\r\n",
)  # fmt: skip


def events_of(pieces: list[bytes], limits: Limits, *, utf8: bool, refuse: bool) -> list[Event]:
    """All events of a stream; chunks are put together, messages accepted or refused, IDLE followed by its line."""
    reader = Reader(GRAMMAR, limits)
    reader.utf8 = utf8
    events: list[Event] = []
    left = 0
    for piece in pieces:
        reader.feed(piece)
        for _ in range(2 * len(piece) + 100):
            event = reader.next()
            if event is NEED_INPUT:
                break
            if isinstance(event, LongCommand):
                event = event.read()
            if isinstance(event, AppendMessage):
                left = event.size
                if refuse:
                    reader.refuse(b"NO", b"No", b"OVERQUOTA")
                else:
                    reader.accept()
            elif isinstance(event, AppendChunk):
                left -= len(event.data)
                assert left >= 0
                if events and isinstance(events[-1], AppendChunk):
                    event = AppendChunk(events.pop().data + event.data)  # type: ignore[attr-defined,union-attr]
            elif isinstance(event, AppendEnd):
                assert left == 0
            elif isinstance(event, Command) and event.name == "IDLE":
                reader.expect_line()
            check(event)
            events.append(event)
        else:
            raise AssertionError("next() does not come to rest")
        assert reader.buffered <= limits.command_octets + len(piece) + 32
    return events


def check(event: Event) -> None:
    """Nothing that is answered from this event can end its line."""
    if isinstance(event, BadLine):
        line = responses.status_line(event.tag, event.status, event.text, event.code)
        assert line.count(b"\r\n") == 1
        assert line.endswith(b"\r\n")
    values = event.arguments if isinstance(event, Command) else event
    if isinstance(values, Fetch):
        for item in values.items:
            if isinstance(item, Section | Binary):
                assert not set(item.label) & set(b"\r\n\0")
    elif isinstance(values, Select | Create | AppendMessage):
        assert responses.mailbox_name(values.mailbox).isascii()


def one_input(data: bytes) -> None:
    """One run: the whole stream, and the same stream cut at places that the data choose."""
    provider = atheris.FuzzedDataProvider(data)
    limits = LIMITS[provider.ConsumeIntInRange(0, 2)]
    utf8, refuse = provider.ConsumeBool(), provider.ConsumeBool()
    cuts = provider.ConsumeIntListInRange(4, 1, 40)
    stream = provider.ConsumeBytes(provider.remaining_bytes())
    pieces: list[bytes] = []
    at = turn = 0
    while at < len(stream):
        step = cuts[turn % 4]
        pieces.append(stream[at : at + step])
        at, turn = at + step, turn + 1
    whole = events_of([stream], limits, utf8=utf8, refuse=refuse)
    assert events_of(pieces, limits, utf8=utf8, refuse=refuse) == whole


def main() -> None:
    """Begin from the seeds and let atheris look for more."""
    with tempfile.TemporaryDirectory() as folder:
        for i, seed in enumerate(SEEDS):
            for limits in range(3):
                # The choices of `one_input` are read from the end: four cuts, two switches, the limits.
                (Path(folder) / f"{i}-{limits}").write_bytes(seed + bytes([7, 11, 13, 17, 4, i % 2, limits]))
        atheris.Setup([*sys.argv, folder], one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
