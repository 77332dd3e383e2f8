"""The client's side of SASL, beside the example of the RFC and beside the server's side that this program has."""

from collections.abc import Callable

import pytest

from mic_mail.auth import sasl
from mic_mail.smtpclient import auth
from mic_mail.smtpclient.auth import SignInFailed
from unit.smtpclient.scram_keys import keys


def test_the_example_of_the_rfc() -> None:
    """RFC 7677 §3."""
    exchange = auth.begin("SCRAM-SHA-256", "user", "pencil", "rOprNGfwEbeRWgbNEkqO")
    assert next(exchange) == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    challenge = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    assert auth.answer(exchange, challenge) == (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    assert auth.answer(exchange, b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=") == b""
    auth.finish(exchange)


@pytest.mark.parametrize("password", ["pencil", "mật khẩu, =dài", "a\u00adb"])
@pytest.mark.parametrize("login", ["relay", "trạm,=1"])
@pytest.mark.parametrize("name", auth.MECHANISMS)
def test_with_the_servers_side(name: str, login: str, password: str) -> None:
    """Each way, with letters that have to be escaped or prepared."""
    server, exchange = sasl.begin(name, nonce=lambda: "server"), auth.begin(name, login, password, "client")
    assert server is not None
    said = next(exchange)
    step = server.step(said or None)
    while not isinstance(step, sasl.Done | sasl.CheckPassword | sasl.Failed):
        if isinstance(step, sasl.NeedKeys):
            step = server.keys(keys(sasl.saslprep(password) or ""))
        else:
            step = server.step(auth.answer(exchange, step.data))
    assert not isinstance(step, sasl.Failed)
    assert step.user == login
    if isinstance(step, sasl.CheckPassword):
        assert step.password == password
    auth.finish(exchange)


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ("PLAIN LOGIN", "PLAIN"),
        ("login", "LOGIN"),
        ("GSSAPI SCRAM-SHA-256 PLAIN", "SCRAM-SHA-256"),
        ("XOAUTH2", None),
        ("", None),
    ],
)
def test_the_best_that_is_offered(offered: str, chosen: str | None) -> None:
    assert auth.best_mechanism(offered) == chosen


@pytest.mark.parametrize(
    "challenge",
    [
        b"r=other,s=c2FsdA==,i=4096", b"r=client,s=c2FsdA==,i=4096", b"r=client1,s=c2FsdA==,i=1", b"r=client1,s=!,i=4096",
        b"r=client1,s=c2FsdA==,i=999999999", b"r=client1,s=c2FsdA==,i=-4096", b"m=x,r=client1,s=c2FsdA==,i=4096", b"\xff", b"",
    ],
)  # fmt: skip
def test_challenges_without_sense(challenge: bytes) -> None:
    """Nothing is said of the password to somebody who begins so; who knows it less, or asks for hours of work, is none."""
    exchange = auth.begin("SCRAM-SHA-256", "user", "pencil", "client")
    next(exchange)
    with pytest.raises(SignInFailed):
        auth.answer(exchange, challenge)


def scram_until(last: Callable[[auth.Exchange], object]) -> None:
    exchange = auth.begin("SCRAM-SHA-256", "user", "pencil", "client")
    next(exchange)
    auth.answer(exchange, b"r=client1,s=c2FsdA==,i=4096")
    last(exchange)


@pytest.mark.parametrize("proof", [b"", b"v=", b"v=AAAA", b"e=other-error", b"v=!!"])
def test_a_server_that_does_not_know_the_password(proof: bytes) -> None:
    with pytest.raises(SignInFailed):
        scram_until(lambda exchange: auth.answer(exchange, proof))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("535 no bWF0LWtoYXUtZGFpLTE= here", "535 no ... here"),
        ("535 resp=AHJlbGF5AG1hdC1raGF1 cut", "535 ... cut"),
        ("535 line/AHJlbGF5AG1hdC1raGF1LWRhaS0x:", "535 ...:"),
        ("535 5.7.8 Authentication credentials invalid: mat-khau-dai-1", "535 5.7.8 Authentication credentials invalid: ..."),
    ],
)
def test_what_was_told_is_shown_nowhere(text: str, shown: str) -> None:
    """The password, its base64 alone, and parts of what was sent that stand in a longer word."""
    said = [auth.encoded(b"\0relay\0mat-khau-dai-1")]
    assert auth.without_secrets(text, "mat-khau-dai-1", said) == shown


def test_content_too_early_or_never() -> None:
    """235 before the server has proved itself; questions without end."""
    with pytest.raises(SignInFailed):
        scram_until(auth.finish)
    exchange = auth.begin("PLAIN", "user", "pencil", "")
    next(exchange)
    with pytest.raises(SignInFailed):
        auth.answer(exchange, b"")
