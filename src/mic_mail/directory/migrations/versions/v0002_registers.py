"""The working calendar, the officers, and which notices went out."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "calendar_year",
        sa.Column("year", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("off", sa.String(), nullable=False),
        sa.Column("worked", sa.String(), nullable=False),
        sa.Column("document", sa.String(255), nullable=True),
        sa.Column("provisional", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("year", name=op.f("pk_calendar_year")),
    )
    op.create_table(
        "officer",
        sa.Column("officer_id", sa.Integer(), nullable=False),
        sa.Column("login", sa.String(255), nullable=False),
        sa.Column("full_name", sa.String(255), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("unit_id", sa.Integer(), nullable=True),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.Column("document", sa.String(255), nullable=True),
        sa.ForeignKeyConstraint(["unit_id"], ["unit.unit_id"], name=op.f("fk_officer_unit_id_unit")),
        sa.PrimaryKeyConstraint("officer_id", name=op.f("pk_officer")),
    )
    op.create_index(op.f("ix_officer_login"), "officer", ["login"])
    op.create_table(
        "sent_notice",
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_sent_notice")),
    )
