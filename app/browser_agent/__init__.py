"""The OP Agent in the browser."""

from app.browser_agent import views

BLUEPRINTS = (views.blueprint,)
