"""The Information Centre at its desk: each act is a command as a person would type it, at the ministry's time."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

from mic_mail.cli.main import EXIT_REFUSED, main
from mic_mail.clock import ManualClock

DOCUMENT = ("--document", "15/TB-VP")
SIGNATORY = "Phạm Đức Long"
REASON = ("--reason", "theo văn bản")


class Desk:
    """Commands of one server, in this process: starting Python for each would take the year's time."""

    def __init__(self, config: Path, clock: ManualClock) -> None:
        self._config = config
        self._clock = clock
        self.commands = 0

    def act(self, *words: str) -> None:
        """A command that has to be done."""
        code, _, told = self._run(words)
        assert code == 0, (words, code, told)

    def ask(self, *words: str) -> Any:
        """What a command that has to be done prints as JSON."""
        code, printed, told = self._run((*words, "--json"))
        assert code == 0, (words, code, told)
        return json.loads(printed)

    def is_refused(self, *words: str) -> str:
        """What a command is told that has to be refused by a rule."""
        code, _, told = self._run(words)
        assert code == EXIT_REFUSED, (words, code, told)
        return told

    def _run(self, words: tuple[str, ...]) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        self.commands += 1
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(["--lang", "en", "--config", str(self._config), *words], self._clock)
        return code, out.getvalue(), err.getvalue()
