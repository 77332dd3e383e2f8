"""Messages to be signed: every shape of MIME that mail programs send, and what is odd and legal in headers and bodies.

All lines end with CRLF, but for those that say otherwise; all are of dvbe@mic.gov.vn. `messages()` gives name and octets.
"""

import base64
import email.policy
from collections.abc import Iterator
from email.message import EmailMessage

AUTHOR = b"From: =?utf-8?B?xJDhu5cgVsSDbiBCw6o=?= <dvbe@mic.gov.vn>\r\n"
HEAD = AUTHOR + b"To: lan@one.example\r\nSubject: x\r\nDate: Thu, 26 Nov 2026 17:00:00 +0700\r\nMessage-ID: <1@mic.gov.vn>\r\n"
TEXT = HEAD + b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
PNG = base64.b64decode(b"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")

BODIES = {
    "no line end at the end": b"hello",
    "one line": b"hello\r\n",
    "empty body": b"",
    "one empty line": b"\r\n",
    "only empty lines": b"\r\n\r\n\r\n\r\n",
    "only spaces": b"  \t \r\n \r\n\t\r\n",
    "spaces at the end of lines": b"a \r\nb\t\r\n c  \t d\t\t\r\n",
    "empty lines at the end": b"a\r\n\r\n\r\n\r\n",
    "lines of spaces at the end": b"a\r\n \r\n\t\r\n \t \r\n",
    "empty lines at the beginning": b"\r\n\r\na\r\n",
    "empty lines between": b"a\r\n\r\n\r\n\r\nb\r\n",
    "a dot alone": b"a\r\n.\r\nb\r\n",
    "dots in front": b".\r\n..\r\n...x\r\n.y\r\n",
    "a dot at the end": b"a\r\n.\r\n",
    "a dot after an empty line": b"\r\n.\r\n\r\n.\r\n",
    "From in front": b"From here\r\n>From there\r\n",
    "a line of 998": b"x" * 998 + b"\r\n",
    "a line of 5,000": b"x" * 5_000 + b"\r\n",
    "a line of 200,000 with spaces": b"x  y\t" * 40_000 + b"\r\n",
    "70,000 spaces": b"a" + b" " * 70_000 + b"b\r\n",
    "20,000 empty lines and a word": b"\r\n" * 20_000 + b"word\r\n",
    "20,000 empty lines at the end": b"word\r\n" + b"\r\n" * 20_000,
    "UTF-8": "Kính gửi Vụ Công nghệ thông tin\r\nTrân trọng\r\n".encode(),
    "all octets but CR, LF and NUL": bytes(set(range(1, 256)) - {10, 13}) + b"\r\n",
    "windows-1258": "Đỗ Văn".encode("cp1258", "replace") + b"\r\n",
    "a fold at the border of a piece": b"x" * 65_000 + b" \r\n" * 600 + b"y\r\n",
    "CR at the border of a piece": b"z" * (65_536 - len(TEXT) - 3) + b"\r\nw\r\n",
    "what looks like a signature": b"DKIM-Signature: v=1; b=AAAA\r\n\r\nb=\r\n",
    "a header in the body": b"Subject: other\r\n\r\nFrom: other@example.org\r\n",
}

HEADERS = {
    "header only": HEAD,
    "no Date, no To": AUTHOR + b"Subject: x\r\n",
    "a long fold": HEAD + b"References: " + b"\r\n ".join(b"<%d@mic.gov.vn>" % n for n in range(60)) + b"\r\n",
    "folds of tabs and spaces": HEAD + b"Comments: a\r\n\t  \t b\r\n   c\r\n",
    "a fold of the subject": AUTHOR + b"Subject: a\r\n b\r\n\tc \t\r\n  d\r\n",
    "a subject that begins on its second line": AUTHOR + b"Subject:\r\n x\r\n",
    "an empty subject": AUTHOR + b"Subject:\r\nTo: a@one.example\r\n",
    "a subject of spaces": AUTHOR + b"Subject:   \t \r\n",
    "no space after the colon": b"From:dvbe@mic.gov.vn\r\nSubject:x\r\nTo:a@one.example\r\n",
    "spaces before the colon": AUTHOR + b"Subject : x\r\nTo : a@one.example\r\nX-A : b\r\n",
    "names in all cases": b"FROM: dvbe@mic.gov.vn\r\nsubject: x\r\nmEsSaGe-Id: <2@mic.gov.vn>\r\n",
    "two of To and Cc": HEAD + b"To: second@one.example\r\nCc: a@one.example\r\nCc: b@one.example\r\n",
    "two subjects": HEAD + b"Subject: another\r\n",
    "three signed once": HEAD + b"Message-ID: <2@x>\r\nMessage-ID: <3@x>\r\nDate: now\r\nDate: then\r\n",
    "many Received": b"Received: by a\r\n" * 30 + HEAD,
    "UTF-8 in the header": AUTHOR + "Subject: Báo cáo quý IV\r\nTo: Lan Trần <lan@one.example>\r\n".encode(),
    "8 bits that are no UTF-8": AUTHOR + b"Subject: B\xe1o c\xe1o\r\n",
    "encoded words over lines": AUTHOR + b"Subject: =?utf-8?Q?B=C3=A1o?=\r\n =?utf-8?Q?_c=C3=A1o?=\r\n",
    "a long line of header": HEAD + b"X-Long: " + b"y" * 900 + b"\r\n",
    "a header of 60 KB": HEAD + b"".join(b"X-%d: %b\r\n" % (n, b"v" * 70) for n in range(750)),
    "Resent- and List-": HEAD
    + b"Resent-From: dvbe@mic.gov.vn\r\nResent-Date: Thu, 26 Nov 2026 18:00:00 +0700\r\nResent-To: c@one.example\r\n"
    + b"List-ID: <a.mic.gov.vn>\r\nSender: dvbe@mic.gov.vn\r\nReply-To: dvbe@mic.gov.vn\r\n",
    "an older signature": b"DKIM-Signature: v=1; a=rsa-sha256; d=other.example; s=x; h=from;\r\n bh=AAAA; b=BBBB\r\n" + HEAD,
    "semicolons, equals, colons": AUTHOR + b'Subject: b=; h=from: to; d=x\r\nTo: "a;b=c:d" <a@one.example>\r\n',
    "punctuation in names of fields": HEAD + b"X-!#$%&'*+.^_`|~: x\r\n",
    "40 recipients": AUTHOR + b"To: " + b",\r\n ".join(b"r%d@one.example" % n for n in range(40)) + b"\r\nSubject: x\r\n",
}


def messages() -> Iterator[tuple[str, bytes]]:
    """Each with its name."""
    for name, body in BODIES.items():
        yield name, TEXT + b"\r\n" + body
    for name, header in HEADERS.items():
        yield name, header + (b"" if name == "header only" else b"\r\nhello\r\n")
    for name, made in _shapes():
        yield name, AUTHOR + made.as_bytes()


def _shapes() -> Iterator[tuple[str, EmailMessage]]:
    for charset, cte in (("utf-8", "8bit"), ("utf-8", "base64"), ("utf-8", "quoted-printable"), ("us-ascii", "7bit")):
        text = _message()
        text.set_content(
            "Kinh gui\n\n.\n tail \n" if charset == "us-ascii" else "Kính gửi\n\n.\n đuôi \n", charset=charset, cte=cte
        )
        yield f"text in {cte}", text
    html = _message()
    html.set_content("<p>Chào</p>", subtype="html")
    yield "HTML", html
    alternative = _message()
    alternative.set_content("Chào\n")
    alternative.add_alternative("<p>Chào</p>", subtype="html")
    yield "alternative", alternative
    related = _message()
    related.set_content("<img src='cid:1@x'>", subtype="html")
    related.add_related(PNG, "image", "png", cid="<1@x>")
    yield "related", related
    mixed = _message()
    mixed.set_content("Xem tệp\n")
    mixed.add_attachment(PNG, maintype="image", subtype="png", filename="ảnh đẹp.png")
    mixed.add_attachment(b"a,b\r\n1,2\r\n", maintype="text", subtype="csv", filename="b.csv")
    yield "mixed", mixed
    large = _message()
    large.set_content("Tệp lớn\n")
    large.add_attachment(bytes(range(256)) * 4_000, maintype="application", subtype="pdf", filename="c.pdf")
    yield "an attachment of a megabyte", large
    forward = _message()
    forward.set_content("Chuyển tiếp\n")
    forward.add_attachment(mixed)
    yield "a message within", forward
    nested = _message()
    nested.set_content("sâu\n")
    for _ in range(8):
        outer = _message()
        outer.set_content("ngoài\n")
        outer.add_attachment(nested)
        nested = outer
    yield "eight messages within one another", nested
    invitation = _message()
    invitation.set_content("BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n", subtype="calendar", params={"method": "REQUEST"})
    yield "an invitation", invitation


def _message() -> EmailMessage:
    message = EmailMessage(policy=email.policy.SMTP)
    message["To"], message["Subject"], message["Message-ID"] = "Lan <lan@one.example>", "Báo cáo tuần", "<5@mic.gov.vn>"
    message["Date"] = "Thu, 26 Nov 2026 17:00:00 +0700"
    return message
