"""Records and policies of MTA-STS, as the RFC has them and as they are not (RFC 8461 §3, §4.1)."""

import pytest

from mic_mail.smtpclient import mta_sts
from mic_mail.smtpclient.mta_sts import LONGEST_SECONDS, Mode, NotAPolicy, StsPolicy

GOOD = b"version: STSv1\nmode: enforce\nmx: mail.example.com\nmx: *.example.net\nmx: backupmx.example.com\nmax_age: 604800\n"


@pytest.mark.parametrize(
    ("records", "found"),
    [
        (["v=STSv1; id=20160831085700Z;"], "20160831085700Z"),
        (["v=STSv1;id=a"], "a"),
        (["v=STSv1 ; id=a ; other=x,y"], "a"),
        (["v=STSv1; other=1; id=b;"], "b"),
        (["v=spf1 -all", "v=STSv1; id=a"], "a"),
        (["v=STSv1; id=a", "v=STSv1; id=a"], None),
        (["v=STSv1"], None),
        (["v=STSv1; other=1"], None),
        (["v=STSv1; id="], None),
        (["v=STSv1; id=a-b"], None),
        (["v=STSv1; id=" + "a" * 33], None),
        (["v=STSv2; id=a"], None),
        (["v=STSv10; id=a"], None),
        (["id=a; v=STSv1"], None),
        (["V=STSv1; id=a"], None),
        (["v=STSv1; id=a; rubbish"], None),
        ([" v=STSv1; id=a"], None),
        ([], None),
    ],
)
def test_records(records: list[str], found: str | None) -> None:
    assert mta_sts.policy_id(records) == found


def test_a_policy() -> None:
    """The example of §3.2, with either end of line, fields of others, and fields twice."""
    policy = StsPolicy(Mode.ENFORCE, ("mail.example.com", "*.example.net", "backupmx.example.com"), 604_800)
    for octets in (GOOD, GOOD.replace(b"\n", b"\r\n"), GOOD.rstrip(), GOOD + b"x_y.z: a b\xc3\xa9\n", GOOD + b"mode: none\n"):
        assert mta_sts.parse(octets) == policy
    assert mta_sts.parse(GOOD.replace(b": ", b":")) == policy
    assert mta_sts.parse(GOOD.replace(b"604800", b"9999999999")).max_age_seconds == LONGEST_SECONDS
    assert mta_sts.parse(b"version: STSv1\nmode: none\nmax_age: 0\n") == StsPolicy(Mode.NONE, (), 0)
    assert mta_sts.parse(GOOD.replace(b"mail", b"MAIL")) == policy


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        (b"STSv1", b"STSv2"), (b"version: STSv1\n", b""), (b"enforce", b"Enforce"), (b"enforce", b"strict"),
        (b"mode: enforce\n", b""), (b"604800", b"-1"), (b"604800", b"1e9"), (b"604800", b"99999999999"), (b"604800", b"1 2"),
        (b"max_age: 604800\n", b""), (b"mail.example.com", b"mail.*.com"), (b"mail.example.com", b"*"),
        (b"mail.example.com", b"mail..com"), (b"mail.example.com", b"mail.example.com."), (b"mail.example.com", b"*mail.com"),
        (b"mail.example.com", b"m\xc3\xa9l.com"), (b"mail.example.com", b"a b"), (b"mode", b"\nmode"), (b"mode:", b"mode"),
        (b"mode:", b" mode:"), (b"mode:", b"mode :"), (b"enforce", b"\xff"), (b"enforce\n", b"enforce\r"),
        (b"604800", "６".encode()),
        (GOOD, b""), (GOOD, b"<html>\n"),
    ],
)  # fmt: skip
def test_what_is_no_policy(was: bytes, becomes: bytes) -> None:
    assert was in GOOD
    with pytest.raises(NotAPolicy):
        mta_sts.parse(GOOD.replace(was, becomes, 1))


def test_without_servers() -> None:
    """§3.2: only a policy that is none needs none."""
    with pytest.raises(NotAPolicy):
        mta_sts.parse(b"version: STSv1\nmode: testing\nmax_age: 1\n")
    with pytest.raises(NotAPolicy):
        mta_sts.parse(b"version: STSv1\nmode: testing\nmax_age: 1\n" + b"mx: a.b\n" * 2_000)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("mail.example.com", True), ("MAIL.example.com", True), ("mail.example.com.", True), ("a.example.net", True),
        ("example.net", False), ("b.a.example.net", False), ("x.mail.example.com", False), ("example.com", False),
        ("notexample.net", False), ("", False),
    ],
)  # fmt: skip
def test_servers(host: str, allowed: bool) -> None:
    """§4.1: a star stands for one label, the first."""
    assert mta_sts.parse(GOOD).allows(host) is allowed
