"""ClamAV's daemon with one signature of our own: that of the EICAR test file, which is no malware and found by all."""

import socket
import subprocess
import time
from pathlib import Path

import programs

EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
SIGNATURE = f"Test.Eicar:0:*:{EICAR.hex()}\n"
NAME = "Test.Eicar.UNOFFICIAL"
START_SECONDS = 30.0


class ClamDaemon:
    """One daemon, in a folder of its own, under this account."""

    def __init__(self, folder: Path, *, stream_octets: int = 100 << 20) -> None:
        self._folder = folder
        self.socket = folder / "clamd.ctl"
        (folder / "signatures").mkdir(parents=True)
        (folder / "signatures" / "eicar.ndb").write_text(SIGNATURE)
        lines = {
            "Foreground": "yes",
            "LocalSocket": str(self.socket),
            "DatabaseDirectory": str(folder / "signatures"),
            "TemporaryDirectory": str(folder),
            "StreamMaxLength": str(stream_octets),
            "MaxThreads": "4",
            "LogFile": str(folder / "clamd.log"),
        }
        (folder / "clamd.conf").write_text("".join(f"{name} {value}\n" for name, value in lines.items()))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def place(self) -> str:
        return f"unix:{self.socket}"

    def start(self) -> None:
        command = [programs.need("clamd"), "--config-file", str(self._folder / "clamd.conf")]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        limit = time.monotonic() + START_SECONDS
        while not self._answers():
            assert self._process.poll() is None, (self._folder / "clamd.log").read_text()
            assert time.monotonic() < limit, "clamd does not start"
            time.sleep(0.05)  # before the next look

    def _answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as asking:
                asking.connect(str(self.socket))
                asking.sendall(b"zPING\0")
                return asking.recv(16) == b"PONG\0"
        except OSError:
            return False

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None
            self.socket.unlink(missing_ok=True)
