"""What the log calls a message: its Message-ID as the sender wrote it, found in any header and never in the way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mic_mail.services.transport.trace_headers import LONGEST_MESSAGE_ID, message_id


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"Subject: x\r\nMessage-ID: <a.b@c>\r\nX: y\r\n", "a.b@c"),
        (b"message-id:<a@b>\r\n", "a@b"),
        (b"MESSAGE-id:\r\n\t<a@b> (comment)\r\nX: y\r\n", "a@b"),
        (b"Subject: x\r\nMessage-Id: \r\n <a@\r\n b>\r\n", "a@ b"),
        (b"Message-ID: no brackets\r\nX: <y>\r\n", "no brackets"),
        (b"Message-ID: <a@b", "a@b"),
        (b"Message-ID: <>\r\n", None),
        (b"Message-ID:\r\nX: y\r\n", None),
        (b"X-Message-ID: <a@b>\r\nIn-Reply-To: <c@d>\r\n", None),
        (b"Subject: Message-ID: <a@b>\r\n", None),
        (b"", None),
        (b"Message-ID: <" + b"x" * 9_000 + b">\r\n", "x" * LONGEST_MESSAGE_ID),
    ],
)
def test_the_message_id_of_a_header(header: bytes, expected: str | None) -> None:
    """Folded, in any case, without brackets, damaged, endless, not there."""
    assert message_id(header) == expected


@given(st.binary(max_size=200), st.binary(max_size=40))
def test_no_header_is_too_odd(before: bytes, value: bytes) -> None:
    """Whatever octets come, there is an answer that JSON can hold."""
    found = message_id(before + b"\nMessage-ID:" + value)
    assert found is None or (0 < len(found) <= LONGEST_MESSAGE_ID and found.encode())
