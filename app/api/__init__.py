"""The agents' JSON interface, what is published for checks off-line, and the document of both."""

from app.api import agents, document, published

BLUEPRINTS = tuple(part.blueprint for part in (agents, published, document))
