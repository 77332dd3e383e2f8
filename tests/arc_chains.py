"""ARC chains, and what breaks one."""

import re

import signed_messages

PLAIN = b"From: a@mic.gov.vn\r\nTo: b@x.example\r\nSubject: Hello\r\n\r\nbody\r\n"


def chain(sets: int) -> bytes:
    message = PLAIN
    for number in range(1, sets + 1):
        message = signed_messages.seal(message, number)
    return message


TWO = chain(2)
SECOND = re.compile(
    rb"(ARC-Seal: i=2;.*?\r\n)(ARC-Message-Signature: i=2;.*?\r\n)(ARC-Authentication-Results: i=2;.*?\r\n)", re.DOTALL
)
BROKEN = {
    "the message changed": TWO.replace(b"Hello", b"Bye"),
    "the body changed": TWO + b"more\r\n",
    "results of the first set changed": TWO.replace(b"i=1; relay.example; arc=none", b"i=1; relay.example; arc=pass"),
    "a seal changed": re.sub(rb"(ARC-Seal: i=1;.* b=)...", rb"\1AAA", TWO),
    "a set without its results": TWO.replace(b"ARC-Authentication-Results: i=1;", b"X-Results: i=1;"),
    "a set without its seal": TWO.replace(b"ARC-Seal: i=2;", b"X-Seal: i=2;"),
    "a set without its signature": TWO.replace(b"ARC-Message-Signature: i=1;", b"X: i=1;"),
    "a gap": TWO.replace(b"i=2;", b"i=3;"),
    "a number twice": TWO.replace(b"i=2;", b"i=1;"),
    "number 0": TWO.replace(b"i=1;", b"i=0;"),
    "no number": TWO.replace(b"i=1; relay", b"j=1; relay"),
    "a set twice": SECOND.sub(rb"\1\2\3\1\2\3", TWO),
    "the last says fail": signed_messages.seal(chain(1), 2, status="fail"),
    "the first says pass": signed_messages.seal(PLAIN, 1, status="pass"),
    "the second says none": signed_messages.seal(chain(1), 2, status="none"),
    "a seal with h=": signed_messages.seal(PLAIN, 1, more=b" h=from;"),
    "no key": TWO.replace(b"s=rsa; cv=pass", b"s=none; cv=pass"),
    "rsa-sha1": signed_messages.seal(PLAIN, 1).replace(b"ARC-Seal: i=1; a=rsa-sha256", b"ARC-Seal: i=1; a=rsa-sha1"),
    "the seal in the signature of the message": signed_messages.seal(chain(1), 2, names=b"from:arc-seal"),
    "only a seal": b"ARC-Seal: i=1; a=rsa-sha256; d=mic.gov.vn; s=rsa; cv=none; b=AAAA\r\n" + PLAIN,
}
