"""Startup before the supervisor runs: folders, listening sockets, checks.

Also the check of a configuration that is read again. Blocking.
"""

import contextlib
import errno
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict

from mic_mail.config import preflight
from mic_mail.config.load import ConfigErrors
from mic_mail.config.model import Config
from mic_mail.config.preflight import Problem
from mic_mail.directory.preflight import trouble_with
from mic_mail.errors import MicMailError, Text, Trouble, in_ascii
from mic_mail.i18n.os_errors import reason as system_reason
from mic_mail.net import listeners as net
from mic_mail.net.listeners import CannotListen, Listener
from mic_mail.process import privileges
from mic_mail.process.fork import run_apart
from mic_mail.process.privileges import Account

BIND_ATTEMPTS = 10


def make_folders(config: Config, owner: Account | None = None) -> None:
    """Create the folders of a server, private to its account."""
    folders = (
        config.server.data_dir, config.run_dir, config.log_dir, config.mail_root, config.spool_dir, config.queue_dir,
        config.sent_dir, config.state_dir, config.dkim_dir, config.directory_dir,
    )  # fmt: skip
    privileges.must_enter(owner, folders)
    with explaining_folders():
        privileges.make_folders(folders, owner)


@contextlib.contextmanager
def explaining_folders() -> Iterator[None]:
    """Turn an OSError about a folder into a `Trouble` that names it."""
    try:
        yield
    except OSError as error:
        where, why = str(error.filename), system_reason(error)
        raise Trouble(
            Text(f"Không ghi được {where}: {why.vi}.", f"{in_ascii(where)} cannot be written: {why.en}."),
            remedy=Text(
                "Sửa quyền thư mục, hoặc chạy bằng tài khoản của máy chủ; xem `mic-mail config check`.",
                "Change the folder's mode, or run the command as the server's account; see `mic-mail config check`.",
            ),
        ) from error


class CannotServe(Trouble):
    """Something is missing that every worker needs."""


def look_ahead(config: Config) -> None:
    """Check certificate and directory as the server's account sees them.

    A problem is reported once here, and not by each worker at each attempt. Nothing of either stays open: a supervisor has
    neither SQLite nor TLS.
    """
    problem = next(iter(certificate_problems(config)), None)
    if problem is not None:
        raise CannotServe(
            Text(f"{problem.key}: {problem.reason.vi}.", f"{problem.key}: {problem.reason.en}."), remedy=problem.remedy
        )
    trouble = trouble_with(config.directory_url)
    if trouble is not None:
        raise trouble


def certificate_problems(config: Config) -> list[Problem]:
    """Return the problems of certificates and keys, read by a child process.

    Each process that the supervisor starts later would find in its memory remains of what the supervisor has read, even a
    process that may not have a key (docs/decisions/0097).
    """

    def look() -> bytes:
        return json.dumps([asdict(problem) for problem in preflight.certificate(config)]).encode()

    found = json.loads(run_apart(look))
    return [Problem(each["key"], Text(**each["reason"]), Text(**each["remedy"])) for each in found]


def read_again(reread: Callable[[], Config]) -> tuple[Config | None, Sequence[Text | str]]:
    """Return a configuration by which a child could be started, or the mistakes in it."""
    try:
        fresh = reread()
        mistakes = [
            Text(f"{each.key}: {each.reason.vi}", f"{each.key}: {each.reason.en}") for each in certificate_problems(fresh)
        ]
    except ConfigErrors as errors:
        return None, [each.text for each in errors.mistakes]
    except MicMailError as error:
        return None, [error.text]
    except Exception as error:  # noqa: BLE001 - whatever the file contains, the server goes on
        return None, [repr(error)]
    return (None if mistakes else fresh), mistakes


def workers(config: Config) -> int:
    """Return the number of workers that this configuration means."""
    return config.process.workers or len(os.sched_getaffinity(0))


def open_listeners(config: Config, pause: Callable[[float], None]) -> list[Listener]:
    """Open the listening sockets, in 10 attempts while workers of a dead supervisor still hold the ports."""
    listen = config.listen
    ports: dict[str, int] = {door: listen.port(door) for door in listen.doors}
    for attempt in range(BIND_ATTEMPTS):
        try:
            return net.open_listeners(listen.addresses, ports, listen.backlog)
        except CannotListen as error:
            cause = error.__cause__
            if not isinstance(cause, OSError) or cause.errno != errno.EADDRINUSE or attempt == BIND_ATTEMPTS - 1:
                raise
            pause(0.3)
    raise AssertionError("the loop returns or raises")
