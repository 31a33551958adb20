"""My access: whose keys, whose requests, and when a key was collected

Revision ID: 0017
Revises: 0016
"""

import sqlalchemy as sa
from alembic import op

from app.models.types import UTCDateTime

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("temporary_licenses", sa.Column("collected_at", UTCDateTime(timezone=True)))
    op.create_index(
        "ix_temporary_licenses_of_recipient",
        "temporary_licenses",
        ["recipient_id", "ends_at"],
        sqlite_where=sa.text("recipient_id IS NOT NULL"),
        postgresql_where=sa.text("recipient_id IS NOT NULL"),
    )
    op.create_index("ix_requests_asked_by_id", "requests", ["asked_by_id"])


def downgrade() -> None:
    op.drop_index("ix_requests_asked_by_id", "requests")
    op.drop_index("ix_temporary_licenses_of_recipient", "temporary_licenses")
    op.drop_column("temporary_licenses", "collected_at")
