"""a table and an index for searching projects, kept by the database itself

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

import app.models.types

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SORTS = {
    "name": ["by_name", "project_id"],
    "organisation": ["by_organisation", "by_name", "project_id"],
    "expiry": ["expires_on", "by_name", "project_id"],
    "newest": ["created_at", "project_id"],
}

# A row of the search's table, from those of a project p and its organisation o. A text ends with
# two line breaks, so that three characters begin at each of its own.
ROW = """
    p.id, p.organisation_id, p.archived_at IS NOT NULL,
    substr(p.search_text, 1, 200), substr(o.search_text, 1, 200),
    coalesce(p.plan_expires_on, {never}), p.created_at, p.plan,
    p.search_text || {line_break} || o.search_text || {line_break} || {line_break}
"""
COLUMNS = (
    "project_id, organisation_id, archived, by_name, by_organisation, expires_on, created_at, "
    "plan, text"
)
SQLITE_ROW = ROW.format(never="'9999-12-31'", line_break="char(10)")
POSTGRESQL_ROW = ROW.format(never="DATE '9999-12-31'", line_break="chr(10)")
FROM_BOTH = "FROM projects p JOIN organisations o ON o.id = p.organisation_id"

SQLITE = [
    """
    CREATE VIRTUAL TABLE project_words USING fts5(
        text, content='project_search', content_rowid='project_id',
        tokenize='trigram case_sensitive 1'
    )
    """,
    "CREATE VIRTUAL TABLE project_terms USING fts5vocab(project_words, 'row')",
    """
    CREATE TRIGGER project_search_added AFTER INSERT ON project_search BEGIN
        INSERT INTO project_words (rowid, text) VALUES (NEW.project_id, NEW.text);
    END
    """,
    """
    CREATE TRIGGER project_search_removed AFTER DELETE ON project_search BEGIN
        INSERT INTO project_words (project_words, rowid, text)
        VALUES ('delete', OLD.project_id, OLD.text);
    END
    """,
    """
    CREATE TRIGGER project_search_changed AFTER UPDATE OF text ON project_search
    WHEN OLD.text <> NEW.text BEGIN
        INSERT INTO project_words (project_words, rowid, text)
        VALUES ('delete', OLD.project_id, OLD.text);
        INSERT INTO project_words (rowid, text) VALUES (NEW.project_id, NEW.text);
    END
    """,
    f"""
    CREATE TRIGGER project_added AFTER INSERT ON projects BEGIN
        INSERT INTO project_search ({COLUMNS})
        SELECT {SQLITE_ROW} {FROM_BOTH}
        WHERE p.id = NEW.id;
    END
    """,
    f"""
    CREATE TRIGGER project_changed AFTER UPDATE ON projects BEGIN
        UPDATE project_search SET ({COLUMNS}) = (
            SELECT {SQLITE_ROW} {FROM_BOTH}
            WHERE p.id = NEW.id
        ) WHERE project_id = NEW.id;
    END
    """,
    """
    CREATE TRIGGER project_removed AFTER DELETE ON projects BEGIN
        DELETE FROM project_search WHERE project_id = OLD.id;
    END
    """,
    f"""
    CREATE TRIGGER organisation_changed AFTER UPDATE OF search_text ON organisations
    WHEN OLD.search_text <> NEW.search_text BEGIN
        UPDATE project_search SET ({COLUMNS}) = (
            SELECT {SQLITE_ROW} {FROM_BOTH}
            WHERE p.id = project_search.project_id
        ) WHERE organisation_id = NEW.id;
    END
    """,
]

POSTGRESQL = [
    """
    CREATE FUNCTION search_grams(words text) RETURNS text[]
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 10000 AS $$
        SELECT array_agg(DISTINCT substr(words, start, size))
        FROM generate_series(1, length(words)) AS start, generate_series(1, 3) AS size
    $$
    """,
    "CREATE INDEX ix_project_search_grams ON project_search USING gin (search_grams(text))",
    f"""
    CREATE FUNCTION note_project() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO project_search ({COLUMNS})
        SELECT {POSTGRESQL_ROW} {FROM_BOTH}
        WHERE p.id = NEW.id
        ON CONFLICT (project_id) DO UPDATE SET
            archived = EXCLUDED.archived, by_name = EXCLUDED.by_name,
            expires_on = EXCLUDED.expires_on, plan = EXCLUDED.plan, text = EXCLUDED.text;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER project_noted AFTER INSERT OR UPDATE ON projects
    FOR EACH ROW EXECUTE FUNCTION note_project()
    """,
    f"""
    CREATE FUNCTION note_organisation() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        UPDATE project_search SET ({COLUMNS}) = (
            SELECT {POSTGRESQL_ROW} {FROM_BOTH}
            WHERE p.id = project_search.project_id
        ) WHERE organisation_id = NEW.id;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER organisation_noted AFTER UPDATE OF search_text ON organisations
    FOR EACH ROW WHEN (OLD.search_text <> NEW.search_text) EXECUTE FUNCTION note_organisation()
    """,
    """
    CREATE FUNCTION forget_project() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        DELETE FROM project_search WHERE project_id = OLD.id;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER project_forgotten AFTER DELETE ON projects
    FOR EACH ROW EXECUTE FUNCTION forget_project()
    """,
]


def upgrade() -> None:
    sort_key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "project_search",
        sa.Column("project_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("organisation_id", sa.String(length=64), nullable=False),
        sa.Column("archived", sa.Boolean(), nullable=False),
        sa.Column("by_name", sort_key, nullable=False),
        sa.Column("by_organisation", sort_key, nullable=False),
        sa.Column("expires_on", sa.Date(), nullable=False),
        sa.Column("created_at", app.models.types.UTCDateTime(timezone=True), nullable=False),
        sa.Column("plan", sa.String(length=50), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_project_search")),
    )
    for name, columns in SORTS.items():
        for prefix, archived in (("ix", False), ("ix_archived", True)):
            op.create_index(
                f"{prefix}_project_search_{name}",
                "project_search",
                columns,
                sqlite_where=sa.text(f"archived = {archived:d}"),
                postgresql_where=sa.text("archived" if archived else "NOT archived"),
            )
    op.create_index("ix_project_search_organisation_id", "project_search", ["organisation_id"])
    op.create_index(
        "ix_project_search_counts", "project_search", ["plan", "archived", "expires_on"]
    )
    sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in SQLITE if sqlite else POSTGRESQL:
        op.execute(statement)
    row = SQLITE_ROW if sqlite else POSTGRESQL_ROW
    op.execute(f"INSERT INTO project_search ({COLUMNS}) SELECT {row} {FROM_BOTH}")


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for trigger in (
            "organisation_changed",
            "project_removed",
            "project_changed",
            "project_added",
        ):
            op.execute(f"DROP TRIGGER {trigger}")
        op.execute("DROP TABLE project_terms")
        op.execute("DROP TABLE project_words")
        op.drop_table("project_search")
        return
    op.execute("DROP FUNCTION note_organisation, note_project, forget_project CASCADE")
    op.drop_table("project_search")
    op.execute("DROP FUNCTION search_grams")
