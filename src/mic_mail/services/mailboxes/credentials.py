"""Setting of a mailbox's password: the rule, both verifiers and the fact, in one place.

In: the directory, a mailbox, a cleartext password. Out: a stored credential and the fact of who set it and why.
Blocking (a hash): command line and executors only. The password is never stored, logged or returned.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from mic_mail.auth import password_hash
from mic_mail.auth.breached_passwords import BadList, is_leaked
from mic_mail.auth.password_hash import SCRAM_ITERATIONS_FLOOR, HashSettings, WeakPassword
from mic_mail.auth.password_policy import check_strength
from mic_mail.config.model import Config
from mic_mail.directory.records import MailboxRecord, Superseded
from mic_mail.directory.repository import Directory
from mic_mail.directory.snapshot import Entry
from mic_mail.errors import Text
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.credentials.app_passwords import ENDS, living
from mic_mail.policy.credentials.verifiers import AppCredential, Credential
from mic_mail.policy.facts import FactKind


def hashing(config: Config) -> HashSettings:
    auth = config.auth
    return HashSettings(auth.argon2_memory >> 10, auth.argon2_time, auth.scram_iterations)


def verifiers(password: str, settings: HashSettings, *, beside: Sequence[AppCredential] = ()) -> Credential:
    """Return the credential of `password`, without the version that the directory gives it; blocking.

    `beside`: app passwords that stay. SCRAM keeps its salt and iterations then, since those are verified with the same.
    """
    salt = None
    if beside:
        kept = beside[0].scram
        salt, settings = kept.salt, replace(settings, scram_iterations=max(kept.iterations, SCRAM_ITERATIONS_FLOOR))
    made = password_hash.make(password, settings, salt)
    return Credential(0, made.argon2, made.scram)


def must_still_be(entry: Entry, confirmed_version: int) -> None:
    """Raise `Superseded` unless the password of `confirmed_version` is still the mailbox's.

    A write that follows the newest fact of `entry` is safe from later changes: each change is a fact.
    """
    if entry.credential is None or entry.credential.version != confirmed_version:
        raise Superseded(Text("Mật khẩu vừa được thay đổi ở nơi khác.", "The password has just been changed elsewhere."))


def set_password(
    directory: Directory,
    config: Config,
    mailbox: MailboxRecord,
    password: str,
    *,
    at: datetime,
    origin: ActContext,
    must_change: bool,
    after: int | None = None,
) -> Credential:
    """Set a password, with the fact that its person chose it or the Centre reset it (`must_change`).

    Reg. 15.2: a lost password is reset on a letter or a request from the unit's mailbox, and changed at the next sign-in.
    With `after`, only if that is still the number of the newest fact. Raises WeakPassword.
    """
    check_new(directory, config, mailbox, password, chosen=not must_change)
    kind = FactKind.PASSWORD_RESET if must_change else FactKind.PASSWORD_SET
    ends_apps = not must_change and living(directory.facts(mailbox.mailbox_id), at)  # a document: the old one is bad
    fact = origin.draft(kind, at, **({ENDS: True} if ends_apps else {}))
    return directory.set_credential(mailbox.mailbox_id, verifiers(password, hashing(config)), fact, after=after)


def check_new(directory: Directory, config: Config, mailbox: MailboxRecord | Entry, password: str, *, chosen: bool) -> None:
    """Raise WeakPassword unless the rules allow this password for `mailbox`; blocking.

    A password that a person chose (`chosen`) must also differ from the present and the recent ones (Reg. 15.2,
    `auth.password_reuse`).
    """
    auth = config.auth
    check_strength(password, mailbox.address, names=(mailbox.display_name,), min_length=auth.password_length)
    if auth.leaked_passwords is not None:
        _check_leaked(auth.leaked_passwords, password)
    if not chosen:
        return
    present = directory.entry(mailbox.mailbox_id).credential
    if present is not None and password_hash.verify(present.argon2, password):
        raise WeakPassword(
            Text("Mật khẩu mới phải khác mật khẩu đang dùng.", "The new password must differ from the present one."),
            clause="15.2",
        )
    if any(
        password_hash.verify(hashed, password) for hashed in directory.former_verifiers(mailbox.mailbox_id, auth.password_reuse)
    ):
        raise WeakPassword(
            Text(
                f"Mật khẩu mới không được trùng với {auth.password_reuse} mật khẩu gần nhất.",
                f"The new password must differ from the last {auth.password_reuse} passwords.",
            ),
            clause="15.2",
        )


def _check_leaked(listed: Path, password: str) -> None:
    """Refuse a leaked password. An unreadable list refuses nothing: `config check` and the log name it."""
    with contextlib.suppress(BadList):
        if is_leaked(listed, password):
            raise WeakPassword(
                Text(
                    "Mật khẩu này có trong danh sách mật khẩu đã bị lộ; đề nghị chọn mật khẩu khác.",
                    "This password is on a list of leaked passwords; choose another one.",
                ),
                clause="7.2.c",
            )
