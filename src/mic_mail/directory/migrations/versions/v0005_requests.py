"""The register of requests, and how far the mailbox to which they come was read."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "request",
        sa.Column("request_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("channel", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("asker", sa.String(255), nullable=False),
        sa.Column("unit_id", sa.Integer(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.String(255), nullable=True),
        sa.Column("document_date", sa.Date(), nullable=True),
        sa.Column("items", sa.String(), nullable=False),
        sa.Column("opened_by", sa.String(255), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("batch", sa.String(255), nullable=True),
        sa.Column("row", sa.Integer(), nullable=True),
        sa.Column("handler", sa.String(255), nullable=True),
        sa.Column("handled_at", sa.BigInteger(), nullable=True),
        sa.Column("result", sa.String(), nullable=True),
        sa.Column("hindrance", sa.String(), nullable=True),
        sa.Column("person_id", sa.Integer(), nullable=True),
        sa.Column("mailbox_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["unit_id"], ["unit.unit_id"], name=op.f("fk_request_unit_id_unit")),
        sa.ForeignKeyConstraint(["person_id"], ["person.person_id"], name=op.f("fk_request_person_id_person")),
        sa.ForeignKeyConstraint(["mailbox_id"], ["mailbox.mailbox_id"], name=op.f("fk_request_mailbox_id_mailbox")),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_request")),
        sa.UniqueConstraint("batch", "row", name=op.f("uq_request_batch_row")),
    )
    op.create_index(op.f("ix_request_state"), "request", ["state"])
    op.create_index(op.f("ix_request_unit_id"), "request", ["unit_id"])
    op.create_table(
        "request_mail",
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("read_at", sa.BigInteger(), nullable=False),
        sa.Column("outcomes", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_request_mail")),
    )
    op.create_table(
        "reading_mark",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("uidvalidity", sa.BigInteger(), nullable=False),
        sa.Column("uid", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_reading_mark")),
    )
