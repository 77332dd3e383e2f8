"""A CardDAV client as a telephone is one, and what it asks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import httpx

from harness import MailServer, config_for, stopping
from mic_mail.directory.records import Employment, PersonRecord, UnitRecord
from mic_mail.policy.facts import Level, MailboxKind
from population import PASSWORD
from unit.web.conftest import SETTINGS
from waiting import wait_for

D, C = "{DAV:}", "{urn:ietf:params:xml:ns:carddav}"
HOME, BOOK = "/dav/addressbooks/", "/dav/addressbooks/ministry/"
XMLNS = 'xmlns:d="DAV:" xmlns:c="urn:ietf:params:xml:ns:carddav" xmlns:cs="http://calendarserver.org/ns/"'


@contextmanager
def address_book_server(folder: Path) -> Iterator[MailServer]:
    """A unit with two people and a mailbox of its own, and another unit; each test adds what it needs."""
    server = MailServer(config_for(folder, SETTINGS))
    with stopping([server]):
        server.population.issue("dvbe", name="Đỗ Văn Bê")
        server.population.issue("cntt", name="Trung tâm Thông tin", kind=MailboxKind.UNIT)
        other = server.population.directory.add_unit(UnitRecord(0, "KHTC", "Vụ Kế hoạch - Tài chính"))
        far = PersonRecord(0, "Lê Hoa", other.unit_id, "Chuyên viên", Level.DIVISION, Employment.CIVIL_SERVANT)
        server.population.directory.add_person(far)
        server.issue("ttlan", name="Trần Thị Lan")
        yield server


class Phone:
    """A program with an account."""

    def __init__(self, server: MailServer, user: str = "dvbe@mic.gov.vn", password: str = PASSWORD) -> None:
        auth = httpx.BasicAuth(user.encode(), password.encode())
        self.client = httpx.Client(
            base_url=f"https://localhost:{server.ports['https']}", verify=server.tls(), auth=auth, timeout=20
        )

    def ask(self, method: str, path: str, body: str = "", **headers: str) -> httpx.Response:
        sent = {"content-type": "application/xml; charset=utf-8", **headers}
        return self.client.request(method, path, content=body.encode(), headers=sent)

    def found(self, path: str, *wanted: str, depth: str = "0") -> dict[str, dict[str, ElementTree.Element]]:
        """PROPFIND: href -> the properties that are there."""
        props = "".join(f"<{name}/>" for name in wanted)
        answer = self.ask("PROPFIND", path, f"<d:propfind {XMLNS}><d:prop>{props}</d:prop></d:propfind>", depth=depth)
        assert answer.status_code == 207, answer.text
        return properties(answer)

    def report(self, kind: str, inner: str, path: str = BOOK) -> httpx.Response:
        return self.ask("REPORT", path, f"<{kind} {XMLNS}>{inner}</{kind}>", depth="1")

    def sync(self, token: str = "", more: str = "") -> tuple[str, dict[str, str], set[str]]:
        """sync-collection: the new token, changed cards with their tags, those that are gone."""
        asked = f"<d:sync-token>{token}</d:sync-token><d:sync-level>1</d:sync-level>{more}<d:prop><d:getetag/></d:prop>"
        answer = self.report("d:sync-collection", asked)
        assert answer.status_code == 207, answer.text
        root = ElementTree.fromstring(answer.content)
        tags = {href: held["getetag"].text or "" for href, held in properties(answer).items() if "getetag" in held}
        return root.findtext(f"{D}sync-token") or "", tags, gone(answer)


def properties(answer: httpx.Response) -> dict[str, dict[str, ElementTree.Element]]:
    found: dict[str, dict[str, ElementTree.Element]] = {}
    for response in ElementTree.fromstring(answer.content).findall(f"{D}response"):
        held = found.setdefault(response.findtext(f"{D}href") or "", {})
        for stat in response.findall(f"{D}propstat"):
            if " 200 " in (stat.findtext(f"{D}status") or ""):
                held.update({one.tag.partition("}")[2]: one for one in stat.iterfind(f"{D}prop/*")})
    return found


def gone(answer: httpx.Response) -> set[str]:
    responses = ElementTree.fromstring(answer.content).findall(f"{D}response")
    return {one.findtext(f"{D}href") or "" for one in responses if " 404 " in (one.findtext(f"{D}status") or "")}


def cards(answer: httpx.Response) -> dict[str, str]:
    return {href: held["address-data"].text or "" for href, held in properties(answer).items() if "address-data" in held}


def shown(answer: httpx.Response) -> set[str]:
    """The names on the cards."""
    lines = "".join(cards(answer).values()).splitlines()
    return {line.removeprefix("FN:") for line in lines if line.startswith("FN:")}


def eventually(site: MailServer, holds: Callable[[], bool]) -> None:
    """The book follows the directory within seconds; meanwhile the one before answers."""
    site.refresh()
    wait_for(holds)


def query(test: str, *parts: str) -> str:
    return f'<d:prop><c:address-data/></d:prop><c:filter test="{test}">{"".join(parts)}</c:filter>'


def matching(name: str, value: str, **how: str) -> str:
    attributes = "".join(f' {key.replace("_", "-")}="{one}"' for key, one in how.items())
    return f'<c:prop-filter name="{name}"><c:text-match{attributes}>{value}</c:text-match></c:prop-filter>'


MANY_MATCHES = f'<c:prop-filter name="FN">{"<c:text-match>x</c:text-match>" * 12}</c:prop-filter>'
