"""Messages for hypothesis: well-formed ones that know their leaves, and the same with damage done to them."""

from dataclasses import dataclass

from hypothesis import strategies as st

from messages.hard import lines_of_base64
from mic_mail.mime.encodings import decode


@dataclass(frozen=True)
class Leaf:
    """A leaf as it was put in."""

    raw: bytes
    encoding: str
    content: bytes


@dataclass(frozen=True)
class Tree:
    """A part (header and body) and its leaves in order."""

    octets: bytes
    leaves: tuple[Leaf, ...]


_TEXT = st.text(alphabet=st.sampled_from("abc -=.\u1ec7\u0111"), max_size=40)


def _to_quoted_printable(content: bytes) -> bytes:
    return b"".join([b"%c" % octet if 33 <= octet <= 126 and octet != 0x3D else b"=%02X" % octet for octet in content])


@st.composite
def leaves(draw: st.DrawFn) -> Tree:
    """A leaf in any encoding."""
    encoding = draw(st.sampled_from(["7bit", "8bit", "base64", "quoted-printable"]))
    if encoding == "base64":
        content = draw(st.binary(max_size=200))
        raw = lines_of_base64(content, draw(st.sampled_from([60, 72, 76])))
    elif encoding == "quoted-printable":
        content = draw(st.binary(max_size=60))
        raw = _to_quoted_printable(content)
    else:
        raw = "\r\n".join(draw(st.lists(_TEXT, max_size=4))).encode()
        content = raw
    kind = draw(st.sampled_from(["text/plain", "text/html; charset=utf-8", "application/pdf", "image/png; name=a"]))
    head = f"Content-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode()
    return Tree(head + raw, (Leaf(raw, encoding, content),))


def _multiparts(children: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    @st.composite
    def make(draw: st.DrawFn) -> Tree:
        parts = draw(st.lists(children, min_size=1, max_size=4))
        taken = b"".join(part.octets for part in parts)
        boundary = draw(st.sampled_from(["b", "=_x", "bb", "b--c", "a b"]))
        while boundary.encode() in taken:
            boundary += "q"
        subtype = draw(st.sampled_from(["mixed", "alternative", "related", "signed"]))
        head = f'Content-Type: multipart/{subtype};\r\n boundary="{boundary}"\r\n\r\n'.encode()
        mark = boundary.encode()
        body = b"".join([b"--%b\r\n%b\r\n" % (mark, part.octets) for part in parts]) + b"--%b--" % mark
        preamble = draw(st.sampled_from([b"", b"preamble\r\n"]))
        epilogue = draw(st.sampled_from([b"", b"\r\nepilogue\r\n"]))
        return Tree(head + preamble + body + epilogue, tuple(leaf for part in parts for leaf in part.leaves))

    return make()


def _messages(children: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    return children.map(lambda tree: Tree(b"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n" + tree.octets, tree.leaves))


well_formed = st.recursive(leaves(), lambda children: st.one_of(_multiparts(children), _messages(children)), max_leaves=8)
"""Trees whose every leaf must be found, with its content."""

_LINES = [b"\r\n", b"\n", b"\r", b"--", b"--b", b"--b--\r\n", b"\r\n--b\r\n", b"\r\n\r\n"]
_SIGNS = [b"=", b"=\r\n", b"\0", b"\xff", b'"', b"(", b";", b" ", b" \r\n", b" " * 700, b":"]
_FIELDS = [
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n",
    b"Content-Type: message/rfc822\r\n\r\n",
    b"Content-Transfer-Encoding: base64\r\n",
    b"Content-Transfer-Encoding: quoted-printable\r\n",
]
_BITS = st.sampled_from([*_LINES, *_SIGNS, *_FIELDS, b"begin 644 x\r\n", b"\r\nend\r\n", b"A" * 5000])


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A message that was well-formed once."""
    octets = draw(well_formed).octets
    if draw(st.booleans()):
        octets = octets.replace(b"\r\n", b"\n")
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(octets)))
        end = min(len(octets), start + draw(st.sampled_from([0, 0, 1, 2, 10, 100])))
        octets = octets[:start] + draw(_BITS) + octets[end:]
    return octets


_IN_A_MULTIPART = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
_STRUCTURE = st.sampled_from(
    [
        b"Content-Type: multipart/mixed; boundary=b",
        b"Content-Type: multipart/digest; boundary=bb",
        b"Content-Type: message/rfc822",
        b"Content-Type: application/pdf; name=x",
        b"Content-Transfer-Encoding: base64",
        b"Content-Transfer-Encoding: quoted-printable",
        b"--b",
        b"--b--",
        b"--bb",
        b"",
        b"QUJD" * 19,
        b"QUI=",
        b"=C4=91 x=",
    ]
)

anything = st.one_of(
    st.binary(max_size=300),
    st.lists(_BITS, max_size=30).map(b"".join),
    st.lists(_STRUCTURE, max_size=20).map(lambda lines: _IN_A_MULTIPART + b"\r\n".join(lines)),
    damaged(),
)
"""Any octets, with a taste for the dangerous ones."""


def decoded(leaf: Leaf) -> bytes:
    """What a leaf's raw octets decode to."""
    return decode(leaf.raw, leaf.encoding)
