"""what finds keys of all organisations; the TTL chosen last, projects as rows or cards

Revision ID: 0020
Revises: 0019
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

TABLE = "temporary_licenses"
INDEXES = (
    ("ix_temporary_licenses_issued_by_id_ends_at", ["issued_by_id", "ends_at"], None),
    ("ix_temporary_licenses_revoked_by_end", ["ends_at"], "revoked_at"),
    ("ix_temporary_licenses_counted", ["ends_at"], "sign_ins_allowed"),
)
"""Their names, their columns, and the column which a key must have to be in them."""


def upgrade() -> None:
    for name, columns, has in INDEXES:
        where = sa.text(f"{has} IS NOT NULL") if has else None
        op.create_index(name, TABLE, columns, sqlite_where=where, postgresql_where=where)
    op.add_column("users", sa.Column("last_ttl", sa.Integer()))
    rows = sa.Column("projects_as_rows", sa.Boolean(), nullable=False, server_default=sa.false())
    op.add_column("users", rows)


def downgrade() -> None:
    op.drop_column("users", "projects_as_rows")
    op.drop_column("users", "last_ttl")
    for name, _, _ in INDEXES:
        op.drop_index(name, table_name=TABLE)
