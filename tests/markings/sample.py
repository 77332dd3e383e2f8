"""One labelled mail of the corpus, and how it becomes octets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage

from markings.documents import FORMATS, html, zipped
from mic_mail.policy.secrecy.degrees import Degree

COVER = ("Kính gửi Anh/Chị,", "Gửi Anh/Chị tệp đính kèm để xem xét, cho ý kiến.", "Trân trọng.")


@dataclass(frozen=True, slots=True)
class Sample:
    """A mail; `degree` is what somebody put on it, None for nothing."""

    label: str
    degree: Degree | None
    subject: str = "Gửi tài liệu"
    body: Sequence[str] = COVER
    charset: str = "utf-8"
    is_html: bool = False
    files: Mapping[str, bytes] = field(default_factory=dict)

    def octets(self) -> bytes:
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = "dvbe@mic.gov.vn", "ttlan@mic.gov.vn", self.subject
        if self.is_html:
            message.set_content(html(self.body).decode(), subtype="html", charset=self.charset)
        elif self.charset in ("viscii", "tcvn"):
            message.set_content("x")
            message.replace_header("Content-Transfer-Encoding", "8bit")
            message.set_param("charset", {"viscii": "viscii", "tcvn": "x-viet-tcvn"}[self.charset])
            message.set_payload("")
        else:
            message.set_content("\n".join(self.body), charset=self.charset)
        for name, content in self.files.items():
            message.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
        octets = message.as_bytes()
        if self.charset in ("viscii", "tcvn"):
            octets = octets.rstrip() + b"\n\n" + in_old_charset("\n".join(self.body), self.charset) + b"\n"
        return octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def in_old_charset(text: str, charset: str) -> bytes:
    """Text in VISCII or TCVN 5712, by the tables of the program's decoder turned round."""
    from mic_mail.mime.encoded_words import _TABLES

    table = {letter: code for code, letter in reversed(list(enumerate(_TABLES[charset])))}
    return bytes(table[letter] for letter in text)


def documents(label: str, degree: Degree | None, texts: Sequence[Sequence[str]], *, times: int = 1) -> list[Sample]:
    """Each text in `times` formats, going round all of them; every ninth inside a ZIP."""
    formats = list(FORMATS)
    samples = []
    for number, lines in enumerate(texts):
        for time in range(times):
            form = formats[(number * times + time * 5 + number // len(formats)) % len(formats)]
            name, content = f"van-ban-{number + 1}.{form}", FORMATS[form](lines)
            if (number + time) % 9 == 8:
                name, content = f"ho-so-{number + 1}.zip", zipped({f"cong-tac/{name}": content})
            samples.append(Sample(f"{label} {number + 1}, {form}", degree, files={name: content}))
    return samples
