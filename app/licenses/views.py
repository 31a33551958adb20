"""A project's License tab."""

from flask import Blueprint

blueprint = Blueprint("licenses", __name__)
