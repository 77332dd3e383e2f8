"""Sending to other servers: empties the queue, in the sender process or in a server of one process.

In: a process's context. Out: `SendingMail`, which starts and ends with the process. All that it needs for its decisions (which
mailbox may send now, which one gets a report) comes from the same directory that the other processes use and follow.
"""

import asyncio

from mic_mail.app.context import ServerContext
from mic_mail.config.schema import smarthost_place
from mic_mail.config.sending import Sending
from mic_mail.log.error_fields import described
from mic_mail.net.dns import DnsUnavailable, Resolver
from mic_mail.services.queue.dsn_writer import DsnWriter
from mic_mail.services.queue.outbound_dsn import OutboundReports
from mic_mail.services.queue.queue_manager import QueueManager, SendingSettings
from mic_mail.smtpclient.dkim_keys import KeyFolder
from mic_mail.smtpclient.dkim_sign import Signer
from mic_mail.smtpclient.mta_sts_cache import Policies, PolicySettings
from mic_mail.smtpclient.pool import ConnectionSettings
from mic_mail.smtpclient.smarthost import IMPLICIT_PORT, Smarthost


class SendingMail:
    """The one sender of a server."""

    def __init__(self, context: ServerContext) -> None:
        """Start sending what is queued; listen for new entries and for decisions of administrators."""
        config = context.config
        settings = SendingSettings(
            own_names=frozenset({config.server.hostname}),
            connections=ConnectionSettings(config.server.hostname, config.sending.port),
            give_up_seconds=config.sending.give_up,
            warn_seconds=config.sending.warn_after,
            max_attempts=config.sending.connections,
            max_attempts_per_destination=config.sending.connections_per_domain,
            smarthost=_smarthost(config.sending),
        )
        writer = DsnWriter(context.runtime, context.access, lambda: context.usage.notices)
        reports = OutboundReports(context.runtime, context.access, writer)
        self._context = context
        self._resolver = resolver = Resolver(config.dns.nameservers, seconds=config.dns.seconds)
        self._policies = Policies(context.runtime, config.mta_sts_dir, resolver, PolicySettings())
        self._manager = QueueManager(
            context.runtime,
            context.queue,
            resolver,
            settings,
            may_send=context.access.may_be_sent,
            report=reports.report,
            watch=lambda mailbox_id, callback: context.access.watch(mailbox_id, callback).close,
            sign=Signer(KeyFolder(config.server.data_dir), context.log, context.clock).sign,
            policies=self._policies,
            is_paused=lambda: context.config.sending.paused,
        )
        self._running = asyncio.get_running_loop().create_task(self._manager.run())
        self._refreshing = asyncio.get_running_loop().create_task(self._policies.run())
        context.queued.listen(self._manager.on_message)

    def report(self) -> dict[str, object]:
        """Return the numbers for `mic-mail status`."""
        return {
            "queued": self._manager.waiting,
            "sending": self._manager.under_way,
            "transactions": self._manager.transactions,
        }

    def configure(self) -> None:
        """Apply the new configuration of the context; the machine may have other name servers, too."""
        names = self._context.config.dns
        try:
            self._resolver.configure(names.nameservers, names.seconds)
        except DnsUnavailable as error:  # the former name servers stay in use
            self._context.log.event("resolver_missing", error=described(error))
        else:
            self._manager.forget_routes()
        self._manager.wake()

    def clock_moved(self) -> None:
        """React to a step of the wall clock, or to its acceptance."""
        self._policies.clock_moved()
        self._manager.clock_moved()

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """Tasks that do not end before `drain`: where one ends, the process must be replaced."""
        return [self._running, self._refreshing]

    async def drain(self) -> None:
        """Start nothing new and wait for what is under way; the caller may cut it off by a timeout."""
        self._refreshing.cancel()
        await self._manager.end()
        await asyncio.wait([self._running])


def _smarthost(sending: Sending) -> Smarthost | None:
    if not sending.smarthost:
        return None
    name, port = smarthost_place(sending.smarthost)
    return Smarthost(
        name,
        port,
        sending.smarthost_login,
        sending.smarthost_password,
        sending.smarthost_ca,
        needs_tls=sending.smarthost_tls == "required",
        is_implicit=port == IMPLICIT_PORT,
    )
