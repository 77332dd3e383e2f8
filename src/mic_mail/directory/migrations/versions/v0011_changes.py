"""Add orders of directory changes, levels of positions, signatories, ends of units and of aliases."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "position_level",
        sa.Column("title", sa.String(255), nullable=False),
        sa.Column("level", sa.String(16), nullable=True),
        sa.PrimaryKeyConstraint("title", name=op.f("pk_position_level")),
    )
    op.create_table(
        "signatory",
        sa.Column("signatory_id", sa.Integer(), nullable=False),
        sa.Column("full_name", sa.String(255), nullable=False),
        sa.Column("position", sa.String(255), nullable=False),
        sa.Column("since", sa.Date(), nullable=False),
        sa.Column("until", sa.Date(), nullable=True),
        sa.Column("document", sa.String(255), nullable=False),
        sa.Column("end_document", sa.String(255), nullable=True),
        sa.PrimaryKeyConstraint("signatory_id", name=op.f("pk_signatory")),
    )
    op.create_table(
        "change_order",
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("act", sa.String(16), nullable=False),
        sa.Column("details", sa.String(), nullable=False),
        sa.Column("effective_at", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(255), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("document", sa.String(255), nullable=True),
        sa.Column("request_id", sa.Integer(), nullable=True),
        sa.Column("applied_at", sa.BigInteger(), nullable=True),
        sa.Column("cancelled_at", sa.BigInteger(), nullable=True),
        sa.Column("hindrance", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["request_id"], ["request.request_id"], name=op.f("fk_change_order_request_id_request")),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_change_order")),
        sa.UniqueConstraint("request_id", name=op.f("uq_change_order_request_id")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "directory_change",
        sa.Column("change_id", sa.Integer(), nullable=False),
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("subject", sa.String(16), nullable=False),
        sa.Column("key", sa.String(320), nullable=False),
        sa.Column("field", sa.String(32), nullable=False),
        sa.Column("old", sa.String(), nullable=True),
        sa.Column("new", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["order_id"], ["change_order.order_id"], name=op.f("fk_directory_change_order_id_change_order")
        ),
        sa.PrimaryKeyConstraint("change_id", name=op.f("pk_directory_change")),
    )
    op.create_index(op.f("ix_directory_change_order_id"), "directory_change", ["order_id"])
    op.create_index(op.f("ix_directory_change_subject_key"), "directory_change", ["subject", "key"])
    op.add_column("address", sa.Column("until", sa.Date(), nullable=True))
    op.add_column("unit", sa.Column("ended_on", sa.Date(), nullable=True))
    op.add_column("unit", sa.Column("successor_id", sa.Integer(), nullable=True))
