"""A project's Agents tab."""

from flask import Blueprint

blueprint = Blueprint("agents", __name__)
