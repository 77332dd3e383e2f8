"""Domains whose mail servers offer BINARYMIME with BDAT (RFC 3030), as of the last message sent there.

In: what a server has offered, from the process that sends. Out: whether all of some domains take it, for the processes
that accept submissions: a message with lines that DATA cannot carry is accepted for these alone (decision 0099). One
empty file a domain, named after it. A lost or stale file costs a refusal or a bounce, so nothing is synced. Blocking.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from mic_mail.domain_name import NotAName, to_ascii


class BinaryDomains:
    """The domain files below one directory."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True, mode=0o750)
        self._root = root
        self._known = set(os.listdir(root))
        """The names in the directory, kept current by the process that sends."""

    def is_known(self, domain: str, *, takes: bool) -> bool:
        """Return whether the record already says so, so that `note` has nothing to write."""
        return (_name(domain) in self._known) is takes

    def note(self, domain: str, *, takes: bool) -> None:
        """Record what a server of the domain has offered. Called by the process that sends alone."""
        name = _name(domain)
        if takes and name:
            (self._root / name).touch(mode=0o640)
            self._known.add(name)
        else:
            (self._root / name).unlink(missing_ok=True)
            self._known.discard(name)

    def include_all(self, domains: Iterable[str]) -> bool:
        """Return whether each domain took it the last time."""
        return all(bool(name := _name(domain)) and (self._root / name).exists() for domain in domains)


def _name(domain: str) -> str:
    try:
        name = to_ascii(domain)
    except NotAName:
        return ""
    return "" if "/" in name else name
