"""The directory's first tables, and the triggers that keep facts as they were recorded."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "revision",
        sa.Column("revision_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("revision_id = 1", name=op.f("ck_revision_single_row")),
        sa.PrimaryKeyConstraint("revision_id", name=op.f("pk_revision")),
    )
    op.execute("INSERT INTO revision (revision_id, version) VALUES (1, 1)")
    op.create_table(
        "domain",
        sa.Column("name", sa.String(253), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_domain")),
    )
    _people()
    _mailboxes()
    if op.get_bind().dialect.name == "sqlite":
        for act in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER fact_no_{act.lower()} BEFORE {act} ON fact "
                "BEGIN SELECT RAISE(ABORT, 'facts are only ever appended'); END"
            )


def _people() -> None:
    op.create_table(
        "unit",
        sa.Column("unit_id", sa.Integer(), nullable=False),
        sa.Column("symbol", sa.String(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("parent_id", sa.Integer(), nullable=True),
        sa.Column("document", sa.String(255), nullable=True),
        sa.ForeignKeyConstraint(["parent_id"], ["unit.unit_id"], name=op.f("fk_unit_parent_id_unit")),
        sa.PrimaryKeyConstraint("unit_id", name=op.f("pk_unit")),
        sa.UniqueConstraint("symbol", name=op.f("uq_unit_symbol")),
    )
    op.create_index(op.f("ix_unit_parent_id"), "unit", ["parent_id"])
    op.create_table(
        "person",
        sa.Column("person_id", sa.Integer(), nullable=False),
        sa.Column("full_name", sa.String(255), nullable=False),
        sa.Column("unit_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.String(255), nullable=False),
        sa.Column("level", sa.String(16), nullable=True),
        sa.Column("employment", sa.String(32), nullable=False),
        sa.Column("contract_from", sa.Date(), nullable=True),
        sa.Column("contract_until", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(["unit_id"], ["unit.unit_id"], name=op.f("fk_person_unit_id_unit")),
        sa.PrimaryKeyConstraint("person_id", name=op.f("pk_person")),
    )
    op.create_index(op.f("ix_person_full_name"), "person", ["full_name"])
    op.create_index(op.f("ix_person_unit_id"), "person", ["unit_id"])


def _mailboxes() -> None:
    op.create_table(
        "mailbox",
        sa.Column("mailbox_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("home", sa.String(320), nullable=False),
        sa.Column("display_name", sa.String(255), nullable=False),
        sa.Column("quota_octets", sa.BigInteger(), nullable=False),
        sa.Column("person_id", sa.Integer(), nullable=True),
        sa.Column("unit_id", sa.Integer(), nullable=True),
        sa.Column("capabilities_hidden", sa.String(1024), nullable=False),
        sa.Column("changed_version", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.person_id"], name=op.f("fk_mailbox_person_id_person")),
        sa.ForeignKeyConstraint(["unit_id"], ["unit.unit_id"], name=op.f("fk_mailbox_unit_id_unit")),
        sa.PrimaryKeyConstraint("mailbox_id", name=op.f("pk_mailbox")),
        sa.UniqueConstraint("home", name=op.f("uq_mailbox_home")),
    )
    for column in ("person_id", "unit_id", "changed_version"):
        op.create_index(op.f(f"ix_mailbox_{column}"), "mailbox", [column])
    op.create_table(
        "address",
        sa.Column("address", sa.String(320), nullable=False),
        sa.Column("mailbox_id", sa.Integer(), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.ForeignKeyConstraint(["mailbox_id"], ["mailbox.mailbox_id"], name=op.f("fk_address_mailbox_id_mailbox")),
        sa.PrimaryKeyConstraint("address", name=op.f("pk_address")),
    )
    op.create_index(op.f("ix_address_mailbox_id"), "address", ["mailbox_id"])
    primary = sa.text("role = 'primary'")
    op.create_index(
        "uq_address_primary", "address", ["mailbox_id"], unique=True, sqlite_where=primary, postgresql_where=primary
    )
    op.create_table(
        "fact",
        sa.Column("fact_id", sa.Integer(), nullable=False),
        sa.Column("mailbox_id", sa.Integer(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("effective_at", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(255), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("document", sa.String(), nullable=True),
        sa.Column("data", sa.String(), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.ForeignKeyConstraint(["mailbox_id"], ["mailbox.mailbox_id"], name=op.f("fk_fact_mailbox_id_mailbox")),
        sa.PrimaryKeyConstraint("fact_id", name=op.f("pk_fact")),
        sa.UniqueConstraint("mailbox_id", "seq", name=op.f("uq_fact_mailbox_id_seq")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "credential",
        sa.Column("mailbox_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("argon2", sa.String(255), nullable=False),
        sa.Column("scram_salt", sa.LargeBinary(), nullable=True),
        sa.Column("scram_iterations", sa.Integer(), nullable=True),
        sa.Column("scram_stored_key", sa.LargeBinary(), nullable=True),
        sa.Column("scram_server_key", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["mailbox_id"], ["mailbox.mailbox_id"], name=op.f("fk_credential_mailbox_id_mailbox")),
        sa.PrimaryKeyConstraint("mailbox_id", name=op.f("pk_credential")),
    )
    op.create_table(
        "activity",
        sa.Column("mailbox_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("last_used_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["mailbox_id"], ["mailbox.mailbox_id"], name=op.f("fk_activity_mailbox_id_mailbox")),
        sa.PrimaryKeyConstraint("mailbox_id", name=op.f("pk_activity")),
    )
