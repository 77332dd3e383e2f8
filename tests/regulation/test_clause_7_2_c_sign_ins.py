"""Reg. 7.2.c: sign-ins that look like a stolen password are told; an office behind one address, a phone on its way are none."""

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
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import MailServer
from mic_mail.auth.throttle import Answer, Throttle, ThrottleSettings
from mic_mail.clock import ManualClock
from mic_mail.policy.credentials import anomalies
from mic_mail.policy.credentials.anomalies import GRACE, Anomaly, AnomalyLimits, Attempt, Rule, Watch, network_of, wider
from mic_mail.policy.facts import Draft, FactKind
from mic_mail.storage.types import INBOX, AccountRef
from population import PASSWORD

NOW = datetime(2026, 11, 24, 2, tzinfo=UTC)
SIGN_INS = ("Somebody signed in to", "Sign-in to", "had an abnormal sign-in")
"""What letters say of a sign-in that looks like a stolen password."""
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
OFFICE, ABROAD = "203.113.131.0/24", "198.51.100.0/24"


class Story:
    """What happened, one thing after the other, and what came of it."""

    def __init__(self, limits: AnomalyLimits | None = None) -> None:
        self.watch = Watch(limits or AnomalyLimits())
        self.now = NOW
        self.found: list[Anomaly] = []

    def passes(self, time: timedelta) -> "Story":
        self.now += time
        self.found += self.watch.due(self.now)
        return self

    def wrong(self, mailbox: str, network: str, times: int = 1) -> "Story":
        for _ in range(times):
            self.watch.take(Attempt(self.now, mailbox, network, ok=False))
            self.passes(SECOND)
        return self

    def right(self, mailbox: str, network: str) -> "Story":
        self.watch.take(Attempt(self.now, mailbox, network, ok=True))
        return self.passes(SECOND)

    def rules(self) -> list[Rule]:
        """After everything that may still come has come."""
        self.passes(GRACE)
        return [each.rule for each in self.found]


def sprayed(story: Story, names: int = 20, network: str = ABROAD) -> Story:
    for number in range(names):
        story.wrong(f"m{number}", network)
    return story


# ------------------------------------------------------------ what is an anomaly


def test_clause_7_2_c_many_mailboxes_tried_and_one_opened() -> None:
    """With mailbox, network and figure; one try less is none; names that are none of ours count too."""
    story = sprayed(Story()).right("be", ABROAD)
    assert story.rules() == [Rule.SPRAYED]
    (found,) = story.found
    assert (found.mailbox, found.network, found.count, found.rule.is_strong) == ("be", ABROAD, 20, True)
    assert sprayed(Story(), 19).right("be", ABROAD).rules() == []
    nobody = Story()
    for number in range(20):
        nobody.wrong(f"?@mic.gov.vn {number}", ABROAD)
    assert nobody.right("be", ABROAD).rules() == [Rule.SPRAYED]
    assert Story().wrong("?@mic.gov.vn 1", ABROAD, 100).right("be", ABROAD).rules() == [], "one name, however often"
    assert story.passes(DAY).found == [found]


def test_clause_7_2_c_a_thief_s_network_does_not_become_a_known_one() -> None:
    """Who got in by force once, and comes by force again after the password was reset, is found again."""
    story = sprayed(Story()).right("be", ABROAD).passes(GRACE).passes(2 * MINUTE * 60)
    assert sprayed(story).right("be", ABROAD).rules() == [Rule.SPRAYED, Rule.SPRAYED]
    home = Story().right("be", ABROAD).passes(DAY)  # where nobody forced anything it is known, as ever
    assert sprayed(home).right("be", ABROAD).rules() == []


def test_clause_7_2_c_a_thief_who_gets_into_two_mailboxes_is_no_office() -> None:
    """Two, or five, within ten minutes: each is found, and those after them, for most of what was tried was in vain."""
    story = sprayed(Story(), 30).right("be", ABROAD).passes(5 * MINUTE).right("an", ABROAD)
    assert story.rules() == [Rule.SPRAYED, Rule.SPRAYED]
    assert [each.mailbox for each in story.found] == ["be", "an"]
    assert story.right("cuc", ABROAD).rules() == [Rule.SPRAYED] * 3
    many = sprayed(Story(), 30)
    for name in ("a", "b", "c", "d", "e"):
        many.right(name, ABROAD)
    assert many.rules() == [Rule.SPRAYED] * 5
    within = sprayed(Story().right("be", ABROAD), 30).right("an", ABROAD)  # the first one at once, the list after it
    assert within.rules() == [Rule.SPRAYED]


def test_clause_7_2_c_two_mailboxes_forced_by_guesses_do_not_excuse_one_another() -> None:
    """Who gets in without force still shows an office."""
    story = Story().wrong("be", ABROAD, 15).right("be", ABROAD).wrong("an", ABROAD, 15).right("an", ABROAD)
    assert story.rules() == [Rule.GUESSED, Rule.GUESSED]
    hotel = Story().wrong("be", ABROAD, 15).right("be", ABROAD).wrong("an", ABROAD, 2).right("an", ABROAD)
    assert hotel.rules() == []


def test_clause_7_2_c_many_passwords_of_one_mailbox() -> None:
    """Fifteen different ones and then the right one, from where it never signed in; it is told, and suspends nothing."""
    assert Story().wrong("be", ABROAD, 15).right("be", ABROAD).rules() == [Rule.GUESSED]
    assert Story().wrong("be", ABROAD, 14).right("be", ABROAD).rules() == []
    assert not Rule.GUESSED.is_strong


def test_clause_7_2_c_one_mailbox_from_all_over_the_world() -> None:
    """Fifteen networks in eight wider ones within an hour; told once, and again if it goes on."""
    story = Story()
    for number in range(15):
        story.right("be", f"{20 + number % 8}.1.{number}.0/24")
    assert story.rules() == [Rule.SCATTERED]
    assert not Rule.SCATTERED.is_strong


# ------------------------------------------------------------ what is none


def test_clause_7_2_c_an_office_behind_one_address() -> None:
    """Sixty people, half of whom mistype; whoever comes first, on a line that nobody has used before."""
    story = Story()
    for number in range(60):
        story.wrong(f"m{number}", OFFICE, 3 if number % 2 else 0)
    for number in range(60):
        story.right(f"m{number}", OFFICE)
    assert story.rules() == []


def test_clause_7_2_c_an_office_on_a_new_line_after_all_passwords_were_changed() -> None:
    """All programs come with the old password; half of the people through it within the grace show that it is an office."""
    story = Story()
    for number in range(40):
        story.wrong(f"m{number}", OFFICE)
    for number in range(20):
        story.right(f"m{number}", OFFICE).passes(20 * SECOND)
    assert story.rules() == []


def test_clause_7_2_c_a_newcomer_in_an_office_that_is_known() -> None:
    """Others signed in from there within 30 days; after 30 days nobody has."""
    story = Story().right("an", OFFICE)
    assert sprayed(story.passes(29 * DAY), network=OFFICE).right("be", OFFICE).rules() == []
    forgotten = Story().right("an", OFFICE)
    assert sprayed(forgotten.passes(31 * DAY), network=OFFICE).right("be", OFFICE).rules() == [Rule.SPRAYED]


def test_clause_7_2_c_a_phone_between_wi_fi_and_its_provider() -> None:
    """Every minute another address of the provider's pool, home and office in between, for a day."""
    story = Story()
    for minute in range(24 * 60):
        network = ("113.160.7.0/24", OFFICE, f"27.{64 + minute % 3}.{minute % 200}.0/24")[minute % 3]
        story.right("be", network).passes(59 * SECOND)
    assert story.rules() == []


def test_clause_7_2_c_a_person_who_has_forgotten_the_password() -> None:
    """Tries what comes to mind at home, and then has it; the home is known, or the tries are few."""
    assert Story().wrong("be", ABROAD, 10).right("be", ABROAD).rules() == []
    assert Story().right("be", ABROAD).wrong("be", ABROAD, 50).right("be", ABROAD).rules() == []
    assert Story().wrong("be", ABROAD, 14).passes(61 * MINUTE).wrong("be", ABROAD, 14).right("be", ABROAD).rules() == []


def test_clause_7_2_c_old_telephones_that_ask_all_day_are_no_thief() -> None:
    """Each with one old password, every minute, by what the throttle calls a new one: four mailboxes, and three telephones of
    one. The first person on that network, after an hour or three, got in by no force; nor with a longer window."""
    for window, hours in ((HOUR, 1), (HOUR, 3), (3 * HOUR, 3)):
        seconds = window.total_seconds()
        throttle = Throttle(ThrottleSettings(per_pair=10, per_network=60, window_seconds=600, stale_seconds=seconds))
        story = Story(AnomalyLimits(window=window))
        for minute in range(60 * hours):
            for phone in range(7):
                at, mailbox = minute * 60.0 + phone, "be" if phone < 3 else f"m{phone}"
                if throttle.check(mailbox, "198.51.100.7", b"%d" % phone, at).answer is Answer.TRY:
                    throttle.wrong(mailbox, "198.51.100.7", b"%d" % phone, at)
                    story.wrong(mailbox, ABROAD)
            story.passes(NOW + (minute + 1) * MINUTE - story.now)
        assert sum(len(network["wrong"]) for network in story.watch.kept()["networks"].values()) <= 7 * hours  # type: ignore[attr-defined]
        assert story.right("be", ABROAD).right("an", ABROAD).rules() == []


def test_clause_7_2_c_a_program_that_proves_an_old_password_all_night() -> None:
    """A SCRAM proof does not show which password it was made of: it counts once."""
    story = Story()
    for _ in range(500):
        story.watch.take(Attempt(story.now, "be", ABROAD, ok=False, differs=False))
        story.passes(SECOND)
    assert story.right("be", ABROAD).rules() == []


@settings(deadline=None, max_examples=60)
@given(st.permutations([("wrong", n) for n in range(25)] + [("right", n) for n in range(20, 33)]))
def test_clause_7_2_c_whatever_the_order_an_office_is_none(steps: list[tuple[str, int]]) -> None:
    """Where half as many people get in from a network within the grace as mistype, nothing is an anomaly."""
    story = Story()
    for what, number in steps:
        (story.wrong if what == "wrong" else story.right)(f"m{number}", OFFICE)
    assert story.rules() == []


# ------------------------------------------------------------ kept


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", "?"]), st.integers(0, 3), st.booleans(), st.integers(0, 900)), max_size=60),
    st.integers(0, 60),
)
def test_clause_7_2_c_what_was_seen_can_be_put_down_and_taken_up(steps: list[tuple[str, int, bool, int]], stop: int) -> None:
    """A process that goes on from what another kept finds what that one would have found."""
    limits = AnomalyLimits(sprayed=3, guesses=3, networks=2)
    one, other = Story(limits), Story(limits)
    for number, (mailbox, network, ok, seconds) in enumerate(steps):
        if number == stop:
            other.watch.forget(other.now)
            other.watch = Watch.of(json.loads(json.dumps(other.watch.kept())), limits)
        for story in (one, other):
            (story.right if ok else story.wrong)(mailbox, f"{10 + network}.0.0.0/24").passes(seconds * SECOND)
    assert one.rules() == other.rules()


def test_clause_7_2_c_a_state_of_another_form_is_refused() -> None:
    """A mailbox of a network has two instants: its first sign-in and its last."""
    network = {"signed_in": {"an": (NOW - 2 * HOUR).isoformat()}, "wrong": []}
    with pytest.raises(TypeError):
        Watch.of({"networks": {OFFICE: network}, "places": {}, "waiting": []}, AnomalyLimits())


def test_clause_7_2_c_a_flood_of_networks_has_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two looks at what can be forgotten as well; those that were busy last stay."""
    monkeypatch.setattr(anomalies, "MOST_NETWORKS", 50)
    story = sprayed(Story())
    for number in range(500):
        story.wrong("be", f"2001:db8:{number:x}::/48")
        if number % 20 == 0:
            sprayed(story, 1)
    assert len(story.watch.kept()["networks"]) <= 100  # type: ignore[arg-type]
    assert story.right("be", ABROAD).rules() == [Rule.SPRAYED]


def test_networks() -> None:
    """/24 and /48, IPv4 in IPv6 clothes as what it is; wider ones for what lies apart."""
    assert network_of("198.51.100.7") == network_of("::ffff:198.51.100.9") == ABROAD
    assert network_of("2001:db8:1:2::3") == "2001:db8:1::/48"
    assert network_of("nowhere") is None
    assert (wider(ABROAD), wider("2001:db8:1::/48")) == ("198.51.0.0/16", "2001:db8::/32")


# ------------------------------------------------------------ through the doors


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
    again = Watch.of(json.loads(kept.read_text())["watch"], AnomalyLimits(sprayed=10))
    again.take(Attempt(ministry.clock.now(), "x", "127.7.7.0/24", ok=True))
    assert [each.rule for each in again.due(ministry.clock.now() + GRACE)] == [Rule.SPRAYED]
    for damage in ("{}", "[]", "nonsense", '{"cursor": 1, "watch": {}}'):
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
            Watch.of(json.loads(damage)["watch"], AnomalyLimits())


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
