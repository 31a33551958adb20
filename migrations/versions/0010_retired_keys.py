"""signing keys that are retired; an index to find portal sessions that are long over

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

INDEX = "ix_web_sessions_started_at"


def upgrade() -> None:
    op.add_column("signing_keys", sa.Column("retired_at", sa.DateTime(timezone=True)))
    op.create_index(INDEX, "web_sessions", ["started_at"])


def downgrade() -> None:
    op.drop_index(INDEX, table_name="web_sessions")
    op.drop_column("signing_keys", "retired_at")
