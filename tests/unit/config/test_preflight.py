"""What `config check` finds on the machine that a valid file cannot show."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from mic_mail.config.model import Config
from mic_mail.config.preflight import certificate, problems
from mic_mail.net.tls import self_signed, write_pair


def config(folder: Path, **sections: dict[str, object]) -> Config:
    """A configuration whose data lie in `folder`."""
    return Config.model_validate({"server": {"data_dir": folder, **sections.pop("server", {})}, **sections})


def keys(config: Config) -> list[str]:
    return [problem.key for problem in problems(config)]


def test_a_server_that_can_start_has_no_problem(tmp_path: Path) -> None:
    """Folders that can be made, a pair that belongs together, ports of their own."""
    here = config(tmp_path / "data")
    assert keys(here) == ["tls.certificate"]
    write_pair(here.certificate, here.key, self_signed(["localhost"], datetime.now(UTC)))
    assert keys(here) == []


def test_everything_that_a_start_would_stumble_over_is_named(tmp_path: Path) -> None:
    """Accounts, folders, the key of another certificate, two doors on one port, passwords in the open."""
    (tmp_path / "file").touch()
    here = config(
        tmp_path / "data",
        server={"user": "nobody-of-that-name"},
        log={"dir": tmp_path / "file" / "log"},
        listen={"imap": 25},
        auth={"cleartext": True},
    )
    write_pair(here.certificate, here.key, self_signed(["localhost"], datetime.now(UTC)))
    write_pair(here.certificate, tmp_path / "other.pem", self_signed(["localhost"], datetime.now(UTC)))
    assert keys(here) == ["server.user", "log.dir", "tls.key", "listen.imap", "auth.cleartext"]
    no_name = here.model_copy(update={"server": here.server.model_copy(update={"user": "mic\0mail", "group": "g\0"})})
    assert keys(no_name)[:2] == ["server.user", "server.group"]


@pytest.mark.parametrize(
    "url", ["mail", "sqlite:///x", "postgresql://a@h:port/mail", "postgresql://a:b@h/mail", "postgresql://h/m?password=b"]
)
def test_a_database_of_mailboxes_is_a_url_without_a_password(tmp_path: Path, url: str) -> None:
    """What it is not is named without its octets, and so is a password."""
    pytest.importorskip("psycopg")
    found = [problem for problem in problems(config(tmp_path / "data", storage={"database": url})) if "storage" in problem.key]
    assert [problem.key for problem in found] == ["storage.database"]
    assert "b@" not in str(found)
    good = config(
        tmp_path / "data", storage={"database": "postgresql://mic-mail@db.mic.gov.vn:5433,[2001:db8::1]:5434,db2/mail"}
    )
    assert "storage.database" not in keys(good)


@pytest.mark.parametrize("name", ["folder", "/dev/zero", "large.pem", "closed/x.pem"])
def test_a_certificate_that_is_no_small_file_is_not_read(name: str, tmp_path: Path) -> None:
    """A folder, a device without an end, a file of a size that no certificate has: said, and never opened."""
    (tmp_path / "folder").mkdir()
    with (tmp_path / "large.pem").open("wb") as file:
        file.truncate(100 << 20)
    assert keys(config(tmp_path / "data", tls={"certificate": tmp_path / name})) == ["tls.certificate"]


def test_further_certificates_and_open_keys(tmp_path: Path) -> None:
    """Each pair is looked at; a key that others may read is named and keeps no server from starting."""
    more = [{"certificate": tmp_path / f"{name}.pem", "key": tmp_path / f"{name}.key"} for name in ("one", "two")]
    here = config(tmp_path / "data", tls={"more": more})
    write_pair(here.certificate, here.key, self_signed(["localhost"], datetime.now(UTC)))
    write_pair(more[0]["certificate"], more[0]["key"], self_signed(["one.example"], datetime.now(UTC)))
    assert keys(here) == ["tls.more.certificate"]
    write_pair(more[1]["certificate"], more[1]["key"], self_signed(["two.example"], datetime.now(UTC)))
    assert keys(here) == []
    more[0]["key"].chmod(0o644)
    here.key.chmod(0o604)
    assert keys(here) == ["tls.key", "tls.more.key"]
    assert list(certificate(here)) == []


def test_a_directory_beside_other_data(tmp_path: Path) -> None:
    """Whoever may write it may then open all that is below its folder: said of data_dir and what holds it, not of another."""
    for place, found in (
        ("data/own.sqlite", ["directory.url"]),
        ("own.sqlite", ["directory.url"]),
        ("data/own/one.sqlite", []),
    ):
        here = config(tmp_path / "data", directory={"url": f"sqlite:///{tmp_path / place}"})
        write_pair(here.certificate, here.key, self_signed(["localhost"], datetime.now(UTC)))
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).touch(0o600)
        assert keys(here) == found


def test_the_password_for_the_smarthost(tmp_path: Path) -> None:
    """There, and nobody else's to read; authorities that are none."""
    secret, authorities = tmp_path / "password", tmp_path / "ca.pem"
    sending = {"smarthost": "relay.example", "smarthost_login": "x", "smarthost_password": secret, "smarthost_ca": authorities}
    here = config(tmp_path / "data", sending=sending)
    write_pair(here.certificate, here.key, self_signed(["localhost"], datetime.now(UTC)))
    assert keys(here) == ["sending.smarthost_password", "sending.smarthost_ca"]
    secret.write_text("x")
    secret.chmod(0o644)
    authorities.write_text("x")
    assert keys(here) == ["sending.smarthost_password", "sending.smarthost_ca"]
    secret.chmod(0o600)
    authorities.write_bytes(here.certificate.read_bytes())
    assert keys(here) == []
