"""mbox files of all kinds are cut into the messages that were put in, as Python's own reader sees them, or better."""

import mailbox
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mic_mail.services.importers import content, files, mbox
from mic_mail.services.importers.mbox import MboxFile, MboxSource, written_at
from mic_mail.services.importers.source import Skip

FROM = b"From a@b.vn Tue Oct  1 10:00:00 2019\n"


@contextmanager
def opened(path: Path) -> Iterator[MboxFile]:
    fd = os.open(path, os.O_RDONLY)
    try:
        yield MboxFile(fd)
    finally:
        os.close(fd)


def read(path: Path) -> list[bytes]:
    """Every message of one file."""
    with opened(path) as box:
        return [box.octets(span) for span in box.spans()]


words = st.text(st.sampled_from("abFrom :>\u00e1"), max_size=8).map(str.encode)
line = st.one_of(
    words,
    st.sampled_from([b"", b"From ", b"From here on", b">From x", b">>From x", b"From a@b Tue Oct  1 10:00:00 2019", b" "]),
)
bodies = st.lists(line, max_size=12).map(lambda lines: b"".join(each + b"\n" for each in lines))
letters = st.builds(lambda body: b"Subject: x\nTo: y@z\n\n" + body, bodies)


@given(st.lists(letters, max_size=6))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_python_writes_is_read_back(tmp_path: Path, these: list[bytes]) -> None:
    """`mailbox` of the standard library writes mboxo: what it had quoted comes back, but for ">From " that was so before."""
    path = tmp_path / "box"
    path.unlink(missing_ok=True)
    box = mailbox.mbox(path)
    for each in these:
        box.add(each)
    box.flush()
    box.close()
    theirs = mailbox.mbox(path)
    raw = [theirs.get_bytes(key) for key in theirs.iterkeys()]
    theirs.close()
    assert len(raw) == len(these)
    found = read(path) if these else []
    assert [each.rstrip(b"\r\n") for each in found] == [
        mbox._QUOTED.sub(b"", each).replace(b"\n", b"\r\n").rstrip(b"\r\n") for each in raw
    ]


@pytest.mark.parametrize("chunk", [*range(8, 40), 64, 100])
def test_no_cut_of_the_file_changes_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    """Wherever the file is cut for reading."""
    path = tmp_path / "box"
    messages = [b"Subject: 1\n\nFrom me\n", b"Subject: 2\n\n" + b"x" * 90 + b"\n\nFromage\n", b"Subject: 3\n\n>From\nend"]
    path.write_bytes(
        b"\n".join(FROM + mbox._QUOTED.sub(b">", each).replace(b"\nFrom me", b"\n>From me") for each in messages) + b"\n"
    )
    whole = read(path)
    monkeypatch.setattr(mbox, "CHUNK_OCTETS", chunk)
    assert read(path) == whole
    assert [each.split(b"\r\n")[0] for each in whole] == [b"Subject: 1", b"Subject: 2", b"Subject: 3"]
    assert b"\r\nFrom me\r\n" in whole[0]


@pytest.mark.parametrize("before", range(20, 60))
def test_within_a_line_longer_than_a_part_nothing_is_unquoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    """Wherever it is cut: only where a line begins was something quoted."""
    monkeypatch.setattr(mbox, "CHUNK_OCTETS", 16)
    path = tmp_path / "box"
    path.write_bytes(FROM + b"A: b\n\n" + b"x" * before + b">From me\n>From you\n")
    assert read(path) == [b"A: b\r\n\r\n" + b"x" * before + b">From me\r\nFrom you\r\n"]


def test_lengths_are_believed_where_they_are_right(tmp_path: Path) -> None:
    """mboxcl2 quotes nothing: what looks like a message in a body stays in it, and ">From " is not touched."""
    body = b"before\n\n" + FROM + b"Subject: no message\n\n>From x\n"
    path = tmp_path / "box"
    head = b"Subject: 1\nContent-Length: %d\n\n"
    path.write_bytes(FROM + head % len(body) + body + b"\n" + FROM + head % 3 + b"ab\n" + b"\n")
    found = read(path)
    assert len(found) == 2
    assert found[0].endswith(b"\r\n>From x\r\n")
    path.write_bytes(FROM + head % (len(body) + 7) + body + b"\n" + FROM + head % 3 + b"ab\n" + b"\n")
    assert len(read(path)) == 3, "a wrong length is none"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (b"\nFrom Monday on we meet at 10:30\nin room 5\n", 1),
        (b"\nFrom 10:30 to 12:00 in 2024 we\n", 1),
        (b"From a@b Tue Oct  1 10:00:00 2019\nSubject: no empty line before\n", 1),
        (b"\nFrom a@b Tue Oct  1 10:00:00 2019\nSubject: yes\n\nx\n", 2),
        (b"\nFrom - Tue Oct 01 10:00:00 2019\nX-Mozilla-Status: 0001\n\nx\n", 2),
        (b"\r\n\r\nFrom x@y Tue Oct  1 10:00:00 2019\r\nSubject: crlf\r\n\r\nx\r\n", 2),
        (b"\nFrom MAILER-DAEMON Fri Jul  8 12:08:34 2011\nTo: x\n\n", 2),
        (b"\nFrom someone\nSubject: no date\n\n", 2),
        (b"\nFrom a b c\nSubject: no date\n\n", 1),
        (b"\nFrom x@y 2019-10-01 10:00\n\nno header\n", 2),
        (b"\nFrom 2019-10-01 on we meet\nSubject: x\n", 1),
    ],
)
def test_what_begins_a_message(tmp_path: Path, text: bytes, count: int) -> None:
    """And what only looks so."""
    path = tmp_path / "box"
    path.write_bytes(FROM + b"Subject: first\n\nbody\n" + text)
    assert len(read(path)) == count


@pytest.mark.parametrize(
    "octets", [b"", b"\n", b"\0" * 50, b"From", b"From \n", b"hello\n", FROM, FROM * 3, b"\n\n" + FROM + b"\n"]
)
def test_odd_files(tmp_path: Path, octets: bytes) -> None:
    """Nothing is read out of them that is not there."""
    path = tmp_path / "box"
    path.write_bytes(octets)
    assert all(each in {b"", b"\r\n"} for each in read(path))


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_octets(tmp_path: Path, octets: bytes) -> None:
    """No file makes it fail, and no octet of a message is lost but what was quoted, separators and one empty line."""
    path = tmp_path / "box"
    path.write_bytes(FROM + b"Subject: x\n\n" + octets)
    found = read(path)
    assert found
    assert sum(map(len, found)) + len(found) * 200 >= len(octets)


def test_a_large_message_comes_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same octets as when it is read whole."""
    path = tmp_path / "box"
    path.write_bytes(FROM + b"Subject: x\n\n" + b"\n".join(b">From %d" % n for n in range(2_000)) + b"\n")
    (whole,) = read(path)
    monkeypatch.setattr(files, "HELD_OCTETS", 1000)
    monkeypatch.setattr(mbox, "CHUNK_OCTETS", 777)
    source = MboxSource(str(path))
    messages = source.messages(source.folders()[0], frozenset())
    item = next(messages)
    assert callable(item.content)
    assert b"".join(item.content()) == b"".join(item.content()) == whole
    assert content.digest_of(item.content) == content.digest_of(whole)


def test_a_thunderbird_profile(tmp_path: Path) -> None:
    """Folders below folders, indexes passed over, flags and tags read, deleted messages left out; no link followed."""
    profile = tmp_path / "Local Folders"
    (profile / "Du an.sbd").mkdir(parents=True)

    def message(status: str, subject: str, keys: str = "") -> str:
        return (
            f"From - Tue Oct 01 10:00:00 2019\nX-Mozilla-Status: {status}\nX-Mozilla-Keys: {keys}\nSubject: {subject}\n\nx\n\n"
        )

    (profile / "Inbox").write_text(
        message("0001", "read") + message("0009", "deleted") + message("1006", "more", "$label1 tag")
    )
    (profile / "Inbox.msf").write_text("// <!-- <mdb:mork:z")
    (profile / "Du an").write_text(message("0000", "new"))
    (profile / "Du an.sbd" / "2019").write_text(message("0000", "old"))
    (profile / "link").symlink_to(profile / "Inbox")
    (profile / "loop.sbd").symlink_to(profile)
    source = MboxSource(str(profile))
    folders = {folder.name: list(source.messages(folder, frozenset())) for folder in source.folders()}
    assert set(folders) == {"Inbox", "Du an", "Du an/2019"}
    assert [item.skip for item in folders["Inbox"]] == [None, Skip.DELETED, None]
    assert folders["Inbox"][0].flags == {"\\Seen"}
    assert folders["Inbox"][2].flags == {"\\Answered", "\\Flagged", "$Forwarded", "$label1", "tag"}
    assert folders["Du an"][0].flags == frozenset()
    assert folders["Inbox"][0].received_at_us == 1_569_924_000_000_000


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        (b"From a@b Tue Oct  1 10:00:00 2019\n", 1569924000),
        (b"From a@b  Tue Oct 1 17:00:00 +0700 2019\n", 1569924000),
        (b"From - Tue Oct 01 10:00:00 2019\r\n", 1569924000),
        (b"From a@b\n", None),
        (b"From a@b Tue Oct 99 99:00:00 2019\n", None),
    ],
)
def test_when_it_came(line: bytes, seconds: int | None) -> None:
    assert written_at(line) == (None if seconds is None else seconds * 1_000_000)
