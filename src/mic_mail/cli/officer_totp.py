"""The code of an officer's own device, for commands that change something (docs/decisions/0083).

Asked once in ten minutes for a login session, as sudo does: a stamp in the server's folder, named by login, session and
terminal. A script passes the code by `--code` or MIC_MAIL_CODE. Automation that names an officer is not asked: it is root or
the server, and could read the key.
"""

import contextlib
import hashlib
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mic_mail.cli.output import spoken
from mic_mail.errors import Text, Trouble
from mic_mail.policy.authorization.roles import NotAuthorised, Officer

if TYPE_CHECKING:
    from mic_mail.cli.context import CliContext
    from mic_mail.directory.second_factors import Factor

REMEMBERED = timedelta(minutes=10)
TRIES = 3
CLAUSE = "6.1"
FOLDER = "codes"


class CodeRefused(NotAuthorised):
    """No code was entered, or a wrong one."""


def must_show_code(here: "CliContext", officer: Officer | None) -> None:
    """Refuse an officer who has a second factor and enters no code, or lacks one that is required."""
    from mic_mail.directory.second_factors import officer_holder

    setting = here.config.auth.second_factor
    if setting == "off" or officer is None or officer.login != here.login:
        return
    factor = here.whole_directory.second_factors.of(officer_holder(officer.login))
    if factor is None:
        if setting != "offered":
            raise CodeRefused(
                Text("Cán bộ phải bật xác thực hai bước trước.", "Officers have to set up a second factor first."),
                clause=CLAUSE,
                remedy=Text("mic-mail second-factor enrol", "mic-mail second-factor enrol"),
            )
        return
    stamp = _stamp(here)
    if not _is_remembered(stamp, here.clock.now()):
        show_code(here, factor)
        _remember(stamp, here.clock.now())


def show_code(here: "CliContext", factor: "Factor") -> None:
    """Require a code of the factor, by option, environment or at the terminal; it is then used up."""
    if here.code is not None:
        if not is_right(here, factor, here.code):
            raise _wrong()
        return
    if not sys.stdin.isatty():
        raise CodeRefused(
            Text("Lệnh này cần mã xác thực của cán bộ.", "This command needs a code of the officer's second factor."),
            clause=CLAUSE,
            remedy=Text("Dùng --code hoặc MIC_MAIL_CODE.", "Use --code or MIC_MAIL_CODE."),
        )
    for _ in range(TRIES):
        if is_right(here, factor, typed()):
            return
    raise _wrong()


def typed() -> str:
    """Ask the officer for the code of the device."""
    return str(typer.prompt(spoken("Mã xác thực", "Code"), err=True))


def is_right(here: "CliContext", factor: "Factor", code: str) -> bool:
    """Return whether the code is current and unused; too many wrong ones close the factor."""
    from mic_mail.auth import totp
    from mic_mail.auth.password_hash import load_secret
    from mic_mail.services.authentication.second_factors import KEY, MOST_WRONG, key_path, taken_step

    factors = here.whole_directory.second_factors
    known = factors.of(factor.holder)
    if known is None or known.wrong >= MOST_WRONG:
        raise CodeRefused(
            Text("Đã nhập sai mã quá nhiều lần.", "Too many wrong codes."),
            clause=CLAUSE,
            remedy=Text("Cán bộ khác: second-factor withdraw.", "Another officer: second-factor withdraw."),
        )
    key = load_secret(key_path(here.config))
    try:
        right = taken_step(known, key, code, here.clock.now().timestamp(), factors.take)
    except totp.SealBroken as error:
        raise Trouble(
            Text(f"Khóa {KEY} không phải khóa đã dùng để mã hóa.", f"{KEY} is not the key that encrypted it."),
            remedy=Text(
                "Lấy lại khóa, hoặc cán bộ khác: second-factor withdraw.", "Restore the key, or withdraw the second factor."
            ),
        ) from error
    if not right:
        factors.was_wrong(factor.holder)
    return right


def _wrong() -> CodeRefused:
    return CodeRefused(
        Text("Mã không đúng hoặc đã được sử dụng.", "The code is wrong or has already been used."), clause=CLAUSE
    )


def _stamp(here: "CliContext") -> Path:
    session = os.getsid(0)
    parts = [here.login, str(session), _begun(session), _terminal()]
    name = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()
    return here.config.run_dir / FOLDER / name


def _begun(process: int) -> str:
    """Return when a process began, which tells it from an older one of its number (proc(5), field 22)."""
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    return ""


def _terminal() -> str:
    with contextlib.suppress(OSError):
        return os.ttyname(0)
    return ""


def _is_remembered(stamp: Path, now: datetime) -> bool:
    with contextlib.suppress(OSError, ValueError, OverflowError):
        at = datetime.fromtimestamp(float(stamp.read_text()), UTC)
        return at <= now < at + REMEMBERED
    return False


def _remember(stamp: Path, now: datetime) -> None:
    with contextlib.suppress(OSError):  # then the code is asked for again
        stamp.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        opener: Callable[[str, int], int] = lambda name, flags: os.open(name, flags | os.O_NOFOLLOW, 0o600)  # noqa: E731
        with open(stamp, "w", opener=opener) as file:
            file.write(f"{now.timestamp():.6f}")
        for other in stamp.parent.iterdir():
            if not _is_remembered(other, now):
                other.unlink()
