"""What a header has to satisfy before its message may pass."""

import pytest

from mic_mail.services import authorship


@pytest.mark.parametrize("name", [b"Received:", b"received:", b"RECEIVED :", b"ReCeIvEd\t:"])
def test_a_circle_is_seen_however_its_lines_are_written(name: bytes) -> None:
    """RFC 5322 §1.2.2: names of fields are not case-sensitive; §4.5: old writers left a space before the colon."""
    line = name + b" from a by b; x\r\n"
    assert authorship.goes_in_a_circle(line * 101)
    assert not authorship.goes_in_a_circle(line * 100)


@pytest.mark.parametrize(
    "line",
    [
        b"X-Received: by b; x\r\n",
        b"Subject: Received: Received:\r\n",
        b"Subject: x\r\n Received: y\r\n",
        b"Received-SPF: pass\r\n",
    ],
)
def test_what_only_looks_like_a_trace_does_not_count(line: bytes) -> None:
    """Only fields of that very name are hops: X-Received of forwarders, text and folded lines are none."""
    assert not authorship.goes_in_a_circle(line * 300)
