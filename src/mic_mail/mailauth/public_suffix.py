"""Organisational domains: what somebody has registered below a public suffix (RFC 7489 §3.2).

By the public suffix list that comes with its library, offline, private part included, as DMARC has always used it. A suffix
itself (`gov.vn`) is its own. The first question reads the list, some 150 ms: ask it in a thread.
"""

from functools import cache

from publicsuffixlist import PublicSuffixList


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()


def organizational(domain: str) -> str:
    """`domain` is as the DNS has it."""
    return _suffixes().privatesuffix(domain) or domain
