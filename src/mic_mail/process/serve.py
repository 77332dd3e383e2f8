"""`mic-mail serve`: run a server from its configuration until a signal ends it.

Imports none of the protocol packages and creates none of their objects: `load` brings their code into memory once, where the
children share it, and each child builds everything for itself (`app.child_process.run_child`).
"""

import sys
import time
from collections.abc import Callable, Mapping

from mic_mail.clock import SystemClock
from mic_mail.config.model import Config
from mic_mail.durable_files import remove_unfinished
from mic_mail.errors import Text, Trouble, in_ascii
from mic_mail.log.maillog import MailLog
from mic_mail.log.tee import Tee
from mic_mail.process import privileges
from mic_mail.process.control_channel import ChildSpec
from mic_mail.process.data_locks import only_server
from mic_mail.process.demand import Demand
from mic_mail.process.startup import look_ahead, make_folders, open_listeners, workers
from mic_mail.process.supervisor import DRAIN_MARGIN, Supervisor


class StartFailed(Trouble):
    """The processes of the server end before they are ready."""


def run_supervisor(
    config: Config,
    reread: Callable[[], Config],
    *,
    load: Callable[[], None],
    be: Callable[[ChildSpec], int],
    demands: Mapping[str, Demand] | None = None,
    tee: bool = False,
    begin: Callable[[], None] | None = None,
    announce: Callable[[dict[str, int]], None] | None = None,
) -> int:
    """Run a whole server until a signal ends it, and return the exit code.

    `load` loads what the children need; `be` is what a child runs; `demands` has the roles that run on demand. `begin` is
    called once no other server uses the data, `announce` with the ports once they are bound.
    """
    owner = privileges.account(config.server.user, config.server.group)
    clock = SystemClock()
    make_folders(config, owner)
    privileges.allow_many_files()
    patience = config.process.drain_seconds + DRAIN_MARGIN
    with only_server(config, clock, owner=owner, patience=patience, pause=time.sleep, tell=_print_progress) as locks:
        if begin is not None:
            begin()
        listeners = open_listeners(config, time.sleep)
        privileges.become(owner)
        remove_unfinished(config.state_dir)
        look_ahead(config)
        shown = Tee(sys.stderr, "super") if tee else None
        log = MailLog(config.log_dir, "super", clock=clock, segment_octets=config.log.segment, tee=shown, threaded=False)
        try:
            load()
            supervisor = Supervisor(config, reread=reread, be=be, log=log, clock=clock, tee=tee, locks=locks, demands=demands)
            supervisor.start(listeners, workers(config))
            if announce is not None:
                announce(supervisor.ports)
            if supervisor.run():
                return 0
        finally:
            log.close()
    raise StartFailed(
        Text("Máy chủ không khởi động được.", "The server could not be started."),
        remedy=Text(f"Xem nhật ký trong {config.log_dir}.", f"See the log in {in_ascii(config.log_dir)}."),
    )


def _print_progress(text: Text) -> None:
    """Print why a start takes long, for a person who watches it."""
    sys.stderr.write(f"mic-mail: {text.vi}\nmic-mail: {text.en}\n")
    sys.stderr.flush()
