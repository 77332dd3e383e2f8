"""The schema of the first release, from which later revisions migrate.

Empty: `directory.migrate` creates the tables of a new database from `directory.model`, as they are at the newest revision.
"""

revision = "0012"
down_revision = None
branch_labels = None
depends_on = None
