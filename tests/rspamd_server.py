"""Rspamd on loopback, in a folder of its own under this account: a scanner, a controller, and where wanted Redis to learn into.

No rule of it asks anybody anything; what it finds are GTUBE and words of our own.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import programs
from free_ports import free_ports

GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
GREY, SOFT, MARKED, QUARANTINED = "wantgreylist", "wantsoftreject", "wantheader", "wantquarantine"
"""Words in a subject that bring about an action."""
PASSWORD = "of the controller"
START_SECONDS = 60.0
PLUGINS = Path("/usr/share/rspamd/plugins")

CONFIGURATION = """
options {{
  pidfile = "{folder}/rspamd.pid";
  filters = "{filters}";
  dns {{ nameserver = ["{nameserver}"]; timeout = 1s; retransmits = 1; }}
  local_addrs = [];
  control_socket = "{folder}/control.sock mode=0600";
  hs_cache_dir = "{folder}/";
  disable_hyperscan = true;
  url_tld = "{folder}/tld";
  tempdir = "{folder}";
  task_timeout = 8s;
}}
logging {{ type = "file"; filename = "{folder}/rspamd.log"; level = "info"; }}
worker "normal" {{ bind_socket = "127.0.0.1:{port}"; count = 1; mime = true; }}
worker "controller" {{ bind_socket = "127.0.0.1:{control}"; count = 1; password = "{password}"; enable_password = "{password}";
  secure_ip = []; }}
worker "hs_helper" {{ count = 0; }}
worker "fuzzy" {{ count = -1; }}
actions {{ reject = 15; add_header = 6; greylist = 4; }}
lua = "{folder}/rules.lua";
metric {{ name = "default"; }}
modules {{ path = "{folder}/plugins"; }}
{more}
"""
RULES = """
local reject_on = {{ {words} }}
for word, action in pairs(reject_on) do
  rspamd_config:register_symbol({{ name = 'WORD_' .. action:upper():gsub(' ', '_'), score = 0.5, type = 'normal',
    callback = function(task)
      local subject = task:get_header('Subject') or ''
      if subject:find(word, 1, true) then
        task:set_pre_result(action, 'a word', 'tests')
        return true, 1.0, word
      end
    end }})
end
"""
BAYES = """
classifier "bayes" {{
  tokenizer {{ name = "osb"; }}
  cache {{ }}
  new_schema = true;
  backend = "redis";
  servers = "{redis}";
  min_learns = 1;
  min_tokens = 3;
  statfile {{ symbol = "BAYES_HAM"; spam = false; }}
  statfile {{ symbol = "BAYES_SPAM"; spam = true; }}
}}
"""


class Pretender:
    """Speaks Rspamd's protocol and says what a test wants, at once: for what the real one cannot be brought to say."""

    def __init__(self) -> None:
        self.says: dict[str, object] = scan_result("no action")
        self.status = 200
        """Of the scanner."""
        self.learns = 200
        self.indigestible = b""
        """What holds this is answered with an error."""
        self.pause = 0.0
        self.checked: list[tuple[Message, bytes]] = []
        """Fields and message of each question."""
        self.taught: list[tuple[str, bytes]] = []
        """Path and message of each lesson that was answered."""
        pretender = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                octets = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/checkv2":
                    pretender.checked.append((self.headers, octets))
                    time.sleep(pretender.pause)  # as slow as the test wants it
                    self._say(pretender.status, pretender.says)
                else:
                    pretender.taught.append((self.path, octets))
                    refused = pretender.indigestible and pretender.indigestible in octets
                    self._say(500 if refused else pretender.learns, {"success": True})

            def _say(self, status: int, told: object) -> None:
                body = json.dumps(told).encode()
                with contextlib.suppress(ConnectionError):  # who asked has not waited for the answer
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *told: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        self.place = f"tcp://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def scan_result(action: str, score: float = 7.5, **symbols: float) -> dict[str, object]:
    """An answer of the scanner."""
    told = {name: {"name": name, "score": weight, "options": ["an option"]} for name, weight in symbols.items()}
    return {"is_skipped": False, "score": score, "required_score": 15.0, "action": action, "symbols": told}


class Rspamd:
    """One daemon and what it needs."""

    def __init__(self, folder: Path, *, learning: bool = False, nameserver: str = "127.0.0.1:1", plugins: Sequence[str] = (),
                 more: str = "", filters: str = "") -> None:  # fmt: skip
        self._folder = folder
        folder.mkdir(parents=True)
        self.port, self.control = free_ports(2)
        self._redis = folder / "redis.sock" if learning else None
        words = {GREY: "greylist", SOFT: "soft reject", MARKED: "add header", QUARANTINED: "quarantine"}
        (folder / "tld").write_text("com\norg\nnet\nvn\ngov.vn\nexample\n")
        (folder / "rules.lua").write_text(RULES.format(words=", ".join(f"{word} = '{act}'" for word, act in words.items())))
        (folder / "plugins").mkdir()
        for plugin in plugins:
            shutil.copy(PLUGINS / f"{plugin}.lua", folder / "plugins")
        if learning:
            more += BAYES.format(redis=self._redis)
        (folder / "rspamd.conf").write_text(
            CONFIGURATION.format(
                folder=folder, port=self.port, control=self.control, password=PASSWORD, nameserver=nameserver,
                more=more, filters=filters,
            )
        )  # fmt: skip
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def place(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    @property
    def controller(self) -> str:
        return f"tcp://127.0.0.1:{self.control}"

    def start(self) -> None:
        user: list[str] = []
        if os.getuid() == 0:  # it does not run as root by itself
            user = ["--insecure"]
        if self._redis is not None and not self._redis.exists():
            self._run("redis-server", "--port", "0", "--unixsocket", str(self._redis), "--save", "", "--dir", str(self._folder))
        self._run("rspamd", "--no-fork", *user, "--config", str(self._folder / "rspamd.conf"), f"--var=DBDIR={self._folder}")
        limit = time.monotonic() + START_SECONDS
        while not (self._answers(self.port) and self._answers(self.control)):
            assert all(one.poll() is None for one in self._processes), self.log()
            assert time.monotonic() < limit, self.log()
            time.sleep(0.05)  # before the next look

    def _run(self, program: str, *arguments: str) -> None:
        command, told = [programs.need(program), *arguments], subprocess.DEVNULL
        self._processes.append(subprocess.Popen(command, stdout=told, stderr=told, cwd=self._folder))

    def _answers(self, port: int) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as asking:
                asking.sendall(b"GET /ping HTTP/1.0\r\n\r\n")
                return b"pong" in asking.recv(1000)
        except OSError:
            return False

    def log(self) -> str:
        path = self._folder / "rspamd.log"
        return path.read_text(errors="replace") if path.exists() else "it has written no log"

    def restart(self) -> None:
        """Rspamd alone: it counts anew how much it has learned, which it else does now and then."""
        daemon = self._processes.pop()
        daemon.terminate()
        daemon.wait(20)
        self.start()

    def stop(self) -> None:
        for one in reversed(self._processes):
            one.terminate()
        for one in reversed(self._processes):
            try:
                one.wait(10)
            except subprocess.TimeoutExpired:
                one.kill()
                one.wait(10)
        self._processes.clear()
