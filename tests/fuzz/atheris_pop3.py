"""Fuzz target: POP3's lines, its dots and tops, and its core on a real store.

    python tests/fuzz/atheris_pop3.py [-max_total_time=600] [CORPUS_DIR]

No exception is allowed. Besides: lines, dots and tops are the same for any split; a session answers the same for any split, its
single lines have at most 512 octets, and it never finds a bug.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import atheris

sys.path.insert(0, str(Path(__file__).parent.parent))
with atheris.instrument_imports(include=["mic_mail.pop3"]):
    from mic_mail.mime.dot_stuffing import Stuffing
    from mic_mail.pop3.line_buffer import LineFault, Lines
    from mic_mail.pop3.top import Top
    from session_harness import Pop3Talk, Talk, open_store

FOLDER = TemporaryDirectory()
STORE = open_store(Path(FOLDER.name))
for message in (b"Subject: x\r\n\r\n.\r\n..\r\nmot\r\n.hai", b"Subject: y\n\n.\n\nba", b"\r\n.\r\n"):
    Talk(STORE).sign_in().say(b"a APPEND INBOX {%d+}\r\n%b\r\n" % (len(message), message))


def pieces(octets: bytes, cuts: list[int]) -> list[bytes]:
    return [octets[a:b] for a, b in zip([0, *cuts], [*cuts, len(octets)], strict=True)]


def fuzz_pure(octets: bytes, cuts: list[int], lines: int) -> None:
    results = []
    for fed in ([octets], pieces(octets, cuts)):
        reader, stuffing, top = Lines(), Stuffing(), Top(lines)
        found, wire, shown = [], b"", b""
        for piece in fed:
            reader.feed(piece)
            while (line := reader.next()) is not None and line is not LineFault.ENDLESS:
                found.append(line)
            wire += stuffing.feed(piece)
            shown += piece[: top.take(piece)]
        results.append((found, wire + stuffing.end(), shown))
    assert results[0] == results[1]
    assert b"\n.\n" not in results[0][1]
    assert results[0][1].find(b"\n.\r\n") in (-1, len(results[0][1]) - 4)
    assert octets.startswith(results[0][2])


def fuzz_session(octets: bytes, cuts: list[int]) -> None:
    if b"QUIT" in octets.upper():  # it would change what the next one finds
        return
    answers = []
    for fed in ([octets], pieces(octets, cuts)):
        ctx = Pop3Talk(STORE)
        if octets[:1] != b"\0":
            ctx.sign_in()
        answers.append(b"".join([ctx.say(piece) for piece in fed]))
        assert not ctx.notes, ctx.notes
    assert answers[0] == answers[1], answers
    assert all(len(line) <= 510 for line in answers[0].split(b"\r\n"))


def fuzz(octets: bytes) -> None:
    data = atheris.FuzzedDataProvider(octets)
    kind, lines = data.ConsumeIntInRange(0, 1), data.ConsumeIntInRange(0, 5)
    cuts = sorted(data.ConsumeIntListInRange(4, 0, 300))
    if kind == 0:
        fuzz_pure(data.ConsumeBytes(300), cuts, lines)
    else:
        fuzz_session(data.ConsumeBytes(600), cuts)


if __name__ == "__main__":
    atheris.Setup(sys.argv, fuzz)
    atheris.Fuzz()
