"""Who an officer is in the directory; requests to open the content of a mailbox, and the exports under them."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("officer") as officer:
        officer.add_column(sa.Column("person_id", sa.Integer(), nullable=True))
        officer.create_foreign_key(op.f("fk_officer_person_id_person"), "person", ["person_id"], ["person_id"])
    op.create_table(
        "content_access",
        sa.Column("access_id", sa.Integer(), nullable=False),
        sa.Column("mailbox_id", sa.Integer(), nullable=False),
        sa.Column("folder", sa.String(), nullable=True),
        sa.Column("since", sa.Date(), nullable=True),
        sa.Column("until", sa.Date(), nullable=True),
        sa.Column("expunged", sa.Boolean(), nullable=False),
        sa.Column("officer", sa.String(255), nullable=False),
        sa.Column("login", sa.String(255), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("document", sa.String(255), nullable=False),
        sa.Column("verdict", sa.String(16), nullable=True),
        sa.Column("decided_by", sa.String(255), nullable=True),
        sa.Column("decided_login", sa.String(255), nullable=True),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.Column("decision_reason", sa.String(), nullable=True),
        sa.Column("decision_document", sa.String(255), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["mailbox_id"], ["mailbox.mailbox_id"], name=op.f("fk_content_access_mailbox_id_mailbox")),
        sa.PrimaryKeyConstraint("access_id", name=op.f("pk_content_access")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_content_access_mailbox_id"), "content_access", ["mailbox_id"])
    op.create_table(
        "content_export",
        sa.Column("export_id", sa.Integer(), nullable=False),
        sa.Column("access_id", sa.Integer(), nullable=False),
        sa.Column("officer", sa.String(255), nullable=False),
        sa.Column("begun_at", sa.BigInteger(), nullable=False),
        sa.Column("staging", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("messages", sa.Integer(), nullable=True),
        sa.Column("octets", sa.BigInteger(), nullable=True),
        sa.Column("digest", sa.String(64), nullable=True),
        sa.ForeignKeyConstraint(
            ["access_id"], ["content_access.access_id"], name=op.f("fk_content_export_access_id_content_access")
        ),
        sa.PrimaryKeyConstraint("export_id", name=op.f("pk_content_export")),
    )
    op.create_index(op.f("ix_content_export_access_id"), "content_export", ["access_id"])
