"""What the mail log is told of mail that comes in: taken or refused, from whom, by which connection (Reg. 4.2, 8.2).

In: an envelope or a refusal, the client. Out: events, each with the trace id that the answer bears too.
"""

from mic_mail.log.maillog import MailLog
from mic_mail.services.transport.envelope import Cause, Client, Envelope, Refusal


class FlowLog:
    """The log of one process."""

    def __init__(self, log: MailLog) -> None:
        self._log = log

    def accepted(self, envelope: Envelope, octets: int, written_as: list[str]) -> None:
        """A message is durable; `written_as`: the units and groups as whom it is written (Reg. 12.3)."""
        client = envelope.client
        self._log.event(
            "message_accepted",
            trace=envelope.trace_id,
            message_id=envelope.header.message_id,
            sender=envelope.sender,
            recipients=[recipient.address for recipient in envelope.recipients],
            octets=octets,
            peer=client.peer.address,
            session=client.peer.session_id,
            login=_login(client),
            written_as=written_as or None,
            **({"refers_to": list(envelope.header.refers_to)} if envelope.header.refers_to else {}),  # an answer (Reg. 12.4)
            **({"envid": envelope.envid} if envelope.envid else {}),  # by it a report of delivery may name it (RFC 3464)
        )

    def message_refused(self, envelope: Envelope, refusal: Refusal) -> None:
        """A message is not taken, as a whole."""
        told: dict[str, object] = {
            "sender": envelope.sender,
            "recipients": [recipient.address for recipient in envelope.recipients],
            "message_id": envelope.header.message_id,
        }
        self.refused("message_refused", refusal, envelope.client, **told)

    def refused(self, event: str, refusal: Refusal, client: Client, **fields: object) -> None:
        """A sender, a recipient or a message is refused."""
        self._log.event(
            event,
            trace=refusal.trace_id,
            reason=refusal.cause,
            **fields,
            peer=client.peer.address,
            session=client.peer.session_id,
            login=_login(client),
            **({"limit": "{what}-{span}".format_map(refusal.params)} if refusal.cause is Cause.SENDING_RATE else {}),
        )

    def results_removed(self, envelope: Envelope, octets: int) -> None:
        """A header gave out results of checks to be this server's."""
        client = envelope.client
        self._log.event(
            "results_removed",
            trace=envelope.trace_id,
            octets=octets,
            sender=envelope.sender,
            peer=client.peer.address,
            session=client.peer.session_id,
            login=_login(client),
        )


def _login(client: Client) -> str | None:
    return client.signed_in.address if client.signed_in else None
