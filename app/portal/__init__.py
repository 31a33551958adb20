"""The pages for super admins and auditors, one file for each feature."""

from app.portal import (
    account,
    account_factors,
    agents,
    audit,
    feed,
    home,
    imports,
    jumping,
    keys,
    license_extending,
    license_options,
    licenses,
    new_password,
    oidc,
    own_access,
    passkeys,
    policy,
    projects,
    ready,
    requests,
    revoking,
    second_factor,
    sign_in,
    user_factors,
    users,
    visits,
    webhooks,
)

BLUEPRINTS = tuple(
    page.blueprint
    for page in (
        *(sign_in, oidc, second_factor, passkeys, new_password, account, account_factors, home),
        *(jumping, projects, imports, licenses, license_options, license_extending, keys),
        *(revoking, agents, visits, feed, audit, users, user_factors, policy, webhooks),
        *(requests, own_access, ready),
    )
)
