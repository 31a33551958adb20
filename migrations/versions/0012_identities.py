"""identities at an OpenID provider, and the sign-ins that came from there

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op

from app.models.types import UTCDateTime

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "identities",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("issuer", sa.String(255), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("tied_at", UTCDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_identities_user_id_users"),
        sa.PrimaryKeyConstraint("id", name="pk_identities"),
        sa.UniqueConstraint("issuer", "subject", name="uq_identities_issuer_subject"),
        sa.UniqueConstraint("user_id", "issuer", name="uq_identities_user_id_issuer"),
    )
    op.add_column("web_sessions", sa.Column("provider_session", sa.String(255)))
    op.create_index("ix_web_sessions_provider_session", "web_sessions", ["provider_session"])
    lets_in = sa.Column("lets_in", sa.Boolean(), nullable=False, server_default=sa.false())
    op.add_column("one_time_links", lets_in)


def downgrade() -> None:
    op.drop_column("one_time_links", "lets_in")
    op.drop_index("ix_web_sessions_provider_session", "web_sessions")
    op.drop_column("web_sessions", "provider_session")
    op.drop_table("identities")
