"""Text for a client by its support of UTF-8. Pure.

With it Vietnamese; without it Vietnamese without its marks, then English.

Ordinary programs do not announce SMTPUTF8 (RFC 6531 §3.7.4), UTF8=ACCEPT (RFC 9755) or UTF8 (RFC 6856) and show people a
server's ASCII text. Vietnamese is readable without its marks, as in short messages; programs of foreign servers read the
English.
"""

import re

from unidecode import unidecode

from mic_mail.errors import Text

_UNPRINTABLE = re.compile("[^ -~]")
BETWEEN = " / "
"""The separator of the two languages in a reply of one line."""


def unaccented(text: str) -> str:
    """Return Vietnamese in ASCII on one line: `Hộp thư đã hết dung lượng` is `Hop thu da het dung luong`."""
    return _UNPRINTABLE.sub("?", unidecode(text))


def spoken(text: Text, *, utf8: bool) -> tuple[str, ...]:
    """Return the sentences for a client, Vietnamese first; the English one alone if there is no other."""
    if utf8 and text.vi:
        return (text.vi,)
    plain = unaccented(text.vi)
    return (text.en,) if plain in ("", text.en) else (plain, text.en)


def spoken_on_one_line(text: Text, *, utf8: bool, room: int | None = None) -> bytes:
    """Return the same for a reply of one line.

    If it exceeds `room` octets, English is omitted before Vietnamese is cut.
    """
    sides = spoken(text, utf8=utf8)
    octets = BETWEEN.join(sides).encode()
    if room is None or len(octets) <= room:
        return octets
    return sides[0].encode()[: max(room, 0)].decode("utf-8", "ignore").encode()
