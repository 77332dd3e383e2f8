"""Notices that a clock that was ahead has sent."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "void_notice",
        sa.Column("void_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("told", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("void_id", name=op.f("pk_void_notice")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_void_notice_key"), "void_notice", ["key"])
