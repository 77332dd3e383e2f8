"""Fuzz target: addresses, encoded words, parameters, dates, line ends: how fields are read, beside other readers of them.

    python tests/fuzz/atheris_addresses.py [-max_total_time=600] [CORPUS_DIR]

Allowed: `Ambiguous`. Besides, each an assertion here:
    authors that are read strictly and are others to the email package, or to the tolerant reader
    words that are written and read back as another text, or as words that are too long
    a parameter that is plain and is another one to the email package
    what one writes as an envelope address (smtp.grammar) and another reads as someone else (mime.mailboxes)
    text that is composed block by block and is not in NFC, or takes time that grows with the square
"""

import email.errors
import email.headerregistry
import email.policy
import re
import sys
import unicodedata
from collections.abc import Callable
from email.message import Message
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parent.parent))
with atheris.instrument_imports(include=["mic_mail.mime", "mic_mail.smtp.grammar", "mic_mail.policy.naming.addresses"]):
    from mic_mail.mailbox_address import quoted_if_needed
    from mic_mail.mime import addresses, dates, encoded_words, headers, html, text_folding
    from mic_mail.mime.dot_stuffing import Stuffing
    from mic_mail.mime.original_recipient import decode_xtext
    from mic_mail.mime.strict_addresses import MAX_OCTETS, Ambiguous, addresses_in, read_mailboxes
    from mic_mail.policy.naming.addresses import AddressRefused, candidates, check_form
    from mic_mail.smtp.data import DotDecoder
    from mic_mail.smtp.grammar import ArgumentFault, parse_rcpt

from fuzzing import pieces, run

FACTORY = email.headerregistry.HeaderRegistry()
MOST_WORD = 75
NO_FOLD = re.compile(rb"\r?\n(?![ \t])")
"""What no value of a field holds."""
SIMPLE = re.compile(rb"[a-z]+/[a-z]+(?:; [a-z]+=(?:[a-z0-9.]+|\"[a-z0-9. ;=]*\"))*")


def by_email(value: str) -> list[str] | None:
    """The addr-specs as the email package reads them; None where it finds fault with the field."""
    try:
        header = FACTORY("From", value)
        if header.defects:
            return None
        return [address.addr_spec for address in header.addresses]
    except (email.errors.HeaderParseError, ValueError, IndexError, AttributeError, TypeError, NameError, RecursionError):
        return None  # defects of its own


def fuzz_mailboxes(octets: bytes) -> None:
    octets = NO_FOLD.sub(b"", octets)
    try:
        found = read_mailboxes(octets)
    except Ambiguous:
        return
    assert len(octets) <= MAX_OCTETS
    tolerant = [
        (unicodedata.normalize("NFC", (one.mailbox or b"").decode()), unicodedata.normalize("NFC", (one.host or b"").decode()))
        for one in addresses.parse_addresses(octets)
    ]
    assert [f"{quoted_if_needed(local)}@{host}".lower() for local, host in tolerant] == [one.address for one in found], octets
    for mailbox in found:
        assert mailbox.address.count("@") >= 1
        assert not set(mailbox.address) & set("\r\n\0")
        for text in mailbox.shown:
            addresses_in(text)
    value = headers.unfold(octets).decode()
    if value.isascii() and b"=?" not in octets and len(value) < 400 and "[" not in value:
        theirs = by_email(value)
        if theirs is not None:
            ours = [headers_local(one.address) for one in found]
            assert [headers_local(one.lower()) for one in theirs] == ours, (octets, theirs, ours)


def headers_local(address: str) -> str:
    """Without quotes, which the email package writes where they are needed."""
    local, _, domain = address.rpartition("@")
    if local.startswith('"') and local.endswith('"') and len(local) > 1:
        local = re.sub(r"\\(.)", r"\1", local[1:-1])
    return f"{local}@{domain}"


def fuzz_tolerant(octets: bytes) -> None:
    found = addresses.parse_addresses(octets)
    assert len(found) <= addresses.MAX_ADDRESSES + 2
    first = addresses.first_address(octets)
    assert len(octets) > 4_000 or first == (found[0] if found else None), octets
    addresses_in(octets.decode("utf-8", "replace"))


def fuzz_envelope(octets: bytes) -> None:
    """An address that SMTP has taken is the same one in a field, and to whoever looks for its mailbox."""
    try:
        address, _ = parse_rcpt(b"TO:<" + octets + b">", smtputf8=True)
    except ArgumentFault:
        return
    if address is None:
        return
    assert len(candidates(str(address), "+")) in (1, 2)
    try:
        check_form(address.local_part)
    except AddressRefused:
        pass
    try:
        (read,) = read_mailboxes(f"<{address}>".encode())
    except Ambiguous:
        return
    assert read.address == unicodedata.normalize("NFC", str(address)).lower()


def fuzz_words(octets: bytes) -> None:
    text = octets.decode("utf-8", "replace")
    for always in (False, True):
        written = encoded_words.encode_words(text, always=always)
        assert written.isascii()
        assert b"\n" not in written
        if always or not (text.isascii() and text.isprintable()):
            assert all(len(word) <= MOST_WORD for word in written.split(b" ")), written
            assert encoded_words.decode_text(written) == encoded_words.compose_letters(text), (text, written)
    read = encoded_words.decode_text(octets)
    assert encoded_words.compose_letters(read) == read or len(read) > 256, octets
    if len(read) <= 256:
        assert unicodedata.is_normalized("NFC", read), octets
    beginning = encoded_words.decode_beginning_as_written(octets, "utf-8")
    assert encoded_words.decode_as_written(octets + b"tail", "utf-8").startswith(beginning)


def fuzz_charsets(octets: bytes) -> None:
    charset, _, raw = octets.partition(b"\n")
    encoded_words.decode_octets(raw, charset.decode("latin-1"))
    encoded_words.decode_text(b"=?" + charset + b"?Q?" + raw + b"?= =?" + charset + b"?B?" + raw + b"?=")


def fuzz_parameters(octets: bytes) -> None:
    _, found = headers.parse_parameters(octets)
    assert len(found) <= headers.MAX_PARAMETERS
    assert len({name for name, _ in found}) == len(found)
    assert b"\n" not in headers.strip_comments(octets)
    if SIMPLE.fullmatch(octets):
        message = Message()
        message["Content-Type"] = octets.decode()
        theirs = dict(message.get_params([])[1:][::-1])
        assert {name.decode(): text.decode() for name, text in found} == theirs, octets


def fuzz_fields(octets: bytes) -> None:
    fields = headers.fields(octets)
    for name, value in fields:
        assert name == name.lower()
        unfolded = headers.unfold(value)
        assert b"\n" not in unfolded
    names = [name for name, _ in fields][:2]
    both = headers.cut(octets, names).split(b"\n") + headers.cut(octets, names, others=True).split(b"\n")
    assert sorted(line for line in both if line.strip(b"\r")) == sorted(
        line for line in octets.split(b"\n") if line.strip(b"\r")
    )


def fuzz_texts(octets: bytes) -> None:
    text = octets.decode("utf-8", "replace")
    composed = encoded_words.compose_letters(text)
    if len(text) <= 256:
        assert composed == unicodedata.normalize("NFC", text)
    asked = text_folding.SearchValue.of(text)
    assert asked.occurs_in(text) or not text.isascii() or not text.strip() or text != text.strip()
    html.visible_lines(text)
    when = dates.parse_date(octets)
    assert when is None or abs(when) < 1 << 40
    decode_xtext(text)


def fuzz_dots(octets: bytes) -> None:
    """A body that is stuffed and read by our own door is the same one; any body, in any pieces."""
    step, body = (octets[0] or 1) if octets else 1, octets[1:]
    body = body.replace(b"\r\n", b"\n").replace(b"\r", b"").replace(b"\n", b"\r\n")
    stuffing, wire = Stuffing(), b""
    for piece in pieces(body, step):
        wire += stuffing.feed(piece)
    wire += stuffing.end()
    decoder, read = DotDecoder(repair_lf=False), b""
    for piece in pieces(wire + b"QUIT\r\n", step):
        read += decoder.feed(piece) if not decoder.ended else b""
    assert decoder.ended
    expected = body if body.endswith(b"\r\n") or not body else body + b"\r\n"
    assert read == expected, (body, wire, read)


TARGETS = (
    fuzz_mailboxes, fuzz_tolerant, fuzz_envelope, fuzz_words, fuzz_charsets, fuzz_parameters, fuzz_fields, fuzz_texts,
    fuzz_dots,
)  # fmt: skip


def fuzz(octets: bytes) -> None:
    if octets:
        TARGETS[octets[0] % len(TARGETS)](octets[1:])


SEEDS: dict[Callable[[bytes], None], tuple[bytes, ...]] = {
    fuzz_mailboxes: (
        b'"Joe \\"Q\\" X" <"a b"@x.example>, lan@y.example (nh\xc3\xb3m (x)), =?utf-8?q?=C3=A9?= <e@z.example>',
        b"a.b@[192.0.2.1]", b"X [y] Z <a@b>",
    ),
    fuzz_tolerant: (b"Group: a@b, c@d;, <@one,@two:user@host>, Joe joe @ host . x, \"q\"@r (c)",),
    fuzz_envelope: (b'"a\\"b c"@x.example', b"@r.example:a+b@x.example", b"a@[IPv6:::1]", "é@bücher.example".encode()),
    fuzz_words: ("Đỗ Văn Bê".encode(), b"=?utf-8?Q?=E1=BA?= =?utf-8?Q?=A5?= x =?windows-1258*vi?B?xOA=?=", b"plain =? text"),
    fuzz_charsets: (b"windows-1258\n\xc4\xf2", b"viscii\n\xa5", b"utf-7\n+AGE-", b"iso-2022-jp\n\x1b$B"),
    fuzz_parameters: (
        b"text/plain; charset=utf-8; name=\"a b.txt\"", b"a/b; name*0*=utf-8'vi'%C4%90; name*1=x; q=\"\\\"\"; (c) z = 1 2",
    ),
    fuzz_fields: (b"From: a\r\nSubject : b\r\n c\r\nno field\r\nTo:\r\n\r\n",),
    fuzz_texts: ("a\u0301\u0323 Quyết định".encode(), b"Thu, 26 Nov 2026 17:00:00 +0700", b"<p>x<td>y</p>&#x110;"),
    fuzz_dots: (b"\x03.\r\n..\r\nx\r\n.y", b"\x01\r\n.\r\n"),
}  # fmt: skip


if __name__ == "__main__":
    run(fuzz, [bytes([number]) + seed for number, target in enumerate(TARGETS) for seed in SEEDS[target]])
