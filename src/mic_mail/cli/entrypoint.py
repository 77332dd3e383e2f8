"""The console script: Ctrl-C ends the program without a traceback from its first moment on.

`cli.main` takes a noticeable time to import, and an interrupt in the midst of it would be told as a traceback. Until `main`
can answer, the interrupt has its default action, which is to end the process; who ignores it (`nohup`) goes on ignoring it.
"""

import os
import signal
import sys
from typing import Never


def run() -> Never:
    """Run one command and exit with its code."""
    os.umask(0o077)  # whatever is made is its account's alone, but where others shall have it and that is said
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from mic_mail.cli.main import EXIT_STOPPED, main

    try:
        signal.signal(signal.SIGINT, before)
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:  # in the few instructions before `main` has begun or after it is done
        sys.exit(EXIT_STOPPED)
