"""How Alembic reaches the database of the running app, or the one that it is given an engine of."""

from alembic import context
from flask import current_app

from app.models import Base
from app.models.engine import without_foreign_keys
from app.models.project_search import is_of_models

engine = context.config.attributes.get("engine") or current_app.extensions["migrate"].db.engine

with engine.connect() as connection, without_foreign_keys(connection):
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,
        compare_type=True,
        include_name=is_of_models,
        # SQLite too: all of an upgrade or nothing (app/models/engine.py begins real transactions).
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()
