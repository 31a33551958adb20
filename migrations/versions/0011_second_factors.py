"""second factors, and when somebody last proved who they are

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op

from app.models.types import UTCDateTime

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("web_sessions") as sessions:
        sessions.add_column(sa.Column("proven_at", UTCDateTime(timezone=True)))
    op.execute("UPDATE web_sessions SET proven_at = started_at")
    with op.batch_alter_table("web_sessions") as sessions:
        sessions.alter_column("proven_at", nullable=False)
    _of_a_user(
        "authenticators",
        sa.Column("sealed_secret", sa.LargeBinary(100), nullable=False),
        sa.Column("set_up_at", UTCDateTime(timezone=True), nullable=False),
        key=("user_id",),
    )
    _of_a_user(
        "used_codes",
        sa.Column("step", sa.Integer(), autoincrement=False, nullable=False),
        key=("user_id", "step"),
    )
    _of_a_user(
        "recovery_codes",
        sa.Column("code_hash", sa.String(64), nullable=False),
        key=("user_id", "code_hash"),
    )
    _of_a_user(
        "passkeys",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("credential_id", sa.LargeBinary(1023), nullable=False),
        sa.Column("public_key", sa.LargeBinary(2000), nullable=False),
        sa.Column("sign_count", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("added_at", UTCDateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", UTCDateTime(timezone=True)),
        sa.UniqueConstraint("credential_id", name="uq_passkeys_credential_id"),
        key=("id",),
    )
    op.create_index("ix_passkeys_user_id", "passkeys", ["user_id"])
    op.create_table(
        "used_challenges",
        sa.Column("challenge_hash", sa.String(64), nullable=False),
        sa.Column("expires_at", UTCDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("challenge_hash", name="pk_used_challenges"),
    )


def _of_a_user(table: str, *parts: sa.schema.SchemaItem, key: tuple[str, ...]) -> None:
    op.create_table(
        table,
        sa.Column("user_id", sa.Integer(), nullable=False),
        *parts,
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=f"fk_{table}_user_id_users"),
        sa.PrimaryKeyConstraint(*key, name=f"pk_{table}"),
    )


def downgrade() -> None:
    for table in ("used_challenges", "passkeys", "recovery_codes", "used_codes", "authenticators"):
        op.drop_table(table)
    with op.batch_alter_table("web_sessions") as sessions:
        sessions.drop_column("proven_at")
