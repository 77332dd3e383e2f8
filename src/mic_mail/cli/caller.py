"""As whom a person sits at the machine: what acts are recorded under (Reg. 6.1).

In: what the kernel says of this process, and what sudo says. Out: a login. Environment variables are anybody's to set, so the
kernel comes first:

1. the login id that a session was opened with (`/proc/self/loginuid`, pam_loginuid); it survives `sudo` and `su`, and an
   ordinary account cannot change it;
2. `SUDO_USER`, where the process runs as root or as the server's own account, as `sudo` leaves it;
3. the account of the process. `USER` and `LOGNAME` are never asked.

Whoever is root can pass for anybody; what root does is in root's hands and in the machine's own audit.
"""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import Self

LOGIN_ID = Path("/proc/self/loginuid")
_UNSET = 2**32 - 1
_UNMAPPED = 65_534
"""The id that a container sees in place of an account outside of it (nobody)."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who started this process. Taken at its start: later it may be another account."""

    uid: int
    login_uid: int | None
    sudo_user: str | None

    @classmethod
    def of_this_process(cls) -> Self:
        return cls(os.getuid(), _login_uid(), os.environ.get("SUDO_USER"))

    def login(self, server_uid: int | None) -> str:
        """The login; `server_uid` is the account that owns the server's data."""
        if self.login_uid is not None and (name := _name(self.login_uid)) is not None:
            return name
        if self.sudo_user and self.uid in {0, server_uid}:
            return self.sudo_user
        return _name(self.uid) or f"uid-{self.uid}"

    @property
    def is_borrowed(self) -> bool:
        """Whether a person runs this by another account's powers, as by `sudo`."""
        return self.login_uid not in {None, self.uid} or self.sudo_user not in {None, "", _name(self.uid)}

    def is_automatic(self, server_uid: int | None) -> bool:
        """Whether nobody but root or the server's own account is behind it: a timer, a script at start-up."""
        return self.uid in {0, server_uid} and self.login(server_uid) == (_name(self.uid) or f"uid-{self.uid}")


def knows_login(login: str) -> bool:
    """Whether this machine has the account, in its own files or by NSS (LDAP, SSSD)."""
    try:
        pwd.getpwnam(login)
    except (KeyError, ValueError):
        return False
    return True


def _login_uid() -> int | None:
    """None: no session was opened (a service, a container), or this kernel does not say."""
    try:
        number = int(LOGIN_ID.read_text())
    except (OSError, ValueError):
        return None
    return None if number in {_UNSET, _UNMAPPED} else number


def _name(uid: int) -> str | None:
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return None
