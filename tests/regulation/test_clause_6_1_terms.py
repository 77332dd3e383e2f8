"""Reg. 6.1: terms of officers begin and end; the first is of the Centre, and the last stays."""

import threading
from contextlib import suppress

import pytest

from clients.terminal import A_LOGIN
from mic_mail.clock import ManualClock, SystemClock
from mic_mail.directory.repository import Directory
from mic_mail.policy.authorization.roles import NotAuthorised, Officer, OfficerRole, must_keep_centre
from regulation.officers import WHY, OfficersConsole, officers_console


@pytest.fixture(scope="module")
def console(tmp_path_factory):
    return officers_console(tmp_path_factory.mktemp("console"))


# ------------------------------------------------------------ terms


def test_clause_6_1_terms_begin_and_end(console):
    """Entered once, ended once, told for any day; an ended officer is nobody, and can name nobody."""
    console.done_by("mai", "officer", "add", "tam", "Hồ Tâm", "--role", "centre", "--until", "31/12/2199", "--no-login", *WHY)
    console.refused_by(
        "mai",
        "officer",
        "add",
        "tam",
        "Hồ Tâm",
        "--role",
        "auditor",
        "--no-login",
        *WHY,
        says="already an officer at that time",
    )
    console.done_by("tam", "mailbox", "list")
    console.done_by("mai", "officer", "end", "tam", "--document", "4/QĐ")
    console.refused_by("tam", "mailbox", "list")
    console.refused_by("tam", "--actor", "mai", "mailbox", "list")
    console.refused("--actor", "tam", "mailbox", "list")
    console.refused_by("mai", "officer", "end", "tam", code=2)
    rows = {row["login"]: row for row in console.json_by("kiem", "officer", "list")}
    assert (rows["tam"]["serves"], rows["hoa"]["unit"], rows["hoa"]["role_name"]["en"]) == (False, "CNTT", "unit administrator")
    assert "tam" not in {row["login"] for row in console.json_by("mai", "officer", "list", "--at", "01/01/2100")}
    assert console.json_by("mai", "officer", "list", "--at", "01/01/2020") == []


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
def test_clause_6_1_officers_that_make_no_sense(console, code, words):
    """Refused whole; past days too, since who acted as what is never changed afterwards."""
    before = console.json_by("mai", "officer", "list")
    assert console.by("mai", "officer", "add", *words, "--no-login", *WHY) == code, console.err
    console.refused_by("mai", "officer", "add", "x", "X", "--role", "auditor", "--document", " ", code=2)
    assert console.json_by("mai", "officer", "list") == before


def test_clause_6_1_the_first_is_of_the_centre_and_the_last_stays(tmp_path):
    """Before the first a fresh server says so; afterwards nothing leaves the Centre without an officer, today or later."""
    console = OfficersConsole(tmp_path).init()
    console.done("directory", "check")
    assert "anybody who runs commands counts as the Centre" in console.out
    console.done("officer", "list")
    assert "No officer is recorded yet" in console.err
    console.refused(
        "officer",
        "add",
        "kiem",
        "Bùi Kiểm",
        "--role",
        "auditor",
        "--no-login",
        *WHY,
        says="first officer must be of the Information Centre",
    )
    console.refused("officer", "add", "mai", "Phạm Mai", "--role", "centre", "--until", "31/12/2199", "--no-login", *WHY)
    console.done("officer", "add", "mai", "Phạm Mai", "--role", "centre", "--no-login", *WHY)
    assert "only recorded officers" in console.err
    console.refused("directory", "check")
    console.done_by("mai", "directory", "check")
    assert "officer" not in console.out
    for day in ((), ("--from", "01/01/2100")):
        console.refused_by("mai", "officer", "end", "mai", *day, says="At least one officer of the Information Centre")
    console.done_by("mai", "officer", "add", "minh", "Ngô Minh", "--role", "centre", "--from", "01/01/2100", "--no-login", *WHY)
    console.done_by("mai", "officer", "end", "mai", "--from", "02/01/2100")
    console.refused_by("mai", "officer", "end", "minh", "--from", "01/06/2100")


def _bare(folder):
    return OfficersConsole(folder).init()


def test_clause_6_1_the_first_officer_is_somebody_who_can_sign_in(tmp_path):
    """A login that the machine does not know, and root's, are refused; root goes on under the name of the one it entered."""
    console = _bare(tmp_path)
    console.refused(
        "officer",
        "add",
        "khong-co-ai",
        "Phạm Mai",
        "--role",
        "centre",
        *WHY,
        says=("has no login khong-co-ai", "getent passwd khong-co-ai"),
    )
    console.refused("officer", "add", "root", "Phạm Mai", "--role", "centre", "--no-login", *WHY, says="not a personal login")
    assert console.json("officer", "list") == []
    console.done("officer", "add", A_LOGIN, "Phạm Mai", "--role", "centre", *WHY)
    assert f"--actor {A_LOGIN} ..." in console.err
    console.refused("mailbox", "list", says=f"--actor (of the Centre: {A_LOGIN})")
    console.done("--actor", A_LOGIN, "mailbox", "list")


def test_clause_6_1_root_names_an_officer_who_has_no_login(tmp_path):
    """As in a container, where nobody has one: said in so many words, and root acts on."""
    console = _bare(tmp_path)
    console.done("officer", "add", "mai", "Phạm Mai", "--role", "centre", "--no-login", *WHY)
    console.done("--actor", "mai", "mailbox", "list")


def test_clause_6_1_a_person_does_not_shut_everybody_out(tmp_path):
    """Who comes by sudo can name nobody else: the first officer has a login, and the last one with a login stays."""
    console = _bare(tmp_path)
    mai = ("mai", "Phạm Mai", "--role", "centre", "--no-login", *WHY)
    console.refused_by(
        "binh", "officer", "add", *mai, says="No officer of the Information Centre would be left with a login on this machine."
    )
    assert console.by("binh", "unit", "list") == 0, "nobody is shut out by what was refused"
    console.done_by("binh", "officer", "add", A_LOGIN, "Vũ An", "--role", "centre", *WHY)
    assert "You (binh) are not an officer" in console.err
    assert f"systemd-run --pipe --wait mic-mail --config {tmp_path}/mic-mail.toml --actor {A_LOGIN} ..." in console.err
    console.refused_by("binh", "unit", "list")
    console.done_by(A_LOGIN, "officer", "add", *mai)
    for day in ((), ("--from", "01/01/2100")):
        console.refused_by(A_LOGIN, "officer", "end", A_LOGIN, *day, says="First add an officer with a login")
    console.done("--actor", A_LOGIN, "officer", "end", A_LOGIN)
    console.done("--actor", "mai", "mailbox", "list")


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
            directory.officers.add(Officer(login, login, OfficerRole.CENTRE, None, now, None, "1/QĐ"))
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
