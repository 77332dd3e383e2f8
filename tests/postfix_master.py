"""The services of a Postfix that runs in a folder of its own; for tests and benchmarks."""

from pathlib import Path

DIST = Path("/usr/share/postfix/master.cf.dist")
_OF_OTHERS = {"maildrop", "uucp", "ifmail", "bsmtp", "scalemail", "mailman"}
"""Services that other packages bring."""


def write_master(path: Path, door: str) -> None:
    """As the package has them, SMTP at `door` (a port, or ADDRESS:PORT), and no chroot: the folder has none of its files."""
    master = []
    for line in DIST.read_text().splitlines():
        fields = line.split()
        if line[:1] in ("#", "", " ") or fields[0] in _OF_OTHERS:
            continue
        if fields[:2] == ["smtp", "inet"]:
            fields[0] = door
        fields[4] = "n"
        master.append(" ".join(fields))
    path.write_text("\n".join(master) + "\n")
