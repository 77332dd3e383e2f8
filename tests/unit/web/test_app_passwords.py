"""The page of app passwords: made and shown once, listed, revoked; what keeps others from doing it."""

import asyncio
import contextlib
import email
import email.header
import html
import imaplib
import re
from datetime import timedelta

import pytest

from harness import MailServer
from mic_mail.policy.facts import FactKind
from mic_mail.services.authentication.identity import Answered, Peer, SignedIn
from mic_mail.services.authentication.own_password import OwnPassword
from mic_mail.services.authentication.web_sign_in import PageAccess
from population import PASSWORD, draft
from unit.web.app_password_page import PATH, make
from unit.web.conftest import NEW, Browser, Open, logged
from unit.web.mail_program import imap
from waiting import wait_for


def revoke(browser: Browser) -> None:
    """The first of the list on the last page."""
    number = re.search(r'name="number" value="(\d+)"', browser.page.text)
    assert number is not None
    assert browser.post(f"{PATH}/revoke", {"number": number[1]}).headers["location"] == PATH


def test_one_is_made_used_and_revoked(site: MailServer, browsers: Open) -> None:
    """Shown once; a program signs in with it; its session ends within the moment of the revocation (Reg. 15.2)."""
    mailbox = site.issue("ung", name="Lê Thị Ứng")
    browser = browsers(site).signed_in("ung")
    assert 'href="/app-passwords"' in browser.page.text
    password = make(browser)
    assert re.fullmatch(r"(?:[a-z2-9]{4}-){6}[a-z2-9]{4}", password)
    assert password not in browser.get(PATH).text
    assert "chưa dùng" in browser.page.text
    site.refresh()
    program = imap(site, "ung", password)
    wait_for(lambda: "từ 127.0.0.1" in browser.get(PATH).text)  # written behind the sign-in
    revoke(browser)
    assert "Đã thu hồi mật khẩu ứng dụng; các phiên" in browser.get(PATH).text
    assert "thu hồi mật khẩu ứng dụng, ung@mic.gov.vn" in browser.page.text
    site.refresh()
    with contextlib.suppress(imaplib.IMAP4.abort):
        for _ in range(100):
            program.noop()
        pytest.fail("the session that it opened goes on")
    with pytest.raises(imaplib.IMAP4.error):
        imap(site, "ung", password)
    kinds = [fact.kind for fact in site.population.directory.facts(mailbox.mailbox_id)][-2:]
    assert kinds == [FactKind.APP_PASSWORD_ADDED, FactKind.APP_PASSWORD_REVOKED]
    told = logged(site, "app_password_revoked")
    assert {"app_password_added", "app_password_revoked"} <= {event["event"] for event in told}
    assert password not in str(told)


def test_an_app_password_opens_no_page(site: MailServer, browsers: Open) -> None:
    """Neither signs it in, nor does it stand for the present password."""
    site.issue("trang")
    password = make(browsers(site).signed_in("trang"))
    site.refresh()
    assert browsers(site).sign_in("trang", password).status_code == 403
    browser = browsers(site).signed_in("trang")
    browser.get("/password")
    assert "Mật khẩu hiện tại không đúng." in browser.change(NEW, present=password).text


@pytest.mark.parametrize(
    ("fields", "status", "told"),
    [
        ({"present": "không phải nó"}, 403, "Mật khẩu hiện tại không đúng."),
        ({"present": ""}, 422, "Đề nghị điền đủ các mục."),
        ({"name": "  "}, 422, "Đề nghị điền đủ các mục."),
        ({"name": "x" * 61}, 422, "nhiều nhất 60 ký tự"),
        ({"scope": "everything"}, 422, "Đề nghị điền đủ các mục."),
        ({"token": "x"}, 403, "Biểu mẫu đã hết hiệu lực"),
        ({"name": "<b>\"'&\x00\x1b[31m</b>"}, 303, ""),
    ],
)
def test_what_is_not_made(site: MailServer, browsers: Open, fields: dict[str, str], status: int, told: str) -> None:
    """Nothing without the present password, a name, and a form of this session; a name is text wherever it is shown."""
    local = f"sai{abs(hash(str(fields))) % 10**6}"
    mailbox = site.issue(local)
    browser = browsers(site).signed_in(local)
    browser.get(PATH)
    answer = browser.post(PATH, {"name": "Máy tính", "present": PASSWORD, "scope": "all", **fields})
    assert answer.status_code == status
    assert told in html.unescape(answer.text)
    made = [fact for fact in site.population.directory.facts(mailbox.mailbox_id) if fact.kind is FactKind.APP_PASSWORD_ADDED]
    assert len(made) == (status == 303)
    if made:
        page = browser.get(PATH).text
        assert "<b>" not in page
        assert made[0].data["name"] == "<b>\"'& [31m</b>"


def test_others_cannot_revoke_or_make(site: MailServer, browsers: Open) -> None:
    """A form of another session, another mailbox's number, a form from elsewhere: nothing happens."""
    owner, thief = site.issue("chu"), site.issue("trom")
    browser, other = browsers(site).signed_in("chu"), browsers(site).signed_in("trom")
    make(browser)
    make(other)
    browser.get(PATH)
    before = [len(site.population.directory.facts(each.mailbox_id)) for each in (owner, thief)]
    number = re.search(r'name="number" value="(\d+)"', browser.page.text)
    assert number is not None
    token = browser.token(f"{PATH}/revoke")
    other.get(PATH)
    answers = [
        other.post(f"{PATH}/revoke", {"number": number[1], "token": token}),
        browser.post(f"{PATH}/revoke", {"number": "999999", "token": token}),
        browser.post(f"{PATH}/revoke", {"number": "-1", "token": token}),
        browser.client.post(f"{PATH}/revoke", data={"number": number[1], "token": token}, headers={"origin": "https://evil"}),
    ]
    assert [answer.status_code for answer in answers] == [403] * 4
    assert [len(site.population.directory.facts(each.mailbox_id)) for each in (owner, thief)] == before
    stranger = browsers(site)
    assert stranger.client.post(PATH, data={"name": "x", "present": PASSWORD, "scope": "all"}).status_code == 200
    assert "Đăng nhập" in stranger.get(PATH).text


def test_none_by_a_password_that_is_changed_meanwhile(
    site: MailServer, browsers: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thief shows the password just before its owner changes it: he gets no way in that lasts."""
    mailbox = site.issue("ketrom")
    browser = browsers(site).signed_in("ketrom")
    original = PageAccess.confirm

    async def confirm(page: PageAccess, signed_in: SignedIn, password: str, peer: Peer) -> Answered:
        answer = await original(page, signed_in, password, peer)
        own = OwnPassword(site.population.directory, site.config, site.clock)
        await asyncio.to_thread(own.change, mailbox.mailbox_id, signed_in.credential_version, NEW)
        return answer

    browser.get(PATH)
    monkeypatch.setattr(PageAccess, "confirm", confirm)
    answer = browser.post(PATH, {"name": "Máy của kẻ trộm", "present": PASSWORD, "scope": "all"})
    assert answer.status_code == 409
    assert "Mật khẩu vừa được thay đổi ở nơi khác." in answer.text
    assert not site.population.directory.entry(mailbox.mailbox_id).app_passwords


def test_a_password_that_is_due_comes_first(site: MailServer, browsers: Open) -> None:
    """Reg. 7.3.c: until it is changed there is no way round it by an app password."""
    site.issue("truoc", facts=[draft(FactKind.RESTORED, site.clock.now() - timedelta(minutes=5))])
    browser = browsers(site)
    browser.sign_in("truoc")
    assert browser.get(PATH).headers["location"] == "/password"


@pytest.mark.parametrize("ends", [False, True])
def test_a_change_says_what_becomes_of_them(site: MailServer, browsers: Open, ends: bool) -> None:
    """They stay unless the box is ticked."""
    local = f"doi{ends}".lower()
    site.issue(local)
    browser = browsers(site).signed_in(local)
    assert 'name="apps"' not in browser.get("/password").text
    password = make(browser)
    site.refresh()
    assert 'name="apps"' in browser.get("/password").text
    fields = {"present": PASSWORD, "new": NEW, "again": NEW, **({"apps": "end"} if ends else {})}
    assert browser.post("/password", fields).headers["location"] == "/mailbox"
    site.refresh()
    if ends:
        with pytest.raises(imaplib.IMAP4.error):
            imap(site, local, password)
    else:
        imap(site, local, password).logout()
    imap(site, local, NEW).logout()


@pytest.mark.clause("15.2")
def test_the_owner_is_told_of_each_new_one(site: MailServer, browsers: Open) -> None:
    """Once, in the own mailbox, by name and by whom: whoever did not ask for it has to hear of it (Reg. 4.3)."""
    site.issue("duocbao")
    password = make(browsers(site).signed_in("duocbao"), "Máy của kẻ khác")
    site.refresh()
    site.housekeep()
    site.housekeep()
    client = imap(site, "duocbao", password)
    client.select("INBOX", readonly=True)
    found = client.search(None, "ALL")[1][0].split()
    letters = [email.message_from_bytes(client.fetch(number, "(BODY.PEEK[])")[1][0][1]) for number in found]
    told = [
        letter
        for letter in letters
        if "app password" in str(email.header.make_header(email.header.decode_header(letter["Subject"])))
    ]
    assert len(told) == 1
    text = "".join(part.get_payload(decode=True).decode() for part in told[0].walk() if part.get_content_maintype() == "text")
    assert "Máy của kẻ khác" in text
    assert password not in text
    client.logout()
