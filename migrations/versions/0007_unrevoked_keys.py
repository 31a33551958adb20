"""the keys that are not revoked, by their end

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

INDEX = "ix_temporary_licenses_unrevoked"
NOT_REVOKED = sa.text("revoked_at IS NULL")


def upgrade() -> None:
    op.create_index(
        INDEX,
        "temporary_licenses",
        ["expires_at", "issued_at", "organisation_id"],
        sqlite_where=NOT_REVOKED,
        postgresql_where=NOT_REVOKED,
    )


def downgrade() -> None:
    op.drop_index(INDEX, table_name="temporary_licenses")
