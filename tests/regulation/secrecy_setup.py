"""Messages with markings of secrecy, how they are submitted, and the commands that decide on them."""

import base64
import contextlib
import re
import smtplib
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from harness import MailServer
from markings.documents import docx, zipped
from mic_mail.cli.main import main
from mic_mail.config.manual import write
from mic_mail.quarantine.held_messages import HeldRecord
from mic_mail.services.mail_store import open_held
from population import PASSWORD

STAMPED = docx(["BỘ THÔNG TIN VÀ TRUYỀN THÔNG", "Số: 12/BC-BTTTT", "TỐI MẬT", "Kính gửi: Lãnh đạo Bộ"])
ORDINARY = docx(["Hướng dẫn đổi mật khẩu", "Đề nghị các đơn vị bảo mật thông tin đăng nhập."])
SECRET_WORDS = "phương án điều động lực lượng"


def letter(subject: str = "Báo cáo", text: str = "Kính gửi anh chị.\n", files: dict[str, bytes] | None = None) -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "dvbe@mic.gov.vn", "ttlan@mic.gov.vn", subject
    message.set_content(text)
    for name, content in (files or {}).items():
        message.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    return message.as_bytes().replace(b"\n", b"\r\n")


@contextlib.contextmanager
def submission(server: MailServer, local: str = "dvbe") -> Iterator[smtplib.SMTP]:
    with smtplib.SMTP_SSL("localhost", server.ports["submissions"], "client.example", context=server.tls()) as client:
        client.ehlo()
        secret = base64.b64encode(f"\0{local}@mic.gov.vn\0{PASSWORD}".encode()).decode()
        assert client.docmd("AUTH", f"PLAIN {secret}")[0] == 235
        yield client


def send(client: smtplib.SMTP, octets: bytes, *to: str, options: tuple[str, ...] = ()) -> tuple[int, str]:
    """The answer to the end of the message."""
    client.ehlo_or_helo_if_needed()
    assert client.mail("dvbe@mic.gov.vn", options)[0] == 250
    for address in to or ("ttlan@mic.gov.vn",):
        assert client.rcpt(address)[0] == 250
    code, said = client.data(octets)
    return code, said.decode()


def submit(server: MailServer, octets: bytes, *to: str, options: tuple[str, ...] = ()) -> tuple[int, str]:
    with submission(server) as client:
        return send(client, octets, *to, options=options)


def received(server: MailServer, local: str) -> list[bytes]:
    """The messages of a mailbox, as files."""
    server.call(server.running.context.mailflow.settle())
    folder = server.config.mail_root / "mic.gov.vn" / local / "Maildir" / "cur"
    return [path.read_bytes() for path in sorted(folder.iterdir())] if folder.exists() else []


def logged(server: MailServer, name: str) -> list[dict[str, object]]:
    return [event for event in server.events() if event.get("event") == name]


def held(server: MailServer) -> list[HeldRecord]:
    return list(open_held(server.config, server.running.context.store).records())


def reference(answer: str) -> str:
    found = re.search(r"reference (\S+)|mã (\S+)", answer)
    assert found is not None
    return found[1] or found[2]


PLAINLY_MARKED = b"Subject: [TUYET MAT] a\r\n\r\na\r\n"
MARKED = {
    "subject": letter("[MẬT] Báo cáo"),
    "text": letter(text="Độ mật: Tối mật\nKính gửi anh chị.\n"),
    "file name": letter(files={"TUYỆT MẬT - phương án.pdf": b"%PDF-1.4"}),
    "document": letter(files={"bao-cao.docx": STAMPED}),
    "archive": letter(files={"ho-so.zip": zipped({"a/b.zip": zipped({"bao-cao.docx": STAMPED})})}),
    "large": letter(text="Kính gửi anh chị.\n" * 10_000, files={"bao-cao.docx": STAMPED}),
}


class SecrecyConsole:
    """The Centre at its command line, beside a running server."""

    def __init__(self, server: MailServer, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._file = folder / "mic-mail.toml"
        self._file.write_text(write(server.config))
        self._capsys = capsys

    def __call__(self, *words: str, as_: str = "an", actor: str | None = None) -> tuple[int, str]:
        named = () if actor is None else ("--actor", actor)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SUDO_USER", as_)
            code = main(["--config", str(self._file), "--lang", "vi", "secrecy", *words, *named])
        captured = self._capsys.readouterr()
        return code, captured.out + captured.err
