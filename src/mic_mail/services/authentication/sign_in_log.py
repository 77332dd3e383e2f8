"""The mail log's events of sign-ins, and of sessions that are refused something or cut.

In: the answer that a client gets, and the client. Out: events. People type passwords into the name field, so a name
that is no address of this server is not logged. A mark of it is logged, by which `sign_in_anomalies` counts distinct
names. The key of the marks is in memory only and ends with the server, so nobody can find from them what was typed.
"""

import hmac
from collections.abc import Callable

from mic_mail.directory.snapshot import Snapshot
from mic_mail.log.maillog import MailLog
from mic_mail.services.authentication.identity import Answered, Peer, SignedIn
from mic_mail.services.authentication.refusals import Refusal


class SignInLog:
    """The sign-in log of one process, by one configuration."""

    def __init__(self, log: MailLog, snapshot: Callable[[], Snapshot], *, key: bytes) -> None:
        """`key` is the same in all processes of a server."""
        self._log = log
        self._snapshot = snapshot
        self._key = hmac.digest(key, b"names", "sha256")

    def answered(self, answer: Answered, address: str, peer: Peer, mechanism: str) -> Answered:
        """Log and return `answer`, which ends a sign-in as `address`."""
        if isinstance(answer, SignedIn):
            tls = peer.tls.version if peer.tls else None
            self._log.event(
                "signed_in", mailbox=answer.address, door=peer.protocol, mechanism=mechanism, tls=tls,
                app_password=answer.app_password, peer=peer.address, session=peer.session_id,
            )  # fmt: skip
        else:
            self.refused("sign_in_refused", answer, address, peer, mechanism)
        return answer

    def cut(self, refusal: Refusal, signed_in: SignedIn, peer: Peer) -> Refusal:
        """Log and return `refusal`, which ends an open session."""
        self.refused("session_cut", refusal, signed_in.address, peer)
        return refusal

    def refused(self, event: str, refusal: Refusal, address: str, peer: Peer, mechanism: str | None = None) -> None:
        """Log a refusal to a client that is, or wants to sign in as, `address`."""
        _, _, domain = address.partition("@")
        snapshot = self._snapshot()
        known = snapshot.find(address) is not None
        mailbox = address if known else f"?@{domain}" if domain in snapshot.domains else "?"
        self._log.event(
            event, ref=refusal.ref, reason=refusal.kind.value, detail=refusal.detail or None, clause=refusal.clause,
            mailbox=mailbox, name_mark=None if known else self._mark(address), door=peer.protocol, mechanism=mechanism,
            peer=peer.address, session=peer.session_id,
        )  # fmt: skip

    def _mark(self, name: str) -> str:
        return hmac.digest(self._key, name.encode(), "sha256")[:8].hex()
