"""Log events of incoming mail: accepted or refused, from whom, by which connection (Reg. 4.2, 8.2)."""

from mic_mail.log.maillog import MailLog
from mic_mail.services.transport.envelope import Cause, Client, Envelope, Refusal


def accepted(log: MailLog, envelope: Envelope, octets: int, written_as: list[str]) -> None:
    """Log that a message is durable; `written_as` are the units and groups it is written as (Reg. 12.3)."""
    client = envelope.client
    log.event(
        "message_accepted",
        trace=envelope.trace_id,
        message_id=envelope.header.message_id,
        sender=envelope.sender,
        recipients=[recipient.address for recipient in envelope.recipients],
        octets=octets,
        **_client_fields(client),
        written_as=written_as or None,
        # it answers these (Reg. 12.4)
        **({"refers_to": list(envelope.header.refers_to)} if envelope.header.refers_to else {}),
        **({"envid": envelope.envid} if envelope.envid else {}),  # so that a delivery report can name it (RFC 3464)
    )


def message_refused(log: MailLog, envelope: Envelope, refusal: Refusal) -> None:
    """Log that a whole message is refused."""
    refused(
        log,
        "message_refused",
        refusal,
        envelope.client,
        sender=envelope.sender,
        recipients=[recipient.address for recipient in envelope.recipients],
        message_id=envelope.header.message_id,
    )


def refused(log: MailLog, event: str, refusal: Refusal, client: Client, **fields: object) -> None:
    """Log that a sender, a recipient or a message is refused."""
    log.event(
        event,
        trace=refusal.trace_id,
        reason=refusal.cause,
        **fields,
        **({"zone": refusal.params["zone"]} if refusal.cause is Cause.LISTED else {}),
        **_client_fields(client),
        **({"limit": "{what}-{span}".format_map(refusal.params)} if refusal.cause is Cause.SENDING_RATE else {}),
    )


def results_removed(log: MailLog, envelope: Envelope, octets: int) -> None:
    """Log that a header pretended to hold this server's authentication results."""
    client = envelope.client
    log.event(
        "results_removed",
        trace=envelope.trace_id,
        octets=octets,
        sender=envelope.sender,
        **_client_fields(client),
    )


def _client_fields(client: Client) -> dict[str, str | None]:
    login = client.signed_in.address if client.signed_in else None
    return {"peer": client.peer.address, "session": client.peer.session_id, "login": login}
