"""The server's side of PLAIN, LOGIN and SCRAM: published examples, what real clients send, and everything else."""

import base64
import hashlib
import hmac
import os
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mic_mail.auth import password_hash, sasl
from mic_mail.auth.sasl import Challenge, CheckPassword, Done, Failed, Failure, NeedKeys, decode_base64
from mic_mail.policy.credentials.verifiers import ScramKeys

CHEAP = password_hash.HashSettings(memory_kib=8, passes=1)
BINDINGS = {"tls-server-end-point": hashlib.sha256(b"a certificate").digest(), "tls-unique": b"finished"}


@dataclass
class Client:
    """A SCRAM client as RFC 5802 §5 describes it, written apart from the server."""

    user: str
    password: str
    flag: str = "n"
    binding: bytes = b""
    nonce: str = "rOprNGfwEbeRWgbNEkqO"

    def first(self) -> bytes:
        self.header = f"{self.flag},,"
        self.bare = f"n={self.user.replace('=', '=3D').replace(',', '=2C')},r={self.nonce}"
        return (self.header + self.bare).encode()

    def final(self, server_first: bytes) -> bytes:
        fields = dict(part.split("=", 1) for part in server_first.decode().split(","))
        assert fields["r"].startswith(self.nonce)
        salted = hashlib.pbkdf2_hmac("sha256", self.password.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        bound = base64.b64encode(self.header.encode() + self.binding).decode()
        without_proof = f"c={bound},r={fields['r']}"
        auth_message = f"{self.bare},{server_first.decode()},{without_proof}".encode()
        signature = hmac.digest(hashlib.sha256(client_key).digest(), auth_message, "sha256")
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        self.server_signature = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), auth_message, "sha256")
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()


def converse(
    client: Client, keys: ScramKeys, mechanism: str = "SCRAM-SHA-256", bindings: sasl.Bindings = sasl.NO_BINDING
) -> sasl.Step:
    """Run one exchange to its end."""
    exchange = sasl.begin(mechanism, bindings=bindings, nonce=lambda: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")
    assert exchange is not None
    step = exchange.step(client.first())
    if not isinstance(step, NeedKeys):
        return step
    challenge = exchange.keys(keys)
    assert isinstance(challenge, Challenge)
    answer = exchange.step(client.final(challenge.data))
    if not isinstance(answer, Challenge):
        return answer
    assert base64.b64decode(answer.data.removeprefix(b"v=")) == client.server_signature
    return exchange.step(b"")


def test_the_example_of_rfc_7677() -> None:
    """The exchange of RFC 7677 §3 comes out octet for octet."""
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    salted = hashlib.pbkdf2_hmac("sha256", b"pencil", salt, 4096)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    keys = ScramKeys(salt, 4096, stored, hmac.digest(salted, b"Server Key", "sha256"))
    exchange = sasl.Scram(plus=False, bindings={}, nonce=lambda: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")
    assert exchange.step(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO") == NeedKeys("user")
    assert exchange.keys(keys) == Challenge(
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    )
    final = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    assert exchange.step(final) == Challenge(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
    assert exchange.step(b"") == Done("user")


@pytest.mark.parametrize("user", ["dvbe@mic.gov.vn", "a,b=c@mic.gov.vn", "đỗ@mic.gov.vn"])
def test_scram_proves_a_password(user: str) -> None:
    """Any name, also with the signs that SCRAM escapes, proves its password, and the server proves its own."""
    keys = password_hash.make("mật khẩu dài", CHEAP).scram
    assert converse(Client(user, "mật khẩu dài"), keys) == Done(user)
    wrong = converse(Client(user, "mật khẩu khác"), keys)
    assert isinstance(wrong, Failed)
    assert (wrong.failure, wrong.user) == (Failure.WRONG_PROOF, user)


@pytest.mark.parametrize("kind", BINDINGS)
def test_plus_binds_to_the_connection(kind: str) -> None:
    """-PLUS succeeds with the octets of the type that the client names, and fails with those of a man in the middle."""
    keys = password_hash.make("the right password", CHEAP).scram
    ours = Client("u", "the right password", flag=f"p={kind}", binding=BINDINGS[kind])
    assert converse(ours, keys, "SCRAM-SHA-256-PLUS", BINDINGS) == Done("u")
    theirs = Client("u", "the right password", flag=f"p={kind}", binding=bytes(32))
    answer = converse(theirs, keys, "SCRAM-SHA-256-PLUS", BINDINGS)
    assert isinstance(answer, Failed)
    assert answer.failure is Failure.CHANNEL_BINDING


@pytest.mark.parametrize(
    ("mechanism", "bindings", "flag", "failure"),
    [
        ("SCRAM-SHA-256", BINDINGS, "y", Failure.DOWNGRADE),  # somebody hid -PLUS from the client (RFC 5802 §6)
        ("SCRAM-SHA-256", {}, "y", None),  # we really do not offer it: fine
        ("SCRAM-SHA-256", BINDINGS, "n", None),
        ("SCRAM-SHA-256", BINDINGS, "p=tls-server-end-point", Failure.CHANNEL_BINDING),
        ("SCRAM-SHA-256-PLUS", BINDINGS, "n", Failure.BINDING_TYPE),
        ("SCRAM-SHA-256-PLUS", BINDINGS, "y", Failure.BINDING_TYPE),
        ("SCRAM-SHA-256-PLUS", BINDINGS, "p=tls-exporter", Failure.BINDING_TYPE),
    ],
)
def test_binding_flags(mechanism: str, bindings: sasl.Bindings, flag: str, failure: Failure | None) -> None:
    """Each channel binding flag is taken or refused as RFC 5802 §6 says."""
    exchange = sasl.begin(mechanism, bindings=bindings, nonce=lambda: "x")
    assert exchange is not None
    step = exchange.step(f"{flag},,n=u,r=abc".encode())
    assert step == NeedKeys("u") if failure is None else isinstance(step, Failed) and step.failure is failure


@pytest.mark.parametrize(
    "message",
    [
        b"", b"n", b"n,,", b"n,,n=u", b"n,,n=,r=x", b"n,,n=u,r=", b"n,,r=x,n=u", b"x,,n=u,r=a", b"n,b=z,n=u,r=a",
        b"n,,n=a=b,r=a", b"n,,n=u,r=\x01", b"n,,n=\xff,r=a", b"\0" * 100, b"n,,n=\xc2\xa0\xe2\x80\x8e,r=a",
    ],
)  # fmt: skip
def test_malformed_first_messages(message: bytes) -> None:
    """A first message that breaks the grammar ends the exchange as malformed."""
    exchange = sasl.begin("SCRAM-SHA-256", nonce=lambda: "x")
    assert exchange is not None
    assert exchange.step(message) == Failed(Failure.MALFORMED)


def test_mandatory_extensions_are_refused() -> None:
    """`m=` is an extension that must be understood, and we know none (RFC 5802 §5.1)."""
    exchange = sasl.begin("SCRAM-SHA-256", nonce=lambda: "x")
    assert exchange is not None
    assert exchange.step(b"n,,m=future,n=u,r=abc") == Failed(Failure.UNSUPPORTED_EXTENSION)


@pytest.mark.parametrize("spoil", [lambda m: m.replace(b"r=", b"r=z"), lambda m: m[:-2], lambda m: b"", lambda m: m + b",x=1"])
def test_spoiled_final_messages(spoil: object) -> None:
    """A final message with another nonce, a cut proof or nothing never signs in."""
    keys = password_hash.make("the right password", CHEAP).scram
    client = Client("u", "the right password")
    exchange = sasl.begin("SCRAM-SHA-256", nonce=lambda: "x")
    assert exchange is not None
    exchange.step(client.first())
    challenge = exchange.keys(keys)
    assert isinstance(challenge, Challenge)
    assert isinstance(exchange.step(spoil(client.final(challenge.data))), Failed)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (b"\0dvbe@mic.gov.vn\0secret", CheckPassword("dvbe@mic.gov.vn", "secret")),
        (b"admin\0dvbe\0secret", CheckPassword("dvbe", "secret", "admin")),
        ("\0u\0mật khẩu".encode(), CheckPassword("u", "mật khẩu")),
        (b"\0u\0", Failed(Failure.MALFORMED)),
        (b"\0\0p", Failed(Failure.MALFORMED)),
        (b"u\0p", Failed(Failure.MALFORMED)),
        (b"\0u\0p\0", Failed(Failure.MALFORMED)),
        (b"\0\xff\0p", Failed(Failure.MALFORMED)),
        (b"", Failed(Failure.MALFORMED)),
        (b"\0u\0" + b"p" * sasl.MAX_RESPONSE, Failed(Failure.TOO_LONG)),
    ],
)
def test_plain(response: bytes, expected: sasl.Step) -> None:
    """PLAIN takes exactly three fields with a name and a password in them, with or without an initial response."""
    assert sasl.Plain().step(response) == expected
    asked = sasl.Plain()
    assert asked.step(None) == Challenge(b"")
    assert asked.step(response) == expected
    assert asked.step(None) == Failed(Failure.MALFORMED)


def test_login_prompts_are_those_that_outlook_knows() -> None:
    """The prompts are `VXNlcm5hbWU6` and `UGFzc3dvcmQ6`; other ones made Outlook give up."""
    exchange = sasl.Login()
    first = exchange.step(None)
    assert isinstance(first, Challenge)
    assert base64.b64encode(first.data) == b"VXNlcm5hbWU6"
    second = exchange.step(b"dvbe@mic.gov.vn\0")  # Outlook's C string
    assert isinstance(second, Challenge)
    assert base64.b64encode(second.data) == b"UGFzc3dvcmQ6"
    assert exchange.step(b"secret") == CheckPassword("dvbe@mic.gov.vn", "secret")


def test_login_with_the_name_in_front() -> None:
    """.NET sends the user name with the command; the password prompt follows at once."""
    exchange = sasl.Login()
    assert exchange.step(b"dvbe@mic.gov.vn") == Challenge(b"Password:")
    assert exchange.step(b"secret") == CheckPassword("dvbe@mic.gov.vn", "secret")


@pytest.mark.parametrize("responses", [[b""], [b"\0"], [b"u", b""], [b"u", b"p\0p"], [b"a\0b"], [b"\xff"], [b"u", b"\xff"]])
def test_login_refuses_nothing_and_nonsense(responses: list[bytes]) -> None:
    """Empty names and passwords, NULs inside, and what is no UTF-8 end the exchange."""
    exchange = sasl.Login()
    assert [exchange.step(r) for r in responses][-1] == Failed(Failure.MALFORMED)


@pytest.mark.parametrize(
    ("tls", "plus", "cleartext", "expected"),
    [
        (False, False, False, ()),
        (False, False, True, ("SCRAM-SHA-256", "PLAIN", "LOGIN")),
        (True, False, False, ("SCRAM-SHA-256", "PLAIN", "LOGIN")),
        (True, True, False, ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN")),
    ],
)
def test_what_is_offered(tls: bool, plus: bool, cleartext: bool, expected: tuple[str, ...]) -> None:
    """Nothing without TLS, -PLUS only where it is wanted, the strongest first."""
    assert sasl.offered(tls=tls, plus=plus, cleartext=cleartext) == expected


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        ("I\u00adX", "IX"),  # the examples of RFC 4013 §3
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("\u0007", None),
        ("\u0627\u0031", None),
        ("Đỗ Văn Bê", "Đỗ Văn Bê"),
        ("Đỗ", "Đỗ"),  # NFD becomes NFC
        ("a\u00a0b", "a b"),
        ("", ""),
        ("a" + "\u0301\u0323" * 300, None),  # normalized in the square of its length, so never normalized
    ],
)
def test_saslprep(text: str, prepared: str | None) -> None:
    """RFC 4013: mapped, normalised, or refused."""
    assert sasl.saslprep(text) == prepared


@given(
    st.lists(st.one_of(st.none(), st.binary(max_size=200)), max_size=6), st.sampled_from(["PLAIN", "LOGIN", "SCRAM-SHA-256"])
)
def test_no_input_raises(responses: list[bytes | None], mechanism: str) -> None:
    """Whatever a client sends in whatever order, there is an answer, and never success."""
    exchange = sasl.begin(mechanism, nonce=lambda: "x")
    assert exchange is not None
    for response in responses:
        step = exchange.step(response)
        if isinstance(step, NeedKeys):
            step = exchange.keys(ScramKeys(b"salt", 4096, os.urandom(32), os.urandom(32)))
        assert not isinstance(step, Done)


@given(st.text(max_size=40))
def test_saslprep_is_stable(text: str) -> None:
    """What has been prepared is prepared again to itself, or was refused."""
    prepared = sasl.saslprep(text)
    assert prepared is None or sasl.saslprep(prepared) in {prepared, None}


def test_secrets_stay_out_of_reprs() -> None:
    """No password shows in a repr."""
    assert "secret" not in repr(CheckPassword("u", "secret"))


@pytest.mark.parametrize(
    "text", [b"QUJD=", b"QUJD==", b"QUJDQUJD===", b"QQ=", b"Q===", b"Q", b"QUJD QUJD", b"QUJD\n", b"=", b"Q=Q="]
)
def test_what_is_not_base64_is_none(text: bytes) -> None:
    """Surplus padding, too, which `base64.b64decode(validate=True)` takes (RFC 4648 §4)."""
    assert decode_base64(text) is None


@pytest.mark.parametrize(("text", "octets"), [(b"", b""), (b"QQ==", b"A"), (b"QUI=", b"AB"), (b"QUJD", b"ABC")])
def test_base64(text: bytes, octets: bytes) -> None:
    assert decode_base64(text) == octets
