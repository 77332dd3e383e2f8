"""`python -m mic_mail` is the command `mic-mail`; with `worker FD`, `housekeeper FD`, `indexer FD` or
`web FD` it is what a supervisor starts."""

import sys

if len(sys.argv) == 3 and sys.argv[1] in ("worker", "housekeeper", "sender", "indexer", "web"):
    from mic_mail.app.child import run_child

    sys.exit(run_child(int(sys.argv[2])))
else:
    from mic_mail.cli.start import run

    run()
