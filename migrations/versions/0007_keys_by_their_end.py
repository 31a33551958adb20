"""the keys by their end, with all that decides whether one is active

Revision ID: 0007
Revises: 0006
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TABLE = "temporary_licenses"
OLD = "ix_temporary_licenses_expires_at"
NEW = "ix_temporary_licenses_by_end"


def upgrade() -> None:
    op.drop_index(OLD, table_name=TABLE)
    op.create_index(NEW, TABLE, ["expires_at", "revoked_at", "issued_at", "organisation_id"])


def downgrade() -> None:
    op.drop_index(NEW, table_name=TABLE)
    op.create_index(OLD, TABLE, ["expires_at"])
