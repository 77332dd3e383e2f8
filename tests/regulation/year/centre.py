"""The Information Centre: each act is a command as a person would type it, at the ministry's time."""

from pathlib import Path

from mic_mail.clock import ManualClock
from regulation.console import CommandLine, run_here

DOCUMENT = ("--document", "15/TB-VP")
SIGNATORY = "Phạm Đức Long"
REASON = ("--reason", "theo văn bản")


class Centre(CommandLine):
    """Commands of one server, in this process: starting Python for each would take the year's time."""

    def __init__(self, config: Path, clock: ManualClock) -> None:
        self._config = config
        self._clock = clock
        self.commands = 0

    def run(self, *words: object) -> int:
        self.commands += 1
        code, self.out, self.err = run_here(["--lang", "en", "--config", self._config, *words], {}, self._clock)
        return code
