"""The address book as programs ask for it: OpenLDAP's own tools, with the certificate checked."""

import os
import subprocess
from collections.abc import Callable, Iterator

import pytest

from clients.mail_programs import names
from harness import MailServer, config_for, stopping
from ldap_client import BASE
from mic_mail.policy.facts import MailboxKind
from population import PASSWORD

pytestmark = pytest.mark.needs_tool("ldapcompare", "ldapdelete", "ldapmodrdn", "ldapsearch", "ldapwhoami")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    settings = {"listen": {"doors": ("ldap", "ldaps")}, "ldap": {"anonymous_networks": ["192.0.2.0/24"]}}
    server = MailServer(config_for(tmp_path_factory.mktemp("ldap"), settings))
    with stopping([server]):
        server.population.issue("dvbe", name="Đỗ Văn Bê")
        server.population.issue("cntt", name="Trung tâm Thông tin", kind=MailboxKind.UNIT)
        server.issue("ttlan", name="Trần Thị Lan")
        yield server


def tool(
    server: MailServer, program: str, *words: str, door: str = "ldaps", user: str | None = "dvbe@mic.gov.vn"
) -> tuple[int, str]:
    """Exit code, which is the result code, and what was said."""
    security = ["-ZZ"] if door == "ldap" else []
    who = ["-D", user, "-w", PASSWORD] if user else []
    command = [program, "-x", "-H", f"{door}://127.0.0.1:{server.ports[door]}", *security, *who, *words]
    env = {**os.environ, "LDAPTLS_CACERT": str(server.config.certificate), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.clause("2.6", "13.2")
@pytest.mark.parametrize("door", ["ldaps", "ldap"])
@pytest.mark.parametrize("user", ["dvbe@mic.gov.vn", f"uid=dvbe,ou=people,{BASE}", "cntt", f"ou=CNTT,ou=units,{BASE}"])
def test_clause_13_2_ldapsearch(server: MailServer, door: str, user: str) -> None:
    """TLS from the first octet and StartTLS, under an address or an entry's name; diacritics need not be typed."""
    code, said = tool(server, "ldapsearch", "-LLL", "-b", BASE, "(cn=*do van be*)", "cn", "mail", door=door, user=user)
    assert code == 0, said
    assert names(said) == [f"uid=dvbe,ou=people,{BASE}"]
    assert "mail: dvbe@mic.gov.vn" in said


def test_what_outlook_and_thunderbird_ask(server: MailServer) -> None:
    """The filters that they send while a name is typed."""
    outlook = "(&(mail=*)(|(mail=tra*)(|(cn=tra*)(|(sn=tra*)(givenName=tra*)))))"
    thunderbird = "(&(|(objectclass=inetorgperson)(mail=*))(|(displayName=*lan*)(cn=*lan*)(mail=*lan*)(sn=*lan*)))"
    for wanted in (outlook, thunderbird):
        code, said = tool(server, "ldapsearch", "-LLL", "-b", BASE, wanted)
        assert (code, names(said)) == (0, [f"uid=ttlan,ou=people,{BASE}"])


def test_pages(server: MailServer) -> None:
    """-E pr reads everything, page by page."""
    code, said = tool(server, "ldapsearch", "-LLL", "-b", BASE, "-E", "pr=2/noprompt", "1.1")
    assert code == 0, said
    assert len(names(said)) == len(set(names(said))) == 7


@pytest.mark.clause("13.2")
def test_clause_13_2_nothing_is_written(server: MailServer) -> None:
    """Add, change, rename, delete and passwords: the directory is the Centre's (Reg. 6.1)."""
    be = f"uid=dvbe,ou=people,{BASE}"
    assert tool(server, "ldapdelete", be)[0] == 53
    assert tool(server, "ldapmodrdn", be, "uid=x")[0] == 53
    assert tool(server, "ldapwhoami") == (0, "u:dvbe@mic.gov.vn\n")
    assert tool(server, "ldapcompare", be, "sn:Đỗ")[0] == 6


def test_strangers(server: MailServer) -> None:
    """Who has not signed in reads what the server says of itself, and no entry; a schema browser gets the schema."""
    assert tool(server, "ldapsearch", "-LLL", "-b", BASE, user=None)[0] == 50
    code, said = tool(server, "ldapsearch", "-LLL", "-s", "base", "-b", "", "+", user=None)
    assert code == 0
    assert f"namingContexts: {BASE}" in said
    code, said = tool(server, "ldapsearch", "-LLL", "-s", "base", "-b", "cn=subschema", "attributeTypes", user=None)
    assert (code, "NAME ( 'cn' 'commonName' )" in said) == (0, True)


def test_an_open_network(serve: Callable[..., MailServer]) -> None:
    """Where the configuration names the client's network, it needs no password."""
    server = serve({"listen": {"doors": ("ldap", "ldaps")}, "ldap": {"anonymous_networks": ["127.0.0.0/8"]}})
    server.issue("dvbe", name="Đỗ Văn Bê")
    assert names(tool(server, "ldapsearch", "-LLL", "-b", BASE, "(sn=do)", user=None)[1]) == [f"uid=dvbe,ou=people,{BASE}"]
