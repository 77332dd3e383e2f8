"""A child process ends when what it is there for has ended, and says why."""

import subprocess
import sys
from pathlib import Path

import pytest

from harness import NAMES, config_for, read_events
from mic_mail.clock import SystemClock
from mic_mail.net.tls import self_signed, write_pair
from mic_mail.process.startup import make_folders
from population import Population

CODE = """\
import asyncio, socket, sys
from pathlib import Path
from mic_mail.app.child_process import make_ready, run_child
from mic_mail.config.model import Config
from mic_mail.process.control_channel import ChildSpec
from mic_mail.services.queue.queue_manager import QueueManager

async def run(senders):
    await asyncio.sleep(0.1)
    raise KeyError("two.example")

QueueManager.run = run
ours, theirs = socket.socketpair()
config = Config.model_validate_json(Path(sys.argv[1]).read_text())
make_ready(config)
sys.exit(run_child(ChildSpec("sender", "sender", config, theirs.detach())))
"""


@pytest.mark.slow
def test_a_sender_that_sends_no_more_ends(tmp_path: Path) -> None:
    """Nobody is left who would: the supervisor starts another, and the log has the line of the defect."""
    config = config_for(tmp_path / "data")
    make_folders(config)
    write_pair(config.certificate, config.key, self_signed(NAMES, SystemClock().now()))
    Population(config.directory_url, SystemClock())
    (tmp_path / "config.json").write_text(config.model_dump_json())
    command = [sys.executable, "-c", CODE, str(tmp_path / "config.json")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (3, "mic-mail sender: KeyError\n")
    events = {event["event"]: event for event in read_events(config.log_dir)}
    assert events["process_failed"]["error"] == "KeyError('two.example')"
    assert "in run" in events["process_failed"]["where"]
    assert "process_draining" in events
