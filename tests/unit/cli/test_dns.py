"""`mic-mail dns records|check`: the zone that is printed is the zone that passes, and each fault in it is named."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.zone
import pytest

from dns_server import BROKEN, SILENCE_SECONDS, SILENT, NameServer, name_server
from regulation.console import Console
from unit.cli.settings_file import write_settings
from waiting import PATIENCE_SECONDS

HOST, DOMAIN = "mail.mic.gov.vn", "mic.gov.vn"
ADDRESSES = {
    (HOST, "A"): ["192.0.2.25"],
    (HOST, "AAAA"): ["2001:db8::25"],
    ("25.2.0.192.in-addr.arpa", "PTR"): [f"{HOST}."],
    ("5.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", "PTR"): [f"{HOST}."],
}


@pytest.fixture
def console(tmp_path: Path) -> Console:
    return Console(tmp_path).init()


@pytest.fixture
def server(console: Console) -> Iterator[NameServer]:
    """A name server with the zone that `records --zone` prints, and the addresses that it leaves to its reader."""
    console.done("dns", "records", "--zone")
    zone = dns.zone.from_text(
        f"$ORIGIN {DOMAIN}.\n@ IN SOA ns hostmaster 1 1 1 1 1\n@ IN NS ns\n{console.out}", relativize=False
    )
    records = dict(ADDRESSES)
    for name, _, record in zone.iterate_rdatas():
        key = name.to_text(omit_final_dot=True), record.rdtype.name
        records[key] = [*records.get(key, []), record.to_text()]
    with name_server(records, signed=[f"_25._tcp.{HOST}"]) as one:
        write_settings(console, "dns", nameservers=[one.place], seconds=PATIENCE_SECONDS)
        yield one


def found(console: Console, code: int) -> dict[tuple[str, str], Any]:
    """What `check` says, by name and type."""
    assert console.run("dns", "check", "--json") == code, (console.out, console.err)
    return {(row["name"], row["type"]): row for row in json.loads(console.out)}


def test_what_is_printed_passes(console: Console, server: NameServer) -> None:
    rows = found(console, 0)
    assert {row["verdict"] for row in rows.values()} == {"ok"}
    assert rows[DOMAIN, "MX"]["found"] == [f"10 {HOST}."]
    assert rows[f"_imaps._tcp.{DOMAIN}", "SRV"]["found"] == [f"0 1 993 {HOST}."]
    assert len(rows) == 18
    console.done("dns", "check")
    assert "corrected" not in console.err


@pytest.mark.parametrize(
    ("name", "kind", "values", "verdict", "is_fault"),
    [
        (DOMAIN, "MX", None, "missing", True),
        (DOMAIN, "MX", ["5 old.mic.gov.vn.", f"10 {HOST}."], "differs", True),
        (DOMAIN, "MX", [f"10 {HOST}.", "20 backup.example."], "ok", False),
        (DOMAIN, "TXT", ['"some other text"'], "missing", True),
        (DOMAIN, "TXT", ['"v=spf1 ip4:192.0.2.0/24 -all"', '"some other text"'], "ok", False),
        (DOMAIN, "TXT", ['"v=spf1 mx -all"', '"v=spf1 -all"'], "several", True),
        (DOMAIN, "TXT", ['"v=spf10 mx"'], "missing", True),
        (f"_dmarc.{DOMAIN}", "TXT", ['"v=DMARC1; rua=mailto:x@mic.gov.vn"'], "differs", True),
        (f"_dmarc.{DOMAIN}", "TXT", ['"v=DMARC1; p=reject"'], "ok", False),
        (f"_25._tcp.{HOST}", "TLSA", ["3 1 1 " + "00" * 32], "differs", True),
        (f"_25._tcp.{HOST}", "TLSA", None, "missing", False),
        (f"_imaps._tcp.{DOMAIN}", "SRV", ["0 1 993 old.mic.gov.vn."], "differs", True),
        (f"_imaps._tcp.{DOMAIN}", "SRV", None, "missing", False),
        (f"_smtp._tls.{DOMAIN}", "TXT", None, "missing", False),
    ],
)
def test_a_record_that_is_not_as_it_should_be(
    console: Console, server: NameServer, name: str, kind: str, values: list[str] | None, verdict: str, is_fault: bool
) -> None:
    """All others still pass; only what loses mail or trust is a fault."""
    del server.zone[name, kind]
    if values is not None:
        server.zone[name, kind] = values
    rows = found(console, int(is_fault))
    assert rows.pop((name, kind))["verdict"] == verdict
    assert {row["verdict"] for row in rows.values()} == {"ok"}


def test_an_address_without_its_name(console: Console, server: NameServer) -> None:
    """One of two is enough to be refused somewhere."""
    key = ("25.2.0.192.in-addr.arpa", "PTR")
    for names, verdict in (([], "differs"), (["host-25.isp.example."], "differs"), ([f"{HOST}."], "ok")):
        server.zone[key] = names
        if not names:
            del server.zone[key]
        assert found(console, int(verdict != "ok"))["<address>.in-addr.arpa", "PTR"]["verdict"] == verdict


def test_keys_in_a_zone_that_nobody_has_signed(console: Console, server: NameServer) -> None:
    server.signed.clear()
    row = found(console, 0)[f"_25._tcp.{HOST}", "TLSA"]
    assert row["verdict"] == "insecure"


@pytest.mark.parametrize("trouble", [SILENT, BROKEN])
def test_nobody_answers(console: Console, server: NameServer, trouble: str) -> None:
    """That is said of the name that has no answer; the others are judged."""
    server.troubles[f"_dmarc.{DOMAIN}"] = trouble
    if trouble == SILENT:
        write_settings(console, "dns", nameservers=[server.place], seconds=SILENCE_SECONDS)
    rows = found(console, 1)
    assert rows.pop((f"_dmarc.{DOMAIN}", "TXT"))["verdict"] == "unknown"
    assert {row["verdict"] for row in rows.values()} == {"ok"}
    console.refused("dns", "check", says="1 record has to be corrected.")


def test_closed_doors_are_said_to_be_closed(console: Console) -> None:
    """RFC 6186 §3.4: a target of `.`, so that nobody tries."""
    write_settings(console, "listen", doors=["smtp", "submissions", "imaps"])
    rows = {row["name"]: row["value"] for row in console.json("dns", "records")}
    assert rows[f"_imap._tcp.{DOMAIN}"] == "0 0 0 ."
    assert rows[f"_imaps._tcp.{DOMAIN}"] == f"0 1 993 {HOST}."
    assert rows[f"_carddavs._tcp.{DOMAIN}"] == "0 0 0 ."


def test_a_smarthost_sends_in_the_name_of_the_domain(console: Console) -> None:
    """Its addresses are nobody's to guess: whoever copies the zone copies no record by which all mail would be disowned."""
    write_settings(console, "sending", smarthost="relay.example.vn:587")
    (row,) = [row for row in console.json("dns", "records") if row["value"].startswith('"v=spf1')]
    assert row["value"] == '"v=spf1 mx <senders of relay.example.vn> -all"'
    assert "relay.example.vn too" in row["why"]
    console.done("--lang", "vi", "dns", "records")
    assert "<các địa chỉ gửi thư của relay.example.vn>" in " ".join(console.out.split())
    assert "senders of" not in console.out
    assert "<địa chỉ>.in-addr.arpa" in console.out
    console.done("dns", "records", "--zone")
    (line,) = [line for line in console.out.splitlines() if "v=spf1" in line]
    assert line.startswith("; ")


@pytest.mark.parametrize("place", ["localhost", "127.0.0.1:0", "127.0.0.1:70000", "[127.0.0.1", "::1:53:", "1.2.3", ""])
def test_what_is_no_name_server(console: Console, place: str) -> None:
    write_settings(console, "dns", nameservers=[place])
    console.refused("dns", "check", says="dns.nameservers", code=2)
