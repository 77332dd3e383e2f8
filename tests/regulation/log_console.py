"""The command line of the administrator of a running server, for what the log holds."""

import json
from pathlib import Path
from typing import Any

from harness import MailServer
from mic_mail.clock import Clock
from mic_mail.config.manual import write
from mic_mail.i18n.language import Language
from regulation.console import CommandLine, run_here

PASSWORD = "mat-khau-2026-dung-de-thu"
MESSAGE_ID = "cong-van-12@pc.mic.gov.vn"


class LogConsole(CommandLine):
    """The command line of one server's administrator, in English."""

    def __init__(self, server: MailServer, folder: Path) -> None:
        self.server = server
        self.file = folder / "mic-mail.toml"
        self.file.write_text(write(server.config))
        self.clock: Clock | None = None

    def run(self, *words: object) -> int:
        # Each row stands on a line of its own.
        code, self.out, self.err = run_here(["--config", self.file, *words], {"COLUMNS": "1000"}, self.clock)
        assert "Traceback" not in self.out + self.err
        return code

    def json(self, *words: object) -> Any:
        return super().json("--lang", Language.EN, *words)

    def acts(self) -> list[dict[str, object]]:
        paths = sorted(self.server.config.log_dir.glob("audit-*.jsonl"))
        return [json.loads(line) for path in paths for line in path.read_bytes().splitlines()]
