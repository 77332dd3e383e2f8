"""The page in a real browser, without scripts: every step that a person takes, at the width of a desk and of a telephone.

Needs Chromium and its driver. With MIC_MAIL_SCREENSHOTS=FOLDER each page is kept there as a picture, for people to look at.
"""

import base64
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

import programs
from harness import MailServer, config_for, stopping
from mic_mail.auth import totp
from mic_mail.clock import ManualClock, SystemClock
from mic_mail.policy.downtime import Downtime
from mic_mail.policy.facts import FactKind
from population import PASSWORD, draft
from unit.web.conftest import NEW, SETTINGS

pytestmark = pytest.mark.needs_tool("chromium", "chromedriver")
DESK, PHONE, ZOOMED = (1200, 900), (360, 740), (600, 450)
"""Zoomed: what a desk's window of 1200 pixels shows at 200 %."""
PRESSED = (
    "button, summary, .brand, .actions a, .languages a, .choice label, .field input:not([type=radio], [type=checkbox], .away)"
)
THUMB = 44
"""How high at least is what is pressed, in pixels (WCAG 2.2, 2.5.5)."""
SECONDS = 40


class Visitor:
    """A person at a browser."""

    def __init__(self, server: MailServer, folder: Path, size: tuple[int, int]) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = programs.need("chromium")
        for argument in (
            "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--ignore-certificate-errors", "--hide-scrollbars",
            f"--user-data-dir={folder}",
        ):  # fmt: skip
            options.add_argument(argument)
        options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
        self.driver = webdriver.Chrome(options=options, service=Service(programs.need("chromedriver")))
        self.driver.set_page_load_timeout(SECONDS)
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.base = f"https://localhost:{server.ports['https']}"
        self._size = size

    def go(self, path: str) -> None:
        self.driver.get(self.base + path)

    def fill(self, **fields: str) -> None:
        for name, value in fields.items():
            field = self.driver.find_element(By.ID, name)
            field.clear()
            field.send_keys(value)

    def press(self, label: str) -> None:
        """A button, and wait for the page that follows."""
        before = self.driver.find_element(By.TAG_NAME, "html").id
        next(one for one in self.driver.find_elements(By.TAG_NAME, "button") if one.text == label).click()
        WebDriverWait(self.driver, SECONDS).until(lambda driver: driver.find_element(By.TAG_NAME, "html").id != before)

    def sign_in(self, local: str, password: str = PASSWORD) -> None:
        self.go("/")
        self.fill(address=f"{local}@mic.gov.vn", password=password)
        self.press("Đăng nhập")

    @property
    def text(self) -> str:
        return self.driver.find_element(By.TAG_NAME, "body").text

    def is_fit_for_people(self, name: str) -> None:
        """Nothing runs out of the page or a card, what is pressed is high enough, fields have labels, the page its heading."""
        size = self.driver.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
        assert size["width"] <= self._size[0], f"{name}: {size['width']} pixels wide"
        for card in self.driver.find_elements(By.CLASS_NAME, "card"):
            assert card.get_property("scrollWidth") <= card.get_property("clientWidth"), f"{name}: {card.text}"
        for field in self.driver.find_elements(By.CSS_SELECTOR, "input:not([type=hidden]):not(.away)"):
            assert self.driver.find_element(By.CSS_SELECTOR, f"label[for={field.get_dom_attribute('id')}]").text
        for pressed in self.driver.find_elements(By.CSS_SELECTOR, PRESSED):
            assert pressed.rect["height"] >= THUMB, f"{name}: {pressed.text or pressed.get_dom_attribute('id')}"
        assert len(self.driver.find_elements(By.TAG_NAME, "h1")) == 1
        assert self.driver.find_element(By.TAG_NAME, "html").get_dom_attribute("lang") in ("vi", "en")
        if folder := os.environ.get("MIC_MAIL_SCREENSHOTS"):
            clip = {"x": 0, "y": 0, "width": self._size[0], "height": max(size["height"], self._size[1]), "scale": 1}
            shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
            language = self.driver.find_element(By.TAG_NAME, "html").get_dom_attribute("lang")
            Path(folder, f"{self._size[0]}-{language}-{name}.png").write_bytes(base64.b64decode(shot["data"]))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    servers: list[MailServer] = []
    with stopping(servers):
        settings = {**SETTINGS, "auth": {"password_age": 120 * 86_400}}
        # A clock that stands: a code of the second factor is good for its half minute, and the browser may take longer.
        server = MailServer(config_for(tmp_path_factory.mktemp("browser"), settings), ManualClock(SystemClock().now()))
        servers.append(server)
        now = server.clock.now()
        server.issue("dvbe", name="Đỗ Văn Bê", issued_days_ago=112)
        left = draft(FactKind.LEFT, now - timedelta(days=20), document="118/QĐ-TCCB", level="division", cause="retired")
        server.issue("nvhung", name="Nguyễn Văn Hùng", facts=[left])
        server.issue("pqkhanh", name="Phạm Quốc Khánh", facts=[draft(FactKind.SUSPENDED, now - timedelta(days=2), cause="c")])
        for size in (DESK, PHONE, ZOOMED):
            restored = draft(FactKind.RESTORED, now - timedelta(days=1))
            server.issue(f"lthoa{size[0]}", name="Lê Thị Hoa", facts=[restored])
        yield server


@pytest.mark.parametrize(
    "size",
    [pytest.param(DESK, marks=pytest.mark.slow), PHONE, pytest.param(ZOOMED, marks=pytest.mark.slow)],
    ids=["desk", "phone", "zoomed"],
)
def test_every_page_in_a_browser(site: MailServer, tmp_path: Path, size: tuple[int, int]) -> None:
    """From a restored mailbox to a changed password, by mouse and keyboard, without a script (Reg. 7.3.c, 15.2)."""
    visitor = Visitor(site, tmp_path / "profile", size)
    try:
        walk(visitor, f"lthoa{size[0]}")
        for path in ("/?lang=en", "/forgot", "/nothing"):
            visitor.go(path)
            visitor.is_fit_for_people(path.strip("/?=").replace("lang=", "") or "start")
        assert "Page not found." in visitor.text
    finally:
        visitor.driver.quit()


def walk(visitor: Visitor, due: str) -> None:
    visitor.go("/")
    visitor.is_fit_for_people("sign-in")
    visitor.sign_in("dvbe", "không phải nó")
    assert "Tên đăng nhập hoặc mật khẩu không đúng." in visitor.text
    visitor.is_fit_for_people("wrong")
    visitor.sign_in("pqkhanh")
    assert "bị tạm khóa từ" in visitor.text
    visitor.is_fit_for_people("suspended")
    visitor.go("/forgot")
    visitor.is_fit_for_people("forgot")
    visitor.sign_in(due)
    assert "Ông/Bà phải đổi mật khẩu trước khi sử dụng hộp thư" in visitor.text
    visitor.is_fit_for_people("due")
    visitor.fill(present=PASSWORD, new="Mật khẩu@2026", again="Mật khẩu@2026")
    visitor.press("Đổi mật khẩu")
    assert "quá dễ đoán" in visitor.text
    visitor.is_fit_for_people("weak")
    visitor.fill(present=PASSWORD, new=NEW, again=NEW)
    visitor.press("Đổi mật khẩu")
    assert "Đã đổi mật khẩu." in visitor.text
    visitor.is_fit_for_people("changed")
    visitor.press("Đăng xuất")
    assert "Ông/Bà đã đăng xuất." in visitor.text
    visitor.is_fit_for_people("signed-out")
    visitor.sign_in("nvhung")
    assert "khóa chức năng gửi" in visitor.text.lower()
    visitor.is_fit_for_people("locked")
    visitor.press("Đăng xuất")
    visitor.sign_in("dvbe")
    assert "Mật khẩu sẽ hết hạn" in visitor.text
    visitor.is_fit_for_people("mailbox")
    visitor.press("Đăng xuất")


@pytest.mark.clause("15.2")
@pytest.mark.slow
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_an_app_password_in_a_browser(site: MailServer, tmp_path: Path, size: tuple[int, int]) -> None:
    """From the mailbox's page: made, shown once, revoked, and listed as ended; it fits a telephone."""
    local = f"congtangtonnuphuonganhthu{size[0]}"  # as long as addresses of people are
    site.issue(local, name="Công Tằng Tôn Nữ Phương Anh Thư")
    visitor = Visitor(site, tmp_path / "profile", size)
    try:
        visitor.sign_in(local)
        visitor.is_fit_for_people("mailbox-apps")
        visitor.driver.find_element(By.LINK_TEXT, "Quản lý mật khẩu ứng dụng").click()
        visitor.is_fit_for_people("apps-empty")
        visitor.fill(name="Điện thoại", present=PASSWORD)
        visitor.press("Tạo")
        shown = visitor.driver.find_element(By.ID, "secret").text
        assert len(shown) == 34
        visitor.is_fit_for_people("apps-made")
        visitor.go("/app-passwords")
        assert shown not in visitor.text
        site.refresh()
        visitor.go("/password")
        visitor.is_fit_for_people("password-apps")
        visitor.go("/app-passwords?lang=en")
        visitor.is_fit_for_people("apps")
        visitor.press("Revoke")
        assert "App password revoked" in visitor.text
        visitor.driver.find_element(By.TAG_NAME, "summary").click()
        visitor.is_fit_for_people("apps-ended")
        assert "app password revoked" in visitor.text
    finally:
        visitor.driver.quit()


@pytest.mark.clause("15.2")
@pytest.mark.slow
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_a_second_factor_in_a_browser(site: MailServer, tmp_path: Path, size: tuple[int, int]) -> None:
    """Set from the QR code as it is drawn, recovery codes once, a code at the next sign-in, removed; it fits a telephone."""
    local = f"haibuoc{size[0]}"
    site.issue(local, name="Lê Văn Hai")
    visitor = Visitor(site, tmp_path / "profile", size)

    def code(off: int) -> str:
        return totp.code(secret, int(site.clock.now().timestamp() // 30) + off)

    try:
        visitor.sign_in(local)
        visitor.driver.find_element(By.LINK_TEXT, "Quản lý xác thực hai bước").click()
        visitor.is_fit_for_people("factor-none")
        visitor.fill(present=PASSWORD)
        visitor.press("Bắt đầu")
        visitor.is_fit_for_people("factor-begun")
        drawn = visitor.driver.find_element(By.CSS_SELECTOR, ".qr svg").rect
        assert drawn["width"] == drawn["height"] > 150
        secret = base64.b32decode(visitor.driver.find_element(By.ID, "secret").text.replace(" ", ""))
        visitor.fill(code="000000")
        visitor.press("Xác nhận")
        assert "Mã không đúng" in visitor.text
        visitor.fill(code=code(-1))
        visitor.press("Xác nhận")
        visitor.is_fit_for_people("factor-set")
        assert len(visitor.driver.find_elements(By.CSS_SELECTOR, "#recovery li")) == 10
        site.refresh()
        visitor.press("Đăng xuất")
        visitor.sign_in(local)
        visitor.is_fit_for_people("code")
        visitor.fill(code=code(0))
        visitor.press("Đăng nhập")
        assert "Trạng thái" in visitor.text
        visitor.go("/second-factor?lang=en")
        visitor.is_fit_for_people("factor")
        visitor.fill(present=PASSWORD, code=code(1))
        visitor.press("Remove the second factor")
        assert "Second factor removed." in visitor.text
    finally:
        visitor.driver.quit()


@pytest.mark.clause("10.3")
@pytest.mark.slow
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_announced_downtime_in_a_browser(site: MailServer, tmp_path: Path, size: tuple[int, int]) -> None:
    """It stands above what people came for, and fits a telephone; when it is called off the page is as before."""
    downtimes, now = site.population.directory.downtimes, site.clock.now()
    starts = now + timedelta(days=7)
    found = downtimes.add(Downtime(0, starts, starts + timedelta(hours=4), "nâng cấp", "12/TB", False, now, "lan"))
    site.refresh()
    visitor = Visitor(site, tmp_path / "profile", size)
    try:
        visitor.go("/")
        assert "Hệ thống thư điện tử công vụ tạm ngừng từ" in visitor.text
        visitor.is_fit_for_people("downtime")
        visitor.sign_in("nvhung")
        assert "the official mail system will be down from" in visitor.text
        visitor.is_fit_for_people("downtime-mailbox")
        downtimes.cancel(found.downtime_id, now)
        site.refresh()
        visitor.go("/mailbox")
        assert "tạm ngừng" not in visitor.text
    finally:
        visitor.driver.quit()
