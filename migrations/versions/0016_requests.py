"""requests for temporary keys

Revision ID: 0016
Revises: 0015
"""

import sqlalchemy as sa
from alembic import op

from app.models.types import UTCDateTime

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "requests",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("organisation_id", sa.String(64), nullable=False),
        sa.Column("asked_by_id", sa.Integer(), nullable=False),
        sa.Column("asked_at", UTCDateTime(timezone=True), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("extends_id", sa.Integer()),
        sa.Column("form_token", sa.String(64)),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("decided_at", UTCDateTime(timezone=True)),
        sa.Column("decided_by_id", sa.Integer()),
        sa.Column("answer", sa.String(500), nullable=False, server_default=""),
        sa.Column("license_id", sa.Integer()),
        *(
            sa.ForeignKeyConstraint([column], [f"{table}.id"], name=f"fk_requests_{column}_{table}")
            for column, table in (
                ("asked_by_id", "users"),
                ("extends_id", "temporary_licenses"),
                ("decided_by_id", "users"),
                ("license_id", "temporary_licenses"),
            )
        ),
        sa.PrimaryKeyConstraint("id", name="pk_requests"),
        sa.UniqueConstraint("form_token", name="uq_requests_form_token"),
    )
    op.create_index("ix_requests_state_asked_at", "requests", ["state", "asked_at"])


def downgrade() -> None:
    op.drop_table("requests")
