"""Replies of servers that mean well and of those that do not, in pieces of any size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mic_mail.smtpclient.replies import MOST_LINES, MOST_UNREAD, BadReply, Replies, Reply


def read(octets: bytes) -> list[Reply]:
    replies = Replies()
    replies.feed(octets)
    return list(iter(replies.next_reply, None))


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"250 2.1.0 OK\r\n", Reply(250, ("OK",), "2.1.0")),
        (b"250\r\n", Reply(250, ("",))),
        (b"354 go\n", Reply(354, ("go",))),
        (b"250-mx.example\r\n250-PIPELINING\r\n250 SIZE 10\r\n", Reply(250, ("mx.example", "PIPELINING", "SIZE 10"))),
        (b"550-5.7.1 No\r\n550 5.7.1 more\r\n", Reply(550, ("No", "more"), "5.7.1")),
        (b"550 4.7.1 No\r\n", Reply(550, ("4.7.1 No",))),
        (b"450 4.2.2\r\n", Reply(450, ("",), "4.2.2")),
        (b"550 5.7.1x\r\n", Reply(550, ("5.7.1x",))),
        (b"550 \xe1\xbb\x87 \xff\x1b[31m\r\n", Reply(550, ("ệ \ufffd [31m",))),
    ],
)
def test_replies(octets: bytes, expected: Reply) -> None:
    assert read(octets) == [expected]
    replies, found = Replies(), []
    for octet in octets:
        replies.feed(bytes([octet]))
        found += list(iter(replies.next_reply, None))
    assert found == [expected]


def test_several_at_once_and_what_is_left() -> None:
    replies = Replies()
    replies.feed(b"250 a\r\n550 b\r\n35")
    assert [reply.code for reply in iter(replies.next_reply, None)] == [250, 550]
    assert not replies.is_empty
    replies.feed(b"4 c\r\n")
    assert replies.next_reply() == Reply(354, ("c",))
    assert replies.is_empty


def test_half_a_reply_is_something_left_over() -> None:
    replies = Replies()
    replies.feed(b"220-first\r\n")
    assert replies.next_reply() is None
    assert not replies.is_empty


@pytest.mark.parametrize(
    "octets",
    [
        b"hello\r\n", b"25 OK\r\n", b"2500 OK\r\n", b"199 OK\r\n", b"600 OK\r\n", b"250_OK\r\n", b"\r\n", b"250-a\r\n251 b\r\n",
        b"HTTP/1.1 400 Bad Request\r\n", b"\xff\xfe\r\n", b"250 " + b"x" * 5_000 + b"\r\n", b"2" * 3_000,
        b"250-x\r\n" * (MOST_LINES + 1),
    ],
)  # fmt: skip
def test_what_no_server_says(octets: bytes) -> None:
    with pytest.raises(BadReply):
        read(octets)


def test_a_flood() -> None:
    """It is hung up on before it fills the memory, whole replies or not."""
    replies, line = Replies(), b"250 OK\r\n"
    for _ in range(MOST_UNREAD // len(line)):
        replies.feed(line)
    with pytest.raises(BadReply):
        replies.feed(line)


def test_as_a_person_reads_it() -> None:
    (reply,) = read(b"550-5.1.1 No such user\r\n550 5.1.1 here\x07\r\n")
    assert reply.text == "550 5.1.1 No such user here"
    assert (reply.is_permanent, reply.is_positive) == (True, False)


def test_more_than_anybody_keeps() -> None:
    """The extensions of EHLO are all read; what is told on is short."""
    (reply,) = read(b"".join(b"451-4.7.1 " + b"a" * 2_000 + b"\r\n" for _ in range(100)) + b"451 4.7.1 end\r\n")
    assert len(reply.lines) == 101
    assert reply.text == "451 4.7.1 " + "a" * 990 + "..."


@given(st.lists(st.binary(max_size=40)))
def test_any_octets(pieces: list[bytes]) -> None:
    """A reply or `BadReply`; never a line end or a control character in what is told on."""
    replies = Replies()
    try:
        for piece in pieces:
            replies.feed(piece)
            for reply in iter(replies.next_reply, None):
                assert 200 <= reply.code < 600
                assert all(ord(letter) >= 32 for letter in reply.text)
    except BadReply:
        pass
