"""what a key carries: reason, ticket, recipient, start, sign-ins, first machine, use within

Revision ID: 0014
Revises: 0012
"""

import sqlalchemy as sa
from alembic import op

from app.models.types import UTCDateTime

revision = "0014"
down_revision = "0012"
branch_labels = None
depends_on = None

TABLE = "temporary_licenses"
RECIPIENT = "fk_temporary_licenses_recipient_id"
BY_END = "ix_temporary_licenses_by_end"
UNUSED = "ix_temporary_licenses_unused"
OF_ORGANISATION = "ix_temporary_licenses_organisation_id_{}"
HAS_USE_BY = sa.text("use_by IS NOT NULL")

FROM_THEN_ON = ("starts_at", "ends_at")
"""Every key has them: of an older one they are its issue and its expiry."""
NEW = (
    sa.Column("first_ttl_seconds", sa.Integer()),
    *(sa.Column(name, UTCDateTime(timezone=True)) for name in FROM_THEN_ON),
    sa.Column("reason", sa.String(500), nullable=False, server_default=""),
    sa.Column("ticket", sa.String(64), nullable=False, server_default=""),
    sa.Column("recipient_id", sa.Integer()),
    sa.Column("sign_ins_allowed", sa.Integer()),
    sa.Column("sign_ins_used", sa.Integer(), nullable=False, server_default="0"),
    sa.Column("first_machine", sa.Boolean(), nullable=False, server_default=sa.false()),
    sa.Column("bound_mac_id", sa.String(17), nullable=False, server_default=""),
    sa.Column("bound_machine_id", sa.String(128), nullable=False, server_default=""),
    sa.Column("use_by", UTCDateTime(timezone=True)),
)


def upgrade() -> None:
    for column in NEW:
        op.add_column(TABLE, column)
    op.execute(f"UPDATE {TABLE} SET starts_at = issued_at, ends_at = expires_at")
    op.drop_index(BY_END, table_name=TABLE)
    op.drop_index(OF_ORGANISATION.format("expires_at"), table_name=TABLE)
    with op.batch_alter_table(TABLE) as batch:
        for name in FROM_THEN_ON:
            batch.alter_column(name, existing_type=UTCDateTime(timezone=True), nullable=False)
        batch.create_foreign_key(RECIPIENT, "users", ["recipient_id"], ["id"])
    op.create_index(BY_END, TABLE, ["ends_at", "revoked_at", "starts_at", "organisation_id"])
    op.create_index(OF_ORGANISATION.format("ends_at"), TABLE, ["organisation_id", "ends_at"])
    op.create_index(
        UNUSED, TABLE, ["ends_at"], sqlite_where=HAS_USE_BY, postgresql_where=HAS_USE_BY
    )
    more = sa.Column("more_options", sa.Boolean(), nullable=False, server_default=sa.false())
    op.add_column("users", more)


def downgrade() -> None:
    op.drop_column("users", "more_options")
    op.drop_index(UNUSED, table_name=TABLE)
    op.drop_index(OF_ORGANISATION.format("ends_at"), table_name=TABLE)
    op.drop_index(BY_END, table_name=TABLE)
    with op.batch_alter_table(TABLE) as batch:
        batch.drop_constraint(RECIPIENT, type_="foreignkey")
        for column in NEW:
            batch.drop_column(column.name)
    op.create_index(OF_ORGANISATION.format("expires_at"), TABLE, ["organisation_id", "expires_at"])
    op.create_index(BY_END, TABLE, ["expires_at", "revoked_at", "issued_at", "organisation_id"])
