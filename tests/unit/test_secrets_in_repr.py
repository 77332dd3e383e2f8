"""What a repr shows, and with it a log or a traceback: no password, code or token of any dataclass."""

import dataclasses
import importlib
import pkgutil
from collections.abc import Iterator

import mic_mail
from mic_mail.smtp.actions import Authenticate

SECRET = {"password", "secret", "present", "recovery", "enrolment", "stored_key", "server_key", "argon2", "cookie", "proof"}
HARMLESS = {
    ("mic_mail.policy.due_notices", "WarnDays", "password"),  # days
    ("mic_mail.services.authentication.own_password", "OwnState", "password"),  # its age
    ("mic_mail.web.sessions", "Session", "secret"),  # hides its value
    ("mic_mail.web.view_models", "AppPasswordRow", "token"),  # of a form, good with the session's cookie alone
    ("mic_mail.web.carddav.requests", "Sync", "token"),  # RFC 6578: a place in a book's history
}


def shown(name: str) -> Iterator[tuple[str, str, str]]:
    """The fields of a module's dataclasses that a repr shows: module, class, field."""
    for kind in vars(importlib.import_module(name)).values():
        if not isinstance(kind, type) or kind.__module__ != name or not dataclasses.is_dataclass(kind):
            continue
        if not hasattr(kind.__repr__, "__wrapped__"):  # its own, not the one that `dataclass` makes
            continue
        yield from ((name, kind.__name__, field.name) for field in dataclasses.fields(kind) if field.repr)


def test_no_secret_is_shown() -> None:
    """By its name, in all modules."""
    found = (each.name for each in pkgutil.walk_packages(mic_mail.__path__, "mic_mail."))
    names = [name for name in found if not name.endswith("__main__") and ".migrations." not in name]
    fields = [field for name in names for field in shown(name)]
    assert len(fields) > 1_000
    texts = {field for field in fields if field[2] in SECRET or (field[2] == "token" and ".web." in field[0])}
    assert texts - HARMLESS == set()
    assert texts >= HARMLESS


def test_what_smtp_brings_with_auth_is_not_shown() -> None:
    """Base64 hides nothing: name and password are in it."""
    assert "AGR2" not in repr(Authenticate("PLAIN", b"AGR2YmUAaHVudGVyMg=="))
