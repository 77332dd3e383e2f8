"""Connection strings of PostgreSQL, and the settings with which this program connects.

In: a string as libpq takes it, of one host or several. Out: settings for psycopg, in which an end of the connection is noticed
soon. Used where mailboxes and the directory lie in PostgreSQL; a server on one machine never loads it.
"""

import contextlib
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

_CONNECTION = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 2,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 8_000,
    "target_session_attrs": "read-write",
    "application_name": "mic-mail",
}
"""Settings that a connection string may change. A peer that is gone is noticed within 8 s.

Of several hosts, the primary is used.
"""


def settings_of(connection_string: str) -> dict[str, Any]:
    """Return the settings by a connection string.

    Raise ValueError for one that is wrong. Of it nothing is told, since it may be of its password.
    """
    with contextlib.suppress(psycopg.Error, ValueError):
        settings: dict[str, Any] = {**_CONNECTION, **conninfo_to_dict(connection_string)}
        settings["connect_timeout"] = int(settings["connect_timeout"])
        hosts, ports, name = (str(settings.get(key, "")) for key in ("host", "port", "dbname"))
        # Where a password in a URI has an "@" or "/" as it is, its end is taken for one of these.
        if all("@" not in host[1:] for host in hosts.split(",")) and set(ports) <= set("0123456789,") and "@" not in name:
            return settings
    raise ValueError("no connection string of PostgreSQL: quote a value with spaces; in a URI, write special characters as %XX")


def with_options(settings: dict[str, Any], before: Mapping[str, object], after: Mapping[str, object]) -> dict[str, Any]:
    """Return the settings with those of the session `before` and `after` the string's own, which each later one overrides."""
    first, last = ([f"-c {name}={value}" for name, value in each.items()] for each in (before, after))
    return settings | {"options": " ".join([*first, settings.get("options", ""), *last]), "client_encoding": "UTF8"}


def named(settings: dict[str, Any]) -> str:
    """Return the name of a database in messages, which has no secret in it."""
    host, port, name = (settings.get(key) for key in ("host", "port", "dbname"))
    return f"PostgreSQL {name or ''} at {host or 'its socket'}:{port or 5432}"
