"""The Alembic environment of the directory.

`directory.migrate.upgrade` passes a connection whose transaction is already open.
"""

from alembic import context
from sqlalchemy import Connection

from mic_mail.directory.register_model import ALL_TABLES

connection = context.config.attributes["connection"]
assert isinstance(connection, Connection)
context.configure(connection=connection, target_metadata=ALL_TABLES, render_as_batch=True, transactional_ddl=False)
context.run_migrations()
