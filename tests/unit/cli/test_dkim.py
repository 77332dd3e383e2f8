"""`mic-mail dkim key add|rotate|use|list|remove`: a key signs once the DNS has it, and stays there while mail may need it."""

import json
import os
import resource
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from dns_server import BROKEN, SILENT, NameServer, name_server
from mic_mail.clock import ManualClock, SystemClock
from mic_mail.errors import Refused, Trouble
from mic_mail.log.maillog import MailLog
from mic_mail.mime.dkim import strings_of
from mic_mail.net.dns import Resolver
from mic_mail.process.executors import Executors
from mic_mail.services.operations.dkim import DkimKeys
from mic_mail.smtpclient.dkim_keys import Algorithm, Key, KeyFolder, KeyState, KeyUnusable
from regulation.console import Console
from unit.cli.settings_file import write_settings

DOMAIN, OTHER = "mic.gov.vn", "mard.example"


@pytest.fixture
def console(tmp_path: Path) -> Console:
    console = Console(tmp_path).init()
    write_settings(console, "server", more_domains=[OTHER])
    return console


def keys_of(console: Console) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = console.json("dkim", "key", "list")
    return rows


def published(console: Console) -> dict[tuple[str, str], list[str]]:
    return {(row["name"], "TXT"): [row["value"]] for row in keys_of(console)}


def verdicts(console: Console) -> dict[str, tuple[str, str]]:
    console.run("dns", "check", "--json")
    return {row["name"]: (row["verdict"], row["need"]) for row in json.loads(console.out) if "_domainkey" in row["name"]}


def test_one_key_from_its_making_to_its_end(console: Console) -> None:
    """Made for every domain; announced; signing once the DNS has it; followed by another; removed after a week."""
    made = console.json("dkim", "key", "add", "--selector", "s1")
    assert [row["name"] for row in made] == [f"s1._domainkey.{DOMAIN}", f"s1._domainkey.{OTHER}"]
    assert made[0]["value"] != made[1]["value"]
    assert all(len(part) <= 255 for row in made for part in row["value"].strip('"').split('" "'))
    assert {row["state"] for row in keys_of(console)} == {"announced"}
    assert "is sent without a signature" in console.err
    console.done("dns", "records", "--zone")
    assert f"s1._domainkey.{DOMAIN}. 3600 IN TXT {made[0]['value']}" in console.out
    with name_server({(DOMAIN, "NS"): ["ns."], (OTHER, "NS"): ["ns."]}) as names:
        write_settings(console, "dns", nameservers=[names.place], seconds=1)
        console.refused("dkim", "key", "use", "s1", says="does not have its record yet")
        assert set(verdicts(console).values()) == {("missing", "recommended")}
        names.zone |= published(console)
        console.done("dkim", "key", "use", "s1")
        assert {row["state"] for row in keys_of(console)} == {"signing"}
        assert set(verdicts(console).values()) == {("ok", "required")}
        console.json("dkim", "key", "rotate", "--domain", OTHER)
        (new,) = [row["selector"] for row in keys_of(console) if row["state"] == "announced"]
        assert new.startswith("rsa20")
        console.refused("dkim", "key", "rotate", "--domain", OTHER, says="waits for the DNS")
        console.done("dkim", "key", "use", new, "--now")
        states = {(row["domain"], row["selector"]): row["state"] for row in keys_of(console)}
        assert states == {(DOMAIN, "s1"): "signing", (OTHER, "s1"): "retired", (OTHER, new): "signing"}
        assert verdicts(console)[f"{new}._domainkey.{OTHER}"] == ("missing", "required")
        assert verdicts(console)[f"s1._domainkey.{OTHER}"] == ("ok", "required")
    console.refused("dkim", "key", "remove", "s1", "--domain", OTHER, says="has to stay in the DNS until")
    console.refused("dkim", "key", "remove", "s1", "--domain", DOMAIN, says="signs mail")
    console.done("dkim", "key", "remove", "s1", "--domain", OTHER, "--now")
    folder = console.folder / "data" / "dkim"
    assert sorted(path.name for path in folder.glob("*.pem")) == sorted(
        [f"s1._domainkey.{DOMAIN}.pem", f"{new}._domainkey.{OTHER}.pem"]
    )
    acts = [json.loads(line) for path in (console.folder / "data" / "log").glob("audit-*") for line in path.open()]
    assert [act["act"] for act in acts if act["act"].startswith("dkim")].count("dkim_key_add") == 1
    assert "PRIVATE" not in json.dumps(acts)


def test_whose_files_they_are(console: Console) -> None:
    console.json("dkim", "key", "add")
    folder = console.folder / "data" / "dkim"
    assert folder.stat().st_mode & 0o7777 == 0o700
    assert {path.stat().st_mode & 0o7777 for path in folder.iterdir()} == {0o600}
    private = load_pem_private_key(next(folder.glob("*.pem")).read_bytes(), None)
    assert isinstance(private, rsa.RSAPrivateKey)
    assert private.key_size == 2048
    assert "PRIVATE" not in console.out + console.err
    console.done("config", "show")
    assert "PRIVATE" not in console.out


@pytest.mark.parametrize(
    "words",
    [
        ("add", "--bits", "1024"),
        ("add", "--bits", "8192"),
        ("add", "--selector", "A"),
        ("add", "--selector", "a.b"),
        ("add", "--selector", "../x"),
        ("add", "--selector", "-a"),
        ("add", "--selector", ""),
        ("add", "--domain", "elsewhere.example"),
        ("add", "--algorithm", "dsa"),
        ("use", "nothing"),
        ("use", "nothing", "--now"),
        ("remove", "nothing"),
    ],
)
def test_what_makes_no_sense(console: Console, words: tuple[str, ...]) -> None:
    assert console.run("dkim", "key", *words) == 2, (console.out, console.err)
    assert not list((console.folder / "data" / "dkim").glob("*.pem"))


def test_nothing_to_rotate(console: Console) -> None:
    console.refused("dkim", "key", "rotate", says="No key signs yet")
    console.json("dkim", "key", "add", "--selector", "s1")
    console.refused("dkim", "key", "rotate", says="already exists and waits for the DNS")


def test_a_selector_that_is_taken(console: Console) -> None:
    console.json("dkim", "key", "add", "--selector", "s1")
    console.refused("dkim", "key", "add", "--selector", "s1", "--algorithm", "ed25519", says="already has the selector s1")
    assert len(keys_of(console)) == 2


def test_a_key_that_cannot_be_read_is_named(console: Console) -> None:
    console.json("dkim", "key", "add", "--selector", "s1", "--domain", DOMAIN)
    file = console.folder / "data" / "dkim" / f"s1._domainkey.{DOMAIN}.pem"
    file.chmod(0o644)
    (row,) = keys_of(console)
    assert str(file) in row["trouble"]
    console.refused("dkim", "key", "use", "s1", "--now", says=str(file), code=3)
    file.chmod(0o600)
    assert keys_of(console)[0]["trouble"] is None
    (file.parent / "ring.json").write_text("{")
    for words in (("dkim", "key", "list"), ("dkim", "key", "add"), ("dns", "records")):
        assert console.run(*words) == 3, words
        assert "ring.json" in console.err


@pytest.mark.slow
def test_ten_at_once(console: Console) -> None:
    """One of them makes the key; the others hear that it waits."""
    console.json("dkim", "key", "add", "--selector", "s1")
    console.done("dkim", "key", "use", "s1", "--now")
    code = "import sys; from mic_mail.cli.entrypoint import run; sys.argv = ['mic-mail', 'dkim', 'key', 'rotate']; run()"
    env = {**os.environ, **console.env}
    running = [subprocess.Popen([sys.executable, "-c", code], env=env, stderr=subprocess.PIPE, text=True) for _ in range(10)]
    told = [each.communicate(timeout=100)[1] for each in running]
    assert sorted(each.returncode for each in running) == [0] + [1] * 9, told
    assert sum("waits for the DNS" in each for each in told) == 9
    assert sorted(row["state"] for row in keys_of(console)) == ["announced", "announced", "signing", "signing"]
    assert all(row["trouble"] is None for row in keys_of(console))


# ------------------------------------------------------------ by the clock and the DNS

START = datetime(2026, 11, 26, tzinfo=UTC)


class Life:
    """The keys of one domain, a clock, a name server, and whoever looks."""

    def __init__(self, folder: Path, names: NameServer) -> None:
        self.folder = folder
        self.names = names
        self.clock = ManualClock(START)
        self.keys = DkimKeys(KeyFolder(folder), self.clock)
        self.log = MailLog(folder / "log", "housekeeper", clock=SystemClock(), threaded=False)

    async def look(self) -> None:
        executors = Executors(io_threads=1, hash_threads=1)
        await self.keys.switch(lambda: Resolver([self.names.place], seconds=0.3), executors, self.log)
        executors.close()

    def publish(self, key: Key, *texts: str) -> None:
        self.names.zone[key.name, "TXT"] = [strings_of(text) for text in texts or [key.record]]

    def state(self, selector: str, domain: str = DOMAIN) -> KeyState:
        (found,) = [key.state for key in self.keys.all() if (key.selector, key.domain) == (selector, domain)]
        return found


async def test_the_housekeeper_switches(tmp_path: Path) -> None:
    """Each kind by itself; the one before retires for a week."""
    with name_server({(DOMAIN, "NS"): ["ns."]}) as names:
        life = Life(tmp_path, names)
        (old,) = life.keys.add([DOMAIN], Algorithm.RSA, 2048, "old")
        (other,) = life.keys.add([DOMAIN], Algorithm.ED25519, 0, "ed")
        await life.look()
        assert life.state("old") is KeyState.ANNOUNCED
        life.publish(old)
        await life.look()
        assert (life.state("old"), life.state("ed")) == (KeyState.SIGNING, KeyState.ANNOUNCED)
        life.publish(other)
        await life.look()
        (new,) = [key for key in life.keys.rotate([DOMAIN]) if key.algorithm is Algorithm.RSA]
        assert (new.bits, new.state) == (2048, KeyState.ANNOUNCED)
        names.troubles[new.name] = SILENT
        await life.look()
        names.troubles[new.name] = BROKEN
        await life.look()
        del names.troubles[new.name]
        assert (life.state("old"), life.state(new.selector)) == (KeyState.SIGNING, KeyState.ANNOUNCED)
        life.publish(new)
        await life.look()
        assert (life.state("old"), life.state(new.selector), life.state("ed")) == (
            KeyState.RETIRED,
            KeyState.SIGNING,
            KeyState.SIGNING,
        )
        events = "".join(path.read_text() for path in (tmp_path / "log").glob("*.jsonl"))
        assert events.count('"dkim_key_signs"') == 3
    life.clock.move_to(START + timedelta(days=6, hours=23))
    assert old.name in {key.name for key in life.keys.published()}
    with pytest.raises(Refused):
        life.keys.remove("old", [DOMAIN], now=False)
    life.clock.move_to(START + timedelta(days=7, minutes=1))
    assert old.name not in {key.name for key in life.keys.published()}
    life.keys.remove("old", [DOMAIN], now=False)
    assert "old" not in {key.selector for key in life.keys.all()}


async def test_a_record_that_is_not_ours(tmp_path: Path) -> None:
    with name_server({(DOMAIN, "NS"): ["ns."]}) as names:
        life = Life(tmp_path, names)
        (key,) = life.keys.add([DOMAIN], Algorithm.RSA, 2048, "s1")
        for texts in (["v=DKIM1; k=rsa; p="], ["v=spf1 -all"], [key.record, key.record + ";"], [key.record[:-40]], [""]):
            life.publish(key, *texts)
            await life.look()
            assert life.state("s1") is KeyState.ANNOUNCED, texts
        life.publish(key, key.record + "; t=s; n=notes")
        await life.look()
        assert life.state("s1") is KeyState.SIGNING


async def test_a_key_whose_file_is_gone_is_not_switched_to(tmp_path: Path) -> None:
    """The one before it goes on."""
    with name_server({(DOMAIN, "NS"): ["ns."]}) as names:
        life = Life(tmp_path, names)
        life.keys.add([DOMAIN], Algorithm.RSA, 2048, "s1")
        life.keys.use("s1", [DOMAIN])
        (new,) = life.keys.rotate([DOMAIN])
        life.publish(new)
        (tmp_path / "dkim" / f"{new.name}.pem").unlink()
        with pytest.raises(KeyUnusable):
            await life.look()
        assert life.state("s1") is KeyState.SIGNING


async def test_a_key_that_cannot_be_used_keeps_no_other_back(tmp_path: Path) -> None:
    """It is told, after the others sign."""
    with name_server({(DOMAIN, "NS"): ["ns."], (OTHER, "NS"): ["ns."]}) as names:
        life = Life(tmp_path, names)
        bad, good = life.keys.add([DOMAIN, OTHER], Algorithm.ED25519, 0, "s1")
        for key in (bad, good):
            life.publish(key)
        file = tmp_path / "dkim" / f"{bad.name}.pem"
        file.chmod(0o644)
        with pytest.raises(KeyUnusable, match=file.name):
            await life.look()
        assert {key.domain: key.state for key in life.keys.all()} == {DOMAIN: KeyState.ANNOUNCED, OTHER: KeyState.SIGNING}
        events = "".join(path.read_text() for path in (tmp_path / "log").glob("*.jsonl"))
        assert events.count('"dkim_key_signs"') == 1
        file.chmod(0o600)
        await life.look()
        assert life.state("s1", DOMAIN) is KeyState.SIGNING


def test_a_ring_that_is_damaged(console: Console, tmp_path: Path) -> None:
    """What its remedy says works: from a backup, or without one."""
    console.json("dkim", "key", "add", "--selector", "s1")
    backup = tmp_path / "backup"
    console.done("backup", backup)
    folder = console.folder / "data" / "dkim"
    ring = folder / "ring.json"
    before = keys_of(console)
    ring.write_text("{")
    for words in (["rotate"], ["add"], ["remove", "s1", "--now"]):
        console.refused(
            "dkim",
            "key",
            *words,
            says="copy keys/dkim back from a backup, or set it aside and make new keys: `mic-mail --config",
            code=3,
        )
        assert "rotate" not in console.err
    shutil.copytree(backup / "keys" / "dkim", folder, dirs_exist_ok=True)
    assert keys_of(console) == before
    ring.write_text("{")
    ring.rename(folder / "ring.damaged")
    console.json("dkim", "key", "add", "--selector", "s1")
    assert [row["trouble"] for row in keys_of(console)] == [None, None]
    console.done("dkim", "key", "use", "s1", "--now")


def test_a_full_disk(tmp_path: Path) -> None:
    """Nothing has changed, no secret stays behind, and what it says is about the disk."""
    keys = DkimKeys(KeyFolder(tmp_path), SystemClock())
    keys.add([DOMAIN], Algorithm.ED25519, 0, "s1")
    before, limits = keys.all(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, limits[1]))  # a key has room, the ring has not
    try:
        with pytest.raises(Trouble, match="cannot be changed") as told:
            keys.use("s1", [DOMAIN])
        with pytest.raises(Trouble, match="cannot be changed"):
            keys.add([DOMAIN], Algorithm.RSA, 2048, "s2")
        with pytest.raises(Trouble, match="cannot be changed"):
            keys.add([OTHER], Algorithm.ED25519, 0, "s3")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert told.value.remedy is None
    assert keys.all() == before
    assert sorted(path.name for path in (tmp_path / "dkim").iterdir()) == ["lock", "ring.json", f"s1._domainkey.{DOMAIN}.pem"]
