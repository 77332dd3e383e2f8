"""Transfer encodings, decoded the way that mail programs decode them: what is damaged is skipped, never refused.

In: the raw octets of a part. Out: its content. RFC 2045 §6.7 (quoted-printable) and §6.8 (base64). Never raises.
"""


class Decoder:
    """Decodes one part in pieces: 7bit, 8bit, binary, base64, quoted-printable; anything else passes as it is."""

    def __init__(self, encoding: str) -> None:
        raise NotImplementedError

    def feed(self, raw: bytes) -> bytes:
        """Content that the next raw octets complete."""
        raise NotImplementedError

    def finish(self) -> bytes:
        """What is left at the end of the part."""
        raise NotImplementedError


def decode(raw: bytes, encoding: str) -> bytes:
    """The content of a whole part; `len` of it is the part's `decoded_octets`."""
    raise NotImplementedError
