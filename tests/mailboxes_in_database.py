"""Servers of tests whose mailboxes lie in PostgreSQL: `pytest --in-database`.

Each configuration of a test (`harness.config_for`) then has a database of its own, in one server of the run. A client gets the
same answers there; tests of files, the journal and foreign tools fail.
"""

import contextlib
import itertools
import os

import psycopg

from postgresql_server import PostgresqlServer, postgresql_server

SWITCH = "MIC_MAIL_TESTS_IN_DATABASE"
_names = itertools.count(1)
_stack = contextlib.ExitStack()
_servers: list[PostgresqlServer] = []


def is_chosen() -> bool:
    """Whether this run is one of those."""
    return SWITCH in os.environ


def new_database() -> str:
    """The URL of an empty database."""
    if not _servers:
        _servers.append(_stack.enter_context(postgresql_server(max_connections="200")))
    name = f"mail{next(_names)}"
    with psycopg.connect(_servers[0].connection_string, autocommit=True) as driver:
        driver.execute(f"CREATE DATABASE {name}".encode())
    return f"postgresql://test@/{name}?host={_servers[0].folder}"


def end() -> None:
    """Stop the server."""
    _servers.clear()
    _stack.close()
