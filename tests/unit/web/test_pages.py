"""What people do at the page: sign in, look, change the password, sign out."""

import contextlib
import html
import imaplib
import itertools
import re
from datetime import timedelta

import pytest

from harness import MailServer
from mic_mail.policy.facts import FactKind, MailboxKind
from office_language import wrong_words
from population import PASSWORD, draft
from unit.web.conftest import NEW, Open, logged
from unit.web.mail_program import imap

WRONG = "Tên đăng nhập hoặc mật khẩu không đúng."


def test_a_password_is_changed_and_the_mail_programs_follow(site: MailServer, browsers: Open) -> None:
    """The fact names the person, open sessions end, the new password works everywhere and the old one nowhere (Reg. 15.2)."""
    mailbox = site.issue("doi", name="Phạm Thị Đổi")
    program = imap(site, "doi", PASSWORD)
    browser = browsers(site).signed_in("doi")
    browser.get("/password")
    answer = browser.change(NEW)
    assert (answer.status_code, answer.headers["location"]) == (303, "/mailbox")
    assert "Đã đổi mật khẩu." in browser.get("/mailbox").text
    assert "Đã đổi mật khẩu." not in browser.get("/mailbox").text  # said once
    fact = site.population.directory.facts(mailbox.mailbox_id)[-1]
    assert (fact.kind, fact.actor, fact.document) == (FactKind.PASSWORD_SET, "doi@mic.gov.vn", None)
    site.refresh()
    with contextlib.suppress(imaplib.IMAP4.abort):
        for _ in range(100):
            program.noop()
        pytest.fail("the session with the old password goes on")
    with pytest.raises(imaplib.IMAP4.error):
        imap(site, "doi", PASSWORD)
    imap(site, "doi", NEW).logout()
    assert {"web_password_changed", "signed_in"} <= {event["event"] for event in logged(site, "web_password_changed")}
    assert not any(secret in str(site.events()) for secret in (PASSWORD, NEW))


@pytest.mark.parametrize("kind", list(MailboxKind))
def test_a_restored_mailbox_reaches_only_the_change(site: MailServer, browsers: Open, kind: MailboxKind) -> None:
    """Units and groups too; until then mail programs are told where to go, afterwards they are let in (Reg. 7.3.c)."""
    name = f"phuchoi_{kind.value}"
    site.issue(name, name="Ba Tư", kind=kind, facts=[draft(FactKind.RESTORED, site.clock.now() - timedelta(minutes=5))])
    with pytest.raises(imaplib.IMAP4.error, match="EXPIRED"):
        imap(site, name, PASSWORD)
    browser = browsers(site)
    assert browser.sign_in(name).headers["location"] == "/password"
    assert browser.get("/mailbox").headers["location"] == "/password"
    assert "điểm c khoản 3 Điều 7 Quy chế" in browser.get("/password").text
    assert browser.change(NEW).headers["location"] == "/mailbox"
    assert browser.get("/mailbox").status_code == 200
    site.refresh()
    imap(site, name, NEW).logout()


def test_what_keeps_people_out_is_told_after_the_right_password_alone(site: MailServer, browsers: Open) -> None:
    """A suspension or reclaiming with its clause, as by IMAP; to a stranger nothing of either (Reg. 7.1, 6.4.c)."""
    now = site.clock.now()
    site.issue("khoa", facts=[draft(FactKind.SUSPENDED, now - timedelta(days=2), cause="c")])
    site.issue("thuhoi", facts=[draft(FactKind.RECLAIMED, now - timedelta(days=2))])
    browser = browsers(site)
    told = browser.sign_in("khoa")
    assert told.status_code == 403
    assert "bị tạm khóa từ" in told.text
    assert "điểm c khoản 2 Điều 7 Quy chế" in told.text
    told = browser.sign_in("thuhoi")
    assert told.status_code == 403
    assert "đã bị thu hồi" in told.text
    with pytest.raises(imaplib.IMAP4.error, match="reclaimed"):
        imap(site, "thuhoi", PASSWORD)
    for local, password in (("khoa", "wrong"), ("thuhoi", "wrong"), ("nobody", PASSWORD)):
        answer = browser.sign_in(local, password)
        assert answer.status_code == 403
        assert WRONG in answer.text
        assert "Điều" not in answer.text.partition("<form")[0]


def test_a_leaver_sees_what_is_locked_and_when_it_ends(site: MailServer, browsers: Open) -> None:
    """Send-locked: may look, may change the password, and reads from when on the mailbox is gone (Reg. 6.4.c)."""
    left = draft(FactKind.LEFT, site.clock.now() - timedelta(days=20), document="118", level="division", cause="retired")
    site.issue("nghi", name="Nguyễn Văn Nghỉ", facts=[left])
    browser = browsers(site).signed_in("nghi")
    text = html.unescape(browser.page.text)
    assert "Chức năng gửi thư của hộp thư nghi@mic.gov.vn bị khóa từ ngày" in text
    assert "sẽ tự động bị thu hồi sau khi kết thúc ngày" in text
    assert "1 GB được cấp" in text
    browser.get("/password")
    assert browser.change(NEW).status_code == 303


@pytest.mark.parametrize(
    ("fields", "status", "told"),
    [
        ({"new": "ngắn"}, 422, "Mật khẩu phải có ít nhất 10 ký tự."),
        ({"new": "Matkhau@2026"}, 422, "quá dễ đoán"),
        ({"new": "Tran Thi Yeu 2026"}, 422, "không được chứa địa chỉ thư hoặc tên"),
        ({"new": PASSWORD}, 422, "phải khác mật khẩu đang dùng"),
        ({"new": NEW, "again": NEW + "!"}, 422, "không giống nhau"),
        ({"new": NEW, "present": "không phải nó"}, 403, "Mật khẩu hiện tại không đúng."),
        ({"new": "chuông\u0007kêu vang khắp xóm"}, 422, "không dùng được"),
    ],
)
def test_what_is_no_new_password(site: MailServer, browsers: Open, fields: dict[str, str], status: int, told: str) -> None:
    """Refused with the rule, nothing changed, and no password in the page that comes back."""
    local = f"yeu{abs(hash(str(fields))) % 10**6}"
    mailbox = site.issue(local, name="Trần Thị Yếu")
    browser = browsers(site).signed_in(local)
    browser.get("/password")
    answer = browser.change(fields["new"], present=fields.get("present", PASSWORD), again=fields.get("again"))
    assert answer.status_code == status
    assert told in answer.text
    assert fields["new"] not in answer.text
    assert site.population.directory.entry(mailbox.mailbox_id).credential.version == 1  # type: ignore[union-attr]


def test_former_passwords_do_not_come_back(site: MailServer, browsers: Open) -> None:
    """Not one of the last `auth.password_reuse`; the one before those may (Reg. 15.2)."""
    site.issue("xoay", name="Lý Thị Xoay")
    chosen = [PASSWORD, *(f"{word} trâu cày ruộng sâu" for word in ("một", "hai", "ba", "bốn", "năm", "sáu"))]
    browser = browsers(site).signed_in("xoay")
    for present, new in itertools.pairwise(chosen):
        browser.get("/password")
        assert browser.change(new, present=present).status_code == 303
    for former in chosen[1:-1]:
        browser.get("/password")
        assert "5 mật khẩu gần nhất" in browser.change(former, present=chosen[-1]).text
    browser.get("/password")
    assert browser.change(PASSWORD, present=chosen[-1]).status_code == 303


def test_a_language_is_chosen_once(site: MailServer, browsers: Open) -> None:
    """Vietnamese first, whatever the browser prefers; English from the switch on."""
    browser = browsers(site)
    assert '<html lang="vi">' in browser.get("/", headers={"accept-language": "en"}).text
    assert "Sign in" in browser.get("/?lang=en").text
    assert '<html lang="en">' in browser.get("/forgot").text
    assert '<html lang="en">' in browser.get("/?lang=xx").text


def test_under_another_name_the_page_is_whole_and_leads_to_the_right_one(site: MailServer, browsers: Open) -> None:
    """It looks like the others, since its style and image are served under whatever name; nothing else is."""
    other = {"host": "mail.example"}
    browser = browsers(site)
    page = browser.get("/", headers=other)
    assert page.status_code == 421
    needed = set(re.findall(r'<(?:link|img)[^>]+(?:href|src)="([^"]+)"', page.text))
    assert len(needed) == 2
    assert {path: browser.get(path, headers=other).status_code for path in needed} == dict.fromkeys(needed, 200)
    assert set(re.findall(r'class="(?:brand|button quiet)" href="([^"]+)"', page.text)) == {"https://mail.mic.gov.vn/"}
    assert 'class="brand" href="/"' in browser.get("/").text
    for path in ("/robots.txt", "/sign-in", "/mailbox"):
        assert browser.get(path, headers=other).status_code == 421


def test_a_lost_password_is_no_matter_of_this_page(site: MailServer, browsers: Open) -> None:
    """It says whom to tell and what is needed, and has no form (Reg. 15.2)."""
    text = browsers(site).get("/forgot").text
    assert "khoản 2 Điều 15 Quy chế" in text
    assert "support@mic.gov.vn" in text
    assert "<form" not in text


def test_signing_out_ends_it(site: MailServer, browsers: Open) -> None:
    """The token is worth nothing afterwards, also for who has kept it."""
    site.issue("ra")
    browser = browsers(site).signed_in("ra")
    kept = browser.client.cookies["__Host-mic-mail"]
    assert browser.post("/sign-out", {}).headers["location"] == "/signed-out"
    browser.client.cookies.set("__Host-mic-mail", kept, domain="localhost.local")
    assert "Phiên làm việc đã kết thúc" in browser.get("/mailbox").text


def test_password_managers_find_the_form(site: MailServer, browsers: Open) -> None:
    """W3C: a well-known URL for changing passwords; and the fields say what they are."""
    browser = browsers(site)
    site.issue("kho")
    assert browser.get("/.well-known/change-password").headers["location"] == "/password"
    page = browser.signed_in("kho").get("/password").text
    for purpose in ("username", "current-password", "new-password"):
        assert f'autocomplete="{purpose}"' in page


def test_each_page_speaks_as_an_office_does(site: MailServer, browsers: Open) -> None:
    """Of what a person sees, signed in or not, refused or not, nothing is a code, an ISO date or an English word."""
    left = draft(FactKind.LEFT, site.clock.now() - timedelta(days=20), document="118", level="division", cause="retired")
    site.issue("nhin", name="Nguyễn Văn Nhìn", facts=[left])
    browser = browsers(site)
    seen = {path: browser.get(path).text for path in ("/", "/forgot", "/signed-out", "/not-there")}
    seen["wrong password"] = browser.sign_in("nhin", "không phải nó").text
    browser.signed_in("nhin")
    seen["/mailbox"] = browser.page.text
    seen |= {path: browser.get(path).text for path in ("/password", "/second-factor", "/app-passwords")}
    browser.post("/app-passwords", {"name": "Điện thoại", "present": PASSWORD, "scope": "all"})
    seen["new app password"] = browser.get("/app-passwords").text
    browser.get("/second-factor")
    browser.post("/second-factor/begin", {"present": PASSWORD})
    seen["second factor begun"] = browser.get("/second-factor").text
    seen["wrong code"] = browser.post("/second-factor/confirm", {"code": "000000"}).text
    browser.get("/password")
    seen["refused"] = browser.change("ngắn").text
    wrong = {name: found for name, page in seen.items() if (found := wrong_words(visible(page)))}
    assert wrong == {}
    assert all(len(visible(page)) > 40 for page in seen.values())


def visible(page: str) -> str:
    """The text that a Vietnamese reader of a page sees: without tags, addresses, and what is in another language."""
    page = re.sub(r"<(style|script|svg)\b.*?</\1>|<\w+ [^>]*lang=\"en\"[^>]*>[^<]*", " ", page, flags=re.DOTALL)
    return re.sub(r"\S+@\S+|https?://\S+", "", html.unescape(re.sub(r"<[^>]+>", " ", page)))
