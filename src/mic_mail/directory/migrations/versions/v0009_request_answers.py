"""To whom each mail that opened requests is answered, and the messages to which the reader of a mailbox has to come back."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("request_mail", sa.Column("sender", sa.String(255), nullable=True))
    op.add_column("request_mail", sa.Column("unit_id", sa.Integer(), nullable=True))
    op.add_column("request_mail", sa.Column("message_id", sa.String(), nullable=True))
    op.create_table(
        "reading_debt",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("uid", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("tried_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", "uid", name=op.f("pk_reading_debt")),
    )
