"""The runtime of one process and its sign-in service, for the protocols and for the pages.

In: a configuration, a clock, the process's name. Out: a `Runtime` for all services, and a `SignInService` that knows the
present directory, the networks of earlier sign-ins and what other processes broadcast.
"""

import sys
from dataclasses import dataclass, field

from mic_mail.auth.password_hash import DECOY_KEY, load_secret
from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.directory.repository import Directory
from mic_mail.directory.snapshot import Snapshot
from mic_mail.log.maillog import MailLog
from mic_mail.log.tee import Tee
from mic_mail.process.change_feed import Feed, notify_directory_changed
from mic_mail.process.executors import AccountExecutors, Executors
from mic_mail.process.runtime import Runtime
from mic_mail.services.abuse.auto_suspend import AutoSuspend
from mic_mail.services.abuse.breached_password_check import BreachedPasswordCheck
from mic_mail.services.authentication import known_networks
from mic_mail.services.authentication.sign_in import SignInService


@dataclass
class Current:
    """The present configuration and the sign-in service with the present directory."""

    config: Config
    access: SignInService = field(init=False)

    def snapshot(self) -> Snapshot:
        return self.access.snapshot


def make_runtime(current: Current, clock: Clock, name: str, *, tee: bool) -> Runtime:
    """Make the runtime of a process, inside its loop; with `tee` its log also goes to standard error."""
    config, process = current.config, current.config.process
    shown = Tee(sys.stderr, name) if tee else None
    log = MailLog(config.log_dir, name, clock=clock, segment_octets=config.log.segment, tee=shown)
    executors = Executors(io_threads=process.io_threads, hash_threads=process.hash_threads, patience=process.queue_seconds)
    return Runtime(clock, log, executors, AccountExecutors(executors), lambda: current.config, current.snapshot)


async def open_sign_in(current: Current, runtime: Runtime, directory: Directory, feed: Feed, secret: bytes) -> None:
    """Open the sign-in service of a process; `secret` is the same in all processes of a server."""
    executors, config = runtime.executors, current.config
    access = current.access = SignInService(
        runtime,
        directory=directory,
        snapshot=await executors.io(directory.load_snapshot),
        decoy_key=await executors.io(load_secret, config.server.data_dir / DECOY_KEY),
        digest_key=secret,
        tell=feed.send,
    )
    now = runtime.clock.steady_now().timestamp()
    access.remember(await executors.io(lambda: list(known_networks.load(config.state_dir, now))))
    feed.listen(access.on_message)


def watch_misuse(access: SignInService, runtime: Runtime, directory: Directory, feed: Feed, secret: bytes) -> AutoSuspend:
    """Return the service that suspends misused mailboxes; sign-ins are checked for breached passwords from now on."""

    def changed() -> None:
        notify_directory_changed(runtime.config().run_dir)

    suspending = AutoSuspend(runtime, access, directory, notify_others=changed)
    access.exposure = BreachedPasswordCheck(
        runtime, key=secret, directory=directory, suspending=suspending, changed=changed, tell=feed.send
    )
    return suspending
