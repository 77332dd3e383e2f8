"""From and Sender as they decide whose name a message carries: one reading, or none."""

from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mic_mail.mailbox_address import quoted_if_needed
from mic_mail.mime.addresses import parse_addresses
from mic_mail.mime.strict_addresses import MAX_OCTETS, Ambiguous, addresses_in, read_mailboxes

BE = "dvbe@mic.gov.vn"
READ = {
    b"dvbe@mic.gov.vn": (),
    b"<dvbe@mic.gov.vn>": (),
    b" \t<dvbe@mic.gov.vn>\r\n ": (),
    b"DVBE@Mic.Gov.VN": (),
    b'"dvbe"@mic.gov.vn': (),
    b"Do Van Be <dvbe@mic.gov.vn>": ("Do Van Be",),
    b"Do V. Be<dvbe@mic.gov.vn>": ("Do V. Be",),
    b"Do Van\r\n Be\r\n <dvbe@mic.gov.vn>": ("Do Van Be",),
    "Đỗ Văn Bê <dvbe@mic.gov.vn>".encode(): ("Đỗ Văn Bê",),
    b'"Do, Van Be (CNTT) <x>" <dvbe@mic.gov.vn>': ("Do, Van Be (CNTT) <x>",),
    b'"Do \\"Be\\" \\\\" <dvbe@mic.gov.vn>': ('Do "Be" \\',),
    b'"" <dvbe@mic.gov.vn>': (),
    b"=?utf-8?q?=C4=90=E1=BB=97_V=C4=83n?= =?utf-8?b?IELDqg==?= <dvbe@mic.gov.vn>": ("Đỗ Văn Bê",),
    b'"=?utf-8?q?=C4=90=E1=BB=97?=" <dvbe@mic.gov.vn>': ("Đỗ",),
    b"=?iso-8859-15?q?O=92Neil?= <dvbe@mic.gov.vn>": ("O\x92Neil",),
    b"dvbe@mic.gov.vn (Do Van Be)": ("Do Van Be",),
    b"(a) Be (b (c) \\) d) <dvbe@mic.gov.vn> (e)": ("Be", "a", "b (c) ) d", "e"),
    b"[Ha Noi] Be <dvbe@mic.gov.vn>": ("[Ha Noi] Be",),
    b"Be < dvbe@mic.gov.vn >": ("Be",),
}


@pytest.mark.parametrize("value", READ)
def test_what_mail_programs_write_is_read(value: bytes) -> None:
    """The forms of RFC 5322 §3.4 and RFC 6532, dots in a name, encoded words; the address and what is shown beside it."""
    (mailbox,) = read_mailboxes(value)
    assert (mailbox.address, mailbox.shown) == (BE, READ[value])


def test_several_mailboxes() -> None:
    """Each with its own texts."""
    found = read_mailboxes(b'"A, B" <a@x>, b@y (B), (C) <c@[192.0.2.1]>')
    assert [(mailbox.address, mailbox.shown) for mailbox in found] == [
        ("a@x", ("A, B",)),
        ("b@y", ("B",)),
        ("c@[192.0.2.1]", ("C",)),
    ]


@pytest.mark.parametrize("value", [b"", b"  ", b"(nobody)", b"\r\n "])
def test_an_empty_field_has_none(value: bytes) -> None:
    """It is the caller who says whether that is allowed."""
    assert read_mailboxes(value) == []


AMBIGUOUS = [
    b"ttlan@mic.gov.vn <dvbe@mic.gov.vn>",
    b"<dvbe@mic.gov.vn> <ttlan@mic.gov.vn>",
    b"Be <dvbe@mic.gov.vn> ttlan@mic.gov.vn",
    b"dvbe@mic.gov.vn (\r\n <ttlan@mic.gov.vn>",
    b"dvbe@mic.gov.vn (a (b)",
    b"dvbe@mic.gov.vn )",
    b'"Be <dvbe@mic.gov.vn>',
    b'"Be\\" <dvbe@mic.gov.vn>',
    b"<<dvbe@mic.gov.vn>>",
    b"<dvbe@mic.gov.vn",
    b"dvbe@mic.gov.vn>",
    b"<>",
    b"Be <>",
    b"Be <dvbe>",
    b"dvbe",
    b"Do Be dvbe@mic.gov.vn",
    b"Do, Be <dvbe@mic.gov.vn>",
    b"Do: Be <dvbe@mic.gov.vn>",
    b"Do; Be <dvbe@mic.gov.vn>",
    b"Do@Be <dvbe@mic.gov.vn>",
    b"Do \\< Be <dvbe@mic.gov.vn>",
    b"=?utf-8?q?a@b?= <dvbe@mic.gov.vn>",
    b"Be [ <dvbe@mic.gov.vn>",
    b"Be ] <dvbe@mic.gov.vn>",
    b"[Be [x]] <dvbe@mic.gov.vn>",
    b"Group: dvbe@mic.gov.vn;",
    b"nobody:;",
    b"<@a.example,@b.example:dvbe@mic.gov.vn>",
    b"dvbe @mic.gov.vn",
    b"dvbe@ mic.gov.vn",
    b"<dvbe(x)@mic.gov.vn>",
    b"dv . be@mic.gov.vn",
    b".dvbe@mic.gov.vn",
    b"dvbe@mic.gov.vn.",
    b"dvbe@@mic.gov.vn",
    b"dvbe@mic.gov.vn@evil.example",
    b"a@[>ttlan@mic.gov.vn]",
    b"a@=?utf-8?b?dHRsYW5AbWljLmdvdi52bg==?=",
    b"=?utf-8?q?ttlan=40mic.gov.vn=2C_a?=@evil.example",
    b'X <"=?utf-8?q?ttlan=40mic.gov.vn=3E?="@evil.example>',
    b"a@mic.gov.vn!evil",
    b"a@evil%mic.gov.vn",
    b"a@[<ttlan@mic.gov.vn>,b]",
    b",dvbe@mic.gov.vn",
    b"dvbe@mic.gov.vn,",
    b"dvbe@mic.gov.vn,,ttlan@mic.gov.vn",
    b"dvbe@mic.gov.vn; ttlan@mic.gov.vn",
    b"dvbe@mic.gov.vn\x00",
    b"Be\x0b <dvbe@mic.gov.vn>",
    b"Be\xc2\x85 <dvbe@mic.gov.vn>",
    b"B\xea <dvbe@mic.gov.vn>",
    b"Be\r <dvbe@mic.gov.vn>",
    b"=?utf-8?q?ttlan=0D=0A=40mic.gov.vn?= <dvbe@mic.gov.vn>",
    b"=?utf-8?b?dHRsYW4AQG1pYy5nb3Yudm4=?= <dvbe@mic.gov.vn>",
    b"dvbe@mic.gov.vn (=?utf-8?q?ttlan=08=40mic.gov.vn?=)",
    b"=?utf-7?q?ttlan+AEA-mic.gov.vn?= <dvbe@mic.gov.vn>",
    b"=?UNICODE-1-1-UTF-7*en?Q?ttlan+AEA-mic.gov.vn?= <dvbe@mic.gov.vn>",
    b'"' + b"x" * MAX_OCTETS + b'" <dvbe@mic.gov.vn>',
]


@pytest.mark.parametrize("value", AMBIGUOUS)
def test_what_others_may_read_differently_is_not_read(value: bytes) -> None:
    """Two addresses, what is not closed, signs that stand for something else: no reading at all."""
    with pytest.raises(Ambiguous):
        read_mailboxes(value)


PIECES = [
    "dvbe@mic.gov.vn",
    "<ttlan@mic.gov.vn>",
    "<dvbe@mic.gov.vn>",
    "Do",
    "V.",
    " ",
    ",",
    "(",
    ")",
    '"',
    "\\",
    ":",
    ";",
    "@",
    "=?x?q?=40?=",
    "[",
    "]",
    "ế",
]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join) | st.text(max_size=60))
def test_what_is_read_is_what_the_tolerant_reader_sees(text: str) -> None:
    """Never anything but mailboxes or `Ambiguous`; and where there is a reading, ENVELOPE shows the same addresses."""
    value = text.encode()
    try:
        found = read_mailboxes(value)
    except Ambiguous:
        return
    tolerant = [((one.mailbox or b"").decode(), (one.host or b"").decode()) for one in parse_addresses(value)]
    composed = [f"{quoted_if_needed(normalize('NFC', local))}@{normalize('NFC', host)}".lower() for local, host in tolerant]
    assert composed == [mailbox.address for mailbox in found]


def test_a_quoted_local_part_is_no_other_address() -> None:
    """`"a@b"@c` is not the address `a@b@c`: whose name a message may carry goes by the canonical form."""
    assert [one.address for one in read_mailboxes(b'"a@b"@c.vn, <"d.e"@F.vn>, "f\\"g"@h.vn')] == [
        '"a@b"@c.vn', "d.e@f.vn", '"f\\"g"@h.vn',
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("Đỗ Văn Bê", []),
        ("ttlan@mic.gov.vn", ["ttlan@mic.gov.vn"]),
        ("Lan <TTLan@mic.gov.vn>, Be", ["ttlan@mic.gov.vn"]),
        ("'ttlan@mic.gov.vn'", ["ttlan@mic.gov.vn"]),
        ("thư: “ttlan@mic.gov.vn”.", ["ttlan@mic.gov.vn"]),
        ("ttlan＠mic．gov．vn", ["ttlan@mic.gov.vn"]),
        ("ttlan\u200b@\u2060mic.gov.vn", ["ttlan@mic.gov.vn"]),
        ("ttlan\ufe0f@\u034fmic.go\u180bv.\ufe00vn", ["ttlan@mic.gov.vn"]),
        ("ttlan@m\u0332ic.\u20ddgov.vn", ["ttlan@mic.gov.vn"]),
        ("a@b@mic.gov.vn", ["b@mic.gov.vn"]),
        ("a@x.vn/b@y.vn", ["a@x.vn", "x.vn/b@y.vn"]),
        ("Be @ MIC", []),
        ("Be@MIC", []),
        ("@mic.gov.vn", []),
    ],
)
def test_the_addresses_that_a_person_sees(text: str, seen: list[str]) -> None:
    """In a display name or a comment, also in letters of full width and with invisible ones between them."""
    assert addresses_in(text) == seen


@pytest.mark.parametrize(
    "text", ["x" * 100_000, "x@" * 50_000, "x." * 50_000, "@" * 100_000, "x@y." * 25_000, "\u0301" * 100_000]
)
def test_looking_for_addresses_takes_no_time(text: str) -> None:
    """Linear, whatever stands there."""
    assert len(addresses_in(text)) <= text.count("@")
