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
from unit.smtpclient.mta_sts import policy
from waiting import PATIENCE_SECONDS

DAY = timedelta(days=1)


def zone(policy_id: str | None = "1") -> dict[tuple[str, str], list[str]]:
    record = {("_mta-sts.one.example", "TXT"): [f'"v=STSv1; id={policy_id};"']} if policy_id else {}
    return {**record, ("mta-sts.one.example", "A"): ["127.0.0.7"], ("one.example", "A"): ["127.0.0.2"]}


@dataclass
class PolicyCaches:
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
async def policy_caches(folder: Path, reply: bytes | None = None, *names: str, **how: Any) -> AsyncIterator[PolicyCaches]:
    """`names`: of the web server's certificate; `how`: of the certificate."""
    authority = Authority(folder / "ca")
    context = authority.context(*(names or ("mta-sts.one.example",)), **how)
    server = WebServer(context, answer(policy()) if reply is None else reply)
    async with web(server) as port:
        with name_server(zone()) as name:
            yield PolicyCaches(folder, name, server, port, authority, ManualClock(datetime.now(UTC)))


async def test_asked_for_once(tmp_path: Path) -> None:
    """By twenty who want to know at once, and by a process that begins anew; as the RFC wants it asked for."""
    async with policy_caches(tmp_path) as caches:
        found = await asyncio.gather(*(caches.policies.ask("one.example") for _ in range(20)))
        assert {each and each.mode for each, _ in found} == {Mode.ENFORCE}
        caches.restart()
        assert await caches.mode() == "enforce"
        (head,) = caches.server.asked
        assert head.startswith(PATH)
        assert b"\r\nHost: mta-sts.one.example\r\n" in head
        (told,) = caches.events("tls_policy")
        assert (told["domain"], told["mode"], told["max_age"]) == ("one.example", "enforce", 604_800)
        assert list((tmp_path / "sts" / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    "domain", ["two.example", "a" * 63 + "." + "b" * 63 + "." + "c" * 63 + "." + "d" * 60, "..", "a/b", ""]
)
async def test_domains_without_a_policy(tmp_path: Path, domain: str) -> None:
    """Nobody is asked by HTTPS, and no file is made."""
    async with policy_caches(tmp_path) as caches:
        assert await caches.mode(domain) is None
        assert caches.server.asked == []


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
    async with policy_caches(tmp_path, IN_VAIN[way]) as caches:
        assert [await caches.mode() for _ in range(3)] == [None] * 3
        (told,) = caches.events("tls_policy_not_fetched")
        assert told["domain"] == "one.example"
        assert str(told["error"]).isascii()
        assert len(caches.server.asked) == 1
        caches.server.reply = answer(policy())
        caches.look_anew()
        assert await caches.mode() is None, "quarter of an hour"
        caches.names.zone.update(zone("2"))
        caches.look_anew()
        assert await caches.mode() == "enforce"


@pytest.mark.parametrize(
    "certificate",
    [{"names": ("other.example",)}, {"names": ("one.example",)}, {"days": -1}, {"names": ("*.example",)}, {"alone": True}],
    ids=["another name", "the domain's own", "ended", "a star too high", "common name alone"],
)
async def test_certificates_that_do_not_count(tmp_path: Path, certificate: dict[str, Any]) -> None:
    """§3.3: for that name, by an authority, in its time. Nothing is asked of who shows another one."""
    async with policy_caches(tmp_path) as caches:
        names = certificate.get("names", ("mta-sts.one.example",))
        if certificate.get("alone"):
            context = caches.authority.context(common_name="mta-sts.one.example")
        else:
            context = caches.authority.context(*names, days=certificate.get("days", 90))
        other = WebServer(context, answer(policy()))
        async with web(other, "127.0.0.8", caches.port):
            caches.names.zone["mta-sts.one.example", "A"] = ["127.0.0.8"]
            assert await caches.mode() is None
        assert other.asked == []


async def test_another_authority(tmp_path: Path) -> None:
    async with policy_caches(tmp_path) as caches:
        caches.authority = Authority(tmp_path / "other", "Other")
        caches.restart()
        assert await caches.mode() is None
        assert caches.server.asked == []


async def test_a_server_that_says_nothing(tmp_path: Path) -> None:
    """It has its time, however it uses it."""
    for number, (reply, endless) in enumerate(
        [(None, b""), (b"HTTP/1.1 200 OK\r\nX: ", b"x" * 1_000), (answer(b"x" * 60_000)[:-9], b"")]
    ):
        async with policy_caches(tmp_path / str(number), b"") as caches:
            caches.seconds = 1.0
            caches.restart()
            caches.server.reply, caches.server.endless = reply, endless
            async with asyncio.timeout(PATIENCE_SECONDS):
                assert await caches.mode() is None
            caches.server.reply, caches.server.endless = b"", b""


HINT = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
CHUNKS = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("reply", "endless"), [(HINT, HINT * 100), (CHUNKS, b"1;" + b"x" * 9_000 + b"\r\ny\r\n")], ids=["hints", "chunks"]
)
async def test_an_answer_that_never_begins_or_never_ends(tmp_path: Path, reply: bytes, endless: bytes) -> None:
    """However little text is in it, it is not listened to for as long as it may take."""
    async with policy_caches(tmp_path) as caches:
        caches.seconds = 10 * PATIENCE_SECONDS
        caches.restart()
        caches.server.reply, caches.server.endless = reply, endless
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await caches.mode() is None
        (told,) = caches.events("tls_policy_not_fetched")
        assert "more than" in str(told["error"])
        caches.server.endless = b""


async def test_hints_before_an_answer(tmp_path: Path) -> None:
    async with policy_caches(tmp_path, HINT * 3 + answer(policy())) as caches:
        assert await caches.mode() == "enforce"


async def test_the_next_address(tmp_path: Path) -> None:
    """Where nobody listens at the first."""
    async with policy_caches(tmp_path) as caches:
        caches.names.zone["mta-sts.one.example", "A"] = ["127.0.0.9", "127.0.0.7"]
        assert await caches.mode() == "enforce"


GONE: dict[str, Callable[[PolicyCaches], object]] = {
    "the record": lambda caches: caches.names.zone.pop(("_mta-sts.one.example", "TXT")),
    "a broken record": lambda caches: caches.names.zone.update({("_mta-sts.one.example", "TXT"): ['"v=STSv1; id=;"']}),
    "the name server": lambda caches: caches.names.troubles.update({"_mta-sts.one.example": BROKEN}),
    "the address": lambda caches: caches.names.zone.pop(("mta-sts.one.example", "A")),
    "the text, with another id": lambda caches: (
        caches.names.zone.update(zone("2")), setattr(caches.server, "reply", answer(b"", status="404 Gone")),
    ),
    "the sense, with another id": lambda caches: (
        caches.names.zone.update(zone("2")), setattr(caches.server, "reply", answer(b"x")),
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", GONE)
async def test_what_was_fetched_stays_in_force(tmp_path: Path, what: str) -> None:
    """§3.3: whatever is gone, in this process and in the next, until its end; and no day longer."""
    async with policy_caches(tmp_path) as caches:
        assert await caches.mode() == "enforce"
        GONE[what](caches)
        caches.restart()
        assert await caches.mode() == "enforce"
        caches.clock.move_to(caches.clock.now() + 6 * DAY)
        await caches.policies.refresh()
        caches.restart()
        assert await caches.mode() == "enforce"
        caches.clock.move_to(caches.clock.now() + 2 * DAY)
        assert await caches.mode() is None


async def test_another_id(tmp_path: Path) -> None:
    """Another policy from then on; `none` ends it (§8.3), and a new process knows that too."""
    async with policy_caches(tmp_path) as caches:
        assert await caches.mode() == "enforce"
        for number, mode in enumerate(("testing", "none", "enforce")):
            caches.server.reply = answer(policy(mode))
            caches.names.zone.update(zone(f"n{number}"))
            caches.restart()
            assert await caches.mode() == (None if mode == "none" else mode)
        assert len(caches.server.asked) == 4


async def test_fetched_anew_before_its_end(tmp_path: Path) -> None:
    """Each day, so that it has its whole time before it, though the id is the same; not what nobody sends to any more."""
    async with policy_caches(tmp_path) as caches:
        await caches.mode()
        await caches.policies.refresh()
        assert len(caches.server.asked) == 1
        for _ in range(3):
            caches.clock.move_to(caches.clock.now() + DAY)
            await caches.policies.refresh()
        assert len(caches.server.asked) == 4
        caches.clock.move_to(caches.clock.now() + 6 * DAY)
        del caches.names.zone["_mta-sts.one.example", "TXT"]
        caches.restart()
        assert await caches.mode() == "enforce", "nine days after it was fetched first, six after the last time"
        caches.names.zone.update(zone())
        caches.clock.move_to(caches.clock.now() + 31 * DAY)
        await caches.policies.refresh()
        assert len(caches.server.asked) == 4


async def test_no_more_than_so_many(tmp_path: Path) -> None:
    """On disk and in memory; what ends first goes first. Files of others are passed over."""
    names = [f"d{number}.example" for number in range(5)]
    async with policy_caches(tmp_path, None, *(f"mta-sts.{name}" for name in names)) as caches:
        caches.most = 3
        caches.restart()
        (tmp_path / "sts" / "live").mkdir(parents=True)
        (tmp_path / "sts" / "live" / "rubbish").write_bytes(b"\xff{")
        for number, name in enumerate(names):
            caches.names.zone[f"_mta-sts.{name}", "TXT"] = ['"v=STSv1; id=1"']
            caches.names.zone[f"mta-sts.{name}", "A"] = ["127.0.0.7"]
            caches.server.reply = answer(policy(age=1_000_000 - number))
            assert await caches.mode(name) == "enforce"
        left = sorted(os.listdir(tmp_path / "sts" / "live"))
        assert left == ["d0.example", "d1.example", "d4.example", "rubbish"]


@pytest.mark.parametrize("octets", [b"", b"{", b"[]", b'{"format": 2}', b'{"format": 1, "mode": "x"}', b"\xff"])
async def test_a_file_that_is_damaged(tmp_path: Path, octets: bytes) -> None:
    """Is fetched anew."""
    async with policy_caches(tmp_path) as caches:
        await caches.mode()
        (tmp_path / "sts" / "live" / "one.example").write_bytes(octets)
        caches.restart()
        assert await caches.mode() == "enforce"
        assert json.loads((tmp_path / "sts" / "live" / "one.example").read_bytes())["id"] == "1"


async def test_a_disk_that_takes_nothing(tmp_path: Path) -> None:
    """The policy counts all the same, in this process."""
    async with policy_caches(tmp_path) as caches:
        (tmp_path / "sts" / "live").mkdir(parents=True)
        (tmp_path / "sts" / "tmp").mkdir()
        (tmp_path / "sts" / "live" / "one.example").mkdir()
        assert await caches.mode() == "enforce"
        assert await caches.mode() == "enforce"
        assert len(caches.events("tls_policy_not_kept")) == 1


async def test_a_clock_that_was_set_back(tmp_path: Path) -> None:
    """Its time begins then, and does not end in years."""
    async with policy_caches(tmp_path) as caches:
        caches.clock.move_to(caches.clock.now() + 3_000 * DAY)
        caches.server.context = caches.authority.context("mta-sts.one.example", days=3_650)
        await caches.mode()
        caches.clock.move_to(caches.clock.now() - 3_000 * DAY)
        del caches.names.zone["_mta-sts.one.example", "TXT"]
        caches.restart()
        assert await caches.mode() == "enforce"
        caches.clock.move_to(caches.clock.now() + 8 * DAY)
        assert await caches.mode() is None


async def test_a_clock_that_is_ahead_for_a_moment(tmp_path: Path) -> None:
    """What was kept stays in force, though another policy is fetched meanwhile."""
    async with policy_caches(tmp_path) as caches:
        await caches.mode()
        del caches.names.zone["_mta-sts.one.example", "TXT"]
        caches.restart()
        right = caches.clock.now()
        caches.clock.set_to(right + 400 * DAY)
        assert await caches.mode() == "enforce"
        caches.names.zone["_mta-sts.two.example", "TXT"] = ['"v=STSv1; id=1;"']
        caches.names.zone["mta-sts.two.example", "A"] = ["127.0.0.7"]
        caches.server.context = caches.authority.context("mta-sts.two.example")
        await caches.policies.ask("two.example")
        caches.clock.set_to(right)
        caches.restart()
        assert await caches.mode() == "enforce"


async def test_nothing_is_remembered_of_certificates_at_a_false_time(tmp_path: Path) -> None:
    """What was fetched serves once and is not kept; what was not is asked for again at once, also if the time was believed."""
    async with policy_caches(tmp_path) as caches:
        right = caches.clock.now()
        caches.clock.set_to(right - 400 * DAY)
        assert await caches.mode() == "enforce"
        assert not list((caches.folder / "sts" / "live").iterdir())
        caches.server.reply = answer(b"", status="404 Gone")
        for tries in (1, 2):
            assert await caches.mode() is None
            assert len(caches.events("tls_policy_not_fetched")) == tries
        caches.clock.accept_time(caches.clock.now())
        for _ in range(2):
            assert await caches.mode() is None
            assert len(caches.events("tls_policy_not_fetched")) == 3
        caches.clock.set_to(right)
        caches.clock.accept_time(right)
        caches.policies.clock_moved()
        caches.server.reply = answer(policy())
        assert await caches.mode() == "enforce"
        assert list((caches.folder / "sts" / "live").iterdir())


async def test_what_goes_wrong_within_us_as_they_are_fetched_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log says so, and the next round comes: mail goes by what is known."""
    monkeypatch.setattr("mic_mail.smtpclient.mta_sts_cache.LOOK_SECONDS", 0.01)
    again = asyncio.Event()

    async with policy_caches(tmp_path) as caches:

        async def refresh() -> None:
            if caches.events("policies_not_refreshed"):
                again.set()
            raise KeyError("one.example")

        monkeypatch.setattr(caches.policies, "refresh", refresh)
        running = asyncio.create_task(caches.policies.run())
        await asyncio.wait_for(again.wait(), 10)
        running.cancel()
    assert caches.events("policies_not_refreshed")[0]["error"] == "KeyError('one.example')"
