"""a machine has several MAC IDs

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "agent_mac_ids",
        sa.Column("agent_id", sa.Integer(), nullable=False),
        sa.Column("mac_id", sa.String(length=17), nullable=False),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_agent_mac_ids_agent_id")
        ),
        sa.PrimaryKeyConstraint("agent_id", "mac_id", name=op.f("pk_agent_mac_ids")),
    )
    with op.batch_alter_table("agent_mac_ids", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_agent_mac_ids_mac_id"), ["mac_id"], unique=False)
    with op.batch_alter_table("agents", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_agents_machine_id_hash"), ["machine_id_hash"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_agents_registered_by_id_registered_at"),
            ["registered_by_id", "registered_at"],
            unique=False,
        )


def downgrade() -> None:
    with op.batch_alter_table("agents", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_agents_registered_by_id_registered_at"))
        batch_op.drop_index(batch_op.f("ix_agents_machine_id_hash"))
    op.drop_table("agent_mac_ids")
