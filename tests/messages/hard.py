"""Hard messages of our own: what three decades of mail programs, gateways and attackers have sent, made by hand.

`HARD` holds whole messages by name; line ends are CRLF unless the name says otherwise. Every test that takes a message in any
way may run over all of them. Nothing here comes from anybody's mailbox.
"""

import base64
import binascii
from collections.abc import Iterator

SENTENCE = "Kính gửi các đơn vị, Trung tâm Thông tin xin thông báo lịch bảo trì hệ thống thư điện tử."


def crlf(text: str, encoding: str = "utf-8") -> bytes:
    """Text with LF as the octets of a message."""
    return text.encode(encoding, "replace").replace(b"\n", b"\r\n")


def lines_of_base64(octets: bytes, columns: int = 76) -> bytes:
    """Base64 in CRLF lines of `columns`."""
    digits = base64.b64encode(octets)
    return b"".join([digits[start : start + columns] + b"\r\n" for start in range(0, len(digits), columns)])


def uuencoded(octets: bytes, name: str = "du-lieu.bin") -> bytes:
    """A uuencoded file in CRLF lines."""
    lines = [binascii.b2a_uu(octets[start : start + 45]).rstrip(b"\n") for start in range(0, len(octets), 45)]
    return b"\r\n".join([b"begin 644 " + name.encode("ascii"), *lines, b"`", b"end", b""])


HEAD = crlf(
    "From: =?utf-8?b?xJDhu5cgVsSDbiBCw6o=?= <dvbe@mic.gov.vn>\n"
    "To: ttlan@mic.gov.vn\n"
    "Subject: =?utf-8?q?L=E1=BB=8Bch_b=E1=BA=A3o_tr=C3=AC?=\n"
    "Date: Tue, 24 Nov 2026 09:30:00 +0700\n"
    "Message-ID: <mot@mic.gov.vn>\n"
    "MIME-Version: 1.0\n"
)


def multipart(boundary: str, *parts: bytes, subtype: str = "mixed", preamble: bytes = b"", epilogue: bytes = b"") -> bytes:
    """Header fields and body of a multipart."""
    mark = boundary.encode("ascii")
    head = b'Content-Type: multipart/%b; boundary="%b"\r\n\r\n' % (subtype.encode("ascii"), mark)
    body = b"".join([b"--%b\r\n%b\r\n" % (mark, part) for part in parts])
    return head + preamble + body + b"--%b--\r\n" % mark + epilogue


def part(content_type: str, body: bytes, encoding: str = "", extra: str = "") -> bytes:
    """Header and body of a leaf."""
    head = f"Content-Type: {content_type}\n" + (f"Content-Transfer-Encoding: {encoding}\n" if encoding else "") + extra + "\n"
    return crlf(head) + body


PLAIN = part("text/plain; charset=utf-8", crlf(SENTENCE + "\n"), "8bit")
HTML = part(
    "text/html; charset=utf-8", crlf(f"<html><head><style>p {{}}</style></head><body><p>{SENTENCE}</p></body></html>\n"), "8bit"
)
IMAGE = part(
    "image/png", lines_of_base64(bytes(range(256)) * 4), "base64", "Content-ID: <anh@mic>\nContent-Disposition: inline\n"
)
PDF = part(
    'application/pdf; name="bao-cao.pdf"',
    lines_of_base64(b"%PDF-1.7\n" + bytes(3000)),
    "base64",
    'Content-Disposition: attachment; filename="bao-cao.pdf"; size=3009\n',
)
MESSAGE = HEAD + PLAIN


def _nested(depth: int) -> bytes:
    message = PLAIN
    for level in range(depth):
        message = multipart(f"b{level}", message)
    return HEAD + message


def _messages_in_messages(depth: int) -> bytes:
    message = MESSAGE
    for _ in range(depth):
        message = HEAD + part("message/rfc822", message)
    return message


def _simple() -> Iterator[tuple[str, bytes]]:
    yield "plain", MESSAGE
    yield "no header at all", crlf("\nJust text.\n")
    yield "header only", HEAD
    yield "header and empty line only", HEAD + b"\r\n"
    yield "header without end", HEAD.rstrip()
    yield "body without end of line", HEAD + crlf("\nthe end")
    yield "empty", b""
    yield "one octet", b"x"
    yield "one line end", b"\r\n"
    yield "LF line ends", MESSAGE.replace(b"\r\n", b"\n")
    yield "mixed line ends", HEAD.replace(b"\r\n", b"\n") + PLAIN + b"one\ntwo\r\n"
    yield "bare CR", HEAD + b"\r\none\rtwo\r\nthree\r\r\n"
    yield "NUL in body", HEAD + b"\r\none\0two\r\n"
    yield "NUL in header", b"Subject: one\0two\r\n" + HEAD + b"\r\nbody\r\n"
    yield "long line", HEAD + b"\r\n" + b"x" * 10_000 + b"\r\nend\r\n"
    yield "long line without end", HEAD + b"\r\n" + b"y" * 70_000
    yield "long header line", b"X-Long: " + b"z" * 9_000 + b"\r\n" + MESSAGE
    yield "envelope line first", b"From dvbe@mic.gov.vn Tue Nov 24 09:30:00 2026\r\n" + MESSAGE
    yield "lines that are no fields", b"this is not a field\r\n: nor this\r\n" + MESSAGE
    yield "space before the colon", b"Subject : ten\r\nDate  : Tue, 24 Nov 2026 09:30:00 +0700\r\n\r\nbody\r\n"
    yield "white space lines in a fold", crlf("Subject: one\n \n\ttwo\nTo: a@b.vn\n\nbody\n")
    yield "fields twice", crlf("Subject: one\nSubject: two\nTo: a@b.vn\nTo: c@d.vn\nFrom: e@f.vn\nFrom: g@h.vn\n\nbody\n")
    yield (
        "many recipients",
        b"To: " + b",\r\n ".join([b'"Nguoi %d" <n%d@mic.gov.vn>' % (n, n) for n in range(500)]) + b"\r\n\r\nbody\r\n",
    )


def _text() -> Iterator[tuple[str, bytes]]:
    yield (
        "raw UTF-8 in the header",
        crlf('Subject: Lịch bảo trì\nFrom: Đỗ Văn Bê <dvbe@mic.gov.vn>\nTo: "Trần, Lan" <ttlan@mic.gov.vn>\n\nbody\n'),
    )
    yield "raw windows-1258 in the header", crlf("Subject: Lịch bảo trì\nFrom: Trần <t@mic.gov.vn>\n\nbody\n", "cp1258")
    yield "raw UTF-8 cut in a character", "Subject: Lịch bảo".encode()[:-1] + b"\r\n\r\nbody\r\n"
    yield "address beyond ASCII", crlf("From: đỗ@bộ.vn\nTo: <đỗ@mic.gov.vn>\n\nbody\n")
    yield "word cut in a character", crlf("Subject: =?utf-8?B?4bs?=\n =?utf-8?B?hQ==?=\n\nbody\n")
    yield (
        "words in every wrong way",
        crlf("Subject: =?utf-8?q?a b?= =?x-none?b?!!!?= =?utf-8?b?YQ?= =?utf-8?q?=ZZ=?= =??= =?a?b?\n\nbody\n"),
    )
    yield "VISCII and TCVN", crlf("Subject: =?viscii?q?=D0=AE?= =?TCVN-5712?b?rg==?=\n\nbody\n")
    yield (
        "quotes and backslashes",
        crlf('Subject: "a" \\ b\nFrom: "a \\"b\\" \\\\ c" <"d e"@f.vn>\nMessage-ID: <"x\\"y"@z>\n\nbody\n'),
    )
    yield (
        "groups",
        crlf('To: undisclosed-recipients:;\nCc: Lãnh đạo: a@b.vn, "C" <c@d.vn>;, e@f.vn\nBcc: (none)\nFrom: <>\n\nbody\n'),
    )
    yield (
        "odd addresses",
        crlf(
            "From: Joe User joe@example.org\n"
            "To: <@a.vn,@b.vn:c@d.vn>, e@f.vn (Comment (nested)), g @ h . vn, i, <j@k, l@[1.2.3.4]\n"
            'Cc: =?utf-8?q?Ng,_A?= <n@a.vn>,, ;"unclosed <x@y.vn>\nReply-To: ,,\nSender: a@b@c\n\nbody\n'
        ),
    )
    yield "odd dates", crlf("Date: Wed, 11 Feb 98 11:51 CST (a comment)\n\nbody\n")
    yield "date that is none", crlf("Date: hom qua\nSubject:\nMessage-ID:\nIn-Reply-To:\nFrom:\n\nbody\n")


def _types() -> Iterator[tuple[str, bytes]]:
    yield "type without subtype", HEAD + part("text", b"body\r\n")
    yield "type of nonsense", HEAD + part("; charset=utf-8", b"body\r\n")
    yield "type in quotes", HEAD + part('"text/plain"', b"body\r\n")
    yield "type twice", HEAD + crlf("Content-Type: text/html\nContent-Type: text/plain\n\n<p>body</p>\n")
    yield "comments in the type", HEAD + part("text(c)/(d)html (e;f); charset(g)=(h)us-ascii; x=y", b"body\r\n")
    yield (
        "parameters in every wrong way",
        HEAD + part('text/plain; ; =x; a; b=; c = d; e="f;g"; h=i j; k="l\\"m"; n="open', b"body\r\n"),
    )
    yield (
        "extended parameters",
        HEAD
        + part(
            "application/pdf; name*0*=utf-8'vi'b%C3%A1o%20; name*2=cuoi.pdf; name*1*=c%C3%A1o",
            b"x\r\n",
            "7bit",
            "Content-Disposition: attachment; filename*=us-ascii''a%20b.pdf\n",
        ),
    )
    yield (
        "raw UTF-8 file name",
        HEAD
        + part(
            'application/pdf; name="báo cáo.pdf"', b"x\r\n", "", 'Content-Disposition: attachment; filename="báo cáo.pdf"\n'
        ),
    )
    yield "file name in words", HEAD + part('image/png; name="=?utf-8?q?=E1=BA=A3nh.png?="', b"x\r\n", "base64")
    yield (
        "every content field",
        HEAD
        + part(
            "text/plain",
            b"body\r\n",
            "7BIT",
            "Content-ID: <i@d>\nContent-Description: mô tả\nContent-MD5: Q2hlY2s=\n"
            "Content-Language: vi, en\nContent-Location: http://a.vn/\n b\n",
        ),
    )
    yield "encoding nobody knows", HEAD + part("application/x", b"body\r\n", "x-uuencode")
    yield "encoding of nonsense", HEAD + part("application/x", b"body\r\n", "quoted printable")
    yield (
        "quoted-printable",
        HEAD + part("text/plain; charset=utf-8", b"K=C3=ADnh g=\r\n=E1=BB=ADi\r\nsoft at the end=\r\n", "quoted-printable"),
    )
    yield "damaged quoted-printable", HEAD + part("text/plain", b"a=ZZb == =\rx=\r\n=4\r\n=", "quoted-printable")
    yield "damaged base64", HEAD + part("application/x", b"QUJD\r\n!!QUJD*\r\nQQ==QUJD\r\nA", "base64")
    yield "uuencode in text", HEAD + part("text/plain", b"Xem tep:\r\n" + uuencoded(bytes(range(256))) + b"Het.\r\n")
    yield "uuencode without end", HEAD + part("text/plain", uuencoded(bytes(500))[:300])


def _trees() -> Iterator[tuple[str, bytes]]:
    yield "alternative", HEAD + multipart("alt", PLAIN, HTML, subtype="alternative")
    related = multipart("rel", HTML, IMAGE, subtype="related")
    yield (
        "mixed, alternative, related",
        HEAD + multipart("mix", multipart("alt", PLAIN, related, subtype="alternative"), PDF, PDF),
    )
    yield (
        "preamble and epilogue",
        HEAD + multipart("mix", PLAIN, PDF, preamble=b"This is MIME.\r\n", epilogue=b"\r\nEpilogue\r\n--mix\r\n"),
    )
    yield "digest", HEAD + multipart("d", b"\r\n" + MESSAGE, crlf("Content-Type: text/plain\n\nx\n"), subtype="digest")
    yield "attached message", HEAD + multipart("mix", PLAIN, part("message/rfc822", HEAD + multipart("in", PLAIN, PDF)))
    yield (
        "attached message in base64",
        HEAD + multipart("mix", PLAIN, part("message/rfc822", lines_of_base64(MESSAGE), "base64")),
    )
    yield "message of a message", _messages_in_messages(5)
    yield (
        "attached message without anything",
        HEAD + multipart("mix", part("message/rfc822", b""), part("message/rfc822", b"\r\n")),
    )
    yield "global message", HEAD + part("message/global", MESSAGE)
    signature = part("application/pkcs7-signature", lines_of_base64(bytes(900)), "base64")
    yield (
        "signed",
        HEAD + multipart("s", PLAIN, signature, subtype='signed; protocol="application/pkcs7-signature"; micalg=sha-256'),
    )
    yield "enveloped", HEAD + part("application/pkcs7-mime; smime-type=enveloped-data", lines_of_base64(bytes(2000)), "base64")
    report = part(
        "message/delivery-status", crlf("Reporting-MTA: dns; a.vn\n\nFinal-Recipient: rfc822; b@c.vn\nAction: failed\n")
    )
    yield (
        "report",
        HEAD + multipart("r", PLAIN, report, part("text/rfc822-headers", HEAD), subtype="report; report-type=delivery-status"),
    )
    yield (
        "parts without empty lines",
        HEAD + crlf("Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html\n--b\n\n--b\n--b--\n"),
    )
    yield "multipart without parts", HEAD + crlf('Content-Type: multipart/mixed; boundary="never"\n\nnothing here\n')
    yield "multipart with its end only", HEAD + crlf('Content-Type: multipart/mixed; boundary="b"\n\n--b--\n')
    yield "multipart without body", HEAD + crlf('Content-Type: multipart/mixed; boundary="b"\n\n')
    yield "multipart without boundary", HEAD + crlf("Content-Type: multipart/mixed\n\n--b\n\nx\n--b--\n")
    yield "multipart with empty boundary", HEAD + crlf('Content-Type: multipart/mixed; boundary=""\n\n--\n\nx\n----\n')
    yield "multipart not closed", HEAD + multipart("mix", PLAIN, PDF).rpartition(b"--mix--")[0]
    yield "inner multipart not closed", HEAD + multipart("out", multipart("in", PLAIN, PLAIN).rpartition(b"--in--")[0], PDF)
    yield "outer boundary is prefix of inner", HEAD + multipart("b", multipart("bb", PLAIN, PLAIN), PDF)
    yield "inner boundary is prefix of outer", HEAD + multipart("bb", multipart("b", PLAIN, PLAIN), PDF)
    yield "one boundary for both", HEAD + multipart("b", multipart("b", PLAIN, PLAIN), PDF)
    yield "boundary with end", HEAD + multipart("b--", multipart("b", PLAIN), PLAIN)
    yield "boundary of every allowed sign", HEAD + multipart("'()+_,-./:=? x", PLAIN)
    yield "boundary with trailing space", HEAD + multipart("b ", PLAIN).replace(b"--b \r\n", b"--b\t \r\n")
    yield (
        "boundary in an extended parameter",
        HEAD + crlf("Content-Type: multipart/mixed; boundary*=us-ascii''b%20c\n\n--b c\n\nx\n--b c--\n"),
    )
    yield "boundary of 200 octets", HEAD + multipart("b" * 200, PLAIN, PLAIN)
    yield "delimiter at the start of the body", HEAD + multipart("mix", b"\r\n--mixed\r\n--mi\r\n", PLAIN)
    yield "delimiter with garbage", HEAD + multipart("mix", PLAIN, PDF).replace(b"--mix\r\n", b"--mix garbage here\r\n")
    yield "delimiter in LF lines", (HEAD + multipart("mix", PLAIN, PDF)).replace(b"\r\n", b"\n")
    yield "delimiter after a bare LF", HEAD + multipart("mix", PLAIN, PDF).replace(b"\r\n--mix", b"\n--mix")
    yield "parts inside parts", _nested(30)
    yield "more depth than is read", _nested(200)
    yield "more parts than are read", HEAD + multipart("b", *[b"\r\n%d" % number for number in range(1500)])
    yield "many attached messages", HEAD + multipart("b", *[part("message/rfc822", MESSAGE) for _ in range(50)])


def _all() -> Iterator[tuple[str, bytes]]:
    yield from _simple()
    yield from _text()
    yield from _types()
    yield from _trees()


HARD: dict[str, bytes] = dict(_all())
