"""Build SMTP replies from the rows of `reply_table`, for this peer and this matter (RFC 5321 §4.2).

Pure.
In: the name of a row and the values of its sentence. Out: a `Reply`, and its octets in a `Voice`. A peer that took
SMTPUTF8 in this transaction gets Vietnamese (RFC 6531 §3.7.4). All others get refusals in Vietnamese without diacritics
and then in English, a line each, and the rest in English. A refusal that a person may see ends with the contact and the
trace id that is also in the log. No line is longer than 512 octets (RFC 5321 §4.5.3.1.5).
Never here: data from the peer, except for its words, shortened and without controls.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from mic_mail.errors import Text
from mic_mail.i18n import dates
from mic_mail.i18n.clause_names import clause
from mic_mail.i18n.messages import where_to_turn
from mic_mail.i18n.spoken import spoken
from mic_mail.services.transport.envelope import Accepted, Cause, Refusal
from mic_mail.smtp.reply_table import SIGN_IN, SILENT, TABLE

MAX_LINE_OCTETS = 512
MAX_SHOWN_CHARS = 100
"""Characters of an address or another word of the peer's in a reply."""
MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Voice:
    """The language of replies to this peer, and the support contact."""

    support: str
    utf8: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply to one command. With `trace_id` it ends with the contact and that reference."""

    code: int
    enhanced: str
    text: Text
    trace_id: str = ""
    spoken: bytes = b""
    """The octets where they are fixed: constant, or in the voice of a transaction that has ended."""

    @property
    def refused(self) -> bool:
        return self.code >= 400

    def encode(self, voice: Voice) -> bytes:
        if self.spoken:
            return self.spoken
        text = self.text
        if self.trace_id:
            tail = where_to_turn(voice.support, self.trace_id)
            text = Text(f"{text.vi} {tail.vi}" if text.vi else "", f"{text.en} {tail.en}")
        sides = spoken(text, utf8=voice.utf8)
        head = f"{self.enhanced} " if self.enhanced else ""
        room = MAX_LINE_OCTETS - 6 - len(head)
        shown = sides if self.refused else sides[-1:]
        return lines(self.code, [head + line for side in shown for line in _wrap(side, room)])


def lines(code: int, texts: list[str]) -> bytes:
    """Return a reply of several lines (RFC 5321 §4.2.1); no text can inject a line of its own."""
    last = len(texts) - 1
    numbered = (f"{code}{' ' if i == last else '-'}{_on_one_line(text)}\r\n" for i, text in enumerate(texts))
    return "".join(numbered).encode("utf-8", "replace")


_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]++")
"""Characters that some reader takes for a line end, or a terminal interprets."""


def _on_one_line(text: str) -> str:
    return text if text.isprintable() else _CONTROLS.sub("?", text)


def _wrap(text: str, octets: int) -> list[str]:
    if len(text.encode()) <= octets:
        return [text]
    wrapped, line = [], ""
    for word in (piece for whole in text.split(" ") for piece in _cut(whole, octets)):
        longer = f"{line} {word}" if line else word
        if len(longer.encode()) > octets and line:
            wrapped.append(line)
            line = word
        else:
            line = longer
    return [*wrapped, line]


def _cut(word: str, octets: int) -> Iterator[str]:
    """Split a word that is too long for a line; a character has 4 octets at most."""
    room = len(word) if len(word.encode()) <= octets else octets // 4
    return (word[at : at + room] for at in range(0, max(len(word), 1), max(room, 1)))


def reply(name: str, trace_id: str = "", /, **params: object) -> Reply:
    """Return the reply `name`; the trace id is appended to refusals that a person may see."""
    row = TABLE[name]
    cited = clause(row.clause) if row.clause else Text("", "")
    params = {key: _printable_word(value) if isinstance(value, str) else value for key, value in params.items()} | {
        "clause": cited
    }
    en = row.en.format_map({key: _half(value, "en") for key, value in params.items()}) if "{" in row.en else row.en
    vi = row.vi.format_map({key: _half(value, "vi") for key, value in params.items()}) if "{" in row.vi else row.vi
    return Reply(row.code, row.enhanced, Text(vi, _ascii(en)), "" if row.code in SILENT else trace_id)


def _half(value: object, language: Literal["vi", "en"]) -> object:
    return getattr(value, language) if isinstance(value, Text) else value


class _Names(dict[str, str]):
    """Values of a sentence; a missing one is shown by its name."""

    def __missing__(self, name: str) -> str:
        return f"{{{name}}}"


def for_people() -> Mapping[str, Text]:
    """Return the sentences that a person may see, in both languages, with names in place of values."""
    found = {}
    for name, row in TABLE.items():
        if row.vi:
            cited = clause(row.clause) if row.clause else Text("", "")
            vi, en = _Names(clause=cited.vi), _Names(clause=cited.en)
            found[str(name)] = Text(row.vi.format_map(vi), row.en.format_map(en))
    return found


def _printable_word(word: str) -> str:
    """Return a word of the peer's that can neither break the line nor be too long for it."""
    return _on_one_line(word)[:MAX_SHOWN_CHARS]


def fixed(name: str) -> bytes:
    """Return a row without values, in English, as octets."""
    return reply(name).encode(Voice(""))


def of_refusal(refusal: Refusal, *, quota_is_final: bool = False) -> Reply:
    """Return the reply for a refusal by a use case.

    `quota_is_final` is the setting that refuses mail for full mailboxes permanently.
    """
    name: str = refusal.cause
    if refusal.cause is Cause.OVER_QUOTA and quota_is_final:
        name = "over-quota-for-good"
    if refusal.cause is Cause.SENDING_RATE:
        return _too_much(refusal)
    row = TABLE[name]
    if refusal.text is not None:  # the use case has worded it (states of a mailbox, with their dates)
        return Reply(row.code, row.enhanced, refusal.text)
    sizes = {key.removesuffix("_octets"): megabytes(value) for key, value in refusal.params.items() if isinstance(value, int)}
    return reply(name, refusal.trace_id, **{**refusal.params, **sizes})


def _too_much(refusal: Refusal) -> Reply:
    """Return the reply that names the exceeded sending limit and when it allows mail again."""
    what, span, amount, room_at = (refusal.params[name] for name in ("what", "span", "amount", "room_at"))
    assert isinstance(amount, int)
    assert isinstance(room_at, float)
    limit: Text | int = megabytes(amount) if what == "octets" else amount
    room = dates.short(datetime.fromtimestamp(math.ceil(room_at / 60) * 60, UTC))
    return reply(f"{refusal.cause}-{what}-{span}", refusal.trace_id, limit=limit, room=room)


def too_large(trace_id: str, message_octets: int, attachment_octets: int) -> Reply:
    return reply(Cause.MESSAGE_TOO_LARGE, trace_id, size=megabytes(message_octets), limit=megabytes(attachment_octets))


def of_acceptance(accepted: Accepted, voice: Voice) -> Reply:
    """Return the reply to an accepted message, joined from two octet strings that are made once."""
    before, after = _ACCEPTED_VI if voice.utf8 else _ACCEPTED_EN
    return Reply(250, "2.6.0", _NO_TEXT, spoken=before + accepted.trace_id.encode() + after)


def megabytes(octets: int) -> Text:
    """Return a size for a refusal (Reg. 8.3.b), rounded up to a tenth, so that an excess of one octet shows."""
    whole, tenth = divmod(-(-octets * 10 // MEBIBYTE), 10)
    return Text(f"{whole},{tenth}", f"{whole}.{tenth}") if tenth else Text(str(whole), str(whole))


def of_sign_in(kind: str, text: Text) -> Reply:
    code, enhanced = SIGN_IN[kind]
    return Reply(code, enhanced, text)


def _ascii(text: str) -> str:
    """Return English as ASCII; other characters of an address (RFC 6531 §3.7.4) are replaced."""
    return text if text.isascii() else text.encode("ascii", "replace").decode()


def _around_trace_id(utf8: bool) -> tuple[bytes, bytes]:
    before, _, after = reply("accepted", trace_id="@").encode(Voice("", utf8)).partition(b"@")
    return before, after


_NO_TEXT = Text("", "")
_ACCEPTED_VI = _around_trace_id(utf8=True)
_ACCEPTED_EN = _around_trace_id(utf8=False)
