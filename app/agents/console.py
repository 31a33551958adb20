"""The OP Agent in the browser."""

from flask import Blueprint

blueprint = Blueprint("console", __name__)
