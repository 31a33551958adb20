"""machines

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

import app.models.types

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:

    op.create_table(
        "installation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("machine_salt", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_installation")),
    )
    op.create_table(
        "key_inspections",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("address", sa.String(length=45), nullable=False),
        sa.Column("inspected_at", app.models.types.UTCDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_key_inspections")),
    )
    with op.batch_alter_table("key_inspections", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_key_inspections_address_inspected_at"),
            ["address", "inspected_at"],
            unique=False,
        )

    op.create_table(
        "feed_events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("organisation_id", sa.String(length=64), nullable=False),
        sa.Column("happened_at", app.models.types.UTCDateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("actor", sa.String(length=254), nullable=False),
        sa.Column("subject", sa.String(length=300), nullable=False),
        sa.Column("search_text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name=op.f("fk_feed_events_organisation_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feed_events")),
    )
    with op.batch_alter_table("feed_events", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_feed_events_organisation_id_id"), ["organisation_id", "id"], unique=False
        )

    op.create_table(
        "import_drafts",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("token", sa.String(length=64), nullable=False),
        sa.Column("file_name", sa.String(length=200), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("uploaded_at", app.models.types.UTCDateTime(timezone=True), nullable=False),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_import_drafts_user_id")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_import_drafts")),
    )
    op.create_table(
        "agents",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("organisation_id", sa.String(length=64), nullable=False),
        sa.Column("mac_id", sa.String(length=17), nullable=False),
        sa.Column("machine_id_hash", sa.String(length=64), nullable=False),
        sa.Column("hostname", sa.String(length=255), nullable=False),
        sa.Column("agent_version", sa.String(length=64), nullable=False),
        sa.Column("registered_at", app.models.types.UTCDateTime(timezone=True), nullable=False),
        sa.Column("registered_by_id", sa.Integer(), nullable=False),
        sa.Column("last_seen_at", app.models.types.UTCDateTime(timezone=True), nullable=False),
        sa.Column("detached_at", app.models.types.UTCDateTime(timezone=True), nullable=True),
        sa.Column("dissociated_at", app.models.types.UTCDateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name=op.f("fk_agents_organisation_id")
        ),
        sa.ForeignKeyConstraint(
            ["registered_by_id"], ["users.id"], name=op.f("fk_agents_registered_by_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agents")),
    )
    with op.batch_alter_table("agents", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_agents_organisation_id_dissociated_at"),
            ["organisation_id", "dissociated_at"],
            unique=False,
        )
        batch_op.create_index(
            "uq_agents_live_machine",
            ["mac_id", "machine_id_hash"],
            unique=True,
            sqlite_where=sa.text("dissociated_at IS NULL"),
            postgresql_where=sa.text("dissociated_at IS NULL"),
        )

    op.create_table(
        "configurations",
        sa.Column("organisation_id", sa.String(length=64), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("saved_at", app.models.types.UTCDateTime(timezone=True), nullable=False),
        sa.Column("saved_by_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name=op.f("fk_configurations_organisation_id"),
        ),
        sa.ForeignKeyConstraint(
            ["saved_by_id"], ["users.id"], name=op.f("fk_configurations_saved_by_id")
        ),
        sa.PrimaryKeyConstraint("organisation_id", name=op.f("pk_configurations")),
    )
    op.create_table(
        "permanent_licenses",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key_id", sa.String(length=16), nullable=False),
        sa.Column("organisation_id", sa.String(length=64), nullable=False),
        sa.Column("agent_id", sa.Integer(), nullable=False),
        sa.Column("kid", sa.String(length=8), nullable=False),
        sa.Column("payload_version", sa.Integer(), nullable=False),
        sa.Column("issued_at", app.models.types.UTCDateTime(timezone=True), nullable=False),
        sa.Column("issued_by_id", sa.Integer(), nullable=False),
        sa.Column("revoked_at", app.models.types.UTCDateTime(timezone=True), nullable=True),
        sa.Column("revoked_by_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_permanent_licenses_agent_id")
        ),
        sa.ForeignKeyConstraint(
            ["issued_by_id"], ["users.id"], name=op.f("fk_permanent_licenses_issued_by_id")
        ),
        sa.ForeignKeyConstraint(
            ["kid"], ["signing_keys.kid"], name=op.f("fk_permanent_licenses_kid")
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name=op.f("fk_permanent_licenses_organisation_id"),
        ),
        sa.ForeignKeyConstraint(
            ["revoked_by_id"], ["users.id"], name=op.f("fk_permanent_licenses_revoked_by_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_permanent_licenses")),
        sa.UniqueConstraint("agent_id", name=op.f("uq_permanent_licenses_agent_id")),
        sa.UniqueConstraint("key_id", name=op.f("uq_permanent_licenses_key_id")),
    )
    with op.batch_alter_table("permanent_licenses", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_permanent_licenses_organisation_id"), ["organisation_id"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_permanent_licenses_revoked_at"), ["revoked_at"], unique=False
        )

    with op.batch_alter_table("signing_keys", schema=None) as batch_op:
        batch_op.add_column(sa.Column("turn", sa.Integer(), server_default="0", nullable=False))

    with op.batch_alter_table("agent_sessions", schema=None) as batch_op:
        batch_op.add_column(sa.Column("agent_id", sa.Integer(), nullable=True))
        batch_op.add_column(
            sa.Column("machine_id_hash", sa.String(length=64), server_default="", nullable=False)
        )
        batch_op.add_column(
            sa.Column("told_at", app.models.types.UTCDateTime(timezone=True), nullable=True)
        )
        batch_op.add_column(
            sa.Column("confirmed_at", app.models.types.UTCDateTime(timezone=True), nullable=True)
        )
        batch_op.create_index(
            batch_op.f("ix_agent_sessions_agent_id_ended_at"),
            ["agent_id", "ended_at"],
            unique=False,
        )
        batch_op.create_index(
            batch_op.f("ix_agent_sessions_organisation_id_last_heard_at"),
            ["organisation_id", "last_heard_at"],
            unique=False,
        )
        batch_op.create_foreign_key(
            batch_op.f("fk_agent_sessions_agent_id"), "agents", ["agent_id"], ["id"]
        )


def downgrade() -> None:

    with op.batch_alter_table("agent_sessions", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("fk_agent_sessions_agent_id"), type_="foreignkey")
        batch_op.drop_index(batch_op.f("ix_agent_sessions_organisation_id_last_heard_at"))
        batch_op.drop_index(batch_op.f("ix_agent_sessions_agent_id_ended_at"))
        batch_op.drop_column("confirmed_at")
        batch_op.drop_column("told_at")
        batch_op.drop_column("machine_id_hash")
        batch_op.drop_column("agent_id")

    with op.batch_alter_table("signing_keys", schema=None) as batch_op:
        batch_op.drop_column("turn")

    with op.batch_alter_table("permanent_licenses", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_permanent_licenses_revoked_at"))
        batch_op.drop_index(batch_op.f("ix_permanent_licenses_organisation_id"))

    op.drop_table("permanent_licenses")
    op.drop_table("configurations")
    with op.batch_alter_table("agents", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_agents_live_machine",
            sqlite_where=sa.text("dissociated_at IS NULL"),
            postgresql_where=sa.text("dissociated_at IS NULL"),
        )
        batch_op.drop_index(batch_op.f("ix_agents_organisation_id_dissociated_at"))

    op.drop_table("agents")
    op.drop_table("import_drafts")
    with op.batch_alter_table("feed_events", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_feed_events_organisation_id_id"))

    op.drop_table("feed_events")
    with op.batch_alter_table("key_inspections", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_key_inspections_address_inspected_at"))

    op.drop_table("key_inspections")
    op.drop_table("installation")
