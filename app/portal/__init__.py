"""The pages for super admins and auditors, one file for each feature."""

from app.portal import (
    account,
    agents,
    audit,
    feed,
    home,
    imports,
    licenses,
    new_password,
    projects,
    sign_in,
    users,
)

BLUEPRINTS = tuple(
    page.blueprint
    for page in (
        *(sign_in, new_password, account, home),
        *(projects, imports, licenses, agents, feed, audit, users),
    )
)
