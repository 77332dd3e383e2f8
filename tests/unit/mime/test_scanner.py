"""The scanner: what it finds, whatever the chunks, whatever the damage."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messages import strategies
from messages.hard import HARD, HEAD, PDF, PLAIN, crlf, multipart, part
from messages.scans import cut_at, everything, leaves, scan
from mic_mail.mime import scanner as limits
from mic_mail.mime.encodings import decode
from mic_mail.mime.imap_structure import answers
from mic_mail.mime.scanner import Scanner
from mic_mail.mime.structure import MAX_HEADER, with_head


def content_of(message: bytes) -> list[bytes]:
    """Raw bodies of all leaves."""
    return [message[leaf.body_start : leaf.body_end] for leaf in leaves(scan(message).root)]


@pytest.mark.parametrize("name", HARD)
def test_hard_messages_are_scanned_the_same_in_any_chunks(name: str) -> None:
    """A message that arrives octet by octet, or in pieces of 7 or 4,097, gives the same scan as one that arrives whole."""
    message = HARD[name]
    whole = everything(scan(message))
    for size in (1, 7, 4097):
        if size > 1 or len(message) < 20_000:
            assert everything(scan(*[message[at : at + size] for at in range(0, len(message), size)])) == whole


@given(
    st.integers(0, 80),
    st.integers(0, 60),
    st.integers(0, 80),
    st.sampled_from(["\r\n", "\n", "\r", ""]),
    st.lists(st.tuples(st.integers(0, 5_000), st.sampled_from(["\r", "\n", "\r\n", "A", ""])), max_size=4),
)
def test_line_ends_of_base64_are_counted(width: int, lines: int, last: int, end: str, damage: list[tuple[int, str]]) -> None:
    """Bare ones too, in lines that are all equally long but for the last, and in such that are damaged at a few places."""
    body = list(("A" * width + "\r\n") * lines + "A" * last + end)
    for at, octet in damage:
        body[at % (len(body) + 1) : at % (len(body) + 1) + 1] = octet
    head = b"Content-Transfer-Encoding: base64\r\n\r\n"
    message = head + "".join(body).encode()
    found = scan(head, message[len(head) :])
    pairs = message.count(b"\r\n")
    assert (found.bare_cr, found.bare_lf) == (message.count(b"\r") - pairs, message.count(b"\n") - pairs)


@given(strategies.anything, st.lists(st.integers(0, 20_000), max_size=6))
def test_the_result_does_not_depend_on_the_chunks(message: bytes, cuts: list[int]) -> None:
    """Any octets, cut anywhere, give what they give uncut."""
    assert everything(scan(*cut_at(message, cuts))) == everything(scan(message))


@given(strategies.well_formed)
def test_every_leaf_of_a_well_formed_message_is_found(made: strategies.Tree) -> None:
    """The leaves that were put in come out: in order, with their octets, their encoding and their decoded size."""
    message = b"Subject: x\r\n" + made.octets
    found = leaves(scan(message).root)
    assert [message[leaf.body_start : leaf.body_end] for leaf in found] == [leaf.raw for leaf in made.leaves]
    assert [leaf.encoding.decode() for leaf in found] == [leaf.encoding for leaf in made.leaves]
    assert [leaf.decoded_octets for leaf in found] == [len(leaf.content) for leaf in made.leaves]
    assert not any(leaf.damaged for leaf in found)


@given(strategies.anything)
def test_parts_lie_inside_their_parents_and_in_order(message: bytes) -> None:
    """Whatever the damage: offsets rise, children lie inside bodies, lines are LFs, decoded sizes are what decoding gives."""
    found = scan(message)
    assert found.octets == found.root.body_end == len(message)
    stack = [found.root]
    while stack:
        this = stack.pop()
        assert this.header_start <= this.body_start <= this.body_end
        assert this.lines == message.count(b"\n", this.body_start, this.body_end)
        at = this.body_start
        for child in this.children:
            assert at <= child.header_start
            assert child.body_end <= this.body_end
            at = child.body_end
        if not this.children:
            raw = message[this.body_start : this.body_end]
            assert this.decoded_octets == len(decode(raw, this.encoding.decode("latin-1")))
        stack += this.children


@given(strategies.anything)
def test_line_ends_and_octets_are_counted(message: bytes) -> None:
    """Bare CR and bare LF are found wherever they stand."""
    found = scan(message)
    pairs = message.count(b"\r\n")
    assert (found.bare_cr, found.bare_lf) == (message.count(b"\r") - pairs, message.count(b"\n") - pairs)


@given(strategies.anything, st.lists(st.integers(0, 20_000), max_size=6))
def test_the_running_count_never_falls_and_ends_at_the_total(message: bytes, cuts: list[int]) -> None:
    """Attachments counted while the message streams in never shrink, and never pass what the whole message has."""
    running = Scanner()
    counts = [0]
    for chunk in cut_at(message, cuts):
        running.feed(chunk)
        counts.append(running.attachment_octets)
    total = running.finish().attachment_octets
    assert counts == sorted(counts)
    assert counts[-1] <= total


@pytest.mark.parametrize(("outer", "inner"), [("b", "bb"), ("bb", "b"), ("b--", "b"), ("=_1", "=_10"), ("b", "b")])
def test_boundaries_that_begin_alike_are_told_apart(outer: str, inner: str) -> None:
    """Of several boundaries that begin a line, the innermost that makes it up wins (RFC 2046 §5.1.1 lets all of them match)."""
    root = scan(HEAD + multipart(outer, multipart(inner, PLAIN, PLAIN), PDF)).root
    assert [len(child.children) for child in root.children] == [2, 0]


def test_of_boundaries_that_only_begin_a_line_the_longest_wins() -> None:
    """A delimiter line with something after it goes to the longest boundary."""
    message = HEAD + multipart("b", multipart("bb", PLAIN, PLAIN).replace(b"--bb\r\n", b"--bb x\r\n"), PDF)
    assert [len(child.children) for child in scan(message).root.children] == [2, 0]


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
def test_the_line_end_before_a_delimiter_is_its_own(line_end: bytes) -> None:
    """RFC 2046 §5.1.1: the line end before a delimiter is no part of the body; a second one is."""
    message = (HEAD + multipart("b", b"\r\nno line end", b"\r\none line end\r\n")).replace(b"\r\n", line_end)
    assert content_of(message) == [b"no line end", b"one line end" + line_end]


def test_a_delimiter_in_a_header_ends_the_part() -> None:
    """A part whose header runs into a delimiter has an empty body, and the next part is read."""
    root = scan(HARD["parts without empty lines"]).root
    assert [(child.subtype, child.body_end - child.body_start) for child in root.children] == [
        (b"html", 0),
        (b"plain", 0),
        (b"plain", 0),
    ]


def test_a_delimiter_in_the_header_of_an_attached_message_leaves_it_a_message() -> None:
    """What is in it is not even a header, and is described as RFC 2045 §5.2 describes what says nothing."""
    message = HEAD + crlf("Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n--b--\n")
    [attached] = scan(message).root.children
    [inner] = attached.children
    assert (inner.maintype, inner.subtype, inner.encoding, inner.fields) == (b"text", b"plain", b"7bit", {})
    assert b'"message" "rfc822" NIL NIL NIL "7bit" 0 (NIL NIL' in answers(scan(message)).body


def test_the_first_empty_line_ends_the_header() -> None:
    """Also where LF and CRLF stand in a row, and whichever of them the line end is."""
    for message in (b"a:b\n\n\r\nbody", b"a:b\r\n\n\r\nbody", b"a:b\n\n\nbody", b"\n\r\nbody"):
        assert message[scan(message).root.body_start :] in (b"\r\nbody", b"\nbody")
    assert scan(b"a:b\n\r\n\nbody").root.body_start == 6


def test_a_long_line_is_cut_without_being_seen() -> None:
    """A line that is longer than what is held for its end has the same line end in any chunks."""
    message = HEAD + b"\r\n" + b"x" * 5000 + b"\r\n--x\r\n"
    at = message.index(b"\r\n--x") + 1
    assert everything(scan(message[:at], message[at:])) == everything(scan(message))
    assert scan(message[:at], message[at:]).bare_cr == 0


def test_digest_parts_are_messages() -> None:
    """RFC 2046 §5.1.5: in a digest a part without a type is a message."""
    first, second = scan(HARD["digest"]).root.children
    assert first.is_message
    assert not second.is_message


def test_an_encoded_message_is_opaque() -> None:
    """A message/rfc822 in base64 (RFC 2046 §5.2.1 forbids it) is not read as if it were a message."""
    attached = scan(HARD["attached message in base64"]).root.children[1]
    assert not attached.is_message
    assert not attached.children


def test_the_header_is_kept_whole_or_not_at_all() -> None:
    """`Scan.header` is the block with its empty line; one that is too long is left to the file."""
    assert scan(HARD["plain"]).header == HARD["plain"][: HARD["plain"].index(b"\r\n\r\n") + 4]
    line = b"X-Filler: " + b"x" * 90 + b"\r\n"
    many = line * (MAX_HEADER // len(line) + 1)
    found = scan(b"Subject: first\r\n" + many + b"\r\nbody\r\n")
    assert found.header == b""
    assert found.root.fields[b"subject"].strip() == b"first"
    assert found.root.body_start == len(many) + 18


def test_parts_and_depth_are_bounded() -> None:
    """What lies beyond the limits is one opaque part, an attachment as large as it stands in the message."""
    wide = scan(HARD["more parts than are read"])
    assert len(leaves(wide.root)) == limits.MAX_PARTS - 1
    last = leaves(wide.root)[-1]
    assert last.is_attachment
    assert last.damaged
    assert wide.attachment_octets >= last.body_end - last.body_start
    deep = scan(HARD["more depth than is read"])
    depth, this = 0, deep.root
    while this.children:
        depth, this = depth + 1, this.children[0]
    assert depth == limits.MAX_DEPTH - 1
    assert deep.attachment_octets == this.body_end - this.body_start


def test_what_follows_too_many_parts_counts_even_between_parts() -> None:
    """A message that runs out of parts in an epilogue still counts the rest as attachments."""
    message = HEAD + multipart("out", multipart("in", *[b"\r\nx"] * (limits.MAX_PARTS - 2)), part("image/png", b"y" * 5000))
    assert scan(message).attachment_octets >= 5000


TRAPS = {
    "nested boundaries": b"".join(
        [b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(10_000)]
    ),
    "header lines": b"X: y\r\n" * 1_000_000 + b"\r\n",
    "To lines": b"To: a@b.vn\r\n" * 500_000 + b"\r\n",
    "one header line": b"Subject: " + b"x" * 20_000_000,
    "a fold without end": b"Subject: x" + b"\r\n " * 3_000_000,
    "delimiter prefixes": b"Content-Type: multipart/mixed; boundary="
    + b"-" * 70
    + b"\r\n\r\n"
    + b"-" * 69
    + b"\r\n"
    + b"--\r\n" * 3_000_000,
    "two hyphens on every line": HEAD + multipart("b", b"\r\n" + b"--x\r\n" * 2_000_000),
    "begin on every line": HEAD + b"\r\n" + b"begin 644 x\r\n" * 1_000_000,
    "equals signs": HEAD + part("image/png", b"=" * 10_000_000, "quoted-printable"),
    "padding": HEAD + part("image/png", b"A=" * 5_000_000, "base64"),
    "a last line that is no field": b"Subject: x\r\n" + b"a" * 240_000,
    "quotes in a parameter": b'Content-Type: text/plain; a="' + b'\\"' * 120_000 + b"\r\n\r\n",
    "parentheses": b"Content-Type: " + b"(" * 250_000 + b"\r\nTo: " + b"(" * 60_000 + b"\r\n\r\n",
    "angle brackets": b"To: " + b",<@a" * 60_000 + b"\r\n\r\n",
    "marks on one letter": b"Subject: a" + "\u0301\u0323".encode() * 60_000 + b"\r\n\r\n",
    "encoded words": b"Subject: " + b"=?utf-8?q?a?= " * 18_000 + b"\xff\r\n\r\n",
    "sections of a parameter": b"Content-Type: text/plain" + b"".join([b"; a*%d=x" % n for n in range(20_000)]) + b"\r\n\r\n",
    "open tags": HEAD + part("text/html", b"<style" * 1_000_000),
    "tags": HEAD + part("text/html", b"<" * 3_000_000),
}


@pytest.mark.parametrize("name", TRAPS)
@pytest.mark.timeout(30)
def test_no_input_takes_more_than_its_length(name: str) -> None:
    """Input made to be slow in some quadratic way is scanned and rendered like any other of its size."""
    found = scan(TRAPS[name])
    assert found.octets == len(TRAPS[name])
    assert answers(found).size == len(TRAPS[name])


def test_memory_does_not_grow_with_the_message() -> None:
    """64 MiB in one leaf leave the scanner holding less than 1 MiB."""
    head = HEAD + b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    chunk = (b"A" * 76 + b"\r\n") * 800
    running = Scanner()
    running.feed(head)
    running.feed(chunk)
    tracemalloc.start()
    for _ in range(64 * 1024 * 1024 // len(chunk)):
        running.feed(chunk)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20
    assert running.finish().attachment_octets > 46 * 1024 * 1024


def test_the_first_text_body_is_kept_for_the_preview() -> None:
    """The plain text of an alternative is kept; HTML is, where there is no text worth the name."""
    assert b"b\xe1\xba\xa3o tr\xc3\xac" in scan(HARD["alternative"]).text
    empty = part("text/plain", crlf(" \n\n"))
    only_html = scan(HEAD + multipart("b", empty, part("text/html", b"<p>x</p>"), subtype="alternative"))
    assert only_html.text_part is not None
    assert only_html.text_part.subtype == b"html"


TRACE = (
    b"Return-Path: <a@x>\r\nAuthentication-Results: mx.x;\r\n\tspf=pass smtp.mailfrom=x\r\nReceived: from x\r\n\tby y; now\r\n"
)


@pytest.mark.parametrize("name", HARD)
def test_a_head_in_front_of_what_was_scanned(name: str) -> None:
    """Everything that the index keeps is as if the whole had been read at once."""
    message = HARD[name]
    if len(scan(message).header) + len(TRACE) <= MAX_HEADER:
        assert answers(with_head(scan(message), TRACE)) == answers(scan(TRACE + message))


@given(strategies.anything)
def test_a_head_in_front_of_anything(message: bytes) -> None:
    """Also where it has no header, or one that begins with the continuation of nothing."""
    assert answers(with_head(scan(message), TRACE)) == answers(scan(TRACE + message))


def test_a_head_in_front_of_a_header_that_is_too_long() -> None:
    """Then the header is cut out of the file."""
    message = b"X: " + b"y" * MAX_HEADER + b"\r\n\r\nbody\r\n"
    found = answers(with_head(scan(message), TRACE))
    assert (found.header, found.size, found.parts) == (b"", len(TRACE + message), answers(scan(TRACE + message)).parts)
    border = b"X: " + b"y" * (MAX_HEADER - len(TRACE) - 7) + b"\r\n\r\n"
    for more in (0, 1):
        longer = border.replace(b"y", b"yy", more)
        assert answers(with_head(scan(longer), TRACE)) == answers(scan(TRACE + longer))
