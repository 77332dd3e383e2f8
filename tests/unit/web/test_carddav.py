"""The address book over CardDAV, as programs ask for it: what Thunderbird, iOS and DAVx5 send, in their order and words.

The requests are those of the programs' public documentation and logs (sabre.io "Building a CardDAV client", DAVx5 manual,
Thunderbird's CardDAVDirectory.sys.mjs), written by hand; answers are read by the standard library's parser.
"""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from cost_growth import assert_linear
from harness import MailServer
from mic_mail.policy.facts import Draft, FactKind
from unit.web.carddav_client import (
    BOOK,
    HOME,
    XMLNS,
    C,
    D,
    Phone,
    address_book_server,
    cards,
    eventually,
    gone,
    matching,
    query,
    shown,
)
from unit.web.conftest import SETTINGS, logged


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    with address_book_server(tmp_path_factory.mktemp("dav")) as server:
        yield server


@pytest.fixture
def phone(site: MailServer) -> Iterator[Phone]:
    phone = Phone(site)
    yield phone
    phone.client.close()


@pytest.mark.clause("2.6")
def test_clause_2_6_set_up_as_ios_and_thunderbird_do(phone: Phone) -> None:
    """From the host's name alone: the well-known place, who am I, where are my address books, what is in them (RFC 6764 §6)."""
    start = phone.ask(
        "PROPFIND",
        "/.well-known/carddav",
        f"<d:propfind {XMLNS}><d:prop><d:current-user-principal/></d:prop></d:propfind>",
        depth="0",
    )
    assert (start.status_code, start.headers["location"]) == (301, "/dav/")
    root = phone.found("/dav/", "d:current-user-principal", "d:resourcetype", "d:principal-URL")
    principal = root["/dav/"]["current-user-principal"].findtext(f"{D}href") or ""
    mine = phone.found(principal, "c:addressbook-home-set", "d:displayname", "cs:email-address-set", "c:directory-gateway")[
        principal
    ]
    assert mine["addressbook-home-set"].findtext(f"{D}href") == HOME
    privileges_and_more = ("d:current-user-privilege-set", "cs:getctag", "d:sync-token", "d:supported-report-set")
    books = phone.found(HOME, "d:resourcetype", "d:displayname", *privileges_and_more, depth="1")
    assert set(books) == {HOME, BOOK, "/dav/addressbooks/unit/"}
    ministry = books[BOOK]
    assert ministry["resourcetype"].find(f"{C}addressbook") is not None
    assert books[HOME]["resourcetype"].find(f"{C}addressbook") is None
    privileges = {one.tag for privilege in ministry["current-user-privilege-set"] for one in privilege}
    assert privileges == {f"{D}read", f"{D}read-current-user-privilege-set"}
    assert len(ministry["supported-report-set"]) == 3
    listed = phone.found(BOOK, "d:getetag", "d:getcontenttype", depth="1")
    assert f"{BOOK}person-1.vcf" in listed
    assert phone.ask("OPTIONS", BOOK).headers["dav"] == "1, 3, addressbook"


@pytest.mark.clause("2.6")
def test_clause_2_6_cards_are_fetched_together(phone: Phone) -> None:
    """addressbook-multiget: those that are there, 404 for the others, in the version that was asked for."""
    hrefs = "".join(
        f"<d:href>{BOOK}{name}</d:href>" for name in ("person-1.vcf", "person-2.vcf", "unit-1.vcf", "person-777.vcf", "x")
    )
    for version in ("3.0", "4.0"):
        data = f'<d:prop><d:getetag/><c:address-data content-type="text/vcard" version="{version}"/></d:prop>'
        answer = phone.report("c:addressbook-multiget", data + hrefs)
        assert {"Đỗ Văn Bê", "Lê Hoa", "Trung tâm Thông tin"} == shown(answer)
        assert gone(answer) == {f"{BOOK}person-777.vcf", f"{BOOK}x"}
        assert all(f"VERSION:{version}\r\n" in card for card in cards(answer).values())
    assert "EMAIL" not in cards(answer)[f"{BOOK}person-2.vcf"]  # a person without a mailbox is information (Reg. 2.6)

    def ask_for(hostile: str) -> None:
        assert gone(phone.report("c:addressbook-multiget", f"<d:prop/><d:href>{hostile}</d:href>")) == {hostile}

    # To be read as a URI it would have to be put in order.
    assert_linear(lambda size: "//x" + "\u0301\u0323" * size, ask_for, (15_000, 60_000), clock=time.process_time)
    one = phone.ask("GET", f"{BOOK}person-1.vcf", accept='text/vcard;version="4.0"')
    assert one.text.startswith("BEGIN:VCARD\r\nVERSION:4.0\r\n")
    tag = one.headers["etag"]
    for named in (tag, f"W/{tag}", f'"other", {tag}', "*"):  # RFC 9110 §13.1.2
        assert phone.ask("GET", f"{BOOK}person-1.vcf", **{"if-none-match": named}).status_code == 304
    assert phone.ask("GET", f"{BOOK}person-1.vcf", **{"if-none-match": '"other"'}).status_code == 200
    length = phone.found(f"{BOOK}person-1.vcf", "d:getcontentlength")[f"{BOOK}person-1.vcf"]["getcontentlength"].text
    assert length == phone.ask("GET", f"{BOOK}person-1.vcf").headers["content-length"]  # RFC 4918 §15.4


NO_ADDRESS = '<c:prop-filter name="EMAIL"><c:is-not-defined/></c:prop-filter>'
ANY_ADDRESS, ANY_TITLE = '<c:prop-filter name="EMAIL"/>', '<c:prop-filter name="TITLE"/>'
AT_WORK = (
    '<c:prop-filter name="EMAIL"><c:param-filter name="TYPE"><c:text-match>work</c:text-match></c:param-filter></c:prop-filter>'
)
TRAN = matching("FN", "tran", match_type="starts-with")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (query("anyof", matching("FN", "lan", collation="i;unicode-casemap", match_type="contains")), {"Trần Thị Lan"}),
        (query("anyof", matching("FN", "do van")), {"Đỗ Văn Bê"}),
        (query("anyof", matching("FN", "đo van")), set()),
        (query("anyof", TRAN, matching("EMAIL", "dvbe")), {"Trần Thị Lan", "Đỗ Văn Bê"}),
        (query("allof", TRAN, matching("EMAIL", "dvbe")), set()),
        (query("allof", matching("N", "bê"), matching("EMAIL", "gov.vn", match_type="ends-with")), {"Đỗ Văn Bê"}),
        (query("anyof", matching("FN", "le hoa", match_type="equals")), {"Lê Hoa"}),
        (query("anyof", NO_ADDRESS), {"Lê Hoa", "Vụ Kế hoạch - Tài chính"}),
        (query("allof", matching("EMAIL", "dvbe", negate_condition="yes"), ANY_ADDRESS, ANY_TITLE), {"Trần Thị Lan"}),
        (query("allof", AT_WORK, matching("FN", "bê")), {"Đỗ Văn Bê"}),
        (query("anyof", '<c:prop-filter name="TEL"/>'), set()),
    ],
)
def test_queries(phone: Phone, asked: str, expected: set[str]) -> None:
    """RFC 6352 §10.5, with diacritics as in the mail search."""
    assert shown(phone.report("c:addressbook-query", asked)) == expected


def test_a_query_that_is_cut_off_says_so(phone: Phone) -> None:
    """RFC 6352 §8.6.2: 507 beside what there is."""
    answer = phone.report("c:addressbook-query", query("anyof") + "<c:limit><c:nresults>2</c:nresults></c:limit>")
    assert len(shown(answer)) == 2
    assert "507" in answer.text


def test_the_own_units_book(phone: Phone) -> None:
    """Holds who works there, and nobody else."""
    answer = phone.ask("REPORT", f"{HOME}unit/", f"<c:addressbook-query {XMLNS}>{query('anyof')}</c:addressbook-query>")
    assert {"Đỗ Văn Bê", "Trần Thị Lan", "Trung tâm Thông tin"} <= shown(answer)
    assert "Lê Hoa" not in shown(answer)


# ------------------------------------------------------------------ what changes


@pytest.mark.clause("2.6")
def test_clause_2_6_a_telephone_follows_the_directory(site: MailServer, phone: Phone) -> None:
    """sync-collection (RFC 6578): everything at first, then what came, changed and went; nothing where nothing did."""
    token, tags, lost = phone.sync()
    assert not lost
    assert phone.sync(token) == (token, {}, set())
    mailbox = site.issue("nvmoi", name="Ngô Văn Mới")
    eventually(site, lambda: phone.sync(token)[1] != {})
    second, changed, lost = phone.sync(token)
    new = [href for href, tag in changed.items() if tags.get(href) != tag]
    assert len(new) == 1
    assert not lost
    site.record(mailbox, Draft(FactKind.LEFT, site.clock.now() - timedelta(days=1), "test", data={"level": "division"}))
    eventually(site, lambda: phone.sync(second)[2] != set())
    third, changed, lost = phone.sync(second)
    assert new[0] in lost
    assert new[0] not in changed
    assert phone.sync(third) == (third, {}, set())
    assert token == third  # for who was asleep meanwhile nothing has happened


def test_tokens_are_the_same_in_every_process(site: MailServer, phone: Phone) -> None:
    """Made of what they stand for: a process that has just begun knows those of all others."""
    from mic_mail.services.mailboxes.address_book import make_book
    from mic_mail.web.carddav.collection import AddressBookCollection

    token, _, _ = phone.sync()
    assert AddressBookCollection(make_book(site.population.directory, site.config, site.clock.now())).whole.token == token


@pytest.mark.parametrize("token", ["x", "urn:mic-mail:sync:1:AAAA", "urn:mic-mail:sync:1:ê", "http://other.example/1"])
def test_tokens_of_others(phone: Phone, token: str) -> None:
    """The client is told to begin anew (RFC 6578 §3.2)."""
    asked = f"<d:sync-token>{token}</d:sync-token><d:sync-level>1</d:sync-level><d:prop><d:getetag/></d:prop>"
    answer = phone.report("d:sync-collection", asked)
    assert (answer.status_code, "valid-sync-token" in answer.text) == (403, True)


# ------------------------------------------------------------------ who, and what not


def test_passwords_and_states(site: MailServer, phone: Phone) -> None:
    """No password or a wrong one: 401; a suspended mailbox: 403 with the reason, at the next request; one sign-in logged."""
    stranger = httpx.request("PROPFIND", httpx.URL(phone.client.base_url).join("/dav/"), verify=site.tls())
    assert (stranger.status_code, stranger.headers["www-authenticate"][:6]) == (401, "Basic ")
    mailbox = site.issue("khoa")
    held = Phone(site, "khoa")
    assert held.ask("PROPFIND", "/dav/", depth="0").status_code == 207
    assert held.ask("PROPFIND", HOME, depth="1").status_code == 207
    assert Phone(site, "khoa", "sai").ask("PROPFIND", "/dav/", depth="0").status_code == 401
    site.suspend(mailbox)
    refused = held.ask("PROPFIND", "/dav/", depth="0")
    assert (refused.status_code, "khóa" in refused.text) == (403, True)
    events = [event for event in logged(site, "session_cut") if event.get("mailbox") == "khoa@mic.gov.vn"]
    assert [event["event"] for event in events if event.get("door") == "carddav"].count("signed_in") == 1


def test_wrong_passwords_are_slowed_down_as_at_every_door(site: MailServer) -> None:
    """429 after so many, whatever the password."""
    site.issue("nham")
    codes = [Phone(site, "nham", f"sai {number}").ask("PROPFIND", "/dav/", depth="0").status_code for number in range(12)]
    assert (codes[0], codes[-1]) == (401, 429)
    assert Phone(site, "nham").ask("PROPFIND", "/dav/", depth="0").status_code == 429


@pytest.mark.clause("8.2")
def test_clause_8_2_whoever_takes_cards_is_in_the_log(site: MailServer) -> None:
    """By whatever method; how many, never which."""
    site.issue("ndlay", name="Ngô Đình Lấy")
    phone = Phone(site, "ndlay")
    everything = f"<d:propfind {XMLNS}><d:prop><c:address-data/></d:prop></d:propfind>"
    taken = len(cards(phone.ask("PROPFIND", BOOK, everything, depth="1")))
    assert taken > 1
    assert len(cards(phone.ask("PROPFIND", f"{BOOK}person-1.vcf", everything, depth="0"))) == 1
    assert phone.ask("GET", f"{BOOK}person-1.vcf").status_code == 200
    assert len(cards(phone.report("c:addressbook-query", query("anyof")))) == taken

    def logged_entries() -> list[int]:
        events = [event for event in site.events() if event["event"] == "directory_searched"]
        return [event["entries"] for event in events if event["mailbox"] == "ndlay@mic.gov.vn"]

    eventually(site, lambda: logged_entries() == [taken, 1, 1, taken])


@pytest.mark.clause("2.6")
@pytest.mark.parametrize("method", ["PUT", "DELETE", "PROPPATCH", "MKCOL", "MOVE", "COPY", "LOCK", "POST"])
def test_clause_2_6_nothing_is_written(phone: Phone, method: str) -> None:
    """The directory is the Centre's (Reg. 6.1)."""
    for path in ("/dav/", BOOK, f"{BOOK}person-1.vcf", f"{BOOK}moi.vcf"):
        answer = phone.ask(method, path, "BEGIN:VCARD\r\nEND:VCARD\r\n")
        assert (answer.status_code, "need-privileges" in answer.text) == (403, True)


@pytest.mark.parametrize(
    ("method", "path", "depth", "status"),
    [
        ("PROPFIND", "/dav/principals/ttlan@mic.gov.vn/", "0", 404),  # of others there is nothing
        ("PROPFIND", f"{HOME}khac/", "0", 404),
        ("PROPFIND", f"{BOOK}person-99999.vcf", "0", 404),
        ("PROPFIND", f"{BOOK}..%2f..%2fperson-1.vcf", "0", 404),
        ("PROPFIND", BOOK, "infinity", 403),
        ("GET", BOOK, "0", 405),
        ("GET", "/dav/", "0", 405),
        ("GET", f"{BOOK}person-99999.vcf", "0", 404),
        ("REPORT", HOME, "1", 405),
        ("REPORT", f"{BOOK}a/b", "1", 404),
        ("GET", f"{BOOK}a/b", "0", 404),
    ],
)
def test_what_there_is_not(phone: Phone, method: str, path: str, depth: str, status: int) -> None:
    assert phone.ask(method, path, depth=depth).status_code == status


def test_it_can_be_shut(serve: Callable[..., MailServer]) -> None:
    """`web.carddav = false`: the pages go on, the address book is not there."""
    settings: dict[str, Any] = {**SETTINGS, "web": {"carddav": False}}
    server = serve(settings)
    server.issue("dvbe")
    phone = Phone(server)
    assert phone.ask("PROPFIND", "/dav/", depth="0").status_code == 404
    assert phone.ask("GET", "/.well-known/carddav").status_code == 404
    assert phone.ask("GET", "/").status_code == 200
