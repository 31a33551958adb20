"""Files that wait to be imported.

They are kept in the database: between the preview and the import another portal machine may answer.
"""

from dataclasses import asdict
from datetime import datetime, timedelta

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session, undefer

from app.core.actor import Actor
from app.core.permissions import Permission
from app.core.text import NAME_LENGTH, printable
from app.core.tokens import new_token
from app.models import ImportDraft, User
from app.projects.importing import ImportResult, import_projects
from app.projects.rows import ReadFile

KEPT_FOR = timedelta(hours=1)


def keep_draft(
    session: Session, *, actor: Actor, file_name: str, content: bytes, now: datetime
) -> str:
    """Keep an uploaded file for an hour, in place of the person's last one; returns its token.

    Those of everybody that have been kept for longer go. Raises NotAllowed.
    """
    actor.must(Permission.MANAGE_PROJECTS)
    # Two uploads of one person at once: one waits for the other.
    held = select(User.id).where(User.id == actor.user_id).with_for_update(key_share=True)
    session.execute(held)
    outdated = ImportDraft.uploaded_at <= now - KEPT_FOR
    session.execute(delete(ImportDraft).where(or_(ImportDraft.user_id == actor.user_id, outdated)))
    token = new_token()
    session.add(
        ImportDraft(
            user_id=actor.user_id,
            token=token,
            file_name=_plain(file_name),
            content=content,
            uploaded_at=now,
        )
    )
    session.flush()
    return token


def find_draft(
    session: Session, *, actor: Actor, token: str, now: datetime, hold: bool = False
) -> ImportDraft | None:
    """A file that this person has uploaded within the last hour, with its content.

    With `hold` nobody else imports it until the commit. None for any other token.
    """
    query = select(ImportDraft).where(
        ImportDraft.user_id == actor.user_id,
        ImportDraft.token == token.replace("\x00", ""),
        ImportDraft.uploaded_at > now - KEPT_FOR,
    )
    if hold:
        query = query.with_for_update().execution_options(populate_existing=True)
    return session.scalar(query.options(undefer(ImportDraft.content)))


def import_draft(
    session: Session,
    *,
    actor: Actor,
    draft: ImportDraft,
    file: ReadFile,
    expected: ImportResult,
    now: datetime,
) -> ImportResult:
    """Import what was read of a draft that is held, and note what that did.

    Raises as `import_projects` does.
    """
    result = import_projects(
        session,
        actor=actor,
        file=file,
        file_name=draft.file_name,
        now=now,
        expected=expected,
    )
    draft.result = asdict(result)
    draft.content = b""
    return result


def _plain(file_name: str) -> str:
    """The name of a file without folders, and without characters that nobody sees."""
    name = file_name.replace("\\", "/").rsplit("/", 1)[-1]
    return printable(name)[:NAME_LENGTH] or "file"
