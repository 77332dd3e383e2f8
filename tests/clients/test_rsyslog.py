"""rsyslog takes our security events by TCP (octet counting), UDP and its socket, and reads them as RFC 5424 messages (16.3)."""

import json
import socket
import subprocess
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

import programs
from mic_mail.clock import ManualClock
from mic_mail.log import tail
from mic_mail.log.maillog import MailLog
from mic_mail.log.syslog import Header
from mic_mail.net.syslog_transport import Collector, place
from mic_mail.services.operations.syslog import Forwarding
from waiting import listens, wait_for

NOW = datetime(2026, 11, 26, 3, tzinfo=UTC)

pytestmark = [
    pytest.mark.needs_tool("rsyslogd"),
    pytest.mark.clause("16.3"),
]

RULES = """
global(workDirectory="{folder}")
module(load="imtcp")
module(load="imudp")
module(load="imuxsock" sysSock.use="off")
input(type="imuxsock" socket="{folder}/log" useSpecialParser="off" ignoreTimestamp="off")
input(type="imtcp" port="{port}" address="127.0.0.1")
input(type="imudp" port="{port}" address="127.0.0.1")
template(name="read" type="list" option.jsonf="on") {{
    property(outname="host" name="hostname" format="jsonf")
    property(outname="app" name="app-name" format="jsonf")
    property(outname="msgid" name="msgid" format="jsonf")
    property(outname="severity" name="syslogseverity" format="jsonf")
    property(outname="data" name="structured-data" format="jsonf")
    property(outname="at" name="timereported" dateFormat="rfc3339" format="jsonf")
    property(outname="msg" name="msg" format="jsonf")
}}
action(type="omfile" file="{folder}/read.jsonl" template="read")
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture
def rsyslog(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A rsyslogd of our own, and what it has read, one JSON object a line."""
    port = free_port()
    rules = tmp_path / "rsyslog.conf"
    rules.write_text(RULES.format(folder=tmp_path, port=port))
    words = [programs.need("rsyslogd"), "-n", "-f", str(rules), "-i", str(tmp_path / "pid")]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        wait_for(lambda: process.poll() is not None or listens(port))
        assert process.poll() is None, process.stderr and process.stderr.read()
        yield port, tmp_path / "read.jsonl"
    finally:
        process.terminate()
        process.communicate(timeout=20)


@pytest.mark.parametrize("way", ["tcp", "udp", "unix"])
def test_rsyslog_reads_what_we_say(rsyslog: tuple[int, Path], tmp_path: Path, way: str) -> None:
    """Severity, host, name, data and Vietnamese text; what would begin another message begins none."""
    port, read = rsyslog
    folder = tmp_path / "our-log"
    clock = ManualClock(NOW)
    log = MailLog(folder, "worker0", clock=clock)
    log.event("sign_in_refused", mailbox="dvbe@mic.gov.vn", reason='Đỗ "Bê"] \n<13>1 - - evil - - -')
    log.event("message_delivered", mailbox="dvbe@mic.gov.vn")
    log.event("mailbox_suspended", mailbox="dvbe@mic.gov.vn", clause="7.2.c")
    log.close()
    tail.save(folder / "cursor", tail.LogPosition(date(2026, 11, 26)))
    header = Header("mail.mic.gov.vn", 10, "32473")
    own = MailLog(None, "housekeeper", clock=clock)
    where = f"unix:{tmp_path / 'log'}" if way == "unix" else f"{way}://127.0.0.1:{port}"
    forwarding = Forwarding(Collector(place(where)), header, folder, folder / "cursor", clock=clock, log=own)
    assert forwarding.pass_on() == 2
    wait_for(lambda: read.exists() and len(read.read_text().splitlines()) >= 2)
    refused, suspended = map(json.loads, read.read_text().splitlines())
    assert (refused["host"], refused["app"], refused["msgid"]) == ("mail.mic.gov.vn", "mic-mail", "sign_in_refused")
    assert (refused["severity"], suspended["severity"]) == ("4", "1")
    assert refused["data"].startswith('[mic@32473 id="2026-11-26.worker0.')
    assert 'reason="Đỗ \\"Bê\\"\\] \\\\u000a<13>1 - - evil - - -"' in refused["data"]
    assert refused["at"].startswith("2026-11-26T03:00:00")
    assert "Từ chối đăng nhập: mailbox=dvbe@mic.gov.vn" in refused["msg"]
    assert suspended["msgid"] == "mailbox_suspended"
    forwarding.close()
    own.close()
