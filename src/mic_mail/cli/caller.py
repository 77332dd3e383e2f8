"""The login of the person at the machine, under which acts are recorded (Reg. 6.1).

Anybody can set environment variables, so `USER` and `LOGNAME` are never used, and the kernel comes first:

1. the login id that the session was opened with (`/proc/self/loginuid`, pam_loginuid), which survives `sudo` and `su`;
2. `SUDO_USER`, where the process runs as root or as the server's own account;
3. the account of the process.

Root can pose as any login; what root does is in root's hands and in the machine's own audit.
"""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import Self

LOGIN_ID = Path("/proc/self/loginuid")
_UNSET = 2**32 - 1
_UNMAPPED = 65_534
"""The id that a container sees for an account outside of it (nobody)."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The accounts that started this process, taken at its start: later it may have another account."""

    uid: int
    login_uid: int | None
    sudo_user: str | None

    @classmethod
    def of_this_process(cls) -> Self:
        return cls(os.getuid(), _login_uid(), os.environ.get("SUDO_USER"))

    def login(self, server_uid: int | None) -> str:
        """Return the login; `server_uid` is the account that owns the server's data."""
        if self.login_uid is not None and (name := _name(self.login_uid)) is not None:
            return name
        if self.sudo_user and self.uid in {0, server_uid}:
            return self.sudo_user
        return _name(self.uid) or f"uid-{self.uid}"

    @property
    def is_borrowed(self) -> bool:
        """Return whether a person runs this with another account's powers, as by `sudo`."""
        return self.login_uid not in {None, self.uid} or self.sudo_user not in {None, "", _name(self.uid)}

    def is_automatic(self, server_uid: int | None) -> bool:
        """Return whether only root or the server's own account is behind it: a timer, a start-up script."""
        return self.uid in {0, server_uid} and self.login(server_uid) == (_name(self.uid) or f"uid-{self.uid}")


def knows_login(login: str) -> bool:
    """Return whether this machine has the account, in its own files or by NSS (LDAP, SSSD)."""
    try:
        pwd.getpwnam(login)
    except (KeyError, ValueError):
        return False
    return True


def _login_uid() -> int | None:
    """Return the login id; None: no session (a service, a container), or the kernel does not say."""
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
