"""The table of a project's fields, which form, import, commands and pages loop over."""

from dataclasses import dataclass
from datetime import date
from enum import Enum, auto
from typing import Any

from app.core.errors import InvalidInput
from app.core.text import EMAIL_LENGTH, LABEL_LENGTH, NAME_LENGTH, ORGANISATION_ID_LENGTH
from app.projects.rules import check_day, check_email, check_identifier, check_text

USUAL_STATUS = "Active"


@dataclass(frozen=True, slots=True)
class ProjectFields:
    """The values of a project's fields, each checked by its `Field`."""

    organisation_id: str
    organisation_name: str
    name: str
    contact_email: str = ""
    plan: str = ""
    plan_expires_on: date | None = None
    status: str = USUAL_STATUS


class Kind(Enum):
    """The type of a field's values, which decides how they are entered and checked."""

    TEXT = auto()
    IDENTIFIER = auto()
    EMAIL = auto()
    DAY = auto()


@dataclass(frozen=True, slots=True)
class Column:
    """How an import finds a field's column: by the option that names it, or by its heading.

    `headings` are the usual headings, the likeliest first; they are compared folded, by letters
    and digits only. `holds` names the column's content in an error message; a field without it
    is optional in a file.
    """

    option: str
    headings: tuple[str, ...]
    help: str | None = None
    holds: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field of ProjectFields; it is stored with the organisation if `of_organisation`.

    `label` names it in forms, `heading` in tables, `what` within a sentence. `length` is the
    greatest number of characters (unused for a day), `usual` the value in a new project's form.
    """

    name: str
    label: str
    heading: str
    what: str
    length: int = 0
    kind: Kind = Kind.TEXT
    required: bool = False
    of_organisation: bool = False
    hint: str | None = None
    usual: str = ""
    column: Column

    def check(self, text: str) -> Any:
        """The value to store for `text`. Raises InvalidInput with this field's name."""
        value: str | date | None
        if self.kind is Kind.TEXT:
            value = check_text(self.name, self.what, text, self.length)
        elif self.kind is Kind.IDENTIFIER:
            value = check_identifier(self.name, self.what, text, self.length)
        elif self.kind is Kind.EMAIL:
            value = check_email(self.name, self.what, text, self.length)
        else:
            value = check_day(self.name, text)
        if self.required and not value:
            article = "an" if self.what[0] in "Oo" else "a"
            raise InvalidInput(self.name, f"Enter {article} {self.what}.")
        return value


_NAMES_OF_ORGANISATIONS = (
    *("organisationname", "organizationname", "organisation", "organization"),
    *("companyname", "company", "customername", "customer", "clientname", "client"),
    *("accountname", "account"),
)

FIELDS = (
    Field(
        name="organisation_id",
        label="Organisation ID",
        heading="Organisation ID",
        what="Organisation ID",
        length=ORGANISATION_ID_LENGTH,
        kind=Kind.IDENTIFIER,
        required=True,
        of_organisation=True,
        column=Column(
            option="--organisation-id-column",
            holds="the Organisation ID",
            headings=(
                *("organisationid", "organizationid", "orgid", "cik"),
                *("customerid", "clientid", "accountid", "companyid"),
                *("organisationnumber", "organizationnumber", "customernumber", "clientnumber"),
            ),
        ),
    ),
    Field(
        name="organisation_name",
        label="Organisation name",
        heading="Organisation",
        what="organisation name",
        length=NAME_LENGTH,
        of_organisation=True,
        column=Column(
            option="--organisation-name-column",
            help="The organisation's name; without it the first project's is taken.",
            headings=_NAMES_OF_ORGANISATIONS,
        ),
    ),
    Field(
        name="name",
        label="Project name",
        heading="Project",
        what="project name",
        length=NAME_LENGTH,
        required=True,
        column=Column(
            option="--name-column",
            help="The project's name.",
            holds="the project's name",
            headings=("projectname", "project", "name", "security", *_NAMES_OF_ORGANISATIONS),
        ),
    ),
    Field(
        name="contact_email",
        label="Contact e-mail",
        heading="E-mail",
        what="contact e-mail",
        length=EMAIL_LENGTH,
        kind=Kind.EMAIL,
        column=Column(
            option="--email-column",
            help="The contact e-mail.",
            headings=(
                *("contactemail", "email", "emailaddress", "contactemailaddress"),
                *("contact", "mail", "emailcontact"),
            ),
        ),
    ),
    Field(
        name="plan",
        label="Plan",
        heading="Plan",
        what="plan",
        length=LABEL_LENGTH,
        hint="Such as Trial or Growth.",
        column=Column(
            option="--plan-column",
            headings=("plan", "planname", "subscription", "subscriptionplan"),
        ),
    ),
    Field(
        name="plan_expires_on",
        label="Plan expiry date",
        heading="Plan expiry",
        what="plan expiry date",
        kind=Kind.DAY,
        hint="The last day, such as 2026-12-31. Blank: it never ends.",
        column=Column(
            option="--plan-expiry-column",
            help="Days as 2026-12-31.",
            headings=(
                *("planexpirydate", "planexpiry", "expirydate", "expiry"),
                *("expirationdate", "expiration", "expires", "expireson", "expiryon"),
                *("planexpires", "planexpireson", "planends", "planendson", "planenddate"),
                *("ends", "endson", "enddate", "end", "validuntil", "until"),
            ),
        ),
    ),
    Field(
        name="status",
        label="Status",
        heading="Status",
        what="status",
        length=LABEL_LENGTH,
        required=True,
        hint="Such as Active or On hold.",
        usual=USUAL_STATUS,
        column=Column(option="--status-column", headings=("status", "projectstatus")),
    ),
)
"""In the order of ProjectFields, which commands and imports use as well."""

BY_NAME = {field.name: field for field in FIELDS}
OF_PROJECT = tuple(field for field in FIELDS if not field.of_organisation)
DETAILS = tuple(field for field in OF_PROJECT if field.name != "name")
"""The fields of a project besides its name and its organisation."""

GUESSED = sorted(FIELDS, key=lambda field: not field.column.holds)
"""The order in which imports guess columns: required ones first."""


def as_text(value: str | date | None) -> str | None:
    """A field's value as text, a day in ISO 8601; None stays None."""
    return value.isoformat() if isinstance(value, date) else value
