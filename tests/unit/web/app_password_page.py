"""The page of app passwords."""

import re

from population import PASSWORD
from unit.web.conftest import Browser

PATH = "/app-passwords"


def make(browser: Browser, name: str = "Điện thoại", *, present: str = PASSWORD, scope: str = "all") -> str:
    """Make one at the page; the password as it is shown."""
    browser.get(PATH)
    answer = browser.post(PATH, {"name": name, "present": present, "scope": scope})
    assert (answer.status_code, answer.headers.get("location")) == (303, PATH), answer.text
    found = re.search(r'id="secret">([^<]+)<', browser.get(PATH).text)
    assert found is not None, browser.page.text
    return found[1]
