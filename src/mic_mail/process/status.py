"""Read the state of a running server from its supervisor, for `mic-mail status` and the health check.

Blocking, at most `SECONDS`. None means that no server runs in this run_dir.
"""

import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path

from mic_mail.errors import Text, Trouble

STATUS_SOCKET = "status"
"""The name of the supervisor's socket in the run_dir."""
SECONDS = 5.0


def read(run_dir: Path) -> Mapping[str, object] | None:
    """Return the content of `Supervisor.status`, or None."""
    try:
        folder = os.open(run_dir, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return None
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
            asking.settimeout(SECONDS)
            asking.connect(f"/proc/self/fd/{folder}/{STATUS_SOCKET}")
            octets = b"".join(iter(lambda: asking.recv(1 << 16), b""))
        snapshot = json.loads(octets)
        assert isinstance(snapshot, dict)
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    except (OSError, ValueError, AssertionError) as error:
        raise Trouble(Text("Máy chủ không trả lời.", "The server does not respond.")) from error
    else:
        return snapshot
    finally:
        os.close(folder)
