"""Reg. 10.3: announced downtime stands on every page of the password page, until it is over or called off."""

import html
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from harness import MailServer
from mic_mail.clock import ManualClock
from mic_mail.policy.downtime import Downtime
from population import PASSWORD
from unit.web.conftest import SETTINGS, Browser

NOW = datetime(2026, 11, 24, 2, tzinfo=UTC)
SENTENCE = "Hệ thống thư điện tử công vụ tạm ngừng từ 09 giờ 00 phút ngày 01/12/2026"
ENGLISH = "the official mail system will be down from 1 December 2026, 09:00"


@pytest.fixture
def browser(serve: Callable[..., MailServer]) -> Iterator[Browser]:
    server = serve(SETTINGS, clock=ManualClock(NOW))
    server.issue("dvbe", name="Đỗ Văn Bê")
    browser = Browser(server)
    yield browser
    browser.close()


def announce(server: MailServer, starts: datetime) -> Downtime:
    told = Downtime(0, starts, starts + timedelta(hours=4), "<script>x</script>", "12/TB", False, NOW, "lan")
    found = server.population.directory.downtimes.add(told)
    server.refresh()
    return found


def test_every_page_says_it_in_both_languages(browser: Browser) -> None:
    """Vietnamese first, whatever language the page is in; also where one is signed in, and where something went wrong."""
    server = browser.server
    assert 'class="downtime"' not in browser.get("/").text
    announce(server, NOW + timedelta(days=7))
    announce(server, NOW + timedelta(days=9))
    paths = ["/", "/?lang=en", "/forgot", "/signed-out", "/nothing"]
    browser.sign_in("dvbe", "sai")
    pages = [browser.page.text, *(browser.get(path).text for path in paths)]
    browser.client.cookies.clear()
    browser.sign_in("dvbe", PASSWORD)
    pages += [browser.get("/mailbox").text, browser.get("/password").text]
    for page in map(html.unescape, pages):
        assert page.count('class="downtime"') == 2
        assert 0 < page.index(SENTENCE) < page.index(ENGLISH) < page.index("<main")
        assert "khoản 3 Điều 10 Quy chế" in page
        assert "script" not in page  # why is in the letter to everybody; nothing that somebody typed stands here


def test_it_goes_when_it_is_over_or_called_off(browser: Browser) -> None:
    """To the minute, without anybody doing anything; what is called off within seconds."""
    server = browser.server
    first, second = announce(server, NOW + timedelta(days=7)), announce(server, NOW + timedelta(days=9))
    server.population.directory.downtimes.cancel(second.downtime_id, NOW)
    server.refresh()
    assert browser.get("/").text.count('class="downtime"') == 1
    server.move_clock_to(first.ends_at - timedelta(seconds=1))
    assert browser.get("/").text.count('class="downtime"') == 1
    server.move_clock_to(first.ends_at)
    assert 'class="downtime"' not in browser.get("/").text
