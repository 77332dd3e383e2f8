"""Fuzz target: LDAP's messages, filters, names, and its session on a small book.

    python tests/fuzz/atheris_ldap.py [-max_total_time=600] [CORPUS_DIR]

Allowed of the readers: `BadBer`, `TooLarge`, `BadName`. Besides: a session answers the same for any split, its answers are
whole messages, and it never finds a bug.
"""

import contextlib
import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parent.parent))
with atheris.instrument_imports(include=["mic_mail.ldap"]):
    from ldap_client import bind, messages_in, search, small_book
    from mic_mail.ldap import dn, filters, requests
    from mic_mail.ldap.ber import BadBer, BerReader
    from mic_mail.ldap.dit import Tree
    from mic_mail.ldap.filters import TooLarge
    from session_harness import LdapTalk

TREE = Tree(small_book())
READERS = (requests.bind, requests.search, requests.compare, requests.extended, requests.abandoned, filters.read)


def fuzz_pure(octets: bytes) -> None:
    for read in READERS:
        with contextlib.suppress(BadBer, TooLarge):
            read(BerReader(octets))
    with contextlib.suppress(BadBer):
        requests.envelope(octets)
    with contextlib.suppress(dn.BadName):
        dn.normal(octets.decode("utf-8", "replace"))


def fuzz_session(octets: bytes, cuts: list[int]) -> None:
    answers = []
    for fed in ([octets], [octets[a:b] for a, b in zip([0, *cuts], [*cuts, len(octets)], strict=True)]):
        ctx = LdapTalk(TREE, tls=False)
        answers.append(b"".join([ctx.say(piece) for piece in fed]))
        assert not ctx.notes, ctx.notes
    if b"\x50" not in octets and b"1.3.6.1.1.8" not in octets:  # what gives up a search does so where it comes in time
        assert answers[0] == answers[1], answers
    messages_in(answers[0])


def fuzz(octets: bytes) -> None:
    data = atheris.FuzzedDataProvider(octets)
    kind, signed_in = data.ConsumeIntInRange(0, 2), data.ConsumeBool()
    if kind == 0:
        fuzz_pure(data.ConsumeBytes(600))
        return
    cuts = sorted(data.ConsumeIntListInRange(3, 0, 200))
    begun = (bind() if signed_in else b"") + (search() if kind == 2 else b"")
    fuzz_session(begun + data.ConsumeBytes(600), cuts)


if __name__ == "__main__":
    atheris.Setup(sys.argv, fuzz)
    atheris.Fuzz()
