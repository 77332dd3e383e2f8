"""Second factors at the command line: officers show a code before they change anything; the Centre removes what was lost."""

import io
import json
import re
import shutil
import sys
from base64 import b32decode
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from datetime import timedelta
from pathlib import Path

import pytest

from mic_mail.auth import totp
from mic_mail.cli import caller, officer_totp
from mic_mail.cli.main import main
from mic_mail.clock import ManualClock, SystemClock
from mic_mail.config.load import load
from mic_mail.directory.repository import Directory
from mic_mail.directory.second_factors import officer_holder
from mic_mail.policy.credentials.app_passwords import living
from mic_mail.policy.credentials.second_factor import second_factor
from mic_mail.policy.facts import FactKind
from mic_mail.services.authentication.app_passwords import AppPasswords
from mic_mail.services.authentication.second_factors import SecondFactors, key_path
from mic_mail.services.mailboxes.credentials import ActContext, set_password
from regulation.officers import WHY, Desk, furnish

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


class Timed(Desk):
    """A desk by that clock."""

    def _main(self, words):  # type: ignore[no-untyped-def]
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.setattr(caller, "LOGIN_ID", Path("/nonexistent"))
            patch.delenv("SUDO_USER", raising=False)
            for name, value in self.env.items():
                patch.setenv(name, value)
            done = main(list(words), CLOCK)
        self.out, self.err = out.getvalue(), err.getvalue()
        return done


def code(secret: bytes, off: int = 0) -> str:
    return totp.code(secret, int(CLOCK.now().timestamp() // 30) + off)


def enrol(desk: Desk, login: str, *words: str) -> bytes:
    with pytest.MonkeyPatch.context() as patch:
        device = Device()
        patch.setattr("sys.stdin", device)
        assert desk.by(login, *words, "second-factor", "enrol") == 0, desk.err
    forget(desk)
    return device.secret


def forget(desk: Desk) -> None:
    """Ten minutes pass, as it were: nobody is remembered."""
    shutil.rmtree(desk.folder / "data" / "run" / officer_totp.FOLDER, ignore_errors=True)


def reset(desk: Desk, login: str) -> None:
    """The steps that were used up are none any more."""
    directory = desk.directory()
    found = directory.second_factors.of(officer_holder(login))
    assert found is not None
    directory.second_factors.set_of_officer(login, found.sealed, 0, CLOCK.now())
    directory.close()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    furnish(folder := tmp_path_factory.mktemp("desk"))
    return Timed(folder)


@pytest.fixture(autouse=True)
def nobody_is_remembered(desk: Desk) -> Iterator[None]:
    forget(desk)
    yield
    directory = desk.directory()
    for login in ("mai", "minh", "hoa"):
        directory.second_factors.remove_of_officer(login)
    directory.close()


def settings(desk: Desk, value: str) -> None:
    path = desk.folder / "mic-mail.toml"
    text = re.sub(r"(?m)^#? ?second_factor = .*$", f'second_factor = "{value}"', path.read_text())
    assert f'second_factor = "{value}"' in text
    path.write_text(text)


@pytest.mark.clause("6.1")
def test_an_officer_shows_a_code_before_anything_changes(desk: Desk) -> None:
    """Reading asks for none; a wrong one and a used one are refused and on record; then the session is remembered."""
    secret = enrol(desk, "mai")
    assert desk.by("mai", "mailbox", "list") == 0
    assert desk.by("mai", *CHANGE, "mot") == 1
    assert "--code" in desk.err
    assert desk.by("mai", "--code", "000000", *CHANGE, "mot") == 1
    assert desk.by("mai", "--code", code(secret), *CHANGE, "mot") == 1  # it set the factor
    reset(desk, "mai")
    assert desk.by("mai", "--code", code(secret), *CHANGE, "mot") == 0, desk.err
    assert desk.by("mai", *CHANGE, "hai") == 0, desk.err  # remembered for a while
    assert desk.by("minh", *CHANGE, "ba") == 0, desk.err  # who has none is not asked
    forget(desk)
    assert desk.by("mai", "--code", code(secret), *CHANGE, "bon") == 1
    desk.env["MIC_MAIL_CODE"] = code(secret, 1)
    try:
        assert desk.by("mai", *CHANGE, "bon") == 0, desk.err
    finally:
        del desk.env["MIC_MAIL_CODE"]
    refused = [act for act in desk.acts if act["act"] == "command_refused" and act["actor"] == "mai"]
    assert len(refused) >= 4
    assert not re.search(rf"{code(secret)}|{totp.typed(secret)}", json.dumps(desk.acts))


def test_what_is_remembered_ends_and_is_of_one_session(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """After ten minutes, in another session, for another officer, and where the clock was set back, it is asked for again."""
    secret = enrol(desk, "minh")
    enrol(desk, "mai")
    reset(desk, "minh")
    assert desk.by("minh", "--code", code(secret), *CHANGE, "m1") == 0, desk.err
    (stamp,) = (desk.folder / "data" / "run" / officer_totp.FOLDER).iterdir()
    assert stamp.stat().st_mode & 0o777 == 0o600
    shown = CLOCK.now()
    assert desk.by("mai", *CHANGE, "m2") == 1
    CLOCK.move_to(shown + timedelta(minutes=9, seconds=59))
    assert desk.by("minh", *CHANGE, "m3") == 0, desk.err
    CLOCK.move_to(shown + timedelta(minutes=10))
    assert desk.by("minh", *CHANGE, "m4") == 1
    for text in (f"{(CLOCK.now() + timedelta(minutes=1)).timestamp()}", "no number", "nan", "1e300", ""):
        stamp.write_text(text)
        assert desk.by("minh", *CHANGE, "m4") == 1, text
    assert desk.by("minh", "--code", code(secret), *CHANGE, "m4") == 0, desk.err
    monkeypatch.setattr("os.getsid", lambda _: 1)
    assert desk.by("minh", *CHANGE, "m5") == 1


def test_too_many_wrong_ones_close_it_and_another_officer_withdraws_it(desk: Desk) -> None:
    """Nobody withdraws the own one without a code; the other's is withdrawn on a document."""
    secret = enrol(desk, "mai")
    reset(desk, "mai")
    assert desk.by("mai", "second-factor", "withdraw", "mai", "--document", "7") == 1
    directory = desk.directory()
    for _ in range(100):
        directory.second_factors.was_wrong(officer_holder("mai"))
    directory.close()
    assert desk.by("mai", "--code", code(secret), *CHANGE, "dong") == 1
    assert "Too many wrong codes." in desk.err
    assert [row["holder"] for row in desk.seen_by("minh", "second-factor", "list")] == ["mai"]
    assert desk.by("minh", "second-factor", "withdraw", "mai", "--document", " ") == 2
    assert desk.by("minh", "second-factor", "withdraw", "mai", "--document", "7/CV") == 0, desk.err
    assert desk.by("minh", "second-factor", "withdraw", "mai", "--document", "7/CV") == 2
    assert desk.by("mai", *CHANGE, "lai") == 0, desk.err


def test_to_set_another_one_takes_a_code_of_the_present_one(desk: Desk) -> None:
    """A terminal that was left open is not enough to take the factor over."""
    secret = enrol(desk, "mai")
    reset(desk, "mai")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", Device())
        assert desk.by("mai", "second-factor", "enrol") == 1
    another = enrol(desk, "mai", "--code", code(secret))
    assert another != secret
    assert desk.by("mai", "--code", code(secret, 1), *CHANGE, "cu") == 1
    assert desk.by("mai", "--code", code(another, 1), *CHANGE, "moi") == 0, desk.err


def test_where_the_setting_wants_one_nothing_changes_without(desk: Desk) -> None:
    """`administrators`: reading and enrolling alone; unit administrators likewise; `off` asks nobody."""
    settings(desk, "administrators")
    try:
        assert desk.by("minh", "mailbox", "list") == 0
        assert desk.by("minh", *CHANGE, "khong") == 1
        assert "second-factor enrol" in desk.err
        assert desk.by("hoa", "request", "file", "reset", "--unit", "CNTT") in {1, 2}
        secret = enrol(desk, "minh")
        reset(desk, "minh")
        assert desk.by("minh", "--code", code(secret), *CHANGE, "co") == 0, desk.err
        forget(desk)
        settings(desk, "off")
        assert desk.by("minh", *CHANGE, "tat") == 0, desk.err
    finally:
        settings(desk, "offered")


def test_a_lost_key_is_told(desk: Desk) -> None:
    """Not as a wrong code: exit 3, with the file's name."""
    secret = enrol(desk, "mai")
    reset(desk, "mai")
    key = key_path(load(desk.folder / "mic-mail.toml"))
    kept = key.read_bytes()
    try:
        for other in (b"another, as long as any".ljust(32), b"half"):
            key.write_bytes(other)
            assert desk.by("mai", "--code", code(secret), *CHANGE, "khoa") == 3
            assert "second-factor.key" in desk.err
    finally:
        key.write_bytes(kept)
    assert desk.by("mai", "--code", code(secret), *CHANGE, "khoa") == 0, desk.err


@pytest.mark.clause("15.2")
def test_the_centre_removes_a_mailboxs_with_its_app_passwords(desk: Desk) -> None:
    """A lost telephone is a lost password: on a document, and what was on the telephone ends."""
    directory, config = desk.directory(), load(desk.folder / "mic-mail.toml")
    mailbox, clock = directory.mailbox(DVBE), CLOCK
    own = set_password(
        directory, config, mailbox, "bảy con vịt xiêm bơi ngang", at=clock.now(), origin=ActContext(DVBE), must_change=False
    )
    AppPasswords(directory, config, clock).add(mailbox.mailbox_id, "Điện thoại", (), ActContext(DVBE))
    secret = totp.make_secret()
    SecondFactors(directory, config, clock).enrol(mailbox.mailbox_id, own.version, secret, code(secret), ActContext(DVBE))
    assert [row["recovery_left"] for row in desk.seen_by("mai", "second-factor", "list")] == [10]
    assert desk.seen_by("hoa", "second-factor", "list")[0]["holder"] == DVBE
    assert desk.by("mai", "second-factor", "remove", DVBE, "--document", " ") == 2
    assert desk.by("mai", "second-factor", "remove", DVBE, "--document", "8/CNTT", "--reason", "mất máy") == 0, desk.err
    assert desk.by("mai", "second-factor", "remove", DVBE, "--document", "8/CNTT") == 1
    facts = directory.facts(mailbox.mailbox_id)
    assert (facts[-1].kind, facts[-1].document) == (FactKind.SECOND_FACTOR_REMOVED, "8/CNTT")
    assert second_factor(facts) is None
    assert living(facts, clock.now()) == []
    directory.close()


def test_before_there_are_officers_nobody_enrols(tmp_path: Path) -> None:
    """And automation that names an officer is not asked: it could read the key."""
    bare = Timed(tmp_path)
    assert bare.run("init", "--yes", "--data-dir", str(tmp_path / "data"), "--user", "") == 0, bare.err
    assert bare.run("second-factor", "enrol") == 1
    assert bare.run("unit", "add", "--document", "1/CV", "CNTT", "Vụ") == 0
    assert bare.run("officer", "add", "mai", "Phạm Mai", "--role", "centre", "--no-login", *WHY) == 0
    enrol(bare, "mai")
    assert bare.by("mai", "unit", "add", "--document", "1/CV", "KHTC", "Vụ") == 1
    assert bare.run("--actor", "mai", "unit", "add", "--document", "1/CV", "KHTC", "Vụ") == 0, bare.err


def test_the_directory_stays_with_who_may(desk: Desk) -> None:
    """No secret and no recovery code lies open in the file."""
    secret = enrol(desk, "mai")
    directory = desk.directory()
    assert isinstance(directory, Directory)
    directory.close()
    assert secret not in (desk.folder / "data" / "directory" / "directory.sqlite").read_bytes()
