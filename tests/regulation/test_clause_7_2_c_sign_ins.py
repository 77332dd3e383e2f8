"""Reg. 7.2.c: the person and the Centre are told of sign-ins that look like a stolen password; a setting lets them suspend."""

import contextlib
import email
import imaplib
import json
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from harness import MailServer
from mic_mail.clock import ManualClock
from mic_mail.policy.credentials.anomalies import GRACE, AnomalyDetector, AnomalyLimits, AnomalyRule, Attempt
from mic_mail.policy.facts import Draft, FactKind
from mic_mail.storage.types import INBOX, AccountRef
from population import PASSWORD

NOW = datetime(2026, 11, 24, 2, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
SIGN_INS = ("Somebody signed in to", "Sign-in to", "had an abnormal sign-in")
"""What letters say of a sign-in that looks like a stolen password."""


class Ministry:
    """A server that counts this machine's many networks (127.0.0.0/8 has 65,536 of /24)."""

    def __init__(self, serve: Callable[..., MailServer], *, support: bool = True, **anomaly: Any) -> None:
        self.clock = ManualClock(NOW)
        self.server = serve({"limits": {"exempt_networks": ()}, "anomaly": {"sprayed": 10, **anomaly}}, clock=self.clock)
        self.names = [f"m{number}" for number in range(10)]
        if support:
            self.server.population.issue("support", name="Trung tâm Thông tin")
        self.be = self.server.population.issue("dvbe", name="Đỗ Văn Bê")
        for name in self.names:
            self.server.population.issue(name)
        self.server.refresh()
        self.server.housekeep()

    def sign_in(self, name: str, peer: str, password: str = PASSWORD) -> bool:
        """Whether the password did it."""
        client = _Imap(self.server, peer)
        with client:
            try:
                client.authenticate("PLAIN", lambda _: f"\0{name}@mic.gov.vn\0{password}".encode())
            except imaplib.IMAP4.error:
                return False
        return True

    def later(self, time: timedelta) -> None:
        """The housekeeper comes at once, and again after a while; everything written is there to be read."""
        for step in (timedelta(0), time):
            self.server.running.context.log.flush()
            self.server.move_clock_to(self.clock.now() + step)
            self.server.refresh()
            self.server.housekeep()
        self.server.running.context.log.flush()

    def letters(self, local: str) -> list[str]:
        mailbox = self.server.population.directory.mailbox(f"{local}@mic.gov.vn")
        account = self.server.running.context.store.account(AccountRef(mailbox.mailbox_id, mailbox.home))
        view = account.view(account.folder(INBOX).folder_id)
        found = []
        for uid in view.uids:
            with account.open_message(view.info.folder_id, uid) as file:
                found.append(email.message_from_bytes(file.pread(0, file.size)).get_payload(decode=True))
        texts = (" ".join(each.decode().split()) for each in found if isinstance(each, bytes))
        return [each for each in texts if any(words in each for words in SIGN_INS)]

    def anomalies(self) -> list[dict[str, Any]]:
        return [event for event in self.server.events() if event.get("event") == "sign_in_anomaly"]

    def suspended(self) -> list[Any]:
        facts = self.server.population.directory.facts(self.be.mailbox_id)
        return [fact for fact in facts if fact.kind is FactKind.SUSPENDED]


class _Imap(imaplib.IMAP4_SSL):
    """From an address of our choice."""

    def __init__(self, server: MailServer, peer: str) -> None:
        self._peer = peer
        self._trust: ssl.SSLContext = server.tls()
        super().__init__("127.0.0.1", server.ports["imaps"], ssl_context=self._trust)

    def _create_socket(self, timeout: float | None) -> Any:
        plain = socket.create_connection(("127.0.0.1", self.port), source_address=(self._peer, 0))
        return self._trust.wrap_socket(plain, server_hostname="localhost")


def test_clause_7_2_c_it_is_told_to_the_person_and_the_centre_once(serve: Callable[..., MailServer]) -> None:
    """By real sign-ins; nothing is suspended unless that is set; the housekeeper may come as often as it likes."""
    ministry = Ministry(serve)
    assert not any(ministry.sign_in(name, "127.7.7.7", "thu-mat-khau") for name in ministry.names)
    assert ministry.sign_in("dvbe", "127.7.7.7")
    for _ in range(3):
        ministry.later(GRACE)
    (told,) = ministry.anomalies()
    assert (told["mailbox"], told["rule"], told["network"], told["count"]) == (
        "dvbe@mic.gov.vn",
        "sprayed",
        "127.7.7.0/24",
        10,
    )
    (to_owner,), (to_centre,) = ministry.letters("dvbe"), ministry.letters("support")
    assert "127.7.7.0/24" in to_owner
    assert "mic-mail log search --mailbox dvbe@mic.gov.vn" in to_centre
    assert ministry.suspended() == []


def test_clause_7_2_c_what_several_workers_wrote_is_read_in_its_order(serve: Callable[..., MailServer]) -> None:
    """However much one of them wrote: whoever was tried by another one's log before is known when somebody gets in."""
    ministry = Ministry(serve)
    ministry.server.move_clock_to(ministry.clock.now() + HOUR)
    folder, begins = ministry.server.config.log_dir, ministry.clock.now()

    def line(seconds: float, event: str, mailbox: str, **more: str) -> str:
        at = (begins + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")
        return json.dumps({"at": at, "event": event, "mailbox": f"{mailbox}@mic.gov.vn", "peer": "127.7.7.7", **more}) + "\n"

    wrong = {"reason": "wrong-credentials", "detail": "password"}
    filler = [line(0, "mailbox_opened", "x") for _ in range(4_500)]
    refused = [line(number, "sign_in_refused", name, **wrong) for number, name in enumerate(ministry.names)]
    (folder / f"{begins:%Y-%m-%d}.worker7.1.1.jsonl").write_text("".join([*filler[:4_000], line(30, "signed_in", "dvbe")]))
    (folder / f"{begins:%Y-%m-%d}.worker8.1.1.jsonl").write_text("".join([*filler, *refused]))
    ministry.later(GRACE + MINUTE)
    assert [(each["rule"], each["mailbox"]) for each in ministry.anomalies()] == [("sprayed", "dvbe@mic.gov.vn")]


def test_clause_7_2_c_what_was_seen_is_put_down_also_when_the_clock_is_set_back(serve: Callable[..., MailServer]) -> None:
    """Else a kill would mean to read, and to know, nothing of what came since."""
    ministry = Ministry(serve)
    ministry.server.move_clock_to(ministry.clock.now() + DAY)
    ministry.later(MINUTE)
    kept = ministry.server.config.state_dir / "sign-ins.json"
    before = kept.stat().st_mtime_ns
    ministry.server.move_clock_to(NOW)
    ministry.later(timedelta(0))
    assert kept.stat().st_mtime_ns > before


def test_clause_7_2_c_a_full_disk_ends_no_watch(serve: Callable[..., MailServer]) -> None:
    """Where what was seen cannot be put down, that is told now and then, and an anomaly is found all the same."""
    ministry = Ministry(serve)
    (ministry.server.config.state_dir / "sign-ins.new").mkdir()
    ministry.server.move_clock_to(ministry.clock.now() + HOUR)
    for name in ministry.names:
        ministry.sign_in(name, "127.7.7.7", "thu-mat-khau")
    assert ministry.sign_in("dvbe", "127.7.7.7")
    ministry.later(GRACE)
    for _ in range(3):
        ministry.server.housekeep()
    assert len(ministry.anomalies()) == 1
    events = [event["event"] for event in ministry.server.events()]
    assert 1 <= events.count("sign_in_watch_not_kept") <= 3


def test_clause_7_2_c_it_is_suspended_where_that_is_set(serve: Callable[..., MailServer]) -> None:
    """`anomaly.suspend`: as any suspension, with cause and trigger; the session ends; the Centre is told of both."""
    ministry = Ministry(serve, suspend=True)
    for name in ministry.names:
        ministry.sign_in(name, "127.7.7.7", "thu-mat-khau")
    assert ministry.sign_in("dvbe", "127.7.7.7")
    ministry.later(GRACE)
    (fact,) = ministry.suspended()
    assert (fact.actor, fact.data["trigger"], fact.data["cause"]) == ("server", "sign-in-anomaly", "c")
    assert not ministry.sign_in("dvbe", "127.0.0.1")
    ministry.later(MINUTE)
    assert len(ministry.letters("support")) == 2
    assert [event["trigger"] for event in ministry.server.events() if event.get("event") == "mailbox_suspended"] == [
        "sign-in-anomaly"
    ]


def test_clause_7_2_c_restored_and_stolen_again_on_one_day(serve: Callable[..., MailServer]) -> None:
    """It is suspended once more; an anomaly of before the restore does nothing to it."""
    ministry = Ministry(serve, suspend=True)
    for expected in (1, 2):
        for name in ministry.names:
            ministry.sign_in(name, "127.7.7.7", f"thu-mat-khau-{expected}")
        assert ministry.sign_in("dvbe", "127.7.7.7")
        ministry.later(GRACE)
        assert len(ministry.suspended()) == expected
        ministry.server.record(ministry.be, Draft(FactKind.RESTORED, ministry.clock.now(), "mai", "", "3/CV"))
        ministry.server.record(ministry.be, Draft(FactKind.PASSWORD_SET, ministry.clock.now(), "dvbe@mic.gov.vn"))
        ministry.later(timedelta(hours=2))
        assert len(ministry.suspended()) == expected


def test_clause_7_2_c_both_mailboxes_that_a_thief_got_into_are_suspended(serve: Callable[..., MailServer]) -> None:
    """By real sign-ins: the second one within ten minutes does not hide the first."""
    ministry = Ministry(serve, suspend=True)
    for name in [*ministry.names, "khong-co"]:
        ministry.sign_in(name, "127.7.7.7", "thu-mat-khau")
    assert ministry.sign_in("dvbe", "127.7.7.7")
    assert ministry.sign_in("m3", "127.7.7.7")
    ministry.later(GRACE)
    assert sorted(each["mailbox"] for each in ministry.anomalies() if each["suspended"]) == ["dvbe@mic.gov.vn", "m3@mic.gov.vn"]
    assert not ministry.sign_in("dvbe", "127.0.0.1")
    assert not ministry.sign_in("m3", "127.0.0.1")


def test_clause_7_2_c_a_directory_that_changes_hides_no_wrong_password(serve: Callable[..., MailServer]) -> None:
    """A refusal is looked at anew where the directory has changed; it is one wrong password all the same, and a new one."""
    ministry = Ministry(serve)
    for name in ministry.names:
        changed = Draft(FactKind.PASSWORD_SET, ministry.clock.now(), "dvbe@mic.gov.vn")
        ministry.server.population.directory.append_fact(ministry.be.mailbox_id, changed)
        assert not ministry.sign_in(name, "127.7.7.7", "thu-mat-khau")
    ministry.server.running.context.log.flush()
    refused = [event["detail"] for event in ministry.server.events() if event.get("event") == "sign_in_refused"]
    assert refused == ["password"] * len(ministry.names)


def test_clause_7_2_c_what_is_recorded_meanwhile_keeps_no_suspension_back(serve: Callable[..., MailServer]) -> None:
    """The thief changes the password in the same moment: nobody is told of a suspension that is not there."""
    ministry = Ministry(serve, suspend=True)
    for name in ministry.names:
        ministry.sign_in(name, "127.7.7.7", "thu-mat-khau")
    assert ministry.sign_in("dvbe", "127.7.7.7")
    ministry.later(timedelta(0))
    ministry.server.move_clock_to(ministry.clock.now() + GRACE)
    ministry.server.refresh()
    changed = Draft(FactKind.PASSWORD_SET, ministry.clock.now(), "dvbe@mic.gov.vn")
    ministry.server.population.directory.append_fact(ministry.be.mailbox_id, changed)  # no process has heard of it yet
    ministry.server.housekeep()
    ministry.server.running.context.log.flush()
    assert len(ministry.suspended()) == 1
    assert [event["suspended"] for event in ministry.anomalies()] == [True]


def test_clause_7_2_c_an_old_phone_and_its_office_suspend_nobody(serve: Callable[..., MailServer]) -> None:
    """The same wrong password again and again counts once, by the log's own word; those who get in make it an office."""
    ministry = Ministry(serve, suspend=True, guesses=10)
    for _ in range(12):
        ministry.sign_in("dvbe", "127.8.8.8", "mat-khau-cu")
    assert ministry.sign_in("dvbe", "127.8.8.8")
    for name in ministry.names:
        ministry.sign_in(name, "127.9.9.9", "go-nham")
    assert ministry.sign_in("dvbe", "127.9.9.9")
    for name in ministry.names[:4]:
        assert ministry.sign_in(name, "127.9.9.9")
    ministry.later(GRACE)
    assert ministry.anomalies() == []
    assert ministry.suspended() == []
    details = [event.get("detail") for event in ministry.server.events() if event.get("event") == "sign_in_refused"]
    assert details.count("password-again") >= 11
    assert details.count("password") + details.count("password-again") == 22


@pytest.mark.slow
def test_clause_7_2_c_telephones_of_people_who_left_suspend_nobody(serve: Callable[..., MailServer]) -> None:
    """Names that nobody has any more count once each, whatever passwords they come with; the log tells names apart and shows
    none, which could be a password."""
    ministry = Ministry(serve, suspend=True)
    for number in range(24):
        for name in ("cu-mot", "cu-hai", "Mat-Khau-1"):
            ministry.sign_in(name, "127.7.7.7", f"mat-khau-{number % 8}")
    assert ministry.sign_in("dvbe", "127.7.7.7")
    ministry.later(GRACE)
    assert ministry.anomalies() == []
    assert ministry.suspended() == []
    refused = [event for event in ministry.server.events() if event.get("event") == "sign_in_refused"]
    marks = {event["name_mark"] for event in refused}
    assert len(marks) == 3
    assert {event["mailbox"] for event in refused} == {"?@mic.gov.vn"}
    assert "mat-khau-1" not in json.dumps(refused).lower()
    for name in ministry.names:  # while a list of names is one, also where they are none
        ministry.sign_in(f"khong-{name}", "127.9.9.9", "thu-mat-khau")
    assert ministry.sign_in("dvbe", "127.9.9.9")
    ministry.later(GRACE)
    assert [each["count"] for each in ministry.anomalies()] == [10]


def test_clause_7_2_c_what_was_seen_outlives_the_housekeeper(serve: Callable[..., MailServer]) -> None:
    """Another process goes on from the file, also from one that is damaged (then from now on)."""
    ministry = Ministry(serve)
    for name in ministry.names:
        ministry.sign_in(name, "127.7.7.7", "thu-mat-khau")
    ministry.later(timedelta(minutes=6))
    kept = ministry.server.config.state_dir / "sign-ins.json"
    assert len(json.loads(kept.read_text())["watch"]["networks"]["127.7.7.0/24"]["wrong"]) == 10
    again = AnomalyDetector.of(json.loads(kept.read_text())["watch"], AnomalyLimits(sprayed=10))
    again.take(Attempt(ministry.clock.now(), "x", "127.7.7.0/24", ok=True))
    assert [each.rule for each in again.due(ministry.clock.now() + GRACE)] == [AnomalyRule.SPRAYED]
    for damage in ("{}", "[]", "nonsense", '{"cursor": 1, "watch": {}}'):
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
            AnomalyDetector.of(json.loads(damage)["watch"], AnomalyLimits())


def test_clause_7_2_c_a_kill_between_two_letters_leaves_none_out(serve: Callable[..., MailServer]) -> None:
    """The person was told, the Centre not yet: it is, and nobody twice; a Centre that has no mailbox holds up nothing."""
    ministry = Ministry(serve, support=False)
    for name in ministry.names:
        ministry.sign_in(name, "127.7.7.7", "thu-mat-khau")
    assert ministry.sign_in("dvbe", "127.7.7.7")
    kept = ministry.server.config.state_dir / "sign-ins.json"
    ministry.later(GRACE)
    assert len(ministry.letters("dvbe")) == 1
    failed = [event["notice"] for event in ministry.server.events() if event.get("event") == "notice_failed"]
    assert failed.count("sign-in-anomaly") == 1
    assert json.loads(kept.read_text())["watch"]["waiting"]  # whoever goes on from here knows of it
    ministry.server.population.issue("support", name="Trung tâm Thông tin")
    ministry.later(timedelta(minutes=61))
    assert len(ministry.letters("support")) == 1
    assert len(ministry.letters("dvbe")) == 1
    assert len(ministry.anomalies()) == 1
    assert not json.loads(kept.read_text())["watch"]["waiting"]
