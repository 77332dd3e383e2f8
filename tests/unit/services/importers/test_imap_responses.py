"""What servers answer is read right, and nonsense is read as something harmless."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mic_mail.services.importers.imap_responses import fetched, flags, number, sequence, values


@pytest.mark.parametrize(
    ("parts", "wanted"),
    [
        (
            [b'* LIST (\\Marked \\Sent) "." "G&APY-i"'],
            [b"*", b"LIST", [b"\\Marked", b"\\Sent"], b".", b"G&APY-i"],
        ),
        ([b"* LIST () NIL INBOX"], [b"*", b"LIST", [], None, b"INBOX"]),
        ([b'* LIST () "/" "a\\"b\\\\c* d"'], [b"*", b"LIST", [], b"/", b'a"b\\c* d']),
        ([b'* LIST () "/" {5}', b"a b c", b""], [b"*", b"LIST", [], b"/", b"a b c"]),
        ([b'* NAMESPACE (("INBOX." ".")) NIL ((("x")))'], [b"*", b"NAMESPACE", [[b"INBOX.", b"."]], None, [[[b"x"]]]]),
        ([b"* x ) ) (("], [b"*", b"x", [[]]]),
        ([b'* "open'], [b"*", b"open"]),
        ([b'* ""'], [b"*", b""]),
        ([b'* "a" b "c d" "e\\'], [b"*", b"a", b"b", b"c d", b"e\\"]),
        ([b'* LIST () "\\" INBOX'], [b"*", b"LIST", [], b"\\", b"INBOX"]),
        ([b'* 1 FETCH (FLAGS (a"b) UID 5)'], [b"*", b"1", b"FETCH", [b"FLAGS", [b"a", b"b"], b"UID", b"5"]]),
        ([b'* "' + b'\\"' * 100_000], [b"*", *[b"\\"] * 9_999]),
    ],
)
def test_values(parts: list[bytes], wanted: list[object]) -> None:
    assert values(parts) == wanted


def test_fetched() -> None:
    """Attributes by name, whatever their order; a body in a literal, quoted, or none."""
    told = fetched([b"* 12 FETCH (UID 7 FLAGS (\\Seen \\Recent $x) BODY[] {4}", b")(\r\n", b" RFC822.SIZE 4)"])
    assert told is not None
    assert (number(told[b"UID"]), told[b"BODY[]"], number(told[b"RFC822.SIZE"])) == (7, b")(\r\n", 4)
    assert flags(told[b"FLAGS"]) == {"\\Seen", "$x"}
    assert fetched([b'* 1 FETCH (BODY[] "" UID 1)']) == {b"BODY[]": b"", b"UID": b"1"}
    assert fetched([b"* 1 FETCH (BODY[]<4096> NIL)"]) == {b"BODY[]<4096>": None}
    assert fetched([b"* 1 EXPUNGE"]) is None
    assert fetched([b"* OK FETCH done (x)"]) is None
    assert flags(b"x") == frozenset()
    assert number(b"99999999999999999999999") == number(b"-1") == number(None) == number([b"1"]) == 0


@given(st.lists(st.binary(max_size=60), max_size=5))
def test_any_octets(parts: list[bytes]) -> None:
    """Nothing fails."""
    values(parts)
    fetched([b"* 1 FETCH (" + (parts[0] if parts else b""), *parts[1:]])


@pytest.mark.parametrize("octets", [b"", b")" * 50_000, b'"', b"x" * 9])
def test_nesting_without_end(octets: bytes) -> None:
    """Is not recursion."""
    assert len(values([b"(" * 50_000 + octets])) == 1


@given(st.sets(st.integers(1, 300)))
def test_sequences_name_each_once(uids: set[int]) -> None:
    """And nothing else."""
    named = [
        uid
        for part in filter(None, sequence(sorted(uids)).split(","))
        for uid in range(int(part.split(":")[0]), int(part.split(":")[-1]) + 1)
    ]
    assert named == sorted(uids)
