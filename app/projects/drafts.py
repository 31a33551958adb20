"""Uploaded files that wait to be imported.

They are kept in the database, because the preview and the import may reach different machines.
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
    """Keep an uploaded file for an hour, in place of the user's last one; returns its token.

    Also deletes everybody's files that are older than an hour. Raises NotAllowed.
    """
    actor.must(Permission.MANAGE_PROJECTS)
    # Lock the user: of two uploads at once, one waits for the other.
    locking = select(User.id).where(User.id == actor.user_id).with_for_update(key_share=True)
    session.execute(locking)
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
    session: Session, *, actor: Actor, token: str, now: datetime, lock: bool = False
) -> ImportDraft | None:
    """The file with this token, with its content, if the user uploaded it within the last hour.

    With `lock` it is locked until the commit. None for any other token.
    """
    query = select(ImportDraft).where(
        ImportDraft.user_id == actor.user_id,
        ImportDraft.token == token.replace("\x00", ""),
        ImportDraft.uploaded_at > now - KEPT_FOR,
    )
    if lock:
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
    """Import the content of a locked draft, already read as `file`, and store the result on it.

    Raises the errors of `import_projects`.
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
    """The name of a file without folders and unprintable characters."""
    name = file_name.replace("\\", "/").rsplit("/", 1)[-1]
    return printable(name)[:NAME_LENGTH] or "file"
