"""people: names, last sign-ins, one-time links, and where browsers are signed in from

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

from app.models.types import UTCDateTime

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

LAST_SIGN_IN = """
UPDATE users SET search_text = email, last_sign_in_at = (
  SELECT max(started_at) FROM (
    SELECT user_id, started_at FROM web_sessions
    UNION ALL SELECT user_id, started_at FROM agent_sessions
  ) AS sign_ins WHERE user_id = users.id
)
"""


NEW = {
    "users": (
        sa.Column("name", sa.String(200), nullable=False, server_default=""),
        sa.Column("search_text", sa.Text(), nullable=False, server_default=""),
        sa.Column("last_sign_in_at", UTCDateTime(timezone=True)),
    ),
    "web_sessions": (
        sa.Column("address", sa.String(45), nullable=False, server_default=""),
        sa.Column("browser", sa.String(50), nullable=False, server_default=""),
    ),
}


def upgrade() -> None:
    for table, columns in NEW.items():
        for column in columns:
            op.add_column(table, column)
    op.execute(LAST_SIGN_IN)
    op.create_table(
        "one_time_links",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("made_at", UTCDateTime(timezone=True), nullable=False),
        sa.Column("expires_at", UTCDateTime(timezone=True), nullable=False),
        sa.Column("ended_at", UTCDateTime(timezone=True)),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_one_time_links_user_id_users")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_one_time_links")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_one_time_links_token_hash")),
    )
    op.create_index(op.f("ix_one_time_links_user_id"), "one_time_links", ["user_id"])


def downgrade() -> None:
    op.drop_table("one_time_links")
    for table, columns in NEW.items():
        for column in columns:
            op.drop_column(table, column.name)
