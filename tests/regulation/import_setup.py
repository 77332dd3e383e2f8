"""Old mail to import."""

from pathlib import Path


def letter(number: int, octets: int = 50) -> bytes:
    return f"From: a@b.vn\nSubject: thu {number}\nDate: Tue, 1 Oct 2019 10:00:00 +0700\n\n{'x' * octets}\n".encode()


def maildir(path: Path, count: int, first: int = 0) -> Path:
    for inner in ("cur", "new", "tmp"):
        (path / inner).mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        (path / "cur" / f"{number}.x:2,S").write_bytes(letter(number))
    return path
