"""wrong passwords are counted under a keyed hash of the account

What was counted before, in clear, is forgotten.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

import app.models.types

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_table("sign_in_failures")
    _create("account_hash", 64)


def downgrade() -> None:
    op.drop_table("sign_in_failures")
    _create("account", 254)


def _create(account: str, length: int) -> None:
    op.create_table(
        "sign_in_failures",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column(account, sa.String(length=length), nullable=False),
        sa.Column("address", sa.String(length=45), nullable=False),
        sa.Column("failed_at", app.models.types.UTCDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sign_in_failures")),
    )
    with op.batch_alter_table("sign_in_failures", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f(f"ix_sign_in_failures_{account}_address_failed_at"),
            [account, "address", "failed_at"],
            unique=False,
        )
        batch_op.create_index(
            batch_op.f("ix_sign_in_failures_address_failed_at"),
            ["address", "failed_at"],
            unique=False,
        )
