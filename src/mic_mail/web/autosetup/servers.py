"""The servers that mail programs are told of: the open listeners, best first. Pure.

In: the configuration. Out: `Servers`. TLS from the first octet stands before STARTTLS (RFC 8314 §3), and IMAP before
POP3, since POP3 takes the mail off the server. Mail programs sign in with the whole address.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from mic_mail.config.model import Config


class Security(StrEnum):
    """Protection of a connection; without protection there is no sign-in."""

    TLS = "tls"
    STARTTLS = "starttls"


@dataclass(frozen=True, slots=True)
class AdvertisedServer:
    """One listener as programs know it."""

    kind: str
    """`imap`, `pop3` or `smtp`."""
    host: str
    port: int
    security: Security


@dataclass(frozen=True, slots=True)
class Servers:
    """All settings of this server that a program needs."""

    incoming: Sequence[AdvertisedServer]
    outgoing: Sequence[AdvertisedServer]
    address_book: str | None
    """Address where CardDAV begins; None where it is disabled."""
    page: str | None
    """Address of the page where people change their password and read instructions."""
    ministry: str

    def best(self, kind: str) -> AdvertisedServer | None:
        """Return the first server of a kind."""
        return next((server for server in (*self.incoming, *self.outgoing) if server.kind == kind), None)


_INCOMING = (("imap", "imaps", Security.TLS), ("imap", "imap", Security.STARTTLS), ("pop3", "pop3s", Security.TLS),
             ("pop3", "pop3", Security.STARTTLS))  # fmt: skip
_OUTGOING = (("smtp", "submissions", Security.TLS), ("smtp", "submission", Security.STARTTLS))


def servers(config: Config) -> Servers:
    """Return the servers of this configuration."""
    listen, host = config.listen, config.server.hostname

    def of(doors: Sequence[tuple[str, str, Security]]) -> list[AdvertisedServer]:
        return [
            AdvertisedServer(kind, host, getattr(listen, door), security)
            for kind, door, security in doors
            if door in listen.doors
        ]

    page = config.password_page
    return Servers(
        of(_INCOMING),
        of(_OUTGOING),
        f"{page.rstrip('/')}/dav/" if page is not None and config.web.carddav and "https" in listen.doors else None,
        page,
        config.regulation.ministry,
    )
