"""The form on a project's Overview that says whether clients see visits."""

from flask_wtf import FlaskForm
from wtforms import BooleanField, HiddenField

from app.models import Organisation
from app.web.forms_again import entered


class SeenForm(FlaskForm):
    """Whether an organisation's people see visits in their Feed."""

    clients_see_visits = BooleanField("Clients see visits")
    of_seen = HiddenField(default="1")
    """Says which of the page's forms came back: a checkbox that is off is not sent."""


def seen_form(organisation: Organisation) -> SeenForm:
    """The form as it stands, or with what was entered."""
    form = entered()
    values = {"clients_see_visits": organisation.clients_see_visits}
    return SeenForm(formdata=form if form and "of_seen" in form else None, data=values)
