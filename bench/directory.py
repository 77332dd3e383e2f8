"""The address book in figures, beside OpenLDAP's slapd where it is installed: `python bench/directory.py [--people 30000]`.

Both servers hold the same entries and are asked alike, one after the other: a client without a pause, then ten that type names
(a search each 100 ms), for `(|(cn=*x*)(mail=x*)(sn=x*)(givenName=x*))`, 100 entries at most. Ours over TLS, signed in, with one
worker; slapd in clear, with indexes for substrings. Milliseconds a search, entries it found, memory of the process answering.
"""

import argparse
import os
import random
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from sqlalchemy import insert

import results
from harness import ProcessServer, config_for, trusting
from ldap_client import BASE, bind, search
from measure import memory_kib
from mic_mail.addressbook import ldif
from mic_mail.directory.model import Address, FactRow, Mailbox, Person, Unit
from mic_mail.ldap.ber import head
from mic_mail.policy.facts import Draft, FactKind, record
from mic_mail.services.mailboxes.address_book import make_book
from population import PASSWORD
from rows import ADDRESS_BOOK
from servers import MIC_MAIL, SLAPD

FAMILIES = "Nguyễn Trần Lê Phạm Hoàng Huỳnh Phan Vũ Võ Đặng Bùi Đỗ Hồ Ngô Dương Lý".split()
MIDDLES = "Văn Thị Minh Đức Thu Hồng Ngọc Quốc Xuân Thanh Hải Kim Phương Anh Đình Hữu".split()
GIVEN = (
    "An Anh Bê Bình Châu Chi Cường Dũng Đạt Giang Hà Hạnh Hiếu Hoa Hùng Hương Khánh Lan Linh Mai Nam Nga Phúc Sơn Uyên".split()
)
TYPED = ("nguyen", "Nguyễn", "lan", "Bê", "tran thi", "minh", "hoàng", "uye", "Vũ Đ", "khanh")
SLAPD_PORT, PEOPLE = 25900, 3000
SLAPD_CONF = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/pid
database mdb
maxsize 1073741824
suffix {base}
directory {folder}/db
index objectClass eq
index cn,sn,givenName,mail eq,sub
"""


def fill(server: ProcessServer, people: int) -> None:
    """Units and people with a mailbox each, straight into the tables."""
    server.population.issue("dvbe", name="Đỗ Văn Bê")
    chance, at = random.Random(1), server.population._clock.now() - timedelta(days=20)
    ids = range(10, 10 + people)
    names = [" ".join(map(chance.choice, (FAMILIES, MIDDLES, MIDDLES, GIVEN))) for _ in ids]
    units: list[dict[str, object]] = [
        {"unit_id": 10 + n, "symbol": f"U{n}", "name": f"Vụ số {n}"} for n in range(people // 40 + 1)
    ]
    people_of = {"position": "Chuyên viên", "level": "division", "employment": "civil_servant"}
    named = list(zip(ids, names, strict=True))
    rows: list[tuple[type, list[dict[str, object]]]] = [
        (Unit, units),
        (Person, [{"person_id": n, "full_name": name, "unit_id": 10 + n % len(units), **people_of} for n, name in named]),
        (Mailbox, [_mailbox(n, name) for n, name in named]),
        (Address, [{"address": f"p{n}@mic.gov.vn", "mailbox_id": n, "role": "primary"} for n in ids]),
        (FactRow, [_issued(n, at) for n in ids]),
    ]
    with server.population.directory._engine.begin() as connection:
        for table, values in rows:
            connection.execute(insert(table), values)


def _mailbox(number: int, name: str) -> dict[str, object]:
    return {
        "mailbox_id": number, "person_id": number, "kind": "personal", "home": f"mic.gov.vn/p{number}", "display_name": name,
        "quota_octets": 1 << 30, "capabilities_hidden": "", "changed_version": 2,
    }  # fmt: skip


def _issued(number: int, at: datetime) -> dict[str, object]:
    fact = record(Draft(FactKind.ISSUED, at, "bench"), mailbox_id=number, previous=None, recorded_at=at)
    return {
        "mailbox_id": number, "seq": 1, "kind": fact.kind, "effective_at": at, "recorded_at": at, "actor": "bench",
        "reason": "", "document": None, "data": "{}", "digest": fact.digest,
    }  # fmt: skip


class Client:
    """Asks, and counts what is found."""

    def __init__(self, port: int, tls: ssl.SSLContext | None) -> None:
        import socket

        self.socket: socket.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._held = b""
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
            self.ask(bind(1, "dvbe", PASSWORD))

    def ask(self, octets: bytes) -> int:
        self.socket.sendall(octets)
        count = 0
        while True:
            while (found := head(self._held, 0, len(self._held))) is None or found[2] > len(self._held):
                self._held += self.socket.recv(1 << 16)
            _, start, end = found
            number = head(self._held, start, end)
            assert number is not None
            entry = self._held[number[2]] == 0x64
            self._held = self._held[end:]
            if not entry:
                return count
            count += 1


def measure(port: int, tls: ssl.SSLContext | None, clients: int, seconds: float) -> tuple[float, float]:
    """The median of a search in milliseconds, and the entries that one found."""

    took: list[float] = []
    entries: list[int] = []

    def one(seed: int) -> None:
        chance, client = random.Random(seed), Client(port, tls)
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            typed = chance.choice(TYPED)
            wanted = f"(|(cn=*{typed}*)(mail={typed}*)(sn={typed}*)(givenName={typed}*))"
            began = time.perf_counter()
            entries.append(client.ask(search(2, wanted, "cn", "mail", "title", "ou", most=100)))
            took.append(time.perf_counter() - began)
            time.sleep(0.1 if clients > 1 else 0)

    threads = [threading.Thread(target=one, args=(seed,)) for seed in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took.sort()
    return 1e3 * took[len(took) // 2], sum(entries) / len(entries)


def figures_of(name: str, port: int, tls: ssl.SSLContext | None, pid: int, seconds: float) -> dict[str, float]:
    one, entries = measure(port, tls, 1, seconds)
    ten, _ = measure(port, tls, 10, seconds)
    found = {"one_ms": one, "ten_ms": ten, "entries": entries, "rss_mib": memory_kib([pid], "Rss") / 1024}
    print(name, found, flush=True)
    return found


def slapd(folder: Path, entries: bytes, seconds: float) -> dict[str, float]:
    (folder / "db").mkdir(parents=True)
    (folder / "slapd.conf").write_text(SLAPD_CONF.format(folder=folder, base=BASE))
    (folder / "book.ldif").write_bytes(entries.partition(b"\n")[2])  # slapadd knows no version line
    subprocess.run(["slapadd", "-q", "-f", folder / "slapd.conf", "-l", folder / "book.ldif"], check=True)
    running = subprocess.Popen(["slapd", "-d", "0", "-f", folder / "slapd.conf", "-h", f"ldap://127.0.0.1:{SLAPD_PORT}"])
    try:
        time.sleep(1)
        return figures_of(SLAPD, SLAPD_PORT, None, running.pid, seconds)
    finally:
        running.terminate()
        running.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=PEOPLE, help="results of another number are not kept")
    parser.add_argument("--seconds", type=float, default=5)
    options, found = parser.parse_args(), {}
    os.environ["PATH"] += ":/usr/sbin"
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        settings = {"listen": {"doors": ("ldap", "ldaps")}, "process": {"workers": 1}}
        server = ProcessServer(config_for(folder / "data", settings), folder)
        fill(server, options.people)
        book = make_book(server.population.directory, server.config, server.population._clock.now())
        if shutil.which("slapd"):
            found[SLAPD] = [slapd(folder / "slapd", ldif.write(book), options.seconds)]
        server.start()
        try:
            tls, port = trusting(server.config), server.ports["ldaps"]
            began = time.perf_counter()
            Client(port, tls).ask(search(2, "(uid=dvbe)"))
            print(f"mic-mail  the first search behind the start {time.perf_counter() - began:.2f} s")
            found[MIC_MAIL] = [figures_of(MIC_MAIL, port, tls, server.workers()[0], options.seconds)]
        finally:
            server.terminate()
    if options.people == PEOPLE:
        print(f"results: {results.keep(ADDRESS_BOOK, found)}")


if __name__ == "__main__":
    main()
