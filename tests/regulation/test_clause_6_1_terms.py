"""Reg. 6.1: terms of officers begin and end; the first is of the Centre, and the last stays."""

import threading
from contextlib import suppress

import pytest

from clients.terminal import A_LOGIN
from mic_mail.clock import ManualClock, SystemClock
from mic_mail.directory.repository import Directory
from mic_mail.policy.authorization.roles import NotAuthorised, Officer, Role, must_keep_centre
from regulation.officers import WHY, Desk, furnish


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    return furnish(tmp_path_factory.mktemp("desk"))


# ------------------------------------------------------------ terms


def test_clause_6_1_terms_begin_and_end(desk):
    """Entered once, ended once, told for any day; an ended officer is nobody, and can name nobody."""
    assert (
        desk.by("mai", "officer", "add", "tam", "Hồ Tâm", "--role", "centre", "--until", "31/12/2199", "--no-login", *WHY) == 0
    ), desk.err
    assert desk.by("mai", "officer", "add", "tam", "Hồ Tâm", "--role", "auditor", "--no-login", *WHY) == 1
    assert "already an officer at that time" in desk.err
    assert desk.by("tam", "mailbox", "list") == 0
    assert desk.by("mai", "officer", "end", "tam", "--document", "4/QĐ") == 0, desk.err
    assert desk.by("tam", "mailbox", "list") == 1
    assert desk.by("tam", "--actor", "mai", "mailbox", "list") == 1
    assert desk.run("--actor", "tam", "mailbox", "list") == 1
    assert desk.by("mai", "officer", "end", "tam") == 2
    rows = {row["login"]: row for row in desk.seen_by("kiem", "officer", "list")}
    assert (rows["tam"]["serves"], rows["hoa"]["unit"], rows["hoa"]["role_name"]["en"]) == (False, "CNTT", "unit administrator")
    assert "tam" not in {row["login"] for row in desk.seen_by("mai", "officer", "list", "--at", "01/01/2100")}
    assert desk.seen_by("mai", "officer", "list", "--at", "01/01/2020") == []


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (2, ("x", "X", "--role", "unit")),
        (2, ("x", "X", "--role", "centre", "--unit", "CNTT")),
        (2, ("x", "X", "--role", "unit", "--unit", "NOWHERE")),
        (2, ("x", "X", "--role", "auditor", "--from", "01/01/2020")),
        (2, ("x", "X", "--role", "auditor", "--until", "01/01/2020")),
        (2, ("x", "X", "--role", "auditor", "--person", "99")),
        (2, ("x", " ", "--role", "auditor")),
        (2, ("a b", "X", "--role", "auditor")),
        (2, ("x", "X", "--role", "boss")),
        (1, ("mai", "X", "--role", "auditor")),
    ],
)
def test_clause_6_1_officers_that_make_no_sense(desk, code, words):
    """Refused whole; past days too, since who acted as what is never changed afterwards."""
    before = desk.seen_by("mai", "officer", "list")
    assert desk.by("mai", "officer", "add", *words, "--no-login", *WHY) == code, desk.err
    assert desk.by("mai", "officer", "add", "x", "X", "--role", "auditor", "--document", " ") == 2
    assert desk.seen_by("mai", "officer", "list") == before


def test_clause_6_1_the_first_is_of_the_centre_and_the_last_stays(tmp_path):
    """Before the first a fresh server says so; afterwards nothing leaves the Centre without an officer, today or later."""
    desk = Desk(tmp_path)
    assert desk.run("init", "--yes", "--data-dir", str(tmp_path / "data"), "--user", "") == 0
    assert desk.run("directory", "check") == 0
    assert "anybody who runs commands counts as the Centre" in desk.out
    assert desk.run("officer", "list") == 0
    assert "No officer is recorded yet" in desk.err
    assert desk.run("officer", "add", "kiem", "Bùi Kiểm", "--role", "auditor", "--no-login", *WHY) == 1
    assert "first officer must be of the Information Centre" in desk.err
    assert desk.run("officer", "add", "mai", "Phạm Mai", "--role", "centre", "--until", "31/12/2199", "--no-login", *WHY) == 1
    assert desk.run("officer", "add", "mai", "Phạm Mai", "--role", "centre", "--no-login", *WHY) == 0, desk.err
    assert "only recorded officers" in desk.err
    assert desk.run("directory", "check") == 1
    assert desk.by("mai", "directory", "check") == 0
    assert "officer" not in desk.out
    for day in ((), ("--from", "01/01/2100")):
        assert desk.by("mai", "officer", "end", "mai", *day) == 1
        assert "At least one officer of the Information Centre" in desk.err
    assert (
        desk.by("mai", "officer", "add", "minh", "Ngô Minh", "--role", "centre", "--from", "01/01/2100", "--no-login", *WHY)
        == 0
    )
    assert desk.by("mai", "officer", "end", "mai", "--from", "02/01/2100") == 0, desk.err
    assert desk.by("mai", "officer", "end", "minh", "--from", "01/06/2100") == 1


def _bare(folder):
    desk = Desk(folder)
    assert desk.run("init", "--yes", "--data-dir", str(folder / "data"), "--user", "") == 0, desk.err
    return desk


def test_clause_6_1_the_first_officer_is_somebody_who_can_sign_in(tmp_path):
    """A login that the machine does not know, and root's, are refused; root goes on under the name of the one it entered."""
    desk = _bare(tmp_path)
    assert desk.run("officer", "add", "khong-co-ai", "Phạm Mai", "--role", "centre", *WHY) == 1
    assert "has no login khong-co-ai" in desk.err
    assert "getent passwd khong-co-ai" in desk.err
    assert desk.run("officer", "add", "root", "Phạm Mai", "--role", "centre", "--no-login", *WHY) == 1
    assert "not a personal login" in desk.err
    assert desk.json("officer", "list") == []
    assert desk.run("officer", "add", A_LOGIN, "Phạm Mai", "--role", "centre", *WHY) == 0, desk.err
    assert f"--actor {A_LOGIN} ..." in desk.err
    assert desk.run("mailbox", "list") == 1
    assert f"--actor (of the Centre: {A_LOGIN})" in desk.err
    assert desk.run("--actor", A_LOGIN, "mailbox", "list") == 0, desk.err


def test_clause_6_1_root_names_an_officer_who_has_no_login(tmp_path):
    """As in a container, where nobody has one: said in so many words, and root acts on."""
    desk = _bare(tmp_path)
    assert desk.run("officer", "add", "mai", "Phạm Mai", "--role", "centre", "--no-login", *WHY) == 0, desk.err
    assert desk.run("--actor", "mai", "mailbox", "list") == 0, desk.err


def test_clause_6_1_a_person_does_not_shut_everybody_out(tmp_path):
    """Who comes by sudo can name nobody else: the first officer has a login, and the last one with a login stays."""
    desk = _bare(tmp_path)
    mai = ("mai", "Phạm Mai", "--role", "centre", "--no-login", *WHY)
    assert desk.by("binh", "officer", "add", *mai) == 1
    assert "No officer of the Information Centre would be left with a login on this machine." in desk.err
    assert desk.by("binh", "unit", "list") == 0, "nobody is shut out by what was refused"
    assert desk.by("binh", "officer", "add", A_LOGIN, "Vũ An", "--role", "centre", *WHY) == 0, desk.err
    assert "You (binh) are not an officer" in desk.err
    assert f"systemd-run --pipe --wait mic-mail --config {tmp_path}/mic-mail.toml --actor {A_LOGIN} ..." in desk.err
    assert desk.by("binh", "unit", "list") == 1
    assert desk.by(A_LOGIN, "officer", "add", *mai) == 0, desk.err
    for day in ((), ("--from", "01/01/2100")):
        assert desk.by(A_LOGIN, "officer", "end", A_LOGIN, *day) == 1
        assert "First add an officer with a login" in desk.err
    assert desk.run("--actor", A_LOGIN, "officer", "end", A_LOGIN) == 0, desk.err
    assert desk.run("--actor", "mai", "mailbox", "list") == 0, desk.err


def test_clause_6_1_two_ends_at_once(tmp_path):
    """Of two officers who end one another at the same time one stays, however often it is tried."""
    clock = ManualClock(SystemClock().now())
    directory = Directory(f"sqlite:///{tmp_path / 'directory.sqlite'}", clock=clock)
    directory.migrate()
    now = clock.now()

    def check(_before, after):
        must_keep_centre(after, now)

    serving: list[str] = []
    for round_ in range(8):
        logins = [f"a{round_}", f"b{round_}"]
        for login in logins:
            directory.officers.add(Officer(login, login, Role.CENTRE, None, now, None, "1/QĐ"))
        for login in serving:
            directory.officers.end(login, now, check)
        barrier = threading.Barrier(2)

        def end(login, barrier=barrier):
            mine = Directory(directory.url, clock=clock)
            barrier.wait()
            with suppress(NotAuthorised):
                mine.officers.end(login, now, check)
            mine.close()

        threads = [threading.Thread(target=end, args=(login,)) for login in logins]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        serving = [officer.login for officer in directory.officers.all() if officer.holds(now)]
        assert len(serving) == 1
    directory.close()
