"""The agents' JSON interface, the data for off-line checks, and the document of both."""

from app.api import agents, document, published

BLUEPRINTS = tuple(part.blueprint for part in (agents, published, document))
