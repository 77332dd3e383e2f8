"""Messages that come from outside, signed by others and broken on the way: for what verifies them.

`signed()` gives what dkimpy signs in every way that it knows; `broken()` what somebody has changed since. Keys are made here.
"""

import base64
import re
from collections.abc import Iterator, Mapping
from functools import cache

import dkim as dkimpy
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)  # fmt: skip

from dkim_corpus import messages
from mic_mail.mailauth.dkim_header import HeaderField
from mic_mail.mime.dkim import BodyDigest, record, split_written, strings_of

DOMAIN = "mic.gov.vn"
SLOW = {"70,000 spaces", "a line of 200,000 with spaces", "an attachment of a megabyte"}
"""Of which dkimpy thinks for a minute."""
UNREAD = {"spaces before the colon"}
"""Which dkimpy does not read."""
FORMS = (b"relaxed/relaxed", b"simple/simple", b"relaxed/simple", b"simple/relaxed")


@cache
def rsa(bits: int = 2048) -> tuple[bytes, str]:
    """A private key as dkimpy wants it, and its record."""
    key = generate_private_key(65_537, bits)
    return (
        key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
        record("rsa", key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)),
    )


@cache
def ed25519() -> tuple[bytes, str]:
    """Likewise: dkimpy wants the seed in Base64."""
    key = Ed25519PrivateKey.generate()
    seed = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    return base64.b64encode(seed), record("ed25519", key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))


def records(domain: str = DOMAIN) -> dict[str, str]:
    """Names of the DNS and their texts."""
    return {f"rsa._domainkey.{domain}": rsa()[1], f"ed._domainkey.{domain}": ed25519()[1]}


def zone(texts: Mapping[str, str]) -> dict[tuple[str, str], list[str]]:
    """For a `dns_server`."""
    return {(name, "TXT"): [strings_of(text)] for name, text in texts.items()}


def sign(
    message: bytes, form: bytes = FORMS[0], *, algorithm: bytes = b"rsa-sha256", length: bool = False,
    domain: str = DOMAIN, **more: object,
) -> bytes:  # fmt: skip
    """The message with dkimpy's field in front."""
    selector, key = (b"ed", ed25519()[0]) if algorithm.startswith(b"ed") else (b"rsa", rsa()[0])
    header, _, body = form.partition(b"/")
    field = dkimpy.sign(
        message,
        selector,
        domain.encode(),
        key,
        canonicalize=(header, body),
        signature_algorithm=algorithm,
        length=length,
        **more,
    )
    return bytes(field) + message


def signed() -> Iterator[tuple[str, bytes]]:
    """Each message of the corpus in each form, with and without `l=`, by both algorithms in turn."""
    for number, (name, message) in enumerate(messages()):
        if name in SLOW | UNREAD:
            continue
        for form in FORMS:
            algorithm = (b"rsa-sha256", b"ed25519-sha256")[number % 2]
            yield f"{name}, {form.decode()}", sign(message, form, algorithm=algorithm)
        yield f"{name}, l=", sign(message, FORMS[number % 4], length=True)


def broken() -> Iterator[tuple[str, bytes]]:
    """What has been changed since, or never was right; some of it is still right, as lists and gateways change mail."""
    plain = b"From: a@mic.gov.vn\r\nTo: b@x.example\r\nSubject: Hello  you\r\nDate: now\r\n\r\nOne \r\n\r\n two\t three\r\n\r\n"
    for form in FORMS:
        for length in (False, True):
            good = sign(plain, form, length=length)
            label = f"{form.decode()}{' l=' if length else ''}: "
            head, _, body = good.partition(b"\r\n\r\n")
            for name, changed in (
                ("as it was", good),
                ("a footer", good + b"-- \r\nlist\r\n"),
                ("empty lines behind", good + b"\r\n\r\n"),
                ("spaces behind", good.replace(b"One ", b"One \t ")),
                ("a space within", good.replace(b"two\t three", b"two three")),
                ("a word", good.replace(b"three", b"four")),
                ("no body", head + b"\r\n\r\n"),
                ("a shorter body", good[:-8]),
                ("another From in front", b"From: evil@x.example\r\n" + good),
                ("another From behind", head + b"\r\nFrom: evil@x.example\r\n\r\n" + body),
                ("another Subject", good.replace(b"Hello  you", b"Hello me")),
                ("the subject folded", good.replace(b"Hello  you", b"Hello\r\n  you")),
                ("names in capitals", good.replace(b"Subject:", b"SUBJECT:")),
                ("a field that is not signed", b"X-List: y\r\n" + good),
                (
                    "fields turned round",
                    good.replace(b"To: b@x.example\r\n", b"").replace(b"Date:", b"To: b@x.example\r\nDate:"),
                ),
                ("Received in front", b"Received: from a by b; now\r\n" + good),
                ("the digest changed", re.sub(rb"bh=..", b"bh=AA", good)),
                ("the signature changed", re.sub(rb"([; \t])b=..", rb"\1b=AA", good)),
                ("another selector", good.replace(b"s=rsa", b"s=none")),
                ("another domain", good.replace(b"d=mic.gov.vn", b"d=gov.vn")),
                ("version 2", good.replace(b"v=1", b"v=2")),
                ("a tag twice", good.replace(b"v=1;", b"v=1; v=1;")),
                ("no tags", good.replace(b"v=1;", b"v=1; nonsense;")),
                ("a tag that nobody knows", good.replace(b"v=1;", b"v=1; zz=yes;")),
            ):
                yield label + name, changed


def seal(
    message: bytes,
    number: int,
    *,
    status: str | None = None,
    more: bytes = b"",
    names: bytes = b"from:to:subject",
    length: bool = False,
) -> bytes:
    """The message with one ARC set more (RFC 8617 §5.1), written out by the letter: dkimpy seals not by itself.

    `length`: its signature of the message covers the body as it is now (`l=`), and nothing that comes behind.
    """
    header, _, body = message.partition(b"\r\n\r\n")
    fields = [HeaderField(*each) for each in split_written(header)]
    key = load_pem_private_key(rsa()[0], None)
    assert isinstance(key, RSAPrivateKey)

    def made(name: bytes, value: bytes, signed: bytes) -> HeaderField:
        octets = key.sign(signed + HeaderField(name, value, b"").canonical(True).removesuffix(b"\r\n"), PKCS1v15(), SHA256())
        return whole(name, value + base64.b64encode(octets))

    def whole(name: bytes, value: bytes) -> HeaderField:
        return HeaderField(name, value, name + b":" + value)

    results = whole(b"ARC-Authentication-Results", b" i=%d; relay.example; arc=none" % number)
    made_of_body = BodyDigest(is_relaxed=True)
    made_of_body.update(body)
    digest = made_of_body.finish()
    covers = b" l=%d;" % digest.octets if length else b""
    tags = b" i=%d; a=rsa-sha256; c=relaxed/relaxed; d=%b; s=rsa; h=%b;" + covers + b"\r\n\tbh=%b; b="
    left = {name: [each for each in fields if each.name.lower() == name] for name in names.split(b":")}
    covered = b"".join(left[name].pop().canonical(True) for name in names.split(b":") if left[name])
    signature = made(
        b"ARC-Message-Signature", tags % (number, DOMAIN.encode(), names, base64.b64encode(digest.digest())), covered
    )
    kinds = (b"arc-authentication-results", b"arc-message-signature", b"arc-seal")
    before = [
        each
        for n in range(1, number)
        for kind in kinds
        for each in fields
        if each.name.lower() == kind and b"i=%d;" % n in each.value
    ]
    cv = (status or ("none" if number == 1 else "pass")).encode()
    text = b" i=%d; a=rsa-sha256; d=%b; s=rsa; cv=%b;%b b=" % (number, DOMAIN.encode(), cv, more)
    sealed = made(b"ARC-Seal", text, b"".join(each.canonical(True) for each in (*before, results, signature)))
    return b"".join(each.written + b"\r\n" for each in (sealed, signature, results)) + message
