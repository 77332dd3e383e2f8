"""imapflow against a running server: the library of EmailEngine and many web programs, which enables whatever it is offered.

The package is not part of this tree: `npm install -g imapflow`, or NODE_PATH names the folder where it lies.
"""

import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import programs
from population import PASSWORD

if TYPE_CHECKING:
    from harness import MailServer

SCRIPT = Path(__file__).with_name("imapflow.js")


@cache
def node_path() -> str | None:
    """Where imapflow lies, if anywhere."""
    folders = [os.environ.get("NODE_PATH", "")]
    if shutil.which("npm") is not None:
        folders.append(subprocess.run(["npm", "root", "-g"], capture_output=True, text=True, check=False).stdout.strip())
    for folder in filter(None, folders):
        asked = subprocess.run(
            ["node", "-e", "require('imapflow')"], env=os.environ | {"NODE_PATH": folder}, capture_output=True, check=False
        )
        if asked.returncode == 0:
            return folder
    return None


@pytest.fixture
def day(mail_server: "MailServer") -> dict[str, Any]:
    """What imapflow told of its day."""
    programs.need("node")
    folder = node_path()
    if folder is None:
        programs.lack("imapflow (npm)")
    done = subprocess.run(
        ["node", str(SCRIPT), "localhost", str(mail_server.ports["imaps"]), "dvbe@mic.gov.vn", PASSWORD,
         str(mail_server.config.certificate)],
        env=os.environ | {"NODE_PATH": folder}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_imapflow_does_a_day_s_work(day: dict[str, Any]) -> None:
    """All that it enables at once goes together: IMAP4rev2, QRESYNC, UTF8=ACCEPT, COMPRESS; every answer is as asked."""
    assert day["server"] == "mic-mail"
    assert {"CONDSTORE", "QRESYNC", "UTF8=ACCEPT", "IMAP4REV2"} <= {*day["enabled"]}
    assert day["uses"].items() >= {"Sent": "\\Sent", "Drafts": "\\Drafts", "Junk": "\\Junk", "Trash": "\\Trash"}.items()
    assert day["subscribed"] >= 6
    assert day["created"]
    assert (day["appended"], day["exists"], day["knowsModseq"], day["mailboxId"]) == (1, 2, True, True)
    assert [(one["uid"], one["seen"], one["subject"], one["type"], one["parts"]) for one in day["messages"]] == [
        (1, True, "một", "multipart/mixed", ["text/plain", "application/pdf"]),
        (2, False, "hai", "multipart/mixed", ["text/plain", "application/pdf"]),
    ]
    assert day["octets"]
    assert day["text"] == "Nội dung"
    assert (day["unseen"], day["nothing"], day["found"]) == ([2], [], [2])
    assert (day["flagged"], day["changed"], day["copied"], day["moved"]) == (True, True, [[1, 1]], [[1, 1]])
    assert day["pushed"] == 2
    assert day["quota"] == 1 << 30
    assert day["status"] == {"messages": 2, "uidNext": 4, "unseen": 2, "modseq": True}
    assert day["left"] == []
