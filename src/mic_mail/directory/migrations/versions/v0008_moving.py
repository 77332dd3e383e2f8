"""Units that still use another mail system, and their plans to leave it."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "elsewhere",
        sa.Column("plan_id", sa.Integer(), nullable=False),
        sa.Column("unit_id", sa.Integer(), nullable=False),
        sa.Column("system", sa.String(255), nullable=False),
        sa.Column("mailboxes", sa.Integer(), nullable=False),
        sa.Column("planned_on", sa.Date(), nullable=False),
        sa.Column("contact", sa.String(255), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(255), nullable=False),
        sa.Column("document", sa.String(255), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_by", sa.String(255), nullable=True),
        sa.Column("done", sa.Boolean(), nullable=False),
        sa.Column("end_document", sa.String(255), nullable=True),
        sa.ForeignKeyConstraint(["unit_id"], ["unit.unit_id"], name=op.f("fk_elsewhere_unit_id_unit")),
        sa.PrimaryKeyConstraint("plan_id", name=op.f("pk_elsewhere")),
    )
    op.create_index(op.f("ix_elsewhere_unit_id"), "elsewhere", ["unit_id"])
