"""the audit log's tree, and what else an event says of who did it

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

from app.models.types import UTCDateTime

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

EVENTS = "audit_events"
OLD_INDEXES = {
    "ix_audit_events_happened_at": ["happened_at"],
    "ix_audit_events_organisation_id_happened_at": ["organisation_id", "happened_at"],
}
NEW_INDEXES = {
    "ix_audit_events_happened_at_id": ["happened_at", "id"],
    "ix_audit_events_organisation_id_happened_at_id": ["organisation_id", "happened_at", "id"],
    "ix_audit_events_actor_happened_at_id": ["actor", "happened_at", "id"],
    "ix_audit_events_tag_happened_at_id": ["tag", "happened_at", "id"],
}
BY_KEY = "ix_audit_events_key_id_happened_at_id"
OF_A_KEY = "('license.issued', 'license.viewed', 'license.copied', 'license.revoked')"
IN_DATA = {"sqlite": "json_extract(data, '$.key_id')", "postgresql": "data->>'key_id'"}


def upgrade() -> None:
    for name, length in (("role", 16), ("request_id", 64), ("key_id", 16)):
        op.add_column(EVENTS, sa.Column(name, sa.String(length), nullable=False, server_default=""))
    in_data = IN_DATA[op.get_bind().dialect.name]
    op.execute(f"UPDATE {EVENTS} SET key_id = subject WHERE tag IN {OF_A_KEY}")
    op.execute(
        f"UPDATE {EVENTS} SET key_id = {in_data} "
        f"WHERE tag NOT IN {OF_A_KEY} AND COALESCE({in_data}, '') <> ''"
    )
    for name in OLD_INDEXES:
        op.drop_index(name, table_name=EVENTS)
    for name, columns in NEW_INDEXES.items():
        op.create_index(name, EVENTS, columns)
    has_key = sa.text("key_id <> ''")
    op.create_index(
        BY_KEY,
        EVENTS,
        ["key_id", "happened_at", "id"],
        sqlite_where=has_key,
        postgresql_where=has_key,
    )
    op.create_table(
        "audit_leaves",
        sa.Column("place", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("event_id", sa.Integer, nullable=False),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
        sa.PrimaryKeyConstraint("place", name="pk_audit_leaves"),
        sa.UniqueConstraint("event_id", name="uq_audit_leaves_event_id"),
    )
    op.create_table(
        "audit_tiles",
        sa.Column("place", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
        sa.PrimaryKeyConstraint("place", name="pk_audit_tiles"),
    )
    op.create_table(
        "audit_checkpoints",
        sa.Column("size", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("signed_at", UTCDateTime(timezone=True), nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("size", name="pk_audit_checkpoints"),
    )
    op.add_column(
        "installation",
        sa.Column("audit_log_key", sa.String(200), nullable=False, server_default=""),
    )


def downgrade() -> None:
    op.drop_column("installation", "audit_log_key")
    for table in ("audit_checkpoints", "audit_tiles", "audit_leaves"):
        op.drop_table(table)
    for name in (*NEW_INDEXES, BY_KEY):
        op.drop_index(name, table_name=EVENTS)
    for name, columns in OLD_INDEXES.items():
        op.create_index(name, EVENTS, columns)
    for name in ("key_id", "request_id", "role"):
        op.drop_column(EVENTS, name)
