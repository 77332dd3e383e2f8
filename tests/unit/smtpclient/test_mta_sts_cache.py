"""Policies fetched from real web servers by names of a real name server, kept on disk, and what becomes of them in trouble."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from certificate_authority import Authority
from dns_server import BROKEN, NameServer, name_server
from https_server import PATH, WebServer, answer, web
from mic_mail.clock import ManualClock
from mic_mail.process.executors import Executors
from mic_mail.smtpclient.mta_sts import Mode
from mic_mail.smtpclient.mta_sts_cache import Policies, PolicySettings
from runtimes import runtime
from waiting import PATIENCE_SECONDS

DAY = timedelta(days=1)


def policy(mode: str = "enforce", mx: str = "mx.one.example", age: int = 604_800) -> bytes:
    return f"version: STSv1\r\nmode: {mode}\r\nmx: {mx}\r\nmax_age: {age}\r\n".encode()


def zone(policy_id: str | None = "1") -> dict[tuple[str, str], list[str]]:
    record = {("_mta-sts.one.example", "TXT"): [f'"v=STSv1; id={policy_id};"']} if policy_id else {}
    return {**record, ("mta-sts.one.example", "A"): ["127.0.0.7"], ("one.example", "A"): ["127.0.0.2"]}


@dataclass
class Desk:
    """Policies of one process after the other, in one folder."""

    folder: Path
    names: NameServer
    server: WebServer
    port: int
    authority: Authority
    clock: ManualClock
    most: int = 10
    seconds: float = PATIENCE_SECONDS
    told: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.executors = Executors(io_threads=2, hash_threads=1)
        self.restart()

    def restart(self) -> None:
        """What a new process knows."""
        settings = PolicySettings(self.port, self.authority.file, self.seconds, self.most)
        resolver = self.names.resolver()
        unused: Any = None
        process = runtime(unused, self.clock, log=self, executors=self.executors)
        self.policies = Policies(process, self.folder / "sts", resolver, settings)

    def look_anew(self) -> None:
        """Records may be others than before."""
        self.policies._resolver = self.names.resolver()

    def event(self, event: str, **fields: Any) -> None:
        self.told.append({"event": event, **fields})

    async def mode(self, domain: str = "one.example") -> str | None:
        found, _ = await self.policies.ask(domain)
        return found.mode.value if found is not None else None

    def events(self, name: str) -> list[dict[str, Any]]:
        return [told for told in self.told if told["event"] == name]


@asynccontextmanager
async def desks(folder: Path, reply: bytes | None = None, *names: str, **how: Any) -> AsyncIterator[Desk]:
    """`names`: of the web server's certificate; `how`: of the certificate."""
    authority = Authority(folder / "ca")
    context = authority.context(*(names or ("mta-sts.one.example",)), **how)
    server = WebServer(context, answer(policy()) if reply is None else reply)
    async with web(server) as port:
        with name_server(zone()) as name:
            yield Desk(folder, name, server, port, authority, ManualClock(datetime.now(UTC)))


async def test_asked_for_once(tmp_path: Path) -> None:
    """By twenty who want to know at once, and by a process that begins anew; as the RFC wants it asked for."""
    async with desks(tmp_path) as desk:
        found = await asyncio.gather(*(desk.policies.ask("one.example") for _ in range(20)))
        assert {each and each.mode for each, _ in found} == {Mode.ENFORCE}
        desk.restart()
        assert await desk.mode() == "enforce"
        (head,) = desk.server.asked
        assert head.startswith(PATH)
        assert b"\r\nHost: mta-sts.one.example\r\n" in head
        (told,) = desk.events("tls_policy")
        assert (told["domain"], told["mode"], told["max_age"]) == ("one.example", "enforce", 604_800)
        assert list((tmp_path / "sts" / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    "domain", ["two.example", "a" * 63 + "." + "b" * 63 + "." + "c" * 63 + "." + "d" * 60, "..", "a/b", ""]
)
async def test_domains_without_a_policy(tmp_path: Path, domain: str) -> None:
    """Nobody is asked by HTTPS, and no file is made."""
    async with desks(tmp_path) as desk:
        assert await desk.mode(domain) is None
        assert desk.server.asked == []


HUGE = policy() + b"x: " + b"y" * 70_000 + b"\n"
IN_VAIN: dict[str, bytes] = {
    "redirect": answer(b"", status="301 Moved", more="Location: https://mta-sts.one.example/other\r\n"),
    "404": answer(policy(), status="404 Not Found"),
    "500": answer(policy(), status="500 Oops"),
    "html": answer(policy(), kind="text/html"),
    "no type": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    "too large": answer(HUGE),
    "compressed": answer(policy(), more="Content-Encoding: gzip\r\n"),
    "no length": answer(policy(), length=False),
    "cut": answer(policy())[:-5],
    "no policy": answer(b"<html></html>"),
    "no HTTP": b"220 mail ESMTP\r\n",
    "hangs up": b"",
    "bad chunks": b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a header without end": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000,
}


@pytest.mark.parametrize("way", IN_VAIN)
async def test_answers_that_are_none(tmp_path: Path, way: str) -> None:
    """No policy, why in the log; not asked for again at once, but as soon as it has another id."""
    async with desks(tmp_path, IN_VAIN[way]) as desk:
        assert [await desk.mode() for _ in range(3)] == [None] * 3
        (told,) = desk.events("tls_policy_not_fetched")
        assert told["domain"] == "one.example"
        assert str(told["error"]).isascii()
        assert len(desk.server.asked) == 1
        desk.server.reply = answer(policy())
        desk.look_anew()
        assert await desk.mode() is None, "quarter of an hour"
        desk.names.zone.update(zone("2"))
        desk.look_anew()
        assert await desk.mode() == "enforce"


@pytest.mark.parametrize(
    "certificate",
    [{"names": ("other.example",)}, {"names": ("one.example",)}, {"days": -1}, {"names": ("*.example",)}, {"alone": True}],
    ids=["another name", "the domain's own", "ended", "a star too high", "common name alone"],
)
async def test_certificates_that_do_not_count(tmp_path: Path, certificate: dict[str, Any]) -> None:
    """§3.3: for that name, by an authority, in its time. Nothing is asked of who shows another one."""
    async with desks(tmp_path) as desk:
        names = certificate.get("names", ("mta-sts.one.example",))
        if certificate.get("alone"):
            context = desk.authority.context(common_name="mta-sts.one.example")
        else:
            context = desk.authority.context(*names, days=certificate.get("days", 90))
        other = WebServer(context, answer(policy()))
        async with web(other, "127.0.0.8", desk.port):
            desk.names.zone["mta-sts.one.example", "A"] = ["127.0.0.8"]
            assert await desk.mode() is None
        assert other.asked == []


async def test_another_authority(tmp_path: Path) -> None:
    async with desks(tmp_path) as desk:
        desk.authority = Authority(tmp_path / "other", "Other")
        desk.restart()
        assert await desk.mode() is None
        assert desk.server.asked == []


async def test_a_server_that_says_nothing(tmp_path: Path) -> None:
    """It has its time, however it uses it."""
    for number, (reply, endless) in enumerate(
        [(None, b""), (b"HTTP/1.1 200 OK\r\nX: ", b"x" * 1_000), (answer(b"x" * 60_000)[:-9], b"")]
    ):
        async with desks(tmp_path / str(number), b"") as desk:
            desk.seconds = 1.0
            desk.restart()
            desk.server.reply, desk.server.endless = reply, endless
            async with asyncio.timeout(PATIENCE_SECONDS):
                assert await desk.mode() is None
            desk.server.reply, desk.server.endless = b"", b""


HINT = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
CHUNKS = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("reply", "endless"), [(HINT, HINT * 100), (CHUNKS, b"1;" + b"x" * 9_000 + b"\r\ny\r\n")], ids=["hints", "chunks"]
)
async def test_an_answer_that_never_begins_or_never_ends(tmp_path: Path, reply: bytes, endless: bytes) -> None:
    """However little text is in it, it is not listened to for as long as it may take."""
    async with desks(tmp_path) as desk:
        desk.seconds = 10 * PATIENCE_SECONDS
        desk.restart()
        desk.server.reply, desk.server.endless = reply, endless
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await desk.mode() is None
        (told,) = desk.events("tls_policy_not_fetched")
        assert "more than" in str(told["error"])
        desk.server.endless = b""


async def test_hints_before_an_answer(tmp_path: Path) -> None:
    async with desks(tmp_path, HINT * 3 + answer(policy())) as desk:
        assert await desk.mode() == "enforce"


async def test_the_next_address(tmp_path: Path) -> None:
    """Where nobody listens at the first."""
    async with desks(tmp_path) as desk:
        desk.names.zone["mta-sts.one.example", "A"] = ["127.0.0.9", "127.0.0.7"]
        assert await desk.mode() == "enforce"


GONE: dict[str, Callable[[Desk], object]] = {
    "the record": lambda desk: desk.names.zone.pop(("_mta-sts.one.example", "TXT")),
    "a broken record": lambda desk: desk.names.zone.update({("_mta-sts.one.example", "TXT"): ['"v=STSv1; id=;"']}),
    "the name server": lambda desk: desk.names.troubles.update({"_mta-sts.one.example": BROKEN}),
    "the address": lambda desk: desk.names.zone.pop(("mta-sts.one.example", "A")),
    "the text, with another id": lambda desk: (
        desk.names.zone.update(zone("2")), setattr(desk.server, "reply", answer(b"", status="404 Gone")),
    ),
    "the sense, with another id": lambda desk: (desk.names.zone.update(zone("2")), setattr(desk.server, "reply", answer(b"x"))),
}  # fmt: skip


@pytest.mark.parametrize("what", GONE)
async def test_what_was_fetched_stays_in_force(tmp_path: Path, what: str) -> None:
    """§3.3: whatever is gone, in this process and in the next, until its end; and no day longer."""
    async with desks(tmp_path) as desk:
        assert await desk.mode() == "enforce"
        GONE[what](desk)
        desk.restart()
        assert await desk.mode() == "enforce"
        desk.clock.move_to(desk.clock.now() + 6 * DAY)
        await desk.policies.refresh()
        desk.restart()
        assert await desk.mode() == "enforce"
        desk.clock.move_to(desk.clock.now() + 2 * DAY)
        assert await desk.mode() is None


async def test_another_id(tmp_path: Path) -> None:
    """Another policy from then on; `none` ends it (§8.3), and a new process knows that too."""
    async with desks(tmp_path) as desk:
        assert await desk.mode() == "enforce"
        for number, mode in enumerate(("testing", "none", "enforce")):
            desk.server.reply = answer(policy(mode))
            desk.names.zone.update(zone(f"n{number}"))
            desk.restart()
            assert await desk.mode() == (None if mode == "none" else mode)
        assert len(desk.server.asked) == 4


async def test_fetched_anew_before_its_end(tmp_path: Path) -> None:
    """Each day, so that it has its whole time before it, though the id is the same; not what nobody sends to any more."""
    async with desks(tmp_path) as desk:
        await desk.mode()
        await desk.policies.refresh()
        assert len(desk.server.asked) == 1
        for _ in range(3):
            desk.clock.move_to(desk.clock.now() + DAY)
            await desk.policies.refresh()
        assert len(desk.server.asked) == 4
        desk.clock.move_to(desk.clock.now() + 6 * DAY)
        del desk.names.zone["_mta-sts.one.example", "TXT"]
        desk.restart()
        assert await desk.mode() == "enforce", "nine days after it was fetched first, six after the last time"
        desk.names.zone.update(zone())
        desk.clock.move_to(desk.clock.now() + 31 * DAY)
        await desk.policies.refresh()
        assert len(desk.server.asked) == 4


async def test_no_more_than_so_many(tmp_path: Path) -> None:
    """On disk and in memory; what ends first goes first. Files of others are passed over."""
    names = [f"d{number}.example" for number in range(5)]
    async with desks(tmp_path, None, *(f"mta-sts.{name}" for name in names)) as desk:
        desk.most = 3
        desk.restart()
        (tmp_path / "sts" / "live").mkdir(parents=True)
        (tmp_path / "sts" / "live" / "rubbish").write_bytes(b"\xff{")
        for number, name in enumerate(names):
            desk.names.zone[f"_mta-sts.{name}", "TXT"] = ['"v=STSv1; id=1"']
            desk.names.zone[f"mta-sts.{name}", "A"] = ["127.0.0.7"]
            desk.server.reply = answer(policy(age=1_000_000 - number))
            assert await desk.mode(name) == "enforce"
        left = sorted(os.listdir(tmp_path / "sts" / "live"))
        assert left == ["d0.example", "d1.example", "d4.example", "rubbish"]


@pytest.mark.parametrize("octets", [b"", b"{", b"[]", b'{"format": 2}', b'{"format": 1, "mode": "x"}', b"\xff"])
async def test_a_file_that_is_damaged(tmp_path: Path, octets: bytes) -> None:
    """Is fetched anew."""
    async with desks(tmp_path) as desk:
        await desk.mode()
        (tmp_path / "sts" / "live" / "one.example").write_bytes(octets)
        desk.restart()
        assert await desk.mode() == "enforce"
        assert json.loads((tmp_path / "sts" / "live" / "one.example").read_bytes())["id"] == "1"


async def test_a_disk_that_takes_nothing(tmp_path: Path) -> None:
    """The policy counts all the same, in this process."""
    async with desks(tmp_path) as desk:
        (tmp_path / "sts" / "live").mkdir(parents=True)
        (tmp_path / "sts" / "tmp").mkdir()
        (tmp_path / "sts" / "live" / "one.example").mkdir()
        assert await desk.mode() == "enforce"
        assert await desk.mode() == "enforce"
        assert len(desk.events("tls_policy_not_kept")) == 1


async def test_a_clock_that_was_set_back(tmp_path: Path) -> None:
    """Its time begins then, and does not end in years."""
    async with desks(tmp_path) as desk:
        desk.clock.move_to(desk.clock.now() + 3_000 * DAY)
        desk.server.context = desk.authority.context("mta-sts.one.example", days=3_650)
        await desk.mode()
        desk.clock.move_to(desk.clock.now() - 3_000 * DAY)
        del desk.names.zone["_mta-sts.one.example", "TXT"]
        desk.restart()
        assert await desk.mode() == "enforce"
        desk.clock.move_to(desk.clock.now() + 8 * DAY)
        assert await desk.mode() is None


async def test_a_clock_that_is_ahead_for_a_moment(tmp_path: Path) -> None:
    """What was kept stays in force, though another policy is fetched meanwhile."""
    async with desks(tmp_path) as desk:
        await desk.mode()
        del desk.names.zone["_mta-sts.one.example", "TXT"]
        desk.restart()
        right = desk.clock.now()
        desk.clock.set_to(right + 400 * DAY)
        assert await desk.mode() == "enforce"
        desk.names.zone["_mta-sts.two.example", "TXT"] = ['"v=STSv1; id=1;"']
        desk.names.zone["mta-sts.two.example", "A"] = ["127.0.0.7"]
        desk.server.context = desk.authority.context("mta-sts.two.example")
        await desk.policies.ask("two.example")
        desk.clock.set_to(right)
        desk.restart()
        assert await desk.mode() == "enforce"


async def test_nothing_is_remembered_of_certificates_at_a_false_time(tmp_path: Path) -> None:
    """What was fetched serves once and is not kept; what was not is asked for again at once, also if the time was believed."""
    async with desks(tmp_path) as desk:
        right = desk.clock.now()
        desk.clock.set_to(right - 400 * DAY)
        assert await desk.mode() == "enforce"
        assert not list((desk.folder / "sts" / "live").iterdir())
        desk.server.reply = answer(b"", status="404 Gone")
        for tries in (1, 2):
            assert await desk.mode() is None
            assert len(desk.events("tls_policy_not_fetched")) == tries
        desk.clock.accept_time(desk.clock.now())
        for _ in range(2):
            assert await desk.mode() is None
            assert len(desk.events("tls_policy_not_fetched")) == 3
        desk.clock.set_to(right)
        desk.clock.accept_time(right)
        desk.policies.clock_moved()
        desk.server.reply = answer(policy())
        assert await desk.mode() == "enforce"
        assert list((desk.folder / "sts" / "live").iterdir())


async def test_what_goes_wrong_within_us_as_they_are_fetched_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log says so, and the next round comes: mail goes by what is known."""
    monkeypatch.setattr("mic_mail.smtpclient.mta_sts_cache.LOOK_SECONDS", 0.01)
    again = asyncio.Event()

    async with desks(tmp_path) as desk:

        async def refresh() -> None:
            if desk.events("policies_not_refreshed"):
                again.set()
            raise KeyError("one.example")

        monkeypatch.setattr(desk.policies, "refresh", refresh)
        running = asyncio.create_task(desk.policies.run())
        await asyncio.wait_for(again.wait(), 10)
        running.cancel()
    assert desk.events("policies_not_refreshed")[0]["error"] == "KeyError('one.example')"
