"""Passwords of single devices and programs, second factors of mailboxes and officers, and their recovery codes."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "app_password",
        sa.Column("mailbox_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=True),
        sa.Column("digest", sa.LargeBinary(), nullable=True),
        sa.Column("scram_salt", sa.LargeBinary(), nullable=True),
        sa.Column("scram_iterations", sa.Integer(), nullable=True),
        sa.Column("scram_stored_key", sa.LargeBinary(), nullable=True),
        sa.Column("scram_server_key", sa.LargeBinary(), nullable=True),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.Column("used_door", sa.String(16), nullable=True),
        sa.Column("used_network", sa.String(64), nullable=True),
        sa.ForeignKeyConstraint(["mailbox_id"], ["mailbox.mailbox_id"], name=op.f("fk_app_password_mailbox_id_mailbox")),
        sa.PrimaryKeyConstraint("mailbox_id", "number", name=op.f("pk_app_password")),
    )
    op.create_table(
        "second_factor",
        sa.Column("holder", sa.String(320), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("set_at", sa.BigInteger(), nullable=False),
        sa.Column("last_step", sa.BigInteger(), nullable=False),
        sa.Column("wrong", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("holder", name=op.f("pk_second_factor")),
    )
    op.create_table(
        "recovery_code",
        sa.Column("holder", sa.String(320), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("holder", "digest", name=op.f("pk_recovery_code")),
    )
