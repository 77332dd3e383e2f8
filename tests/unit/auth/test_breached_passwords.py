"""The list of leaked passwords: found or not, whatever form and size the file has."""

import hashlib
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mic_mail.auth import breached_passwords
from mic_mail.auth.breached_passwords import SMALL_OCTETS, BadList, check, is_leaked


def sha1(word: str) -> str:
    return hashlib.sha1(word.encode(), usedforsecurity=False).hexdigest()


Writer = Callable[[list[str]], bytes]


def plain(words: list[str]) -> bytes:
    return b"".join(sorted(word.encode() + b"\n" for word in words))


def unsorted(words: list[str]) -> bytes:
    mixed = [word.encode() for word in words]
    random.Random(1).shuffle(mixed)
    return b"zzz\n" + b"\n".join(mixed)


def counted(words: list[str]) -> bytes:
    """As Have I Been Pwned gives them out."""
    return b"".join(sorted(f"{sha1(word).upper()}:{number}\r\n".encode() for number, word in enumerate(words)))


def hashes(words: list[str]) -> bytes:
    return b"\n".join(sorted(sha1(word).encode() for word in words))


def unsorted_hashes(words: list[str]) -> bytes:
    return b"\n".join([sha1("zzz").encode(), *(sha1(word).encode() for word in words)])


FORMS = [plain, unsorted, counted, hashes, unsorted_hashes]
WORDS = ["matkhau2026", "mật khẩu", "a", "password", "Admin@12345", "x" * 300, "con mèo trèo cây cau", "z z", "\u20ac"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("more", [0, 1, 5_000])
def test_each_form(tmp_path: Path, form: Writer, more: int) -> None:
    """Everything that is in the list is found, and nothing else: first, last, long and short lines."""
    file = tmp_path / "leaked.txt"
    words = WORDS + [f"tu-{number:05}" for number in range(more)]
    file.write_bytes(form(words))
    assert all(is_leaked(file, word) for word in words[:: max(1, len(words) // 100)] + words[-1:])
    for word in ("matkhau2025", "matkhau20266", "", "password ", "PASSWORD", "tu-99999", "A" * 40, "\n", "a\nb", "\0"):
        assert not is_leaked(file, word), word


@pytest.mark.parametrize("form", [plain, counted, hashes])
def test_a_large_file_is_searched_on_the_disk(tmp_path: Path, form: Writer) -> None:
    """Beyond what is taken into memory; nothing of it is kept, and few pieces are read."""
    file = tmp_path / "leaked.txt"
    words = [f"tu-{number:07}-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" for number in range(120_000)]
    file.write_bytes(form(words))
    assert file.stat().st_size > SMALL_OCTETS
    check(file)
    reads = 0
    real = os.pread

    def counting(fd: int, octets: int, at: int) -> bytes:
        nonlocal reads
        reads += 1
        assert octets <= breached_passwords.BLOCK_OCTETS
        return real(fd, octets, at)

    breached_passwords.os.pread = counting  # type: ignore[attr-defined]
    try:
        for word in (words[0], words[-1], words[77_777], words[1]):
            reads = 0
            assert is_leaked(file, word)
            assert not is_leaked(file, word + "!")
            assert reads < 1_200
    finally:
        breached_passwords.os.pread = real  # type: ignore[attr-defined]


def test_the_form_in_which_it_was_typed(tmp_path: Path) -> None:
    """Letters that are put together or apart, and what SASLprep makes of them (RFC 4013)."""
    file = tmp_path / "leaked.txt"
    file.write_bytes("mật khẩu\n".encode())
    assert is_leaked(file, "mâ\u0323t khâ\u0309u")
    assert is_leaked(file, "mật\u00a0khẩu")


def test_a_large_file_that_is_not_sorted(tmp_path: Path) -> None:
    """Said, with how to sort it; a search would find some and not others."""
    file = tmp_path / "leaked.txt"
    file.write_bytes(
        b"".join(b"tu-%06d-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n" % (number * 7 % 100_003) for number in range(100_000))
    )
    with pytest.raises(BadList, match="not sorted"):
        is_leaked(file, "x")


@pytest.mark.parametrize("what", ["missing", "folder", "closed", "endless"])
def test_a_file_that_cannot_be_used(tmp_path: Path, what: str) -> None:
    """Each is said, and none is an error that nobody foresaw."""
    file = tmp_path / "leaked.txt"
    if what == "folder":
        file.mkdir()
    elif what == "closed":
        (tmp_path / "not-a-folder").touch()
        file = tmp_path / "not-a-folder" / "leaked.txt"
    elif what == "endless":
        file.write_bytes(b"x" * (5 << 20))
    with pytest.raises(BadList, match="leaked"):
        is_leaked(file, "x")


def test_a_list_that_is_replaced_counts_at_once(tmp_path: Path) -> None:
    """Without a reload; also an empty one."""
    file, fresh = tmp_path / "leaked.txt", tmp_path / "fresh"
    file.write_bytes(b"")
    assert not is_leaked(file, "b")
    fresh.write_bytes(b"c\nb\na\n")
    fresh.replace(file)
    assert is_leaked(file, "b")
    fresh.write_bytes(b"a\nc\n")
    fresh.replace(file)
    assert not is_leaked(file, "b")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sets(st.binary(max_size=12).filter(lambda line: b"\n" not in line and not line.endswith(b"\r") and line), max_size=80),
    st.binary(max_size=3),
    st.integers(4, 64),
)
def test_bisection_finds_what_a_scan_finds(tmp_path: Path, lines: set[bytes], other: bytes, block: int) -> None:
    """Whatever the lines and the size of a piece."""
    file = tmp_path / "lines"
    content = b"".join(line + b"\n" for line in sorted(lines))
    file.write_bytes(content)
    known, breached_passwords.BLOCK_OCTETS = breached_passwords.BLOCK_OCTETS, block  # type: ignore[misc]
    fd = os.open(file, os.O_RDONLY)
    try:
        for line in [*lines, other]:
            wanted = line.replace(b"\n", b"")
            if wanted and not wanted.endswith(b"\r"):
                assert breached_passwords._search(fd, len(content), wanted, is_hashed=False) == (wanted in lines)
    finally:
        os.close(fd)
        breached_passwords.BLOCK_OCTETS = known  # type: ignore[misc]
