"""xtext: an ASCII encoding of arbitrary text (RFC 3461 §4). Pure."""

import re


def decode_xtext(text: str) -> str:
    """Decode an xtext whose form was checked; a `+` without two digits after it is kept."""
    return re.sub(r"\+([0-9A-F]{2})", lambda match: chr(int(match[1], 16)), text)
