"""Limits and timeouts of an IMAP session."""

from dataclasses import dataclass

from mic_mail.connection import session_core


@dataclass(frozen=True, slots=True)
class SessionSettings(session_core.SessionSettings):
    """Limits and timeouts of a session, and what it offers."""

    host: str = "localhost"
    append_limit: int = 29 << 20
    """Octets of one message (APPENDLIMIT, RFC 7889)."""
    attachment_limit: int = 20 << 20
    """Decoded octets of all attachments of one message (Reg. 8.3.b)."""
    command_octets: int = 64 << 10
    """Longest command of a signed-in session, without the messages of APPEND."""
    idle_seconds: float = 1860.0
    still_here_seconds: float = 120.0
    starttls: bool = True
    support: str = ""
    """The help desk's address, returned as METADATA's /shared/admin."""
    hidden: frozenset[str] = frozenset()
    """Capabilities in capitals that this server does not offer."""
    passed_on: frozenset[str] = frozenset()
    """Keywords, in lower case, that mark a message as handed to the document system (Reg. 12.3.c).

    Setting one of them is recorded.
    """
    scans: bool = False
    """Messages to be stored are scanned for malware (Reg. 10.2)."""
    teaches: bool = False
    """The spam filter is trained by what people move into and out of Junk (Reg. 15.5)."""
    polls_open: bool = False
    """A mail program that polls for new mail counts as opening a unit's mailbox.

    `unit.openings.counts`, Reg. 12.3.a.
    """
