"""Second factors at the command line: officers show a code before they change anything; the Centre removes what was lost."""

import io
import json
import re
import shutil
import sys
from base64 import b32decode
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mic_mail.auth import totp
from mic_mail.cli import officer_totp
from mic_mail.clock import ManualClock, SystemClock
from mic_mail.config.load import load
from mic_mail.directory.repository import Directory
from mic_mail.directory.second_factors import officer_holder
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.credentials.app_passwords import living
from mic_mail.policy.credentials.second_factor import second_factor
from mic_mail.policy.facts import FactKind
from mic_mail.services.authentication.app_passwords import AppPasswords
from mic_mail.services.authentication.second_factors import SecondFactors, key_path
from mic_mail.services.mailboxes.credentials import set_password
from regulation.officers import WHY, OfficersConsole, officers_console

DVBE = "dvbe@mic.gov.vn"
CHANGE = ("alias", "add", DVBE)


class Device(io.StringIO):
    """A person with a telephone at standard input: reads the key off the screen and types what the telephone shows."""

    def __init__(self) -> None:
        super().__init__()
        self.secret = b""

    def readline(self, size: int | None = -1) -> str:  # type: ignore[override]
        screen = sys.stdout.getvalue()  # type: ignore[attr-defined]
        typed = re.search(r"^  ([A-Z2-7 ]{39})$", screen, re.MULTILINE)
        assert typed is not None, screen
        self.secret = b32decode(typed[1].replace(" ", ""))
        return code(self.secret) + "\n"


CLOCK = ManualClock(SystemClock().now() + timedelta(hours=1))
"""Stands still between the tests' own moves: a code is a code for as long as a test wants."""


def code(secret: bytes, off: int = 0) -> str:
    return totp.code(secret, int(CLOCK.now().timestamp() // 30) + off)


def enrol(console: OfficersConsole, login: str, *words: str) -> bytes:
    with pytest.MonkeyPatch.context() as patch:
        device = Device()
        patch.setattr("sys.stdin", device)
        console.done_by(login, *words, "second-factor", "enrol")
    forget(console)
    return device.secret


def forget(console: OfficersConsole) -> None:
    """Ten minutes pass, as it were: nobody is remembered."""
    shutil.rmtree(console.folder / "data" / "run" / officer_totp.FOLDER, ignore_errors=True)


def reset(console: OfficersConsole, login: str) -> None:
    """The steps that were used up are none any more."""
    directory = console.directory()
    found = directory.second_factors.of(officer_holder(login))
    assert found is not None
    directory.second_factors.set_of_officer(login, found.sealed, 0, CLOCK.now())
    directory.close()


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> OfficersConsole:
    console = officers_console(tmp_path_factory.mktemp("second-factor"))
    console.clock = CLOCK
    return console


@pytest.fixture(autouse=True)
def nobody_is_remembered(console: OfficersConsole) -> Iterator[None]:
    forget(console)
    yield
    directory = console.directory()
    for login in ("mai", "minh", "hoa"):
        directory.second_factors.remove_of_officer(login)
    directory.close()


def settings(console: OfficersConsole, value: str) -> None:
    path = console.folder / "mic-mail.toml"
    text = re.sub(r"(?m)^#? ?second_factor = .*$", f'second_factor = "{value}"', path.read_text())
    assert f'second_factor = "{value}"' in text
    path.write_text(text)


@pytest.mark.clause("6.1")
def test_an_officer_shows_a_code_before_anything_changes(console: OfficersConsole) -> None:
    """Reading asks for none; a wrong one and a used one are refused and on record; then the session is remembered."""
    secret = enrol(console, "mai")
    console.done_by("mai", "mailbox", "list")
    console.refused_by("mai", *CHANGE, "mot", says="--code")
    console.refused_by("mai", "--code", "000000", *CHANGE, "mot")
    console.refused_by("mai", "--code", code(secret), *CHANGE, "mot")  # it set the factor
    reset(console, "mai")
    console.done_by("mai", "--code", code(secret), *CHANGE, "mot")
    console.done_by("mai", *CHANGE, "hai")  # remembered for a while
    console.done_by("minh", *CHANGE, "ba")  # who has none is not asked
    forget(console)
    console.refused_by("mai", "--code", code(secret), *CHANGE, "bon")
    console.env["MIC_MAIL_CODE"] = code(secret, 1)
    try:
        console.done_by("mai", *CHANGE, "bon")
    finally:
        del console.env["MIC_MAIL_CODE"]
    refused = [act for act in console.acts if act["act"] == "command_refused" and act["actor"] == "mai"]
    assert len(refused) >= 4
    assert not re.search(rf"{code(secret)}|{totp.typed(secret)}", json.dumps(console.acts))


def test_what_is_remembered_ends_and_is_of_one_session(console: OfficersConsole, monkeypatch: pytest.MonkeyPatch) -> None:
    """After ten minutes, in another session, for another officer, and where the clock was set back, it is asked for again."""
    secret = enrol(console, "minh")
    enrol(console, "mai")
    reset(console, "minh")
    console.done_by("minh", "--code", code(secret), *CHANGE, "m1")
    (stamp,) = (console.folder / "data" / "run" / officer_totp.FOLDER).iterdir()
    assert stamp.stat().st_mode & 0o777 == 0o600
    shown = CLOCK.now()
    console.refused_by("mai", *CHANGE, "m2")
    CLOCK.move_to(shown + timedelta(minutes=9, seconds=59))
    console.done_by("minh", *CHANGE, "m3")
    CLOCK.move_to(shown + timedelta(minutes=10))
    console.refused_by("minh", *CHANGE, "m4")
    for text in (f"{(CLOCK.now() + timedelta(minutes=1)).timestamp()}", "no number", "nan", "1e300", ""):
        stamp.write_text(text)
        assert console.by("minh", *CHANGE, "m4") == 1, text
    console.done_by("minh", "--code", code(secret), *CHANGE, "m4")
    monkeypatch.setattr("os.getsid", lambda _: 1)
    console.refused_by("minh", *CHANGE, "m5")


def test_too_many_wrong_ones_close_it_and_another_officer_withdraws_it(console: OfficersConsole) -> None:
    """Nobody withdraws the own one without a code; the other's is withdrawn on a document."""
    secret = enrol(console, "mai")
    reset(console, "mai")
    console.refused_by("mai", "second-factor", "withdraw", "mai", "--document", "7")
    directory = console.directory()
    for _ in range(100):
        directory.second_factors.was_wrong(officer_holder("mai"))
    directory.close()
    console.refused_by("mai", "--code", code(secret), *CHANGE, "dong", says="Too many wrong codes.")
    assert [row["holder"] for row in console.json_by("minh", "second-factor", "list")] == ["mai"]
    console.refused_by("minh", "second-factor", "withdraw", "mai", "--document", " ", code=2)
    console.done_by("minh", "second-factor", "withdraw", "mai", "--document", "7/CV")
    console.refused_by("minh", "second-factor", "withdraw", "mai", "--document", "7/CV", code=2)
    console.done_by("mai", *CHANGE, "lai")


def test_to_set_another_one_takes_a_code_of_the_present_one(console: OfficersConsole) -> None:
    """A terminal that was left open is not enough to take the factor over."""
    secret = enrol(console, "mai")
    reset(console, "mai")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", Device())
        console.refused_by("mai", "second-factor", "enrol")
    another = enrol(console, "mai", "--code", code(secret))
    assert another != secret
    console.refused_by("mai", "--code", code(secret, 1), *CHANGE, "cu")
    console.done_by("mai", "--code", code(another, 1), *CHANGE, "moi")


def test_where_the_setting_wants_one_nothing_changes_without(console: OfficersConsole) -> None:
    """`administrators`: reading and enrolling alone; unit administrators likewise; `off` asks nobody."""
    settings(console, "administrators")
    try:
        console.done_by("minh", "mailbox", "list")
        console.refused_by("minh", *CHANGE, "khong", says="second-factor enrol")
        assert console.by("hoa", "request", "file", "reset", "--unit", "CNTT") in {1, 2}
        secret = enrol(console, "minh")
        reset(console, "minh")
        console.done_by("minh", "--code", code(secret), *CHANGE, "co")
        forget(console)
        settings(console, "off")
        console.done_by("minh", *CHANGE, "tat")
    finally:
        settings(console, "offered")


def test_a_lost_key_is_told(console: OfficersConsole) -> None:
    """Not as a wrong code: exit 3, with the file's name."""
    secret = enrol(console, "mai")
    reset(console, "mai")
    key = key_path(load(console.folder / "mic-mail.toml"))
    kept = key.read_bytes()
    try:
        for other in (b"another, as long as any".ljust(32), b"half"):
            key.write_bytes(other)
            console.refused_by("mai", "--code", code(secret), *CHANGE, "khoa", says="second-factor.key", code=3)
    finally:
        key.write_bytes(kept)
    console.done_by("mai", "--code", code(secret), *CHANGE, "khoa")


@pytest.mark.clause("15.2")
def test_the_centre_removes_a_mailboxs_with_its_app_passwords(console: OfficersConsole) -> None:
    """A lost telephone is a lost password: on a document, and what was on the telephone ends."""
    directory, config = console.directory(), load(console.folder / "mic-mail.toml")
    mailbox, clock = directory.mailbox(DVBE), CLOCK
    own = set_password(
        directory, config, mailbox, "bảy con vịt xiêm bơi ngang", at=clock.now(), origin=ActContext(DVBE), must_change=False
    )
    AppPasswords(directory, config, clock).add(mailbox.mailbox_id, "Điện thoại", (), ActContext(DVBE))
    secret = totp.make_secret()
    SecondFactors(directory, config, clock).enrol(mailbox.mailbox_id, own.version, secret, code(secret), ActContext(DVBE))
    assert [row["recovery_left"] for row in console.json_by("mai", "second-factor", "list")] == [10]
    assert console.json_by("hoa", "second-factor", "list")[0]["holder"] == DVBE
    console.refused_by("mai", "second-factor", "remove", DVBE, "--document", " ", code=2)
    console.done_by("mai", "second-factor", "remove", DVBE, "--document", "8/CNTT", "--reason", "mất máy")
    console.refused_by("mai", "second-factor", "remove", DVBE, "--document", "8/CNTT")
    facts = directory.facts(mailbox.mailbox_id)
    assert (facts[-1].kind, facts[-1].document) == (FactKind.SECOND_FACTOR_REMOVED, "8/CNTT")
    assert second_factor(facts) is None
    assert living(facts, clock.now()) == []
    directory.close()


def test_before_there_are_officers_nobody_enrols(tmp_path: Path) -> None:
    """And automation that names an officer is not asked: it could read the key."""
    bare = OfficersConsole(tmp_path).init()
    bare.clock = CLOCK
    bare.refused("second-factor", "enrol")
    bare.done("unit", "add", "--document", "1/CV", "CNTT", "Vụ")
    bare.done("officer", "add", "mai", "Phạm Mai", "--role", "centre", "--no-login", *WHY)
    enrol(bare, "mai")
    bare.refused_by("mai", "unit", "add", "--document", "1/CV", "KHTC", "Vụ")
    bare.done("--actor", "mai", "unit", "add", "--document", "1/CV", "KHTC", "Vụ")


def test_the_directory_stays_with_who_may(console: OfficersConsole) -> None:
    """No secret and no recovery code lies open in the file."""
    secret = enrol(console, "mai")
    directory = console.directory()
    assert isinstance(directory, Directory)
    directory.close()
    assert secret not in (console.folder / "data" / "directory" / "directory.sqlite").read_bytes()
