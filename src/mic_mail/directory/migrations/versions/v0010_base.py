"""The oldest schema that is migrated.

Empty: `directory.migrate` creates the tables of a new database from `directory.model`, as they are at the newest revision.
"""

revision = "0010"
down_revision = None
branch_labels = None
depends_on = None
