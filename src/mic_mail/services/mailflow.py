"""From the door to the mailbox: who may send, who receives, and how a message becomes durable before anyone says `250`.

In: an envelope and the octets of a message. Out: an `Outcome`. One local mailbox is published straight into its store; several go
through one durable spool entry and are fanned out at once. Every answer has a trace id that is also in the log.
Never here: protocol syntax, reply codes, SQL. Temporary trouble is never turned into a final refusal.
"""

from mic_mail.services.envelope import Envelope, Outcome, Recipient, Refusal


class Reception:
    """One message on its way in. `write` as it comes, then `finish` or `abort`; memory stays bounded whatever its size."""

    async def write(self, octets: bytes) -> None:
        """Take the next octets; waits while the disk is behind. After a refusal became certain they are counted and dropped."""
        raise NotImplementedError

    async def finish(self) -> Outcome:
        """The message is complete: make it durable. Not undone by cancellation once it began."""
        raise NotImplementedError

    def abort(self) -> None:
        """The message will not come to its end; leaves nothing behind. Harmless after `finish`."""
        raise NotImplementedError


class MailFlow:
    """What every door that takes mail calls."""

    async def check_sender(self, sender: str, *, mailbox_id: int | None, declared_octets: int | None = None) -> Refusal | None:
        """May this transaction begin? `mailbox_id` is who signed in, None on the MX."""
        raise NotImplementedError

    async def check_recipient(
        self, address: str, *, mailbox_id: int | None, declared_octets: int | None = None
    ) -> Recipient | Refusal:
        """Where `address` leads. Answered from memory but for a mailbox that looks full."""
        raise NotImplementedError

    def begin(self, envelope: Envelope) -> Reception:
        """A message follows."""
        raise NotImplementedError

    async def recover(self) -> int:
        """Deliver what earlier processes acknowledged and did not finish; how many entries were taken up."""
        raise NotImplementedError
