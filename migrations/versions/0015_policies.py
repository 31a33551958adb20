"""policies of the installation and of organisations

Revision ID: 0015
Revises: 0014
"""

import sqlalchemy as sa
from alembic import op

from app.models.types import UTCDateTime

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "policies",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("organisation_id", sa.String(64)),
        sa.Column("rules", sa.JSON(), nullable=False),
        sa.Column("changed_at", UTCDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name="fk_policies_organisation_id_organisations",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_policies"),
        sa.UniqueConstraint("organisation_id", name="uq_policies_organisation_id"),
    )


def downgrade() -> None:
    op.drop_table("policies")
