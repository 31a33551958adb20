"""The OP Agent in the browser."""

from app.browser_agent import inspecting, views

BLUEPRINTS = (views.blueprint, inspecting.blueprint)
