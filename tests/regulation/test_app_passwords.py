"""`mic-mail app-password` (Reg. 15.2, 4.3): what the Centre may do, on which basis, and what is on record of it."""

import io
import json

import pytest

from mic_mail.clock import SystemClock
from mic_mail.config.load import load
from mic_mail.directory.repository import Directory
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.facts import FactKind
from mic_mail.services.mailboxes.credentials import set_password
from regulation.console import Console, made

DVBE = "dvbe@mic.gov.vn"
PASSWORD = "bảy con vịt xiêm bơi ngang"


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Console:
    """A server with one mailbox, whose person has chosen a password."""
    console = made(tmp_path_factory.mktemp("console"))
    directory = of(console)
    config = load(console.folder / "mic-mail.toml")
    now = SystemClock().now()
    set_password(directory, config, directory.mailbox(DVBE), PASSWORD, at=now, origin=ActContext(DVBE), must_change=False)
    directory.close()
    return console


def of(console: Console) -> Directory:
    return Directory(f"sqlite:///{console.folder / 'data' / 'directory' / 'directory.sqlite'}")


def acts(console: Console) -> list[dict[str, object]]:
    return [json.loads(line) for path in (console.folder / "data" / "log").glob("audit-*") for line in path.open()]


@pytest.mark.clause("15.2", "4.3")
def test_one_is_made_on_a_document_and_revoked(console: Console) -> None:
    """Shown once; listed with who made it and on what; the record of acts has no password; ended by whom stays listed."""
    words = ("app-password", "add", DVBE, "Điện thoại", "--door", "imap", "--door", "submission")
    console.refused(*words, code=2)
    console.refused(*words, "--document", " ", code=2)
    added = console.json(*words, "--document", "31/CV-CNTT")
    assert len(added["password"].replace("-", "")) == 28
    (listed,) = console.json("app-password", "list", DVBE)
    assert (listed["number"], listed["name"], listed["doors"]) == (added["number"], "Điện thoại", ["imap", "submission"])
    assert (listed["used_at"], listed["ended_at"]) == (None, None)
    console.done("app-password", "list", DVBE)
    assert "IMAP, sending" in console.out
    console.refused("app-password", "revoke", DVBE, code=2)
    console.refused("app-password", "revoke", DVBE, "99", code=2)
    console.done("app-password", "revoke", DVBE, added["number"], "--reason", "mất máy")
    console.done("app-password", "revoke", DVBE, "--all")
    assert "None of them was still valid." in console.err
    (listed,) = console.json("app-password", "list", DVBE)
    assert listed["ended_because"]["en"] == "app password revoked"
    assert listed["ended_by"] == listed["added_by"]
    recorded = [act for act in acts(console) if str(act["act"]).startswith("app_password")]
    assert [act["act"] for act in recorded[:2]] == ["app_password_add", "app_password_revoke"]
    assert recorded[0]["document"] == "31/CV-CNTT"
    assert added["password"] not in json.dumps(acts(console))
    facts = of(console).facts(of(console).mailbox(DVBE).mailbox_id)
    assert [(fact.kind, fact.document or fact.reason) for fact in facts[-2:]] == [
        (FactKind.APP_PASSWORD_ADDED, "31/CV-CNTT"),
        (FactKind.APP_PASSWORD_REVOKED, "mất máy"),
    ]


@pytest.mark.clause("15.2")
@pytest.mark.parametrize("act", ["reset", "set"])
def test_a_password_that_the_centre_sets_ends_them(console: Console, act: str) -> None:
    """On whatever document it does so, something was wrong with the old ones."""
    added = console.json("app-password", "add", DVBE, f"máy {act}", "--document", "1")
    if act == "reset":
        console.done("password", "reset", DVBE, "--document", "2")
    else:
        choose(console, "tám cái nón lá treo tường", "--document", "2")
    ended = next(one for one in console.json("app-password", "list", DVBE) if one["number"] == added["number"])
    assert ended["ended_because"]["en"] == {"reset": "password reset", "set": "password chosen"}[act]
    if act == "reset":
        console.refused("app-password", "add", DVBE, "mới", "--document", "3", says="15.2")
        choose(console, "chín con cá lội ao sâu")


def choose(console: Console, password: str, *words: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
        console.done("password", "set", DVBE, "--stdin", *words)
