"""No pooler may stand between: settings, locks and prepared statements belong to one session of the server."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mic_mail.storage.errors import NotOurs
from mic_mail.storage.index.postgresql.creation import create
from mic_mail.storage.index.postgresql.database import Database
from postgresql_server import PostgresqlServer
from programs import need
from waiting import wait_for

pytestmark = pytest.mark.needs_tool("postgres", "pgbouncer")


@pytest.fixture(params=["session", "transaction"])
def pooled(request: pytest.FixtureRequest, server: PostgresqlServer) -> Iterator[str]:
    """The connection string of a PgBouncer before the server, in one of its modes; its socket lies beside the server's."""
    folder = server.folder / f"pooler-{request.param}"
    folder.mkdir()
    (folder / "users").write_text('"test" ""\n')
    (folder / "pgbouncer.ini").write_text(f"""[databases]
postgres = host={server.folder} user=test
[pgbouncer]
pool_mode = {request.param}
listen_addr =
unix_socket_dir = {folder}
auth_type = trust
auth_file = {folder}/users
ignore_startup_parameters = options
""")
    if os.geteuid() == 0:
        os.chown(folder, server.folder.stat().st_uid, -1)
    process = subprocess.Popen([need("pgbouncer"), "-q", folder / "pgbouncer.ini"], **server.how)
    try:
        wait_for(lambda: Path(folder, ".s.PGSQL.6432").exists())
        yield f"host={folder} port=6432 user=test dbname=postgres"
    finally:
        process.terminate()
        process.wait(60)


def test_a_pooler_is_refused(pooled: str) -> None:
    """Where tables would be made, and at each connection: it may have come since."""
    with closing(Database(pooled)) as database:
        with pytest.raises(NotOurs, match=r"a pooler answers .*name the host and port of PostgreSQL itself"):
            create(database)
        with pytest.raises(NotOurs, match="a pooler answers"), database.reading():
            pass
        assert not database.is_open
