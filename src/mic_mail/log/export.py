"""Export an excerpt of the log as one file that can be verified without this server.

Reg. 14.4, 16.3, 16.5, 17. In: lines found by a search, the requester and the reason. Out: a ZIP file, complete or not there at
all:
    events.jsonl   the lines of the mail log, octet for octet, in the order of time
    acts.jsonl     the administrative acts, in the same form
    places.csv     where each line is: member, line, file, offset, octets
    anchors.chain  the chain of anchors from the first record that holds one of those files to the head
    manifest.json  requester, time, reason, query; counts; the files that were read, with digests and anchors
    *.pdf          the document of the incident, for a recorded one
    READ-ME.txt    in Vietnamese and English: what this is and how to check it
    SHA256SUMS     of all members, for `sha256sum -c`

Never included: contents or subjects of messages (the log has none). Blocking.
"""

import contextlib
import csv
import io
import json
import os
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from mic_mail.clock import HO_CHI_MINH
from mic_mail.durable_files import write_durably
from mic_mail.errors import BadInput, Text, Trouble, in_ascii
from mic_mail.log.anchor_chain import Anchor, AnchorFile
from mic_mail.log.files import read_chunks
from mic_mail.log.search import FoundLine

READ_ME = """\
TRÍCH XUẤT NHẬT KÝ HỆ THỐNG THƯ ĐIỆN TỬ
Tệp events.jsonl và acts.jsonl là các dòng nhật ký nguyên văn, giờ UTC (giờ Việt Nam trừ 7).
Nội dung thư không có trong nhật ký.
Kiểm tra: chạy `sha256sum -c SHA256SUMS`; so mã của mỗi tệp nguồn (manifest.json) với anchors.chain; mỗi dòng của anchors.chain
mang mã SHA-256 của dòng trước, mã của dòng cuối là mã niêm phong mà `mic-mail log anchor` đã in.

EXCERPT OF THE MAIL SYSTEM'S LOG
events.jsonl and acts.jsonl are lines of the log as they stand, times in UTC (Viet Nam less 7 hours). The log holds no contents.
To check: run `sha256sum -c SHA256SUMS`; compare the digest of each source (manifest.json) with anchors.chain; each line of
anchors.chain carries the SHA-256 of the line before, and that of the last is the head that `mic-mail log anchor` printed.
"""


@dataclass(frozen=True, slots=True)
class LogExportResult:
    """The result of an export."""

    sha256: str
    octets: int
    events: int
    acts: int


def export(
    folder: Path,
    target: Path,
    found: Sequence[FoundLine],
    asked: Mapping[str, object],
    now: datetime,
    *,
    papers: Mapping[str, bytes] | None = None,
) -> LogExportResult:
    """Write the excerpt; `asked` is requester, reason and query for the manifest, `papers` more files."""
    if target.exists():
        raise BadInput(Text(f"Tệp {target} đã có.", f"The file {in_ascii(target)} already exists."))
    events = [one for one in found if "event" in one.fields]
    acts = [one for one in found if "event" not in one.fields]
    names = sorted({one.name for one in found})
    members = {
        "READ-ME.txt": READ_ME.encode(),
        "events.jsonl": _lines(events),
        "acts.jsonl": _lines(acts),
        "places.csv": _places(("events.jsonl", events), ("acts.jsonl", acts)),
        "anchors.chain": _chain(folder, names),
        **(papers or {}),
    }
    manifest = {
        **asked,
        "made_at": now.isoformat(),
        "events": len(events),
        "acts": len(acts),
        "sources": [_source(folder, name) for name in names],
        "head": AnchorFile(folder).known().head,
    }
    members["manifest.json"] = json.dumps(manifest, ensure_ascii=False, indent=2, default=str).encode() + b"\n"
    sums = "".join(f"{sha256(octets).hexdigest()}  {name}\n" for name, octets in sorted(members.items()))
    members["SHA256SUMS"] = sums.encode()
    octets = _zipped(members, now)
    _write(target, octets)
    return LogExportResult(sha256(octets).hexdigest(), len(octets), len(events), len(acts))


def _lines(found: Iterable[FoundLine]) -> bytes:
    return b"".join(one.line + b"\n" for one in found)


def _places(*members: tuple[str, Sequence[FoundLine]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("member", "line", "file", "offset", "octets"))
    for member, found in members:
        writer.writerows((member, number, one.name, one.start, len(one.line) + 1) for number, one in enumerate(found, 1))
    return text.getvalue().encode()


def _chain(folder: Path, names: Sequence[str]) -> bytes:
    """Return the chain from the first record with one of the files to the head, without a gap."""
    wanted, kept = set(names), list[bytes]()
    for line in AnchorFile(folder).lines():
        if not kept:
            with contextlib.suppress(ValueError):
                if wanted.isdisjoint(extent.name for extent in Anchor.decode(line).files):
                    continue
        kept.append(line)
    return b"".join(kept)


def _source(folder: Path, name: str) -> dict[str, object]:
    known = AnchorFile(folder).known()
    extent = known.files.get(name)
    value, octets = sha256(), 0
    with contextlib.suppress(FileNotFoundError):
        fd = os.open(folder / name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            for piece in read_chunks(fd, 0, os.fstat(fd).st_size):
                value.update(piece)
                octets += len(piece)
        finally:
            os.close(fd)
    anchored = extent and {"anchor": known.anchored_by[name], "octets": extent.octets, "sha256": extent.sha256}
    return {"file": name, "octets": octets, "sha256": value.hexdigest(), "anchored": anchored}


def _zipped(members: Mapping[str, bytes], now: datetime) -> bytes:
    packed = io.BytesIO()
    moment = now.astimezone(HO_CHI_MINH).timetuple()[:6]
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, octets in members.items():
            archive.writestr(zipfile.ZipInfo(name, moment), octets, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def _write(target: Path, octets: bytes) -> None:
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        write_durably(fresh, octets, 0o600, new=True)
        os.link(fresh, target)
    except FileExistsError as error:
        raise BadInput(Text(f"Tệp {target} đã có.", f"The file {in_ascii(target)} already exists.")) from error
    except OSError as error:
        raise Trouble(Text(f"Không ghi được {target}.", f"{in_ascii(target)} cannot be written.")) from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(fresh)
