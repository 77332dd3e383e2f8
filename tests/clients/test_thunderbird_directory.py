"""A real Thunderbird with the ministry's address book: names completed by LDAP, cards fetched and followed by CardDAV."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.thunderbird import Thunderbird
from harness import MailServer, config_for, stopping
from ldap_client import BASE
from mic_mail.policy.facts import MailboxKind
from population import PASSWORD

pytestmark = [
    pytest.mark.slow,
    pytest.mark.needs_tool("Xvfb", "thunderbird"),
]

ADD_LDAP = """
    const [url, who, password] = args;
    const uri = Services.io.newURI(url).QueryInterface(Ci.nsILDAPURL);
    const login = Cc["@mozilla.org/login-manager/loginInfo;1"].createInstance(Ci.nsILoginInfo);
    login.init(uri.prePath, null, uri.spec, "", password, "", "");
    const known = await Services.logins.searchLoginsAsync({ origin: uri.prePath, httpRealm: uri.spec });
    if (!known.length) { await Services.logins.addLoginAsync(login); }
    const prefix = MailServices.ab.newAddressBook("Danh bạ", url, Ci.nsIAbManager.LDAP_DIRECTORY_TYPE);
    const book = MailServices.ab.getDirectoryFromId(prefix).QueryInterface(Ci.nsIAbLDAPDirectory);
    book.authDn = who;
    Services.prefs.setBoolPref("ldap_2.autoComplete.useDirectory", true);
    Services.prefs.setCharPref("ldap_2.autoComplete.directoryServer", book.dirPrefId);
"""
COMPLETE = """
    const [typed] = args;
    const search = Cc["@mozilla.org/autocomplete/search;1?name=ldap"].createInstance(Ci.nsIAutoCompleteSearch);
    const result = await new Promise(resolve => search.startSearch(typed, JSON.stringify({ type: "addr_to" }), null, {
      onSearchResult(_, r) { if (r.searchResult != Ci.nsIAutoCompleteResult.RESULT_SUCCESS_ONGOING) { resolve(r); } },
    }));
    return Array.from({ length: result.matchCount }, (_, i) => result.getValueAt(i));
"""
ADD_CARDDAV = """
    const [place, user, password] = args;
    const { CardDAVUtils } = ChromeUtils.importESModule("resource:///modules/CardDAVUtils.sys.mjs");
    const books = await CardDAVUtils.detectAddressBooks(user, password, place, false, true);
    const book = await books.find(b => b.url.pathname.endsWith("/ministry/")).create();
    await until("cards", () => book.childCards.length);
    return books.map(b => b.url.pathname);
"""
SYNC = """
    const book = [...MailServices.ab.directories].find(d => d.dirType == Ci.nsIAbManager.CARDDAV_DIRECTORY_TYPE);
    await CardDAVDirectoryOf(book).syncWithServer();
    return book.childCards.map(c => [c.displayName, c.primaryEmail, book.readOnly]);
""".replace("CardDAVDirectoryOf(book)", "book.wrappedJSObject")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    server = MailServer(config_for(tmp_path_factory.mktemp("tb"), {"listen": {"doors": ("ldap", "ldaps", "https")}}))
    with stopping([server]):
        server.population.issue("dvbe", name="Đỗ Văn Bê")
        server.population.issue("cntt", name="Trung tâm Thông tin", kind=MailboxKind.UNIT)
        server.issue("ttlan", name="Trần Thị Lan")
        yield server


@pytest.fixture(scope="module")
def program(server: MailServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Thunderbird]:
    folder: Path = tmp_path_factory.mktemp("thunderbird")
    running = Thunderbird(folder / "thunderbird")
    try:
        running.trust(server.config.certificate.read_text(), server.host, list(server.ports.values()))
        yield running
    finally:
        running.screenshot(folder / "end.png")
        running.close()


@pytest.mark.clause("2.6", "13.2")
@pytest.mark.parametrize("who", ["dvbe@mic.gov.vn", f"uid=dvbe,ou=people,{BASE}"])
def test_clause_2_6_names_are_completed_by_ldap(program: Thunderbird, server: MailServer, who: str) -> None:
    """In the field To, with diacritics typed or not; under an address or an entry's name."""
    url = f"ldaps://127.0.0.1:{server.ports['ldaps']}/{BASE}??sub?(objectclass=*)"
    program.script(ADD_LDAP, url, who, PASSWORD)
    assert program.script(COMPLETE, "tran thi") == ["Trần Thị Lan <ttlan@mic.gov.vn>"]
    assert program.script(COMPLETE, "Đỗ Văn") == ["Đỗ Văn Bê <dvbe@mic.gov.vn>"]
    assert program.script(COMPLETE, "khongco") == []


@pytest.mark.clause("2.6")
def test_clause_2_6_the_book_is_followed_by_carddav(program: Thunderbird, server: MailServer) -> None:
    """Found from the host's name, created read-only, and synchronised when somebody comes."""
    places = program.script(ADD_CARDDAV, f"https://127.0.0.1:{server.ports['https']}/", "dvbe@mic.gov.vn", PASSWORD)
    assert set(places) == {"/dav/addressbooks/ministry/", "/dav/addressbooks/unit/"}
    shown = {name: (address, read_only) for name, address, read_only in program.script(SYNC)}
    assert shown["Đỗ Văn Bê"] == ("dvbe@mic.gov.vn", True)
    assert shown["Trung tâm Thông tin"] == ("cntt@mic.gov.vn", True)
    server.issue("nvmoi", name="Ngô Văn Mới")
    for _ in range(20):
        if "Ngô Văn Mới" in {name for name, _, _ in program.script(SYNC)}:
            break
    else:
        pytest.fail("not synchronised")
