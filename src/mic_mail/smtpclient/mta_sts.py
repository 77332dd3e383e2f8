"""Parse the MTA-STS records and policies of domains (RFC 8461). Pure.

In: the TXT records at `_mta-sts.DOMAIN`, the text of the policy. Out: the id under which the policy is published, the
`StsPolicy`, whether a host is among its servers. Malformed input counts as nothing: a domain whose policy cannot be parsed has
none.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from mic_mail.errors import Text, Trouble, in_ascii

LONGEST_SECONDS = 31_557_600
"""A year (§3.2): no policy is kept longer, whatever it says."""
POLICY_OCTETS = 64 << 10
MOST_PATTERNS = 1_000
_WORD = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}"
_RECORD = re.compile(rf"v=STSv1(?:[ \t]*;[ \t]*{_WORD}=[!-:<>-~]+)+(?:[ \t]*;[ \t]*)?")
_ID = re.compile(r"[A-Za-z0-9]{1,32}")
_FIELD = re.compile(rf"({_WORD}):[ \t]*([^\x00- \x7f](?:[^\x00-\x1f\x7f]*[^\x00- \x7f])?)[ \t]*")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_PATTERN = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")


class Mode(StrEnum):
    """The handling of mail where the policy is not met (§5)."""

    ENFORCE = "enforce"
    """The mail is deferred."""
    TESTING = "testing"
    """The mail is sent, and the failure is logged."""
    NONE = "none"
    """There is no policy any more."""


class NotAPolicy(Trouble):
    """The text is not a policy; the reason is for the log."""


@dataclass(frozen=True, slots=True)
class StsPolicy:
    """A policy as published."""

    mode: Mode
    patterns: tuple[str, ...]
    """Names of mail servers, lower case; `*.` stands for one label."""
    max_age_seconds: int

    def allows(self, host: str) -> bool:
        """Return whether the host is one of its mail servers (§4.1)."""
        name = host.lower().rstrip(".")
        above = name.partition(".")[2]
        return any(above == pattern[2:] if pattern.startswith("*.") else name == pattern for pattern in self.patterns)


def policy_id(records: Sequence[str]) -> str | None:
    """Return the policy id in the TXT records; None unless exactly one announces a policy (§3.1)."""
    found = [record for record in records if re.match(r"v=STSv1[ \t]*(?:;|\Z)", record)]
    if len(found) != 1 or _RECORD.fullmatch(found[0]) is None:
        return None
    fields = [field.strip(" \t").partition("=") for field in found[0].split(";")]
    ids = [value for name, _, value in fields if name == "id"]
    return ids[0] if ids and _ID.fullmatch(ids[0]) else None


def parse(octets: bytes) -> StsPolicy:
    """Parse a policy (§3.2); of a repeated field the first counts, except for `mx`."""
    try:
        lines = octets.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise NotAPolicy(Text("chính sách không phải UTF-8", "the policy is not UTF-8")) from error
    if lines[-1] == "":
        del lines[-1]
    fields: dict[str, str] = {}
    patterns: list[str] = []
    for line in lines:
        found = _FIELD.fullmatch(line.removesuffix("\r"))
        if found is None:
            raise _malformed("field", repr(line[:60]))
        if found[1] == "mx":
            patterns.append(_pattern(found[2]))
        else:
            fields.setdefault(found[1], found[2])
    if fields.get("version") != "STSv1":
        raise NotAPolicy(Text("chính sách không phải phiên bản STSv1", "the policy's version is not STSv1"))
    return StsPolicy(_mode(fields.get("mode"), patterns), tuple(dict.fromkeys(patterns)), _age(fields.get("max_age", "")))


def _mode(word: str | None, patterns: Sequence[str]) -> Mode:
    if word not in tuple(Mode):
        raise _malformed("mode", f"{word!r:.40}")
    mode = Mode(word)
    if mode is not Mode.NONE and not patterns:
        raise NotAPolicy(Text("chính sách không có mx", "the policy has no mx"))
    if len(patterns) > MOST_PATTERNS:
        raise NotAPolicy(Text(f"chính sách có hơn {MOST_PATTERNS} mx", f"the policy has more than {MOST_PATTERNS} mx"))
    return mode


def _age(text: str) -> int:
    if re.fullmatch(r"[0-9]{1,10}", text) is None:
        raise _malformed("max_age", repr(text[:40]))
    return min(int(text), LONGEST_SECONDS)


def _pattern(text: str) -> str:
    if len(text) > 255 or _PATTERN.fullmatch(text) is None:
        raise _malformed("mx", repr(text[:60]))
    return text.lower()


def _malformed(name: str, value: str) -> NotAPolicy:
    vi = "không phải dòng của chính sách" if name == "field" else f"{name} không hợp lệ"
    return NotAPolicy(Text(f"{vi}: {in_ascii(value)}", f"no {name}: {in_ascii(value)}"))
