"""Every setting of the doors, the pages and sign-in reaches what it is for."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import mic_mail
from harness import config_for
from mic_mail.app import settings
from mic_mail.config.model import Config
from mic_mail.config.schema import Section

SOURCES = Path(mic_mail.__file__).parent
ROOMS = (
    settings.smtp_limits, settings.imap_settings, settings.pop3_settings, settings.ldap_settings,
)  # fmt: skip
SECTIONS = ("imap", "smtp", "pop3", "ldap", "web", "auth")
READ_BY = {
    "app/protocol_servers.py": (
        "imap.sessions_per_mailbox", "pop3.sessions_per_mailbox", "ldap.sessions_per_mailbox",
        "smtp.binarymime", "smtp.confirms",
    ),
    "services/transport/pipeline.py": ("smtp.subaddress",),
    "app/settings.py": ("smtp.repair_line_ends", "ldap.anonymous_networks"),
    "web/application.py": ("web.more_names", "web.carddav"),
    "web/page_context.py": ("web.idle_seconds", "web.session_seconds"),
    "web/monitoring.py": ("web.monitor_networks",),
    "web/templating.py": ("web.ministry_en",),
    "web/server.py": ("web.request_seconds",),
    "services/abuse/breached_password_check.py": ("auth.leaked_passwords", "auth.leaked_action"),
    "services/mailboxes/credentials.py": (
        "auth.scram_iterations", "auth.argon2_time", "auth.argon2_memory", "auth.password_length", "auth.password_reuse",
    ),
    "services/settings.py": ("auth.password_age", "auth.password_warn_days"),
    "services/authentication/sign_in.py": (
        "auth.cleartext", "auth.channel_binding", "auth.scram_in_tls13", "auth.cache_seconds", "auth.failures_per_network",
        "auth.failures_per_mailbox", "auth.failure_window", "auth.app_passwords_only",
    ),
    "services/authentication/app_passwords.py": ("auth.app_passwords",),
    "services/authentication/second_factors.py": ("auth.second_factor",),
}  # fmt: skip
"""Those that no room of `app.settings` takes, by the module that reads them."""


def names() -> Iterator[str]:
    for section in SECTIONS:
        yield from (f"{section}.{name}" for name in Config.model_fields[section].annotation.model_fields)  # type: ignore[union-attr]


def read_in(module: str) -> Iterator[tuple[str, str]]:
    """The settings that a module reads, as `auth.name` or `config.auth.name`: section, name."""
    for node in ast.walk(ast.parse((SOURCES / module).read_text())):
        match node:
            case ast.Attribute(ast.Attribute(_, section) | ast.Name(section), name):
                yield section, name


def another(section: Section, name: str) -> Any:
    """Another value for a number, within its bounds, a switch, a sign or a list of networks."""
    value, bounds = getattr(section, name), type(section).model_fields[name].bounds
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        least = next(each.ge for each in bounds if each.ge is not None)
        return least if least != value else next(each.le for each in bounds if each.le is not None)
    return "-" if isinstance(value, str) else ("192.0.2.0/24",)


@pytest.mark.parametrize("setting", list(names()))
def test_a_setting_is_not_for_nothing(setting: str, tmp_path: Path) -> None:
    """With another value another thing is given to a room; or it is read where the list says so."""
    where, _, name = setting.partition(".")
    if (module := next((module for module, those in READ_BY.items() if setting in those), None)) is not None:
        assert (where, name) in set(read_in(module))
        return
    config = config_for(tmp_path)
    section = getattr(config, where)
    changed = config.model_copy(update={where: section.model_copy(update={name: another(section, name)})})
    assert [room(changed) for room in ROOMS] != [room(config) for room in ROOMS]


def test_the_list_names_settings() -> None:
    """None that is gone."""
    assert {setting for those in READ_BY.values() for setting in those} <= set(names())
