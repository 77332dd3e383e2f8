"""The console script: Ctrl-C ends the program without a traceback from its first moment on.

`cli.main` takes a noticeable time to import. Until `main` handles an interrupt, it has its default action, which ends the
process; a process that ignores it (`nohup`) goes on ignoring it.
"""

import gc
import os
import signal
import sys
from typing import Never

GARBAGE_THRESHOLD = 50_000
"""The number of surviving objects at which the garbage collector looks for cycles.

Loading code creates hundreds of thousands of objects that are never garbage. With Python's default of 700, looking through them
took a tenth of the time of a short command.
"""


def run() -> Never:
    """Run one command and exit with its code."""
    gc.set_threshold(GARBAGE_THRESHOLD)
    os.umask(0o077)  # files are private to the account unless a command sets another mode
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from mic_mail.cli.main import EXIT_STOPPED, main

    try:
        signal.signal(signal.SIGINT, before)
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:  # in the few instructions before `main` begins or after it ends
        sys.exit(EXIT_STOPPED)
    finally:
        gc.freeze()  # the interpreter would search everything for cycles before it ends: a quarter of a short command's time
