"""The register of incidents, and which lines of a census units dispute."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "incident",
        sa.Column("incident_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("reporter", sa.String(255), nullable=False),
        sa.Column("unit_id", sa.Integer(), nullable=True),
        sa.Column("channel", sa.String(16), nullable=True),
        sa.Column("document", sa.String(255), nullable=True),
        sa.Column("began_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("units", sa.String(), nullable=False),
        sa.Column("mailboxes", sa.String(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("opened_by", sa.String(255), nullable=False),
        sa.Column("request_id", sa.Integer(), nullable=True),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.Column("closed_by", sa.String(255), nullable=True),
        sa.Column("result", sa.String(), nullable=True),
        sa.Column("report", sa.String(255), nullable=True),
        sa.ForeignKeyConstraint(["unit_id"], ["unit.unit_id"], name=op.f("fk_incident_unit_id_unit")),
        sa.ForeignKeyConstraint(["request_id"], ["request.request_id"], name=op.f("fk_incident_request_id_request")),
        sa.PrimaryKeyConstraint("incident_id", name=op.f("pk_incident")),
        sa.UniqueConstraint("request_id", name=op.f("uq_incident_request_id")),
    )
    op.create_table(
        "incident_note",
        sa.Column("note_id", sa.Integer(), nullable=False),
        sa.Column("incident_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(255), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("measure", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["incident_id"], ["incident.incident_id"], name=op.f("fk_incident_note_incident_id_incident")),
        sa.PrimaryKeyConstraint("note_id", name=op.f("pk_incident_note")),
    )
    op.create_index(op.f("ix_incident_note_incident_id"), "incident_note", ["incident_id"])
    op.create_table(
        "incident_downtime",
        sa.Column("incident_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("downtime_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(
            ["incident_id"], ["incident.incident_id"], name=op.f("fk_incident_downtime_incident_id_incident")
        ),
        sa.ForeignKeyConstraint(
            ["downtime_id"], ["downtime.downtime_id"], name=op.f("fk_incident_downtime_downtime_id_downtime")
        ),
        sa.PrimaryKeyConstraint("incident_id", "downtime_id", name=op.f("pk_incident_downtime")),
    )
    _disputes()


def _disputes() -> None:
    op.create_table(
        "census_dispute",
        sa.Column("request_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("census_id", sa.Integer(), nullable=False),
        sa.Column("line", sa.String(64), nullable=False),
        sa.ForeignKeyConstraint(["request_id"], ["request.request_id"], name=op.f("fk_census_dispute_request_id_request")),
        sa.ForeignKeyConstraint(["census_id"], ["census.census_id"], name=op.f("fk_census_dispute_census_id_census")),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_census_dispute")),
    )
    op.create_index(op.f("ix_census_dispute_census_id"), "census_dispute", ["census_id"])
