"""an organisation's revoked keys, the latest first

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

INDEX = "ix_temporary_licenses_revoked"
ONLY_REVOKED = sa.text("revoked_at IS NOT NULL")


def upgrade() -> None:
    op.create_index(
        INDEX,
        "temporary_licenses",
        ["organisation_id", "revoked_at"],
        sqlite_where=ONLY_REVOKED,
        postgresql_where=ONLY_REVOKED,
    )


def downgrade() -> None:
    op.drop_index(INDEX, table_name="temporary_licenses")
