"""visits: what sessions under temporary keys say of people stays, and so do they

Revision ID: 0019
Revises: 0018
"""

import secrets

import sqlalchemy as sa
from alembic import op

from app.core.text import fold

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

AT_ONCE = 1_000
IS_VISIT = "temporary_license_id IS NOT NULL"
INDEXES = {
    "ix_agent_sessions_purged": (["last_heard_at"], "temporary_license_id IS NULL"),
    "ix_agent_sessions_visits": (["organisation_id", "started_at", "id"], IS_VISIT),
    "ix_agent_sessions_open_visits": (["id"], f"{IS_VISIT} AND ended_at IS NULL"),
}
SWITCHES = {"organisations": "clients_see_visits", "signing_keys": "signed_visits"}
OF_FEED = "fk_feed_events_visit_id_visits"
OLD_SESSIONS = sa.text(
    """
    SELECT sessions.id, users.email, users.name, users.role, issuers.email AS issued_by,
      keys.reason, keys.ticket, keys.key_id, sessions.hostname, sessions.mac_id, sessions.address
    FROM agent_sessions AS sessions
    JOIN temporary_licenses AS keys ON keys.id = sessions.temporary_license_id
    JOIN users ON users.id = sessions.user_id
    JOIN users AS issuers ON issuers.id = keys.issued_by_id
    WHERE sessions.id > :after ORDER BY sessions.id LIMIT :at_once
    """
)


def upgrade() -> None:
    visits = op.create_table(
        "visits",
        sa.Column("session_id", sa.Integer(), nullable=False),
        sa.Column("record_id", sa.String(43), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("issued_by", sa.String(254), nullable=False),
        sa.Column("search_text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"], ["agent_sessions.id"], name="fk_visits_session_id_agent_sessions"
        ),
        sa.PrimaryKeyConstraint("session_id", name="pk_visits"),
    )
    _carry_over(visits)
    for name, (columns, condition) in INDEXES.items():
        where = sa.text(condition)
        op.create_index(name, "agent_sessions", columns, sqlite_where=where, postgresql_where=where)
    for table, name in SWITCHES.items():
        column = sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false())
        op.add_column(table, column)
    with op.batch_alter_table("feed_events") as batch:
        batch.add_column(sa.Column("visit_id", sa.Integer()))
        batch.create_foreign_key(OF_FEED, "visits", ["visit_id"], ["session_id"])


def _carry_over(visits: sa.Table) -> None:
    """People as they are now: what they were then nobody has written down."""
    connection, after = op.get_bind(), 0
    while rows := connection.execute(OLD_SESSIONS, {"after": after, "at_once": AT_ONCE}).all():
        connection.execute(
            sa.insert(visits),
            [
                {
                    "session_id": row.id,
                    "record_id": secrets.token_urlsafe(32),
                    "email": row.email,
                    "name": row.name,
                    "role": row.role,
                    "issued_by": row.issued_by,
                    "search_text": _search_text(row),
                }
                for row in rows
            ],
        )
        after = rows[-1].id


def _search_text(row: sa.Row[tuple[object, ...]]) -> str:
    people = (row.email, row.name, row.issued_by)
    return fold("\n".join((*people, *row[5:])))


def downgrade() -> None:
    with op.batch_alter_table("feed_events") as batch:
        batch.drop_constraint(OF_FEED, type_="foreignkey")
        batch.drop_column("visit_id")
    for table, name in SWITCHES.items():
        op.drop_column(table, name)
    for name in INDEXES:
        op.drop_index(name, table_name="agent_sessions")
    op.drop_table("visits")
