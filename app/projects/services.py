"""Projects and their organisations: creating, changing, archiving and deleting them."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, bindparam, delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.audit.feed import FeedKind, add_entry, delete_feed
from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.core.actor import Actor
from app.core.errors import Conflict, InvalidInput, NotFound
from app.core.permissions import Permission
from app.models import (
    AgentSession,
    Organisation,
    Project,
    StoredPolicy,
    TemporaryLicense,
    User,
)
from app.models.rows import read_rows
from app.projects.fields import OF_PROJECT, ProjectFields
from app.projects.rules import organisation_search_text, project_search_text


@dataclass(frozen=True)
class Created:
    """A new project; `joined` if its organisation existed before."""

    project: Project
    joined: bool


def get_project(session: Session, project_id: int) -> Project:
    """The project with this id. Raises NotFound."""
    project = session.get(Project, project_id)
    if project is None:
        raise NotFound(_NO_PROJECT)
    return project


def organisation_of_project(session: Session, project_id: int) -> str:
    """The Organisation ID of the project with this id. Raises NotFound."""
    found: str | None = read_rows(session, _ORGANISATION_OF, {"id": project_id}).scalar()
    if found is None:
        raise NotFound(_NO_PROJECT)
    return found


def projects_of(session: Session, organisation_ids: Iterable[str]) -> dict[str, int]:
    """A project of each organisation that has one, preferring one not archived."""
    in_use = func.min(Project.id).filter(Project.archived_at.is_(None))
    rows = session.execute(
        select(Project.organisation_id, func.coalesce(in_use, func.min(Project.id)))
        .where(Project.organisation_id.in_(set(organisation_ids)))
        .group_by(Project.organisation_id)
    )
    return dict(rows.all())


_ORGANISATION_OF = select(Project.organisation_id).where(Project.id == bindparam("id"))
_NO_PROJECT = "There is no such project. It may have been deleted."


def get_organisation(session: Session, organisation_id: str) -> Organisation:
    """The organisation with this Organisation ID. Raises NotFound."""
    organisation = session.get(Organisation, organisation_id)
    if organisation is None:
        raise NotFound(f"There is no organisation {organisation_id!r}.")
    return organisation


def other_projects(session: Session, project: Project, limit: int) -> list[Project]:
    """At most `limit` other projects of the same organisation, by name, archived ones last."""
    return list(
        session.scalars(
            select(Project)
            .where(
                Project.organisation_id == project.organisation_id,
                Project.id != project.id,
            )
            .order_by(Project.archived_at.is_not(None), Project.search_text, Project.id)
            .limit(limit)
        )
    )


def common_values(session: Session, column: InstrumentedAttribute[str], limit: int) -> list[str]:
    """The values of a column that most projects have, the most common first."""
    return list(
        session.scalars(
            select(column)
            .where(column != "")
            .group_by(column)
            .order_by(func.count().desc(), column)
            .limit(limit)
        )
    )


def version_of(project: Project) -> str:
    """A text that changes when the project is saved; edit forms send it to detect conflicts."""
    return f"{project.updated_at.isoformat()} {project.organisation.name}"


def create_project(
    session: Session, *, actor: Actor, fields: ProjectFields, now: datetime
) -> Created:
    """Create a project, and its organisation if the Organisation ID is new.

    An existing organisation keeps its name. Raises NotAllowed, and InvalidInput if a new
    organisation has no name or if the organisation has a project of the same name.
    """
    actor.must(Permission.MANAGE_PROJECTS)
    organisation = session.get(
        Organisation, fields.organisation_id, with_for_update={"read": True, "key_share": True}
    )
    if organisation is not None:
        _refuse_duplicate(session, organisation, fields.name)
    elif not fields.organisation_name:
        raise InvalidInput(
            "organisation_name", f"{fields.organisation_id} is a new organisation: enter its name."
        )
    project = _new_project(fields, now)
    with _refusing_conflicts(session):
        if organisation is None:
            session.add(_new_organisation(fields, now))
            session.flush()
        session.add(project)
    _log_change(session, _CREATED, project, actor, now)
    return Created(project, joined=organisation is not None)


def update_project(
    session: Session,
    *,
    actor: Actor,
    project_id: int,
    version: str,
    fields: ProjectFields,
    now: datetime,
) -> Project:
    """Change a project and its organisation's name; the Organisation ID in `fields` is ignored.

    Raises NotFound, InvalidInput, NotAllowed, and Conflict, with nothing changed, if the project
    has been saved since `version` (from `version_of`) was made.
    """
    actor.must(Permission.MANAGE_PROJECTS)
    project = _locked_project(session, project_id)
    if version_of(project) != version:
        raise Conflict(
            "Somebody else saved this project while you were editing it. Nothing of yours was "
            "saved. Compare, then save again to put your words in place of theirs."
        )
    organisation = project.organisation
    if not fields.organisation_name:
        raise InvalidInput("organisation_name", "Enter the organisation's name.")
    if fields.name != project.name:
        _refuse_duplicate(session, organisation, fields.name)
    changed = _changed(project, fields)
    if changed:
        with _refusing_conflicts(session):
            organisation.name = fields.organisation_name
            organisation.search_text = organisation_search_text(organisation.name, organisation.id)
            _fill(project, fields)
            project.updated_at = now
        _log_change(session, _UPDATED, project, actor, now, changed=_words(changed))
    return project


def archive_project(session: Session, *, actor: Actor, project_id: int, now: datetime) -> Project:
    """Archive a project; does nothing if it is archived. Raises NotFound, NotAllowed."""
    actor.must(Permission.MANAGE_PROJECTS)
    project = _locked_project(session, project_id)
    if project.archived_at is None:
        project.archived_at = project.updated_at = now
        _log_change(session, _ARCHIVED, project, actor, now)
    return project


def restore_project(session: Session, *, actor: Actor, project_id: int, now: datetime) -> Project:
    """Undo `archive_project`; does nothing if not archived. Raises NotFound, NotAllowed."""
    actor.must(Permission.MANAGE_PROJECTS)
    project = _locked_project(session, project_id)
    if project.archived_at is not None:
        project.archived_at = None
        project.updated_at = now
        _log_change(session, _RESTORED, project, actor, now)
    return project


def delete_project(session: Session, *, actor: Actor, project_id: int, now: datetime) -> str:
    """Delete a project, and its organisation if it has no other project; returns the name.

    Raises NotFound, NotAllowed, and Conflict if the organisation has ever had keys, agents or
    users.
    """
    actor.must(Permission.MANAGE_PROJECTS)
    project = _locked_project(session, project_id, to_delete=True)
    reason = why_not_deletable(session, project)
    if reason is not None:
        raise Conflict(reason)
    _log_change(session, _DELETED, project, actor, now)
    organisation, name = project.organisation, project.name
    session.delete(project)
    session.flush()
    if session.scalar(select(Project.id).where(_of(organisation)).limit(1)) is None:
        delete_feed(session, organisation.id)
        session.execute(delete(StoredPolicy).where(StoredPolicy.organisation_id == organisation.id))
        session.delete(organisation)
        session.flush()
    return name


def why_not_deletable(session: Session, project: Project) -> str | None:
    """A sentence that says why a project cannot be deleted, or None if it can be."""
    kept = (
        (TemporaryLicense.organisation_id, "license keys"),
        (AgentSession.organisation_id, "agent sessions"),
        (User.organisation_id, "users"),
    )
    on_record = [
        what
        for column, what in kept
        if session.scalar(select(column).where(column == project.organisation_id).limit(1))
    ]
    if not on_record:
        return None
    return (
        f"{project.organisation.name} has {' and '.join(on_record)} on record, so this project can "
        "be archived but not deleted."
    )


def _locked_project(session: Session, project_id: int, *, to_delete: bool = False) -> Project:
    """The project, read again; it and its organisation are locked until the commit.

    The organisation is always locked first, so that two transactions never deadlock.
    """
    organisation_id = get_project(session, project_id).organisation_id
    session.get(
        Organisation,
        organisation_id,
        with_for_update={"key_share": not to_delete},
        populate_existing=True,
    )
    project = session.scalar(
        select(Project)
        .where(Project.id == project_id)
        .with_for_update(of=Project)
        .execution_options(populate_existing=True)
    )
    if project is None:
        raise NotFound("There is no such project. It may have been deleted.")
    return project


def _of(organisation: Organisation) -> ColumnElement[bool]:
    return Project.organisation_id == organisation.id


def _refuse_duplicate(session: Session, organisation: Organisation, name: str) -> None:
    if session.scalar(select(Project.id).where(_of(organisation), Project.name == name)):
        raise InvalidInput(
            "name", f"{organisation.name} already has a project of this name; choose another name."
        )


@contextmanager
def _refusing_conflicts(session: Session) -> Iterator[None]:
    """Flush what is done inside. Raises InvalidInput if somebody else saved the same first."""
    try:
        with session.begin_nested():
            yield
    except IntegrityError:
        raise InvalidInput(
            "name",
            "Somebody else saved the same organisation or project a moment ago; save again.",
        ) from None


def _new_organisation(fields: ProjectFields, now: datetime) -> Organisation:
    return Organisation(
        id=fields.organisation_id,
        name=fields.organisation_name,
        search_text=organisation_search_text(fields.organisation_name, fields.organisation_id),
        created_at=now,
    )


def _new_project(fields: ProjectFields, now: datetime) -> Project:
    project = Project(organisation_id=fields.organisation_id, created_at=now, updated_at=now)
    _fill(project, fields)
    return project


def _fill(project: Project, fields: ProjectFields) -> None:
    for field in OF_PROJECT:
        setattr(project, field.name, getattr(fields, field.name))
    project.search_text = project_search_text(fields.name, fields.contact_email)


def _changed(project: Project, fields: ProjectFields) -> list[str]:
    """The names of the fields whose values in the project and in `fields` differ."""
    changed = [
        field.name
        for field in OF_PROJECT
        if getattr(project, field.name) != getattr(fields, field.name)
    ]
    if project.organisation.name != fields.organisation_name:
        changed.append("organisation_name")
    return changed


def _words(names: list[str]) -> str:
    return ", ".join(names).replace("_", " ")


_CREATED = (AuditTag.PROJECT_CREATED, FeedKind.PROJECT_CREATED)
_UPDATED = (AuditTag.PROJECT_UPDATED, FeedKind.PROJECT_UPDATED)
_ARCHIVED = (AuditTag.PROJECT_ARCHIVED, FeedKind.PROJECT_ARCHIVED)
_RESTORED = (AuditTag.PROJECT_RESTORED, FeedKind.PROJECT_RESTORED)
_DELETED = (AuditTag.PROJECT_DELETED, FeedKind.PROJECT_DELETED)


def _log_change(
    session: Session,
    change: tuple[AuditTag, FeedKind],
    project: Project,
    actor: Actor,
    now: datetime,
    **data: str,
) -> None:
    """Add a change of a project to the audit log and to the Feed."""
    tag, kind = change
    log_event(
        session,
        tag,
        actor=actor,
        now=now,
        organisation_id=project.organisation_id,
        subject=project.name,
        project_id=project.id,
        **data,
    )
    add_entry(
        session,
        kind,
        organisation_id=project.organisation_id,
        subject=project.name,
        now=now,
    )
