"""The command line of the administrator of a running server, for what the log holds."""

import base64
import json
import smtplib
from collections import Counter
from pathlib import Path
from typing import Any

from harness import MailServer
from mic_mail.clock import Clock
from mic_mail.config.manual import write
from mic_mail.i18n.language import Language
from regulation.console import CommandLine, run_here
from waiting import wait_for

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


def console_of_used_server(server: MailServer, folder: Path) -> LogConsole:
    """A server at which dvbe has just written to ttlan and to himself; somebody else has failed to sign in."""
    server.population.issue("dvbe", name="Đỗ Văn Bê", password=PASSWORD)
    server.issue("ttlan", name="Trần Thị Lan", password=PASSWORD)
    port = server.ports["submissions"]
    text = f"From: dvbe@mic.gov.vn\r\nMessage-ID:\r\n <{MESSAGE_ID}>\r\nSubject: x\r\n\r\nx\r\n"
    with smtplib.SMTP_SSL("localhost", port, context=server.tls()) as client:
        client.login("dvbe@mic.gov.vn", PASSWORD)
        client.sendmail("dvbe@mic.gov.vn", ["ttlan@mic.gov.vn", "dvbe@mic.gov.vn"], text.encode())
    with smtplib.SMTP_SSL("localhost", port, context=server.tls()) as client:
        client.ehlo()
        assert client.docmd("AUTH PLAIN", base64.b64encode(b"\0ttlan@mic.gov.vn\0sai").decode())[0] == 535
    awaited = Counter({"message_delivered": 2, "sign_in_refused": 1})
    wait_for(lambda: Counter(event.get("event") for event in server.events()) >= awaited)
    return LogConsole(server, folder)
