"""The LDAP session without a network: what is answered to what, in order, and what ends a connection."""

import struct
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldap_client import (
    BASE,
    ask,
    bind,
    codes,
    cookie_of,
    entries,
    large_book,
    messages_in,
    number,
    paged,
    search,
    small_book,
    text,
    tlv,
)
from mic_mail.connection.actions import Send
from mic_mail.errors import Text
from mic_mail.ldap.context import SessionSettings
from mic_mail.ldap.dit import Tree
from session_harness import START, LdapTalk

TREE = Tree(small_book())


@pytest.fixture
def ctx() -> LdapTalk:
    """Signed in."""
    ctx = LdapTalk(TREE)
    assert codes(ctx.say(bind())) == [0]
    return ctx


def test_nobody_searches_before_signing_in() -> None:
    """But for what a client has to know to sign in: the root DSE and the schema."""
    ctx = LdapTalk(TREE)
    assert codes(ctx.say(search())) == [50]
    assert entries(ctx.say(search(3, "(objectClass=*)", "+", base="", scope=0)))[""]["namingContexts"] == [BASE]
    assert "subschema" in entries(ctx.say(search(4, base="cn=subschema", scope=0)))["cn=subschema"]["cn"]
    assert codes(ctx.say(ask(5, tlv(0x6E, text(BASE), tlv(0x30, text("o"), text("x")))))) == [50]


def test_strangers_where_they_may() -> None:
    """Who comes from a network that the configuration names searches without a password."""
    ctx = LdapTalk(TREE, strangers=True)
    assert len(entries(ctx.say(search()))) == TREE.size


def test_strangers_stay_no_longer_than_the_silent() -> None:
    """However often they ask: else a few networks could keep all places. Who signs in stays; behind it a new time begins."""
    ctx, other = (LdapTalk(TREE, SessionSettings(idle_seconds=900), strangers=True) for _ in range(2))
    for minutes in (0, 14):
        for each in (ctx, other):
            each.clock.move_to(START + timedelta(minutes=minutes))
            assert entries(each.say(search()))
    assert codes(other.say(bind(4))) == [0]
    for each in (ctx, other):
        each.clock.move_to(START + timedelta(minutes=15))
        each.run()
    assert ctx.over
    assert entries(other.say(search(5)))
    other.say(bind(6, password="wrong"))
    other.clock.move_to(START + timedelta(minutes=29))
    assert entries(other.say(search(7)))
    assert not other.over
    other.clock.move_to(START + timedelta(minutes=30))
    other.say(search(8))
    assert other.over


def test_passwords(ctx: LdapTalk) -> None:
    """A wrong one signs out whoever was in; a name without one is refused (RFC 4513 §5.1.2); five end the connection."""
    assert codes(ctx.say(bind(2, password="wrong"))) == [49]
    assert codes(ctx.say(search(3))) == [50]
    assert codes(ctx.say(bind(4, password=""))) == [53]
    assert codes(ctx.say(bind(5, name="", password=""))) == [0]
    assert codes(ctx.say(ask(6, tlv(0x60, number(2), text("dvbe"), text("right", 0x80))))) == [2]
    assert codes(ctx.say(bind(7, name=f"uid=dvbe,ou=people,{BASE}"))) == [0]
    assert codes(ctx.say(bind(8, name="uid=,=,"))) == [34]
    assert codes(b"".join(ctx.say(bind(9, password="wrong")) for _ in range(4))) == [49] * 4 + [52]
    assert ctx.over


def test_sasl_steps(ctx: LdapTalk) -> None:
    """A challenge is 14 with the server's octets; giving up is told (RFC 4513 §5.2.1)."""
    step = ask(2, tlv(0x60, number(3), text(""), tlv(0xA3, text("PLAIN"))))
    assert codes(ctx.say(step)) == [14]
    assert codes(ctx.say(ask(3, tlv(0x60, number(3), text(""), tlv(0xA3, text("")))))) == [7]


CRITICAL = tlv(0xA0, tlv(0x30, text("1.2.3.4"), b"\x01\x01\xff"))
MANAGE = tlv(0xA0, tlv(0x30, text("2.16.840.1.113730.3.4.2"), b"\x01\x01\xff"))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (ask(2, tlv(0x60, number(3), text("dvbe"), text("right", 0x80)), CRITICAL), 12),
        (ask(2, tlv(0x60, b"x")), 2),
        (ask(2, tlv(0x60, number(3), text(""), text("", 0x89))), 7),  # as Windows asks which ways there are
    ],
)
def test_a_bind_signs_out_whatever_becomes_of_it(ctx: LdapTalk, asked: bytes, expected: int) -> None:
    """RFC 4513 §4: from its arrival on nobody is signed in, be it refused unread."""
    assert codes(ctx.say(asked)) == [expected]
    assert codes(ctx.say(search(3))) == [50]


def test_who_signs_in_anew_has_the_time_for_it(ctx: LdapTalk) -> None:
    """Also in steps, on a connection that is older than a sign-in may take; who then says nothing is cut off."""
    ctx.clock.move_to(ctx.clock.now() + timedelta(seconds=100))
    assert codes(ctx.say(ask(2, tlv(0x60, number(3), text(""), tlv(0xA3, text("PLAIN")))))) == [14]
    assert not ctx.over
    ctx.clock.move_to(ctx.clock.now() + timedelta(seconds=61))
    ctx.run()
    assert ctx.over


def test_pages_hold_everything_once(ctx: LdapTalk) -> None:
    """Whatever the size of a page (RFC 2696), also when the book has grown in between."""
    for size in (1, 2, 3, 100):
        seen, cookie = [], b""
        while True:
            answer = ctx.say(search(2, controls=paged(size, cookie)))
            assert codes(answer) == [0]
            assert len(entries(answer)) <= size
            seen += list(entries(answer))
            cookie = cookie_of(answer)
            if not cookie:
                break
        assert len(seen) == len(set(seen)) == TREE.size
    first = ctx.say(search(2, controls=paged(3)))
    assert codes(ctx.say(search(2, "(cn=*)", controls=paged(3, cookie_of(first))))) == [53]  # of another search
    assert codes(ctx.say(search(2, controls=paged(3, b"x")))) == [53]


FORGED = [(-1, -100, 0), (-1, 1 << 62, 0), (-128, 0, 0), (127, -(1 << 63), 0), (0, 0, (1 << 32) - 1), (0, -5, 0)]


@pytest.mark.parametrize("place", FORGED)
def test_cookies_that_somebody_made(ctx: LdapTalk, place: tuple[int, int, int]) -> None:
    """Any place and any count: a page like another one, or a refusal; no bug."""
    ours = cookie_of(ctx.say(search(2, controls=paged(1))))
    answer = ctx.say(search(3, controls=paged(1, struct.pack(">8sbqI", ours[:8], *place))))
    assert codes(answer) in ([0], [53])
    assert not ctx.notes


def test_a_page_of_nothing_ends_the_search(ctx: LdapTalk) -> None:
    """RFC 2696 §3: who asks for none behind a page wants no more of them."""
    cookie = cookie_of(ctx.say(search(2, controls=paged(1))))
    answer = ctx.say(search(3, controls=paged(0, cookie)))
    assert (codes(answer), entries(answer), cookie_of(answer)) == ([0], {}, b"")


def test_what_was_told_of_is_counted(ctx: LdapTalk) -> None:
    """Also where the client gives the search up: it was told of them."""
    ctx = LdapTalk(Tree(large_book()), SessionSettings(entries=100_000), strangers=True)
    told = len(entries(ctx.say(search(2) + ask(3, tlv(0x50, b"\x02")))))
    assert told > 0
    assert ctx.session.take_work() == (1, told)
    assert ctx.session.take_work() == (0, 0)


def test_what_waits_is_counted_as_unread(ctx: LdapTalk) -> None:
    """Requests that were looked through while a search goes on count like those that were not: the shell stops reading."""
    ctx = LdapTalk(Tree(large_book()), SessionSettings(entries=100_000), strangers=True)
    long = ask(3, tlv(0x63, bytes(30_000)))
    ctx.session.feed(search(2) + long)
    for _ in range(5):
        while not isinstance(step := ctx.session.next(), Send):
            ctx.session.done(step, ctx.result_of(step))
        ctx.session.done(step)
        ctx.session.feed(long)
    assert ctx.session.buffered >= 5 * len(long)
    ctx.run()
    assert ctx.session.buffered == 0


def test_limits(ctx: LdapTalk) -> None:
    """The client's own limit, and the server's, with what was found up to there."""
    answer = ctx.say(search(2, most=2))
    assert (len(entries(answer)), codes(answer)) == (2, [4])
    assert codes(ctx.say(search(2, most=TREE.size))) == [0]
    ctx = LdapTalk(TREE, SessionSettings(entries=3), strangers=True)
    answer = ctx.say(search(2))
    assert (len(entries(answer)), codes(answer)) == (3, [4])
    assert codes(ctx.say(search(2, controls=paged(100)))) == [0]


def test_attributes(ctx: LdapTalk) -> None:
    """Which are told: none, all, operational ones, by any name, without values."""

    def shown(*attributes: str, **how: bool) -> dict[str, list[str]]:
        return entries(ctx.say(search(2, "(uid=dvbe)", *attributes, **how)))[f"uid=dvbe,ou=people,{BASE}"]

    assert shown("1.1") == {}
    assert shown("commonName", "MAIL", "nonsense") == {"cn": ["Đỗ Văn Bê"], "mail": ["dvbe@mic.gov.vn"]}
    assert "entryUUID" not in shown()
    assert set(shown("+")) == {"structuralObjectClass", "entryUUID", "entryDN", "subschemaSubentry", "hasSubordinates"}
    assert set(shown("*", "entryuuid")) == {*shown(), "entryUUID"}
    assert shown("sn", "title", types_only=True) == {"sn": [], "title": []}


def test_bases_that_are_not_there(ctx: LdapTalk) -> None:
    """With what there is of them; an empty base below the root DSE means all."""
    answer = ctx.say(search(2, base=f"uid=x,ou=people,{BASE}"))
    assert (codes(answer), messages_in(answer)[0][2][1][1].decode()) == ([32], f"ou=people,{BASE}")
    assert codes(ctx.say(search(3, base="x"))) == [34]
    assert codes(ctx.say(search(4, scope=3))) == [2]
    assert len(entries(ctx.say(search(5, base="")))) == TREE.size


@pytest.mark.parametrize("tag", [0x66, 0x68, 0x4A, 0x6C])
def test_nothing_is_written(ctx: LdapTalk, tag: int) -> None:
    """Modify, add, delete, rename: unwilling, whatever they hold."""
    answer = ctx.say(ask(7, tlv(tag, b"uid=dvbe")))
    assert (codes(answer), messages_in(answer)[0][1]) == ([53], {0x66: 0x67, 0x68: 0x69, 0x4A: 0x6B, 0x6C: 0x6D}[tag])


def test_extended_operations(ctx: LdapTalk) -> None:
    """Who am I; TLS that is on already; a cancel of nothing; a password is not changed here."""
    who = ctx.say(ask(2, tlv(0x77, text("1.3.6.1.4.1.4203.1.11.3", 0x80))))
    assert messages_in(who)[0][2][-1] == (0x8B, b"u:dvbe@mic.gov.vn")
    assert codes(ctx.say(ask(3, tlv(0x77, text("1.3.6.1.4.1.1466.20037", 0x80))))) == [1]
    assert codes(ctx.say(ask(4, tlv(0x77, text("1.3.6.1.1.8", 0x80), text(tlv(0x30, number(2)), 0x81))))) == [119]
    assert codes(ctx.say(ask(5, tlv(0x77, text("1.3.6.1.4.1.4203.1.11.1", 0x80))))) == [2]


def test_compare(ctx: LdapTalk) -> None:
    """True, false, no such attribute, none at all, nobody."""

    def compared(name: str, attribute: str, value: str) -> int:
        return codes(ctx.say(ask(2, tlv(0x6E, text(name), tlv(0x30, text(attribute), text(value))))))[0]

    be = f"uid=dvbe,ou=people,{BASE}"
    assert [compared(be, "sn", "do"), compared(be, "sn", "lê"), compared(be, "mobile", "1"), compared(be, "zz", "1")] == [
        6,
        5,
        16,
        17,
    ]
    assert compared(f"uid=x,ou=people,{BASE}", "sn", "do") == 32


def test_abandon_and_cancel(ctx: LdapTalk) -> None:
    """A search that is given up while its answer is being sent ends there; a cancel is answered, an abandon is not."""
    settings = SessionSettings(entries=100_000)
    for give_up, expected in (
        (ask(3, tlv(0x50, b"\x02")), []),
        (ask(3, tlv(0x77, text("1.3.6.1.1.8", 0x80), text(tlv(0x30, number(2)), 0x81))), [118, 0]),
    ):
        ctx = LdapTalk(Tree(large_book()), settings, strangers=True)
        answer = ctx.say(search(2) + give_up)
        assert codes(answer) == expected
        assert len(entries(answer)) < 3000
        assert codes(ctx.say(search(4, "(uid=none)"))) == [0]


def test_unknown_critical_controls(ctx: LdapTalk) -> None:
    """RFC 4511 §4.1.11: what is critical and unknown stops the request, what is not is ignored; ManageDsaIT is known."""
    compared = tlv(0x6E, text(f"uid=dvbe,ou=people,{BASE}"), tlv(0x30, text("sn"), text("do")))
    assert codes(ctx.say(ask(2, compared, CRITICAL))) == [12]
    assert codes(ctx.say(ask(2, compared, MANAGE))) == [6]
    assert codes(ctx.say(search(2, controls=MANAGE))) == [0]
    for critical, expected in ((b"\x01\x01\xff", [12]), (b"", [0])):
        control = tlv(0xA0, tlv(0x30, text("1.2.3.4"), critical))
        assert codes(ctx.say(search(2, controls=control))) == expected


def test_what_makes_no_sense(ctx: LdapTalk) -> None:
    """A request that cannot be read costs an error, twenty in a row the connection; what is no message costs it at once."""
    assert codes(ctx.say(ask(2, tlv(0x63, b"x")))) == [2]
    assert codes(ctx.say(search(3, b"\xa0\x05abcde"))) == [2]
    assert codes(ctx.say(search(3))) == [0]
    assert codes(b"".join(ctx.say(ask(2, tlv(0x63, b"x"))) for _ in range(20)))[-1] == 2
    assert ctx.over
    for nonsense in (
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x30\x84\xff\xff\xff\xff",
        b"\x16\x03\x01\x02\x00",
        ask(0, b"\x42\0"),
        ask(1, b"\x61\0"),
        ask(0, tlv(0x66, b"uid=dvbe")),  # 0 is the number of what the server says by itself
    ):
        ctx = LdapTalk(TREE)
        answer = ctx.say(nonsense)
        assert ctx.over
        assert not answer or messages_in(answer)[0][0] == 0


def test_what_makes_no_sense_behind_a_search(ctx: LdapTalk) -> None:
    """It ends the connection in its turn: the search before it, during which it came, is answered."""
    together = ctx.say(search(2) + b"SSSS")
    assert codes(together) == [0, 2]
    assert len(entries(together)) == TREE.size


def test_an_end_from_outside_is_announced(ctx: LdapTalk) -> None:
    """A suspension: notice of disconnection (RFC 4511 §4.4.1), message 0."""
    ctx.session.end(Text("Hộp thư bị khóa.", "Suspended."), b"8")
    ((message_id, tag, parts),) = messages_in(ctx.run())
    assert (message_id, tag, parts[0][1], parts[-1]) == (0, 0x78, b"\x08", (0x8A, b"1.3.6.1.4.1.1466.20036"))
    assert ctx.over


def test_silence_ends_a_connection() -> None:
    """Before signing in after a minute, afterwards after a quarter of an hour."""
    ctx = LdapTalk(TREE)
    ctx.clock.move_to(ctx.clock.now() + timedelta(seconds=61))
    ctx.run()
    assert ctx.over


def test_starttls_throws_away_what_came_in_clear() -> None:
    """What stands behind the request in clear is nobody's (RFC 4513 §3.1.1); who had signed in is out."""
    ctx = LdapTalk(TREE, tls=False)
    answer = ctx.say(ask(2, tlv(0x77, text("1.3.6.1.4.1.1466.20037", 0x80))))
    assert codes(answer) == [0]
    assert codes(ctx.say(search(3))) == [50]


@given(
    st.lists(st.one_of(st.just(bind()), st.just(search(2, "(cn=*b*)", "cn")), st.binary(max_size=12)), max_size=5), st.data()
)
def test_any_split_gives_the_same_answers(said: list[bytes], data: st.DataObject) -> None:
    """And no octets find a bug."""
    octets = b"".join(said)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=4)))
    answers = []
    for pieces in ([octets], [octets[a:b] for a, b in zip([0, *cuts], [*cuts, len(octets)], strict=True)]):
        ctx = LdapTalk(TREE)
        answers.append(b"".join(ctx.say(piece) for piece in pieces))
        assert not ctx.notes, ctx.notes
    assert answers[0] == answers[1]
