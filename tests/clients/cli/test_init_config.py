"""`mic-mail init` and `mic-mail config`: what they make, refuse and find."""

import re
import stat
from pathlib import Path

import pytest

from clients.cli.conftest import Command, program

# ---------------------------------------------------------------- init, config


def test_init_makes_a_server_and_never_overwrites(command: Command, made: Path, tmp_path: Path) -> None:
    """All that `serve` needs is there, private; a second init changes nothing."""
    before = made.read_text()
    assert "# " in before
    assert (tmp_path / "data" / "tls" / "key.pem").stat().st_mode & 0o077 == 0
    assert command("--config", made, "init", "--yes").code == 1
    assert made.read_text() == before


@pytest.mark.needs_tool("another account")
def test_what_root_inits_the_server_can_read(command: Command, tmp_path: Path) -> None:
    """With `--user`, data belongs to that account, and the file to root and the account's group; nothing is for others."""
    import pwd

    nobody = pwd.getpwnam("nobody")
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & stat.S_IXOTH:
            folder.chmod(0o755)
    path, data = tmp_path / "etc" / "mic-mail.toml", tmp_path / "data"
    run = command("--config", path, "init", "--yes", "--data-dir", data, "--user", "nobody")
    assert run.code == 0, run.err
    assert (path.stat().st_uid, path.stat().st_gid, path.stat().st_mode & 0o777) == (0, nobody.pw_gid, 0o640)
    for made in (data, *data.rglob("*")):
        assert (made.stat().st_uid, made.stat().st_mode & 0o007) == (nobody.pw_uid, 0), made


def test_init_refuses_what_the_file_would_be_refused_for(command: Command, tmp_path: Path) -> None:
    """The answers go through the same checks as the file."""
    run = command("--config", tmp_path / "x.toml", "init", "--yes", "--domain", "not a domain", "--data-dir", tmp_path / "d")
    assert run.code == 2
    assert not (tmp_path / "x.toml").exists()


def test_init_tells_which_option_is_wrong(command: Command, tmp_path: Path) -> None:
    """Each mistake once, with its option for a place, and no clause of one of them for all."""
    run = command("--config", tmp_path / "x.toml", "init", "--yes", "--domain", "BAD DOMAIN", "--hostname", "..")
    told = run.err.splitlines()
    assert (run.code, told[0]) == (2, "Error: The configuration has 2 mistakes.")
    assert [line.partition(":")[0] for line in told[1:]] == ["  --domain", "  --hostname"]
    assert "'BAD DOMAIN'" in told[1]


def test_every_command_tells_the_mistakes_of_the_file(command: Command, tmp_path: Path) -> None:
    """File, line and key of each mistake, also where a command only wants the directory."""
    path = tmp_path / "x.toml"
    path.write_text('[quota]\ndefault = "500 MiB"\n')
    run = command("--lang", "vi", "--config", path, "mailbox", "list")
    assert run.code == 2
    assert run.err.count(f"{path}:2: quota.default: ") == 1
    assert "điểm b khoản 3 Điều 8 Quy chế" in run.err
    assert "Căn cứ" not in run.err


def test_config_check_tells_all_mistakes_at_once(command: Command, tmp_path: Path) -> None:
    """File, line, key, reason, remedy and clause of every mistake, also as JSON."""
    path = tmp_path / "bad.toml"
    path.write_text('[quota]\ndefault = "500 MiB"\n[log]\nretain_months = 3\n[servr]\n')
    run = command("--config", path, "config", "check", "--json")
    assert run.code == 2
    assert [(row["line"], row["key"], row["clause"]) for row in run.json] == [
        (2, "quota.default", "8.3.b"),
        (4, "log.retain_months", "8.2"),
        (5, "servr", None),
    ]


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ('[directory]\nurl = "garbage"\n', "directory.url"),
        ('[directory]\nurl = "oracle://host/db"\n', "directory.url"),
        ('[tls]\ncertificate = "/tmp"\n', "tls.certificate"),
        (f'[directory]\nurl = "sqlite:////{"x" * 5000}"\n', "directory.url"),
    ],
)
def test_config_check_finds_what_a_start_would_stumble_over(more: str, key: str, command: Command, made: Path) -> None:
    """Exit 1 and the setting; and every other command says it in a sentence too."""
    text = "".join(line for line in made.read_text().splitlines(True) if line.rstrip() not in ("[directory]", "[tls]"))
    made.write_text(text + more)
    run = command("--config", made, "config", "check", "--json")
    assert (run.code, [row["key"] for row in run.json]) == (1, [key]), run.err
    assert "Unexpected" not in command("--config", made, "mailbox", "list").err


def test_config_check_reads_the_directory(command: Command, made: Path, tmp_path: Path) -> None:
    """A damaged file is not right, and the server that would not start says it once, in the person's language."""
    made.write_text(re.sub(r"# doors = .*", 'doors = ["smtp"]', made.read_text()).replace("# smtp = 25", "smtp = 0"))
    (tmp_path / "data" / "directory" / "directory.sqlite").write_bytes(b"no database " * 999)
    assert command("--config", made, "config", "check").code == 1
    told = program("--lang", "vi", "--config", made, "serve", environment={"PYTHONIOENCODING": "utf-8"})
    assert (told.returncode, told.stderr.decode().count("Không đọc được danh bạ")) == (3, 1), told.stderr


def test_the_decision_is_named_above_its_clauses(command: Command, made: Path, tmp_path: Path) -> None:
    """Where the configuration names it; the list needs none."""
    made.write_text(made.read_text().replace('# decision_no = ""', 'decision_no = "1553/QĐ-BTTTT"'))
    assert "Quyết định số 1553/QĐ-BTTTT" in command("--lang", "vi", "--config", made, "regulation", "list").out
    assert command("--config", tmp_path / "none.toml", "regulation", "list").code == 0


@pytest.mark.clause("3.2")
def test_config_show_and_reference(command: Command, made: Path) -> None:
    """`show --changed` prints what was decided here; `reference` has every setting with its meaning."""
    changed = {row["key"] for row in command("--config", made, "config", "show", "--changed", "--json").json}
    assert changed == {"server.data_dir", "auth.argon2_time", "auth.argon2_memory"}  # those of the fixture too
    rows = command("--lang", "vi", "config", "reference", "--json").json
    meanings = {row["key"]: row for row in rows}
    assert meanings["quota.default"]["clause"] == "8.3.b"
    assert "hộp thư" in meanings["quota.default"]["meaning"]


def test_a_help_desk_that_receives_nothing_is_found(command: Command, made: Path) -> None:
    """Every refusal names it: a warning until it leads to a mailbox; an address elsewhere is left alone."""

    def kinds() -> list[str]:
        return [row["kind"] for row in command("--config", made, "directory", "check", "--json").json]

    assert "support_receives_nothing" in kinds()
    assert command("--config", made, "alias", "add", "cntt@mic.gov.vn", "support").code == 0
    assert "support_receives_nothing" not in kinds()
    made.write_text(made.read_text().replace('# support = "support"', 'support = "help@elsewhere.vn"'))
    assert "support_receives_nothing" not in kinds()
