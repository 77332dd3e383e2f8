"""xtext: ASCII in which everything can be written (RFC 3461 §4). Pure."""

import re


def decode_xtext(text: str) -> str:
    """The value of an xtext whose form was looked at; `+` without two digits behind it is left as it is."""
    return re.sub(r"\+([0-9A-F]{2})", lambda match: chr(int(match[1], 16)), text)
