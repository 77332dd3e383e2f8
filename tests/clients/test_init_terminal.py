"""`init` asks a person and nobody else, and `serve` says where it listens: on a real terminal."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from clients.terminal import A_LOGIN, Terminal
from mic_mail.config.listeners import DOORS
from mic_mail.config.load import load
from mic_mail.directory.repository import Directory

pytestmark = pytest.mark.slow

FREE_PORTS = " ".join(f"{door}=0" for door in DOORS)


def _init_alone(path: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """`init` with a stdin that is open and never says anything."""
    nothing, kept_open = os.pipe()
    try:
        return subprocess.run(
            [sys.executable, "-m", "mic_mail", "--config", path, "init", "--data-dir", path.parent / "data", *words],
            stdin=nothing,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
    finally:
        os.close(nothing)
        os.close(kept_open)


@pytest.mark.clause("6.1")
def test_init_asks_for_ministry_ports_and_first_officer(tmp_path: Path) -> None:
    """Each question once, again where the answer is wrong; the officer is entered, and what comes next is told."""
    path, login = tmp_path / "mic-mail.toml", A_LOGIN
    with Terminal("--config", path, "--lang", "vi", "init", "--data-dir", tmp_path / "data") as person:
        person.answer("Tên miền [mic.gov.vn]:", "BAD DOMAIN")
        person.answer("Tên máy chủ", "")
        person.answer("Hộp thư hỗ trợ", "help")
        person.answer("Tên cơ quan chủ quản", "Bộ Y tế")
        assert "imaps 993" in person.until("https 443")
        person.answer("Cổng cần đổi", "https:8443")
        person.until("không phải là cổng")
        person.answer("Cổng cần đổi", "https=70000")
        person.until("--domain")
        person.until("--port")
        person.answer("Tên miền", "bo.test")
        person.answer("Cổng cần đổi", "https=8443, imaps=2993")
        person.answer("Tài khoản của cán bộ quản trị đầu tiên", "khong-co-ai")
        person.answer("Họ và tên cán bộ", "Phạm Mai")
        person.answer("Quyết định phân công số", "3/QĐ-TTTT")
        person.until("Máy này không có tài khoản khong-co-ai.")
        person.answer("Tài khoản của cán bộ quản trị đầu tiên", login)
        person.answer("Họ và tên cán bộ", "Phạm Mai")
        person.answer("Quyết định phân công số", "3/QĐ-TTTT")
        told = person.until("dns records")
        assert person.finish() == 0, person.shown
    assert [step in told for step in ("config check", "serve", "officer add")] == [True, True, False]
    config = load(path)
    assert (config.server.domain, config.regulation.support, config.regulation.ministry) == ("bo.test", "help", "Bộ Y tế")
    assert (config.listen.https, config.listen.imaps, config.listen.imap) == (8443, 2993, 143)
    directory = Directory(config.directory_url)
    (officer,) = directory.officers.all()
    directory.close()
    assert (officer.login, officer.full_name, officer.document) == (login, "Phạm Mai", "3/QĐ-TTTT")
    assert '"act":"officer_add"' in "".join(each.read_text() for each in config.log_dir.glob("audit-*"))


def test_init_names_the_officer_later(tmp_path: Path) -> None:
    """An empty answer is none: the next steps say how."""
    path = tmp_path / "mic-mail.toml"
    words = ("--domain", "a.test", "--hostname", "a.test", "--support", "help", "--ministry", "Y", "--port", "imap=0")
    with Terminal("--config", path, "--lang", "en", "init", "--data-dir", tmp_path / "data", *words) as person:
        person.answer("Login of the first officer", "")
        assert "officer add LOGIN" in person.until("dns records")
        assert person.finish() == 0


def test_init_asks_nobody_where_nobody_sits(tmp_path: Path) -> None:
    """It takes its options and the defaults, and waits for nothing."""
    path, login = tmp_path / "mic-mail.toml", A_LOGIN
    officer = ("--officer", login, "--officer-name", "Phạm Mai", "--document", "3/QĐ")
    run = _init_alone(path, "--ministry", "Bộ Y tế", "--port", "https=8443", "--port", "imaps=2993", *officer)
    assert run.returncode == 0, run.stderr
    config = load(path)
    assert (config.regulation.ministry, config.listen.https, config.listen.imaps) == ("Bộ Y tế", 8443, 2993)
    directory = Directory(config.directory_url)
    assert [each.login for each in directory.officers.all()] == [login]
    directory.close()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--officer", "khong-co-ai", "--officer-name", "X", "--document", "1"), "has no login khong-co-ai"),
        (("--officer", "root", "--officer-name", "X", "--document", "1"), "not a personal login"),
        (
            ("--officer", "nobody", "--user", "nobody", "--officer-name", "X", "--document", "1"),
            "nobody is not a personal login",
        ),
        (("--officer", "nobody"), "needs --officer-name and --document"),
        (("--port", "https"), "is not a port"),
        (("--port", "smtps=1"), "The names: smtp,"),
    ],
)
def test_init_refuses_before_anything_is_made(tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    """What cannot be is told, and the next try starts from nothing."""
    path = tmp_path / "mic-mail.toml"
    run = _init_alone(path, *words)
    assert run.returncode in {1, 2}
    assert told in run.stderr
    assert list(tmp_path.iterdir()) == []


def test_serve_says_where_it_listens(tmp_path: Path) -> None:
    """The ports as they are bound, once they are; a program that connects there is greeted."""
    path = tmp_path / "mic-mail.toml"
    assert _init_alone(path, *(word for each in FREE_PORTS.split() for word in ("--port", each))).returncode == 0
    text = path.read_text().replace('# addresses = ["0.0.0.0", "::"]', 'addresses = ["127.0.0.1"]')
    path.write_text(text.replace("# workers = 0", "workers = 1"))
    with Terminal("--config", path, "--lang", "vi", "serve") as person:
        told = person.until("Dừng bằng Ctrl-C.")
        assert "Đang phục vụ tại 127.0.0.1, các cổng: " in told
        ports = {door: int(number) for door, number in re.findall(r"(\w+) (\d+)[,.]", told.partition("các cổng: ")[2])}
        assert ports.keys() == set(DOORS)
        assert 0 not in ports.values()
        with socket.create_connection(("127.0.0.1", ports["imap"])) as client:
            assert client.recv(4) == b"* OK"
        person.terminate()
        assert person.finish() == 0, person.shown
