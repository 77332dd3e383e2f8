"""Organisational domains: the registered domain below a public suffix (RFC 7489 §3.2).

Uses the public suffix list that comes with its library, offline, private part included, as DMARC has always used it. A
suffix itself (`gov.vn`) is its own organisational domain. The first call loads the list, some 150 ms: make it in a
thread.
"""

from functools import cache

from publicsuffixlist import PublicSuffixList


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()


def organizational(domain: str) -> str:
    """Return the organisational domain of `domain`, which is in its DNS form."""
    return _suffixes().privatesuffix(domain) or domain
