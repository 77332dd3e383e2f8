"""Drives a real Thunderbird: an X server, the program, and a small client of Marionette, its remote control.

Marionette speaks JSON over TCP, `length:[0, id, command, parameters]` out, `length:[1, id, error, result]` back, after a hello.
Scripts run in the chrome context, where all of Thunderbird's own modules can be imported.
Used by test_thunderbird.py; nothing here knows about the server under test beyond host, ports and certificate.
"""

import contextlib
import json
import os
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import programs

START_SECONDS = 60.0
SCRIPT_SECONDS = 45.0


class ScriptFailed(AssertionError):
    """A script in Thunderbird raised or took too long."""


@dataclass(frozen=True)
class Login:
    """What a person types into the set-up. Socket types: 2 STARTTLS, 3 SSL/TLS; auth: 3 normal, 4 encrypted password."""

    name: str
    address: str
    password: str
    imap_port: int
    smtp_port: int
    host: str = "127.0.0.1"
    imap_socket: int = 3
    smtp_socket: int = 3
    auth: int = 3


class Marionette:
    """One session of remote control."""

    def __init__(self, port: int) -> None:
        self._socket = self._connect(port)
        self._buffer = b""
        self._number = 0
        self._packet()  # the greeting
        self.command("WebDriver:NewSession", {"capabilities": {"alwaysMatch": {"unhandledPromptBehavior": "ignore"}}})
        self.command("Marionette:SetContext", {"value": "chrome"})
        self.command("WebDriver:SetTimeouts", {"script": int(SCRIPT_SECONDS * 1000)})

    @staticmethod
    def _connect(port: int) -> socket.socket:
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                connected = socket.create_connection(("127.0.0.1", port), timeout=SCRIPT_SECONDS + 15)
                connected.settimeout(SCRIPT_SECONDS + 15)
                return connected
            except OSError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)  # before it is asked again

    def _packet(self) -> Any:
        while b":" not in self._buffer:
            self._more()
        length, _, self._buffer = self._buffer.partition(b":")
        while len(self._buffer) < int(length):
            self._more()
        packet, self._buffer = self._buffer[: int(length)], self._buffer[int(length) :]
        return json.loads(packet)

    def _more(self) -> None:
        octets = self._socket.recv(1 << 16)
        if not octets:
            raise ConnectionError("Thunderbird has gone")
        self._buffer += octets

    def command(self, name: str, parameters: Mapping[str, object]) -> Any:
        """Run one command; its result."""
        self._number += 1
        octets = json.dumps([0, self._number, name, parameters]).encode()
        self._socket.sendall(b"%d:%b" % (len(octets), octets))
        while True:
            kind, number, error, result = self._packet()
            if (kind, number) == (1, self._number):
                break
        if error:
            raise ScriptFailed(f"{error.get('error')}: {error.get('message')}\n{error.get('stacktrace', '')[:800]}")
        return result

    def script(self, body: str, *arguments: object) -> Any:
        """Run `body` as an async function of `args`; what it returns. Its exceptions come back as `ScriptFailed`."""
        wrapped = (
            "const done = arguments[arguments.length - 1]; const args = Array.from(arguments).slice(0, -1);"
            f"(async () => {{ {PRELUDE} {body} }})().then(v => done({{ok: v === undefined ? null : v}}), "
            "e => done({failed: String(e) + '\\n' + (e && e.stack)}));"
        )
        parameters = {"script": wrapped, "args": list(arguments), "sandbox": "system", "newSandbox": False}
        value = self.command("WebDriver:ExecuteAsyncScript", parameters)["value"]
        if value is None:  # a dialog came up and ended the script; `Thunderbird.dialog` reads it
            return None
        if "failed" in value:
            raise ScriptFailed(value["failed"])
        return value["ok"]

    def close(self) -> None:
        self._socket.close()


PRELUDE = """
const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
const pause = ms => new Promise(r => ChromeUtils.importESModule("resource://gre/modules/Timer.sys.mjs").setTimeout(r, ms));
const until = async (what, test, seconds = 30) => {
  for (let left = seconds * 10; left > 0; left--) { const v = await test(); if (v) { return v; } await pause(100); }
  throw new Error("waited in vain: " + what);
};
const server = address => MailServices.accounts.allServers.find(s => s.type == "imap" && s.username == address);
const folder = (address, name) => {
  const find = f => f.name.toLowerCase() == name.toLowerCase() ? f : f.subFolders.map(find).find(Boolean);
  const found = server(address).rootFolder.subFolders.map(find).find(Boolean);
  if (!found) { throw new Error("no folder " + name); }
  return found;
};
const messages = f => { const found = []; for (const m of f.messages) { found.push(m); } return found; };
// No listener: Thunderbird folds an update into one that runs already, and then never calls it.
const update = f => f.QueryInterface(Ci.nsIMsgImapMailFolder).updateFolder(null);
"""

PREFERENCES: Mapping[str, object] = {
    "app.update.enabled": False,
    "app.donation.eoy.version.viewed": 999,
    "browser.shell.checkDefaultClient": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "mail.biff.show_alert": False,
    "mail.provider.suppress_dialog_on_startup": True,
    "mail.rights.version": 1,
    "mail.shell.checkDefaultClient": False,
    "mail.spotlight.firstRunDone": True,
    "mail.winsearch.firstRunDone": True,
    "mail.startupMinimized": False,
    "mail.warn_on_send_accel_key": False,
    "mailnews.confirm.moveFoldersToTrash": False,
    "mailnews.start_page.enabled": False,
    "mailnews.start_page_override.mstone": "ignore",
    "network.manage-offline-status": False,
    "offline.startup_state": 0,
    "security.warn_entering_secure": False,
    "toolkit.telemetry.enabled": False,
}


class Thunderbird:
    """One running Thunderbird with a fresh profile and a screen of its own."""

    def __init__(self, folder: Path, preferences: Mapping[str, object] | None = None) -> None:
        self.folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        self.display = self._start_screen()
        port = _free_port()
        profile = folder / "profile"
        profile.mkdir(parents=True)
        chosen = {**PREFERENCES, **(preferences or {}), "marionette.port": port}
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in chosen.items()]
        (profile / "user.js").write_text("".join(lines))
        self._start(
            ["thunderbird", "--no-remote", "--marionette", "--remote-allow-system-access", "--profile", str(profile)],
            {"DISPLAY": self.display, "HOME": str(folder), "MOZ_CRASHREPORTER_DISABLE": "1", "LIBGL_ALWAYS_SOFTWARE": "1"},
        )
        self.remote = Marionette(port)
        self.script = self.remote.script
        self.script(
            'await until("main window", () =>'
            ' Services.wm.getMostRecentWindow("mail:3pane")?.document.readyState == "complete");'
        )

    def _start_screen(self) -> str:
        reading, writing = os.pipe()
        command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1280x900x24", "-nolisten", "tcp"]
        self._processes.append(
            subprocess.Popen(command, pass_fds=(writing,), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        )
        os.close(writing)
        with os.fdopen(reading) as answer:
            return f":{answer.readline().strip()}"

    def _start(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        output = (self.folder / "thunderbird.log").open("wb")
        process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=output, stderr=subprocess.STDOUT)
        self._processes.append(process)

    def trust(self, certificate_pem: str, host: str, ports: Sequence[int]) -> None:
        """Accept a self-signed certificate, as a person does in the dialog."""
        body = "".join(line for line in certificate_pem.splitlines() if "-----" not in line)
        self.script(
            """
            const [body, host, ports] = args;
            const cert = Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB).constructX509FromBase64(body);
            const overrides = Cc["@mozilla.org/security/certoverride;1"].getService(Ci.nsICertOverrideService);
            for (const port of ports) { overrides.rememberValidityOverride(host, port, {}, cert, false); }
            """,
            body, host, list(ports),
        )  # fmt: skip

    def set_up(self, login: Login) -> None:
        """Make the account as the set-up page does: verified with a real sign-in, then created."""
        self.script(
            """
            const [login] = args;
            const load = name => ChromeUtils.importESModule("resource:///modules/accountcreation/" + name + ".sys.mjs");
            const { AccountConfig } = load("AccountConfig");
            const { ConfigVerifier } = load("ConfigVerifier");
            const { CreateInBackend } = load("CreateInBackend");
            const config = new AccountConfig();
            Object.assign(config.incoming, { type: "imap", hostname: login.host, port: login.imap_port, username: login.address,
              password: login.password, socketType: login.imap_socket, auth: login.auth });
            Object.assign(config.outgoing, { type: "smtp", hostname: login.host, port: login.smtp_port, username: login.address,
              password: login.password, socketType: login.smtp_socket, auth: login.auth });
            Object.assign(config.identity, { realname: login.name, emailAddress: login.address });
            const main = Services.wm.getMostRecentWindow("mail:3pane");
            const verifier = new ConfigVerifier(main.msgWindow, new main.AbortController().signal);
            await verifier.verifyConfig(config, false);
            await CreateInBackend.createAccountInBackend(config);
            server(login.address).performExpand(main.msgWindow);
            await until("inbox", () => server(login.address)?.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Inbox));
            """,
            login.__dict__,
        )  # fmt: skip

    def wait_for_folders(self, address: str, count: int) -> None:
        """Until so many folders were found on the server."""
        self.script(
            """
            const [address, count] = args;
            const all = f => f.subFolders.reduce((n, s) => n + 1 + all(s), 0);
            await until(count + " folders", () => all(server(address).rootFolder) >= count);
            """,
            address, count,
        )  # fmt: skip

    def folders(self, address: str) -> dict[str, int]:
        """Every folder that Thunderbird shows, with its flags (0x200 Sent, 0x400 Drafts, 0x100 Trash, 0x1000 Inbox, ...)."""
        found: dict[str, int] = self.script(
            """
            const found = {};
            const path = f => f.URI.split("/").slice(3).join("/");
            const walk = f => { for (const s of f.subFolders) { found[path(s)] = s.flags; walk(s); } };
            walk(server(args[0]).rootFolder);
            return found;
            """,
            address,
        )
        return found

    def subjects(self, address: str, name: str) -> list[str]:
        """What the message list of a folder shows now."""
        found: list[str] = self.script(
            "return messages(folder(args[0], args[1])).map(m => m.mime2DecodedSubject);", address, name
        )
        return found

    def open_message(self, address: str, name: str, subject: str) -> dict[str, Any]:
        """Open a message in a window of its own; its text and the names of its attachments as a person sees them."""
        shown: dict[str, Any] = self.script(
            """
            const [address, name, subject] = args;
            const f = folder(address, name);
            update(f);
            const header = await until("message", () => messages(f).find(m => m.mime2DecodedSubject == subject));
            const { MailUtils } = ChromeUtils.importESModule("resource:///modules/MailUtils.sys.mjs");
            MailUtils.openMessageInNewWindow(header);
            const win = await until("window", () => [...Services.wm.getEnumerator("mail:messageWindow")].at(-1));
            const about = await until("pane", () => win.document.getElementById("messageBrowser")?.contentWindow);
            const text = await until("text", () =>
              about.gMessage && about.getMessagePaneBrowser?.().contentDocument?.body?.textContent.trim());
            const names = about.currentAttachments.map(a => a.name);
            return { text, names };
            """,
            address, name, subject,
        )  # fmt: skip
        return shown

    def send(self, address: str, to: str, subject: str, text: str, attachment: Path | None = None) -> str:
        """Write a message in the compose window and send it; "" once it is away, else the words of the error dialog."""
        result: str = self.script(
            """
            const [address, to, subject, text, file] = args;
            const fields = Cc["@mozilla.org/messengercompose/composefields;1"].createInstance(Ci.nsIMsgCompFields);
            Object.assign(fields, { to, subject, body: text });
            if (file) {
              const a = Cc["@mozilla.org/messengercompose/attachment;1"].createInstance(Ci.nsIMsgAttachment);
              a.url = Services.io.newFileURI(new FileUtils.File(file)).spec;
              fields.addAttachment(a);
            }
            const params = Cc["@mozilla.org/messengercompose/composeparams;1"].createInstance(Ci.nsIMsgComposeParams);
            params.composeFields = fields;
            params.format = Ci.nsIMsgCompFormat.PlainText;
            params.type = Ci.nsIMsgCompType.New;
            params.identity = MailServices.accounts.allIdentities.find(i => i.email == address);
            MailServices.compose.OpenComposeWindowWithParams(null, params);
            const win = await until("compose window", () => {
              const w = Services.wm.getMostRecentWindow("msgcompose"); return w?.gMsgCompose?.editor && w;
            });
            await pause(500);
            win.goDoCommand("cmd_sendNow");
            return await until("sent or refused", () => {
              if (win.closed) { return "sent"; }
              const words = dialogs();
              return words && "refused: " + words;
            }, 40);
            """.replace("dialogs()", DIALOG_WORDS),
            address, to, subject, text, str(attachment) if attachment else None,
        )  # fmt: skip
        return "" if result == "sent" else result

    def dialog(self) -> str:
        """The words of the dialog that comes up."""
        until = time.monotonic() + SCRIPT_SECONDS
        while True:
            try:
                return str(self.remote.command("WebDriver:GetAlertText", {})["value"])
            except ScriptFailed:
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)  # before it is asked again

    def wait_for(self, address: str, name: str, subject: str, seconds: float = 30) -> None:
        """Until the message is in the list by itself: nobody asks the server here."""
        self.script(
            """
            const [address, name, subject, seconds] = args;
            const f = folder(address, name);
            await until(subject, () => messages(f).some(m => m.mime2DecodedSubject == subject), seconds);
            """,
            address, name, subject, seconds,
        )  # fmt: skip

    def select(self, address: str, name: str) -> None:
        """Click on a folder, so that its connection idles on it."""
        self.script(
            """
            const main = Services.wm.getMostRecentWindow("mail:3pane");
            const tabs = main.document.getElementById("tabmail");
            const about = await until("3pane", () => tabs.currentAbout3Pane?.folderTree && tabs.currentAbout3Pane);
            const f = folder(args[0], args[1]);
            about.displayFolder(f.URI);
            update(f);
            """,
            address, name,
        )  # fmt: skip

    def screenshot(self, path: Path) -> None:
        """What a person would see."""
        if not programs.missing("import"):
            command = [programs.need("import"), "-display", self.display, "-window", "root", str(path)]
            subprocess.run(command, check=True, timeout=30)

    def close(self) -> None:
        """End the program and its screen."""
        with contextlib.suppress(Exception):
            self.remote.command("Marionette:Quit", {"flags": ["eForceQuit"]})
        with contextlib.suppress(Exception):
            self.remote.close()
        *screens, program = self._processes
        with contextlib.suppress(subprocess.TimeoutExpired):
            program.wait(5)
        for process in (program, *screens):
            process.kill()
            process.wait()


# The words of a dialog, in a window of its own or as a sub-dialog of the compose window.
DIALOG_WORDS = """(() => {
  for (const w of Services.wm.getEnumerator(null)) {
    const body = w.document.getElementById("infoBody") ?? w.document.getElementById("infobody");
    if (w.document.documentURI.includes("commonDialog") && body) { return body.textContent; }
    for (const frame of w.document.querySelectorAll("browser.dialogFrame")) {
      const inner = frame.contentDocument?.getElementById("infoBody"); if (inner) { return inner.textContent; }
    }
  }
  return "";
})()"""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
