"""The output of one IMAP connection: responses are queued, and sent in slices where they are long.

Nothing here does I/O: `write` collects octets, and `Session.next` hands them out before any other action.
"""

from collections.abc import Iterable

from mic_mail.clock import Clock
from mic_mail.connection.actions import Send, Steps
from mic_mail.connection.session_core import SessionContext
from mic_mail.errors import Text
from mic_mail.i18n.spoken import spoken_on_one_line
from mic_mail.imap.actions import SLICE_OCTETS
from mic_mail.imap.connection_state import Enabled
from mic_mail.imap.replies import Reply, refuse
from mic_mail.imap.responses import no_update, plain_line, status_line
from mic_mail.imap.session_settings import SessionSettings


class ResponseWriter(SessionContext):
    """The part of a connection's state that writes to its client, in the character set that was enabled."""

    __slots__ = ("enabled",)

    def __init__(self, settings: SessionSettings, clock: Clock, *, tls: bool) -> None:
        super().__init__(settings, clock, tls=tls)
        self.enabled = Enabled.NOTHING

    @property
    def utf8(self) -> bool:
        """Strings may be UTF-8: UTF8=ACCEPT or IMAP4rev2 is enabled (RFC 6855 §3, RFC 9051 §4.3)."""
        return Enabled.UTF8 in self.enabled or Enabled.REV2 in self.enabled  # `&` of a Flag takes ten times as long

    def write_lines(self, lines: list[bytes]) -> None:
        """Queue many lines at once.

        They are joined first: 300,000 lines queued one by one block the loop for a tenth of a second.
        """
        self.write(b"".join(lines))

    def take_output(self) -> bytes:
        """Return the queued output, or a slice of it if there is much.

        The rest is not copied again for each slice.
        """
        data, rest = b"", self.out
        if self._octets <= 2 * SLICE_OCTETS:
            data, rest = b"".join(rest), []
        else:
            taken = 0
            for count, piece in enumerate(rest, 1):
                taken += len(piece)
                if taken >= SLICE_OCTETS:
                    data, rest = b"".join(rest[:count]), rest[count:]
                    break
        if len(data) > 2 * SLICE_OCTETS:
            rest[:0] = [data[at : at + SLICE_OCTETS] for at in range(SLICE_OCTETS, len(data), SLICE_OCTETS)]
            data = data[:SLICE_OCTETS]
        self.out = rest
        self._octets -= len(data)
        return data

    def yield_output(self) -> Steps[None]:
        """Send the queued output of a long response in slices; raise if the session was ended meanwhile."""
        while self._octets >= SLICE_OCTETS:
            yield Send(self.take_output())
        if self.ending is not None:
            raise self.ending

    def write_in_slices(self, lines: Iterable[bytes]) -> Steps[None]:
        """Write lines, however many, and send them as the client takes them."""
        for line in lines:
            self.write(line)
            yield from self.yield_output()

    def words(self, text: Text | str) -> bytes:
        """Return text for people on one line (RFC 9051 §7.1, resp-text).

        Vietnamese in UTF-8 where that is allowed, else both languages in ASCII.
        """
        if isinstance(text, str):
            return text.encode("ascii", "replace")
        return spoken_on_one_line(text, utf8=self.utf8)

    def line(self, tag: bytes, reply: Reply) -> bytes:
        if isinstance(reply.text, str) and not reply.code:
            return plain_line(tag, reply.status, reply.text)
        return status_line(tag, reply.status, self.words(reply.text), reply.code or None)

    def write_no_update(self, tag: bytes, text: Text) -> None:
        """Write NOUPDATE: the search under this tag is not followed (RFC 5267 §4.3.1)."""
        self.write(self.line(b"*", refuse(text, no_update(tag))))
