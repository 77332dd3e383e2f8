"""Fuzz target: the address book as vCard, LDIF and CSV, CardDAV's and Autodiscover's XML, forms of the pages.

    python tests/fuzz/atheris_addressbook.py [-max_total_time=600] [CORPUS_DIR]

Allowed: `BadXml`, `PreconditionFailed`, `NotAsked`. Besides, each an assertion here:
    a card that another reader unfolds into other lines, a line that is too long or that a name has put there
    LDIF that is read back as other attributes; a CSV field that a spreadsheet would run
    XML deeper or larger than its bounds; what is written into XML and read back as another text, or as another element
"""

import base64
import csv
import io
import sys
from collections.abc import Callable
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parent.parent))
with atheris.instrument_imports(include=["mic_mail.addressbook", "mic_mail.web.carddav", "mic_mail.web.autosetup"]):
    from mic_mail.addressbook import ldap_entries, ldif, vcard
    from mic_mail.addressbook.cards import Book, Card, CardKind, Ministry, UnitName
    from mic_mail.addressbook.csv_listing import table
    from mic_mail.addressbook.vcard import Version
    from mic_mail.web.autosetup import autoconfig, autodiscover, mobileconfig
    from mic_mail.web.autosetup.autodiscover import NotAsked
    from mic_mail.web.autosetup.servers import AdvertisedServer, Security, Servers
    from mic_mail.web.carddav import queries, requests, xml
    from mic_mail.web.carddav.xml import BadXml, PreconditionFailed

import plistlib

from fuzzing import run

from mic_mail.documents import csv_writer
from mic_mail.i18n.language import Language

MINISTRY = Ministry("Bộ Thông tin", "mic.gov.vn")
ONCE = ("BEGIN", "VERSION", "UID", "PRODID", "FN", "END")


def texts_of(octets: bytes, count: int) -> list[str]:
    found = [each.decode("utf-8", "replace") for each in octets.split(b"\0")[:count]]
    return [*found, *[""] * (count - len(found))]


def card_of(octets: bytes) -> Card:
    name, symbol, unit, position, address = texts_of(octets, 5)
    kind = tuple(CardKind)[len(octets) % 3]
    return Card(kind, 7, name, UnitName(symbol, unit), position, (address,) if address else ())


def fuzz_vcard(octets: bytes) -> None:
    card = card_of(octets)
    for version in Version:
        written = vcard.vcard(card, MINISTRY, version)
        assert all(len(line) <= vcard.LINE_OCTETS for line in written.split(b"\r\n"))
        assert written.count(b"\n") == written.count(b"\r\n"), written
        lines = written.decode().replace("\r\n ", "").split("\r\n")
        names = [line.partition(":")[0].partition(";")[0] for line in lines if line]
        assert all(names.count(name) == 1 for name in ONCE), (octets, names)
        assert names[0] == "BEGIN"
        assert names[-1] == "END"
        assert names.count("EMAIL") == len(card.addresses)
        assert names.count("TITLE") == bool(card.position)
        shown = next(line for line in lines if line.startswith("FN:"))
        read = shown[3:].replace("\\\\", "\0").replace("\\n", "\n").replace("\\,", ",").replace("\\;", ";").replace("\0", "\\")
        assert read == card.name.replace("\r", ""), (octets, shown)


def fuzz_ldif(octets: bytes) -> None:
    book = Book.of(MINISTRY, [card_of(octets)])
    written = ldif.write(book)
    assert written.isascii()
    assert all(len(line) <= ldif.LINE_OCTETS for line in written.split(b"\n"))
    found = []
    for block in written.replace(b"\n ", b"").removeprefix(b"version: 1\n").split(b"\n\n"):
        read: dict[str, list[str]] = {}
        for line in block.strip(b"\n").split(b"\n"):
            name, _, value = line.partition(b":")
            text = base64.b64decode(value[2:]) if value.startswith(b": ") else value.removeprefix(b" ")
            read.setdefault(name.decode(), []).append(text.decode())
        found.append(read)
    expected = [
        {"dn": [entry.dn], **{name: list(values) for name, values in entry.attributes.items() if values}}
        for entry in ldap_entries.all_entries(book)
    ]
    assert found == expected, octets


def fuzz_table(octets: bytes) -> None:
    card = card_of(octets)
    written = csv_writer.write(table(Book.of(MINISTRY, [card]), Language.EN))
    rows = list(csv.reader(io.StringIO(written.decode("utf-8-sig"), newline="")))
    assert len(rows) == 2, (octets, rows)
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in rows[1])


def _depth(element: xml.Element) -> int:
    return 1 + max(map(_depth, element.children), default=0)


def fuzz_xml(octets: bytes) -> None:
    try:
        root = xml.read(octets)
    except BadXml:
        return
    assert _depth(root) <= xml.MAX_DEPTH
    written = xml.document((xml.DAV, "multistatus"), [xml.element(root.name, xml.text(root.text))])
    again = xml.read(written)
    assert [child.name for child in again.children] == [root.name], octets
    assert again.children[0].text == root.text, octets
    for ask in (requests.propfind, requests.report):
        try:
            asked = ask(octets)
            if isinstance(asked, requests.AddressQuery):
                question = queries.question(asked.filter, MINISTRY)
                question(card_of(octets))
        except (BadXml, PreconditionFailed):
            pass
    try:
        autodiscover.address_asked(octets)
    except NotAsked:
        pass


def fuzz_written(octets: bytes) -> None:
    """Whatever text is put into XML is one text again, and no element."""
    text = octets.decode("utf-8", "replace")
    read = xml.read(xml.document((xml.DAV, "prop"), [xml.element((xml.DAV, "x"), xml.text(text)), xml.href(text)]))
    kept = xml._FORBIDDEN.sub("", text)
    assert [child.text for child in read.children] == [kept, kept], octets
    assert not any(child.children for child in read.children)


def fuzz_setup(octets: bytes) -> None:
    """Addresses and names in what mail programs are set up with."""
    address, name, ministry, host = texts_of(octets, 4)
    if not all(xml._FORBIDDEN.sub("", text) == text for text in (address, name, ministry, host)):
        return  # no address, and no setting of ours has such letters
    one = AdvertisedServer("imap", host, 993, Security.TLS)
    servers = Servers((one,), (AdvertisedServer("smtp", host, 465, Security.TLS),), None, None, ministry)
    shown = xml.read(autodiscover.settings(servers, address).encode())
    (response,) = shown.children
    assert [child.name[1] for child in response.children] == ["User", "Account"]
    logins = [each.text for child in response.children[1].children for each in child.children if each.name[1] == "LoginName"]
    assert len(logins) == 2
    assert all(login == address.replace("\r\n", "\n").replace("\r", "\n") for login in logins)
    assert xml.read(autoconfig.document(servers, host).encode()).name[1] == "clientConfig"
    profile = plistlib.loads(mobileconfig.profile(servers, address, name, "mic.gov.vn"))
    assert len(profile["PayloadContent"]) == 1


TARGETS = (fuzz_vcard, fuzz_ldif, fuzz_table, fuzz_xml, fuzz_written, fuzz_setup)


def fuzz(octets: bytes) -> None:
    if octets:
        TARGETS[octets[0] % len(TARGETS)](octets[1:])


CARD = "Đỗ Văn; Bê,\\\n\0CNTT\0Vụ Công nghệ\0Vụ trưởng\0dvbe@mic.gov.vn".encode()
D = b'xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:carddav"'
OUTLOOK = (
    b'<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006"><Request>'
    b"<EMailAddress>a@b</EMailAddress></Request></Autodiscover>"
)
SEEDS: dict[Callable[[bytes], None], tuple[bytes, ...]] = {
    fuzz_vcard: (CARD, CARD + b"x", CARD + b"xy"),
    fuzz_ldif: (CARD, b" =x\0:y\0<z\0\0"),
    fuzz_table: (CARD, b"=1+1\0-2\0@x\0\t\0"),
    fuzz_xml: (
        b"<propfind " + D + b"><prop><C:address-data version='4.0'><C:prop name='FN'/></C:address-data></prop></propfind>",
        b"<C:addressbook-query "
        + D
        + b"><prop/><C:filter test='allof'><C:prop-filter name='EMAIL'><C:text-match match-type='equals'"
        b" negate-condition='yes'>x</C:text-match><C:param-filter name='TYPE'/></C:prop-filter></C:filter><C:limit>"
        b"<C:nresults>5</C:nresults></C:limit></C:addressbook-query>",
        b"<sync-collection " + D + b"><sync-token>x</sync-token><prop/></sync-collection>",
        OUTLOOK,
        b'<!DOCTYPE a [<!ENTITY e "x">]><a>&e;</a>',
    ),
    fuzz_written: (b"<a>&]]>\r\n", "\ufffe\x01".encode()),
    fuzz_setup: (b"a<b>&\"'@x.example\0N <b>\0M&M\0mail.example", b"a@b\0n\0m\0h"),
}


if __name__ == "__main__":
    run(fuzz, [bytes([number]) + seed for number, target in enumerate(TARGETS) for seed in SEEDS[target]])
