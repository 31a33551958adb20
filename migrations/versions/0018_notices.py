"""notices, webhooks, and the browsers that are known

Revision ID: 0018
Revises: 0017
"""

import sqlalchemy as sa
from alembic import op

from app.models.types import UTCDateTime

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "notices",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        _moment("happened_at", nullable=False),
        sa.Column("event_id", sa.Integer()),
        sa.Column("key_id", sa.String(16), nullable=False, server_default=""),
        sa.Column("sealed", sa.LargeBinary(500)),
        sa.PrimaryKeyConstraint("id", name="pk_notices"),
    )
    op.create_index("ix_notices_event_id", "notices", ["event_id"])
    _watch_keys()
    _add_webhooks()
    _add_deliveries()
    op.create_table(
        "known_browsers",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("token_hash", sa.String(64), nullable=False),
        _moment("last_seen_at", nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_known_browsers_user_id_users"),
        sa.PrimaryKeyConstraint("user_id", "token_hash", name="pk_known_browsers"),
    )
    op.create_index("ix_known_browsers_last_seen_at", "known_browsers", ["last_seen_at"])


def _watch_keys() -> None:
    """Keys that have not ended when this is installed are looked at in the first round."""
    op.create_table(
        "key_watches",
        sa.Column("key_id", sa.String(16), nullable=False),
        _moment("look_at", nullable=False),
        _moment("told_end"),
        sa.PrimaryKeyConstraint("key_id", name="pk_key_watches"),
    )
    op.create_index("ix_key_watches_look_at", "key_watches", ["look_at"])
    op.execute(
        "INSERT INTO key_watches (key_id, look_at) SELECT key_id, issued_at "
        "FROM temporary_licenses WHERE revoked_at IS NULL AND ends_at > CURRENT_TIMESTAMP"
    )


def _add_webhooks() -> None:
    op.create_table(
        "webhooks",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("address", sa.String(2000), nullable=False),
        sa.Column("events", sa.JSON(), nullable=False),
        sa.Column("sealed_secret", sa.LargeBinary(200), nullable=False),
        sa.Column("added_by_id", sa.Integer()),
        _moment("created_at", nullable=False),
        sa.ForeignKeyConstraint(
            ["added_by_id"], ["users.id"], name="fk_webhooks_added_by_id_users"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_webhooks"),
        sa.UniqueConstraint("address", name="uq_webhooks_address"),
    )


def _add_deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("message_id", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        _moment("happened_at", nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("webhook_id", sa.Integer()),
        sa.Column("address", sa.String(2000), nullable=False),
        sa.Column("sealed", sa.LargeBinary(500)),
        _moment("created_at", nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False, server_default="0"),
        _moment("next_try_at"),
        _moment("tried_at"),
        _moment("delivered_at"),
        _moment("given_up_at"),
        sa.Column("answer", sa.String(200), nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("id", name="pk_deliveries"),
        sa.UniqueConstraint("message_id", name="uq_deliveries_message_id"),
    )
    waiting = sa.text("next_try_at IS NOT NULL")
    op.create_index(
        "ix_deliveries_waiting",
        "deliveries",
        ["webhook_id", "next_try_at"],
        sqlite_where=waiting,
        postgresql_where=waiting,
    )
    op.create_index("ix_deliveries_last", "deliveries", ["webhook_id", "id"])
    op.create_index("ix_deliveries_delivered_at", "deliveries", ["delivered_at"])
    op.create_index("ix_deliveries_given_up_at", "deliveries", ["given_up_at"])


def _moment(name: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, UTCDateTime(timezone=True), nullable=nullable)


def downgrade() -> None:
    for table in ("known_browsers", "deliveries", "webhooks", "key_watches", "notices"):
        op.drop_table(table)
