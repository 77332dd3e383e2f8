"""What verified former passwords, so that none of them comes back too soon (Reg. 15.2)."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "former_credential",
        sa.Column("mailbox_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("argon2", sa.String(255), nullable=False),
        sa.ForeignKeyConstraint(["mailbox_id"], ["mailbox.mailbox_id"], name=op.f("fk_former_credential_mailbox_id_mailbox")),
        sa.PrimaryKeyConstraint("mailbox_id", "version", name=op.f("pk_former_credential")),
    )
