"""The second factor at the page: set, asked for after the password, used once, removed; and what it closes elsewhere."""

import contextlib
import html
import imaplib
import re
from base64 import b32decode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from harness import MailServer, config_for, stopping
from mic_mail.auth import totp
from mic_mail.auth.throttle import ThrottleSettings
from mic_mail.auth.verifier import Wait
from mic_mail.clock import ManualClock, SystemClock
from mic_mail.config.model import Config
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.facts import FactKind
from mic_mail.services.authentication.second_factors import MOST_WRONG, CodeResult, SecondFactors, key_path
from mic_mail.web.sessions import ENROLMENT_SECONDS
from population import PASSWORD
from unit.web.app_password_page import make
from unit.web.conftest import NEW, SETTINGS, Browser, Open, logged
from unit.web.mail_program import imap

FACTOR, CODE = "/second-factor", "/code"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    """Its clock stands still between the tests' own moves, so that a code is a code for as long as a test wants."""
    servers: list[MailServer] = []
    with stopping(servers):
        servers.append(MailServer(config_for(tmp_path_factory.mktemp("factor"), SETTINGS), ManualClock(SystemClock().now())))
        yield servers[0]


def code_of(site: MailServer, secret: bytes, off: int = 0) -> str:
    """The code that the device shows now."""
    return totp.code(secret, int(site.clock.now().timestamp() // 30) + off)


def later(site: MailServer, seconds: float = 30) -> None:
    site.move_clock_to(site.clock.now() + timedelta(seconds=seconds))


def enrol(site: MailServer, browser: Browser) -> tuple[bytes, list[str]]:
    """Set one at the page; the secret and the recovery codes. The next code is another one."""
    browser.get(FACTOR)
    assert browser.post(f"{FACTOR}/begin", {"present": PASSWORD}).headers["location"] == FACTOR
    page = browser.get(FACTOR).text
    typed = re.search(r'id="secret">([A-Z2-7 ]+)<', page)
    assert typed is not None, page
    secret = b32decode(typed[1].replace(" ", ""))
    assert html.escape(totp.uri(secret, browser_address(browser), site.config.server.hostname)) in page
    assert "<svg" in page
    assert browser.post(f"{FACTOR}/confirm", {"code": code_of(site, secret)}).headers["location"] == FACTOR
    page = browser.get(FACTOR).text
    recovery = re.findall(r"<li>([a-z2-9-]{19})</li>", page)
    assert len(recovery) == 10
    assert recovery[0] not in browser.get(FACTOR).text
    site.refresh()
    later(site)
    return secret, recovery


def browser_address(browser: Browser) -> str:
    found = re.search(r'<span class="address">([^<]+)<', browser.page.text)
    assert found is not None
    return found[1]


def half_in(browsers: Open, site: MailServer, local: str) -> Browser:
    """Somebody who has shown the password, before the code."""
    browser = browsers(site)
    assert browser.sign_in(local).headers["location"] == CODE
    browser.get(CODE)
    return browser


def test_a_code_is_asked_for_from_then_on(site: MailServer, browsers: Open) -> None:
    """The page that set it goes on; who signs in next shows a code, once; the record and the log know, and hold no secret."""
    mailbox = site.issue("hai")
    first = browsers(site).signed_in("hai")
    secret, recovery = enrol(site, first)
    assert "Đang bật xác thực hai bước." in first.get("/mailbox").text
    browser = half_in(browsers, site, "hai")
    for path in ("/mailbox", "/password", "/app-passwords", FACTOR, "/mailbox/apple.mobileconfig"):
        assert browser.get(path).headers["location"] == CODE, path
    browser.get(CODE)
    code = code_of(site, secret)
    assert browser.post(CODE, {"code": f"{code[:3]} {code[3:]}"}).headers["location"] == "/mailbox"
    assert browser.get("/mailbox").status_code == 200
    browser.get("/password")
    assert browser.change(NEW).headers["location"] == "/mailbox"
    assert browser.get("/mailbox").status_code == 200
    facts = site.population.directory.facts(mailbox.mailbox_id)
    assert [fact.kind for fact in facts][-2:] == [FactKind.SECOND_FACTOR_SET, FactKind.PASSWORD_SET]
    events = logged(site, "second_factor_set")
    assert {"second_factor_asked", "signed_in"} <= {event["event"] for event in events}
    assert any(event.get("mechanism") == "password+code" for event in events)
    told = str(events) + str(facts)
    assert not any(word in told for word in (code, *recovery, totp.typed(secret), totp.typed(secret).replace(" ", "")))


def test_none_is_asked_for_once_it_is_removed(site: MailServer, browsers: Open) -> None:
    """Between the password and the code, by the Centre: whoever waits for the code signs in again, and no code was wrong."""
    mailbox = site.issue("giuachung")
    enrol(site, browsers(site).signed_in("giuachung"))
    showing, typing = half_in(browsers, site, "giuachung"), half_in(browsers, site, "giuachung")
    factors = SecondFactors(site.population.directory, site.config, site.clock)
    factors.remove(mailbox.mailbox_id, ActContext("centre"), ends_apps=True)
    site.refresh()
    assert "/sign-in" in showing.get(CODE).text
    assert "/sign-in" in typing.post(CODE, {"code": "123456"}).text
    refused = [
        each for each in site.events() if each["event"] == "second_factor_refused" and each["mailbox"] == mailbox.address
    ]
    assert not refused
    assert browsers(site).sign_in("giuachung").headers["location"] == "/mailbox"


def test_a_code_is_used_once(site: MailServer, browsers: Open) -> None:
    """RFC 6238 §5.2: neither the code that set it, nor the same again, nor one before it; the next one is good."""
    site.issue("motlan")
    secret, _ = enrol(site, browsers(site).signed_in("motlan"))
    browser = half_in(browsers, site, "motlan")
    assert "đã được sử dụng" in browser.post(CODE, {"code": code_of(site, secret, -1)}).text
    assert browser.post(CODE, {"code": code_of(site, secret)}).status_code == 303
    browser = half_in(browsers, site, "motlan")
    assert browser.post(CODE, {"code": code_of(site, secret)}).status_code == 403
    assert browser.post(CODE, {"code": code_of(site, secret, 1)}).status_code == 303
    later(site, 60)


def test_of_ten_who_bring_one_code_one_gets_in(site: MailServer, browsers: Open) -> None:
    """At the same moment, each with the right password."""
    site.issue("muoi")
    secret, _ = enrol(site, browsers(site).signed_in("muoi"))
    ten = [half_in(browsers, site, "muoi") for _ in range(8)]
    code = code_of(site, secret)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda browser: browser.post(CODE, {"code": code}).status_code, ten))
    assert sorted(answers) == [303, *[403] * 7]


def test_a_recovery_code_is_good_once(site: MailServer, browsers: Open) -> None:
    """In any case and without hyphens; what is left is told."""
    site.issue("khoiphuc")
    _, recovery = enrol(site, browsers(site).signed_in("khoiphuc"))
    browser = half_in(browsers, site, "khoiphuc")
    assert browser.post(CODE, {"code": recovery[3].replace("-", " ").upper()}).status_code == 303
    assert re.search(r"<dd>9</dd>", browser.get(FACTOR).text)
    again = half_in(browsers, site, "khoiphuc")
    assert again.post(CODE, {"code": recovery[3]}).status_code == 403
    assert again.post(CODE, {"code": recovery[4]}).status_code == 303
    assert "recovery_code_used" in {event["event"] for event in logged(site, "recovery_code_used")}


@pytest.mark.clause("4.3")
def test_the_password_buys_no_guesses_at_the_code(site: MailServer, browsers: Open) -> None:
    """Signed in by the right password between the guesses: they stay counted, and the right code waits with them."""
    site.issue("doan")
    secret, _ = enrol(site, browsers(site).signed_in("doan"))
    limit = site.config.auth.failures_per_mailbox
    answers = []
    for _ in range(limit + 1):
        browser = half_in(browsers, site, "doan")
        answers.append(browser.post(CODE, {"code": "000000"}).status_code)
    assert answers == [*[403] * limit, 429]
    assert browser.post(CODE, {"code": code_of(site, secret)}).status_code == 429
    later(site, site.config.auth.failure_window + 1)
    browser = half_in(browsers, site, "doan")
    assert browser.post(CODE, {"code": code_of(site, secret)}).status_code == 303


def test_too_many_wrong_ones_close_it(site: MailServer, browsers: Open) -> None:
    """Over networks and restarts: then no code of the device is good; a recovery code is, and opens it again (Reg. 15.2)."""
    mailbox = site.issue("dong")
    secret, recovery = enrol(site, browsers(site).signed_in("dong"))
    service = SecondFactors(site.population.directory, site.config, site.clock)
    for _ in range(MOST_WRONG - 1):
        service.check(mailbox.mailbox_id, "000000")
    browser = half_in(browsers, site, "dong")
    assert browser.post(CODE, {"code": "000000"}).status_code == 403
    assert "dùng mã khôi phục hoặc liên hệ Trung tâm Thông tin" in browser.post(CODE, {"code": code_of(site, secret)}).text
    assert "second_factor_closed" in {event["event"] for event in logged(site, "second_factor_closed")}
    unknown = recovery[0][:-1] + ("a" if recovery[0][-1] != "a" else "b")
    assert service.check(mailbox.mailbox_id, unknown) is CodeResult.WRONG
    assert browser.post(CODE, {"code": recovery[0]}).headers["location"] == "/mailbox"
    browser.get(FACTOR)
    assert browser.post(f"{FACTOR}/remove", {"present": PASSWORD, "code": recovery[1]}).status_code == 303
    site.refresh()
    assert browsers(site).sign_in("dong").headers["location"] == "/mailbox"


@pytest.mark.clause("15.2")
def test_guesses_from_elsewhere_keep_nobody_out(site: MailServer, browsers: Open) -> None:
    """Who has the password guesses codes from many networks: where the factor was set its codes are taken all the same."""
    site.issue("nga")
    secret, recovery = enrol(site, browsers(site).signed_in("nga"))
    guard = site.running.context.access.verifier

    async def wrong() -> bool:
        return False

    for number in range(ThrottleSettings().per_mailbox):
        site.call(guard.check_code("nga@mic.gov.vn", f"203.0.{number}.7", wrong))
    assert isinstance(site.call(guard.check_code("nga@mic.gov.vn", "198.51.100.7", wrong)), Wait)
    browser = half_in(browsers, site, "nga")
    assert browser.post(CODE, {"code": recovery[0]}).headers["location"] == "/mailbox"
    browser.get(FACTOR)
    assert browser.post(f"{FACTOR}/remove", {"present": PASSWORD, "code": code_of(site, secret)}).status_code == 303


@pytest.mark.clause("15.2")
def test_mail_programs_sign_in_by_app_passwords_alone(site: MailServer, browsers: Open) -> None:
    """The own password is refused there with a sentence that says so, its open session ends; app passwords go on."""
    site.issue("thu")
    browser = browsers(site).signed_in("thu")
    password = make(browser)
    site.refresh()
    by_own, by_app = imap(site, "thu", PASSWORD), imap(site, "thu", password)
    enrol(site, browser)
    with contextlib.suppress(imaplib.IMAP4.abort):
        for _ in range(100):
            by_own.noop()
        pytest.fail("the session with the own password goes on")
    by_app.noop()
    with pytest.raises(imaplib.IMAP4.error, match="sign in with an app password, created"):
        imap(site, "thu", PASSWORD)
    with pytest.raises(imaplib.IMAP4.error, match="User name or password is wrong"):
        imap(site, "thu", "wrong")
    imap(site, "thu", password).logout()


def test_it_is_removed_with_password_and_code(site: MailServer, browsers: Open) -> None:
    """Neither alone; afterwards the password opens page and mail again, app passwords go on, and one can be set anew."""
    mailbox = site.issue("bo")
    browser = browsers(site).signed_in("bo")
    secret, recovery = enrol(site, browser)
    browser.get(FACTOR)
    for fields in (
        {"present": "không phải nó", "code": code_of(site, secret)},
        {"present": PASSWORD, "code": "000000"},
        {"present": PASSWORD, "code": ""},
        {"present": "", "code": code_of(site, secret)},
    ):
        assert browser.post(f"{FACTOR}/remove", fields).status_code in {403, 422}
    assert site.population.directory.facts(mailbox.mailbox_id)[-1].kind is FactKind.SECOND_FACTOR_SET
    answer = browser.post(f"{FACTOR}/remove", {"present": PASSWORD, "code": code_of(site, secret)})
    assert answer.headers["location"] == FACTOR
    assert "Đã tắt xác thực hai bước." in browser.get(FACTOR).text
    site.refresh()
    assert browsers(site).sign_in("bo").headers["location"] == "/mailbox"
    imap(site, "bo", PASSWORD).logout()
    _, anew = enrol(site, browser)
    assert half_in(browsers, site, "bo").post(CODE, {"code": recovery[0]}).status_code == 403
    assert half_in(browsers, site, "bo").post(CODE, {"code": anew[0]}).status_code == 303


def test_a_session_from_before_ends_where_one_is_set_elsewhere(site: MailServer, browsers: Open) -> None:
    """It has shown no code."""
    site.issue("truocdo")
    before = browsers(site).signed_in("truocdo")
    enrol(site, browsers(site).signed_in("truocdo"))
    assert "Phiên làm việc đã kết thúc" in before.get("/mailbox").text


def test_a_session_ends_with_the_factor_that_opened_it(site: MailServer, browsers: Open) -> None:
    """The Centre removes that of a lost telephone (Reg. 15.2): what is signed in on it by a code is over."""
    mailbox = site.issue("matmay")
    lost = browsers(site).signed_in("matmay")
    enrol(site, lost)
    assert lost.get("/mailbox").status_code == 200
    factors = SecondFactors(site.population.directory, site.config, site.clock)
    factors.remove(mailbox.mailbox_id, ActContext("centre", document="7/CV"), ends_apps=True)
    site.refresh()
    assert "Phiên làm việc đã kết thúc" in lost.get("/mailbox").text
    assert browsers(site).sign_in("matmay").headers["location"] == "/mailbox"


@pytest.mark.parametrize("by", ["owner", "centre"])
def test_no_session_comes_back_to_life_when_a_factor_goes(site: MailServer, browsers: Open, by: str) -> None:
    """One from before the factor was set stays ended after it is removed, also if nobody asked in between (Reg. 15.2)."""
    mailbox = site.issue(f"cu{by}")
    before, owner = (browsers(site).signed_in(f"cu{by}") for _ in range(2))
    secret, _ = enrol(site, owner)
    if by == "owner":
        owner.get(FACTOR)
        assert owner.post(f"{FACTOR}/remove", {"present": PASSWORD, "code": code_of(site, secret)}).status_code == 303
    else:
        factors = SecondFactors(site.population.directory, site.config, site.clock)
        factors.remove(mailbox.mailbox_id, ActContext("centre", document="7/CV"), ends_apps=True)
    site.refresh()
    assert "Phiên làm việc đã kết thúc" in before.get("/mailbox").text
    assert (owner.get("/mailbox").status_code == 200) == (by == "owner"), "who removed it goes on"


def test_an_enrolment_that_was_left_open_runs_out(site: MailServer, browsers: Open) -> None:
    """After five minutes its secret is shown no more and its code confirms nothing: the password is asked for again."""
    mailbox = site.issue("bonhung")
    browser = browsers(site).signed_in("bonhung")
    browser.get(FACTOR)
    assert browser.post(f"{FACTOR}/begin", {"present": PASSWORD}).status_code == 303
    typed = re.search(r'id="secret">([A-Z2-7 ]+)<', browser.get(FACTOR).text)
    assert typed is not None
    later(site, ENROLMENT_SECONDS)
    answer = browser.post(f"{FACTOR}/confirm", {"code": code_of(site, b32decode(typed[1].replace(" ", "")))})
    assert answer.status_code == 409
    assert "Đã quá thời gian xác nhận" in answer.text
    assert typed[1] not in browser.get(FACTOR).text
    assert site.population.directory.facts(mailbox.mailbox_id)[-1].kind is not FactKind.SECOND_FACTOR_SET


def test_the_password_alone_signs_nobody_out(site: MailServer, browsers: Open) -> None:
    """However often somebody who has no code begins: the sessions that showed one stay."""
    site.issue("yen")
    owner = browsers(site).signed_in("yen")
    enrol(site, owner)
    for _ in range(10):
        half_in(browsers, site, "yen")
    assert owner.get("/mailbox").status_code == 200


@pytest.mark.parametrize("code", ["", "12345", "a" * 40, "０００００１", "000000'--", "\x00" * 6])
def test_what_confirms_nothing(site: MailServer, browsers: Open, code: str) -> None:
    """No factor, no fact; without a begin there is nothing to confirm."""
    local = f"sai{abs(hash(code)) % 10**6}"
    mailbox = site.issue(local)
    browser = browsers(site).signed_in(local)
    browser.get(FACTOR)
    assert browser.post(f"{FACTOR}/begin", {"present": "không phải nó"}).status_code == 403
    assert browser.post(f"{FACTOR}/begin", {"present": PASSWORD}).status_code == 303
    browser.get(FACTOR)
    assert browser.post(f"{FACTOR}/confirm", {"code": code}).status_code == 422
    assert site.population.directory.facts(mailbox.mailbox_id)[-1].kind is not FactKind.SECOND_FACTOR_SET
    assert browsers(site).sign_in(local).headers["location"] == "/mailbox"


def test_a_lost_key_is_told_and_recovery_codes_still_open(site: MailServer, browsers: Open) -> None:
    """Nobody has guessed: temporarily unavailable, in the log by the file's name; no code is counted as wrong."""
    site.issue("khoa")
    secret, recovery = enrol(site, browsers(site).signed_in("khoa"))
    kept = key_path(site.config).read_bytes()
    try:
        browser = half_in(browsers, site, "khoa")
        for other in (b"another, as long as any".ljust(32), b"half"):
            key_path(site.config).write_bytes(other)
            for _ in range(8):
                assert browser.post(CODE, {"code": code_of(site, secret)}).status_code == 503
        assert browser.post(CODE, {"code": recovery[0]}).status_code == 303
        assert "second-factor.key" in str(logged(site, "second_factor_unreadable"))
    finally:
        key_path(site.config).write_bytes(kept)
    assert half_in(browsers, site, "khoa").post(CODE, {"code": code_of(site, secret)}).status_code == 303
    assert key_path(site.config).stat().st_mode & 0o777 == 0o600
    assert secret not in (site.config.directory_dir / "directory.sqlite").read_bytes()


def test_settings_of_who_has_to(site: MailServer, browsers: Open) -> None:
    """`everyone`: nothing else before one is set; `off`: nobody is asked, also who has one, and mail takes the own password."""
    site.issue("batbuoc")
    browser = browsers(site).signed_in("batbuoc")

    def setting(value: str) -> None:
        auth = site.config.auth.model_copy(update={"second_factor": value})
        site.call(_configure(site, site.config.model_copy(update={"auth": auth})))

    try:
        setting("everyone")
        for path in ("/mailbox", "/app-passwords"):
            assert browser.get(path).headers["location"] == FACTOR
        assert "Hệ thống yêu cầu mọi người" in browser.get(FACTOR).text
        assert browser.get("/password").status_code == 200
        enrol(site, browser)
        assert browser.get("/mailbox").status_code == 200
        setting("off")
        assert browsers(site).sign_in("batbuoc").headers["location"] == "/mailbox"
        assert browser.get(FACTOR).status_code == 404
        imap(site, "batbuoc", PASSWORD).logout()
    finally:
        setting("offered")
    assert browsers(site).sign_in("batbuoc").headers["location"] == CODE


async def _configure(site: MailServer, config: Config) -> None:
    site.running.server.configure(config)
