"""What a client is told, by whether it reads UTF-8: Vietnamese, or Vietnamese without its marks and then English. Pure.

Ordinary programs do not say SMTPUTF8 (RFC 6531 §3.7.4), UTF8=ACCEPT (RFC 9755) or UTF8 (RFC 6856) and show people what a
server says in ASCII. Vietnamese is read without its marks as well, as in short messages; a foreigner's server reads English.
"""

import re

from unidecode import unidecode

from mic_mail.errors import Text

_UNPRINTABLE = re.compile("[^ -~]")
BETWEEN = " / "
"""Between the two languages where a reply is one line."""


def unaccented(text: str) -> str:
    """Vietnamese in ASCII on one line: `Hộp thư đã hết dung lượng` is `Hop thu da het dung luong`."""
    return _UNPRINTABLE.sub("?", unidecode(text))


def spoken(text: Text, *, utf8: bool) -> tuple[str, ...]:
    """The sentences for a client, the Vietnamese one first; without Vietnamese the English one alone."""
    if utf8 and text.vi:
        return (text.vi,)
    plain = unaccented(text.vi)
    return (text.en,) if plain in ("", text.en) else (plain, text.en)


def spoken_on_one_line(text: Text, *, utf8: bool, room: int | None = None) -> bytes:
    """The same for a reply of one line; in `room` octets English is left out before Vietnamese is cut."""
    sides = spoken(text, utf8=utf8)
    octets = BETWEEN.join(sides).encode()
    if room is None or len(octets) <= room:
        return octets
    return sides[0].encode()[: max(room, 0)].decode("utf-8", "ignore").encode()
