"""The pages for super admins and auditors, one file for each feature."""

from app.portal import agents, audit, feed, home, imports, licenses, projects, ready, sign_in

BLUEPRINTS = tuple(
    page.blueprint
    for page in (sign_in, home, projects, imports, licenses, agents, feed, audit, ready)
)
