"""Who is answered what: every address and method of the portal, for everybody.

A new route fails tests/security/test_access_matrix.py until it stands here. A line is the method,
the address, what each of the people is answered, and the form that they send (JSON for the agents'
interface). Variables of addresses are in capitals, `<id:project_id>` being PROJECT; what stands for
them says `records_of_acme` in stage.py. The lines are gone through from the first to the last,
person by person, so a line may build on what those before it have done. HEAD is answered like GET,
and every method that an address has not is 405: the tests see to both without a line.
"""

# fmt: off
PORTAL = """
people: nobody client partner developer auditor super_admin
GET    /                                                       303 403 403 403 200 200
GET    /login                                                  200 303 303 303 303 303
POST   /login                                                  422 422 422 422 422 422
POST   /login/passkey                                          303 303 303 303 303 303
POST   /login/oidc                                             404 404 404 404 404 404
GET    /login/oidc/callback                                    404 404 404 404 404 404
POST   /login/oidc/back-channel-logout                         404 404 404 404 404 404
GET    /login/second-factor                                    303 303 303 303 303 303
POST   /login/second-factor                                    303 303 303 303 303 303
GET    /prove                                                  303 200 200 200 200 200
POST   /prove                                                  401 401 401 401 401 401
GET    /second-factor/set-up                                   303 200 200 200 200 200
POST   /second-factor/set-up                                   303 422 422 422 422 422
POST   /passkeys/options/PURPOSE                               200 200 200 200 200 200
GET    /password/TOKEN                                         404 404 404 404 404 404
POST   /password/TOKEN                                         404 404 404 404 404 404
POST   /stay-signed-in                                         401 204 204 204 204 204
GET    /search                                                 303 403 403 403 200 200
GET    /audit                                                  303 403 403 403 200 200
POST   /audit/export.csv                                       401 403 403 403 409 409
POST   /audit/export.jsonl                                     401 403 403 403 409 409
GET    /projects                                               303 403 403 403 200 200
POST   /projects/shown-as                                      401 403 403 403 303 303 rows=0
GET    /projects/new                                           303 403 403 403 403 200
POST   /projects/new                                           401 403 403 403 403 422
GET    /projects/import                                        303 403 403 403 403 200
POST   /projects/import                                        401 403 403 403 403 422
POST   /projects/import/confirm                                401 403 403 403 403 303
GET    /projects/PROJECT                                       303 403 403 403 200 200
GET    /projects/PROJECT/edit                                  303 403 403 403 403 200
POST   /projects/PROJECT/edit                                  401 403 403 403 403 422
GET    /projects/PROJECT/feed                                  303 403 403 403 200 200
GET    /projects/PROJECT/license                               303 403 403 403 200 200
POST   /projects/PROJECT/license                               401 403 403 403 403 303 ttl=1h
GET    /projects/PROJECT/license/all                           303 403 403 403 200 200
POST   /projects/PROJECT/license/KEY/copied                    401 403 403 403 403 204
POST   /projects/PROJECT/license/preview                       401 403 403 403 403 200 ttl=1h
GET    /projects/PROJECT/license/recipients                    303 403 403 403 403 200
POST   /projects/PROJECT/license/options                       401 403 403 403 403 204 open=1
GET    /projects/PROJECT/license/KEY/extend                    303 403 403 403 403 200
POST   /projects/PROJECT/license/KEY/extend                    401 403 403 403 403 422
GET    /projects/PROJECT/license/KEY/revoke                    303 403 403 403 403 200
GET    /projects/PROJECT/agents                                303 403 403 403 200 200
GET    /projects/PROJECT/agents/SESSION/end                    303 403 403 403 403 200
POST   /projects/PROJECT/agents/SESSION/end                    401 403 403 403 403 303
GET    /projects/PROJECT/agents/end-temporary                  303 403 403 403 403 200
POST   /projects/PROJECT/agents/end-temporary                  401 403 403 403 403 303
POST   /projects/PROJECT/license/KEY/revoke                    401 403 403 403 403 303
GET    /projects/PROJECT/agents/machines/AGENT/detach          303 403 403 403 403 200
POST   /projects/PROJECT/agents/machines/AGENT/detach          401 403 403 403 403 303
GET    /projects/PROJECT/agents/machines/AGENT/attach          303 403 403 403 403 200
POST   /projects/PROJECT/agents/machines/AGENT/attach          401 403 403 403 403 303
GET    /projects/PROJECT/agents/machines/AGENT/revoke-license  303 403 403 403 403 200
POST   /projects/PROJECT/agents/machines/AGENT/revoke-license  401 403 403 403 403 303
GET    /projects/PROJECT/agents/machines/AGENT/dissociate      303 403 403 403 403 200
POST   /projects/PROJECT/agents/machines/AGENT/dissociate      401 403 403 403 403 303
GET    /projects/PROJECT/visits                                303 403 403 403 200 200
GET    /projects/PROJECT/visits/VISIT                          303 403 403 403 200 200
POST   /projects/PROJECT/visits/VISIT/record                   401 403 403 403 200 200
POST   /projects/PROJECT/visits/export.csv                     401 403 403 403 200 200
POST   /projects/PROJECT/visits/export.json                    401 403 403 403 200 200
POST   /projects/PROJECT/visits/seen                           401 403 403 403 403 303
GET    /projects/PROJECT/archive                               303 403 403 403 403 200
POST   /projects/PROJECT/archive                               401 403 403 403 403 303
POST   /projects/PROJECT/restore                               401 403 403 403 403 303
GET    /projects/PROJECT/delete                                303 403 403 403 403 200
POST   /projects/PROJECT/delete                                401 403 403 403 403 409
GET    /settings/policy                                        303 403 403 403 200 200
POST   /settings/policy                                        401 403 403 403 403 303
POST   /settings/policy/try                                    401 403 403 403 403 200
POST   /projects/PROJECT/policy                                401 403 403 403 403 303
POST   /projects/PROJECT/policy/try                            401 403 403 403 403 200
GET    /settings/webhooks                                      303 403 403 403 200 200
POST   /settings/webhooks                                      401 403 403 403 403 422
POST   /settings/webhooks/WEBHOOK/test                         401 403 403 403 403 303
POST   /settings/webhooks/WEBHOOK/remove                       401 403 403 403 403 303
GET    /requests                                               303 403 403 403 200 200
GET    /requests/REQUEST                                       303 403 403 403 200 200
POST   /requests/REQUEST/approve                               401 403 403 403 403 422
POST   /requests/REQUEST/refuse                                401 403 403 403 403 422
GET    /.well-known/audit-checkpoint                           404 404 404 404 404 404
GET    /.well-known/audit-log-key                              404 404 404 404 404 404
GET    /.well-known/license-keys.json                          200 200 200 200 200 200
GET    /.well-known/revoked-licenses                           200 200 200 200 200 200
GET    /api/docs                                               200 200 200 200 200 200
GET    /api/openapi.json                                       200 200 200 200 200 200
GET    /healthz                                                200 200 200 200 200 200
GET    /readyz                                                 200 200 200 200 200 200
GET    /static/FINGERPRINT/NAME                                404 404 404 404 404 404
GET    /account                                                303 403 200 200 200 200
POST   /account/password                                       401 403 422 422 422 422
POST   /account/browsers/BROWSER/sign-out                      401 403 404 404 404 404
POST   /account/sign-out-others                                401 403 303 303 303 303
POST   /account/display                                        401 403 303 303 303 303
POST   /account/passkeys                                       401 403 422 422 422 422
POST   /account/passkeys/PASSKEY/remove                        401 403 404 404 404 404
POST   /account/authenticator/remove                           401 403 303 303 303 303
POST   /account/recovery-codes                                 401 403 200 200 200 200
GET    /access                                                 303 403 200 200 403 403
POST   /access                                                 401 403 422 422 403 403
POST   /access/KEY/copied                                      401 403 404 404 403 403
POST   /access/KEY/more                                        401 403 422 422 403 403
POST   /access/requests/REQUEST/withdraw                       401 403 404 404 403 403
GET    /keys                                                   303 403 403 403 200 200
GET    /revoke                                                 303 403 403 403 200 200
POST   /revoke                                                 401 403 403 403 403 422
GET    /revoke/EVENT                                           303 403 403 403 404 404
GET    /users                                                  303 403 403 403 200 200
GET    /users/new                                              303 403 403 403 403 200
POST   /users/new                                              401 403 403 403 403 422
GET    /users/invite                                           303 403 403 403 403 200
POST   /users/invite                                           401 403 403 403 403 422
GET    /users/USER                                             303 403 403 403 200 200
POST   /users/USER                                             401 403 403 403 403 422
GET    /users/USER/reset-password                              303 403 403 403 403 200
POST   /users/USER/reset-password                              401 403 403 403 403 200
GET    /users/USER/reset-second-factor                         303 403 403 403 403 200
POST   /users/USER/reset-second-factor                         401 403 403 403 403 303
GET    /users/USER/untie                                       303 403 403 403 403 200
POST   /users/USER/untie                                       401 403 403 403 403 303
GET    /users/USER/sign-out                                    303 403 403 403 403 200
POST   /users/USER/sign-out                                    401 403 403 403 403 303
GET    /users/USER/disable                                     303 403 403 403 403 200
POST   /users/USER/disable                                     401 403 403 403 403 303
POST   /users/USER/enable                                      401 403 403 403 403 303
POST   /logout                                                 303 303 303 303 303 303
"""
"""The people are told apart by the portal's cookie."""

AGENTS = """
people: nobody portal ended partner client
GET    /agent                                                  200 200 401 200 200
POST   /agent/configuration                                    401 401 401 403 303
POST   /agent/confirm                                          204 204 204 204 204
POST   /agent                                                  422 422 422 422 422
POST   /agent/inspect                                          200 200 200 200 200
GET    /api/agent/v1/session                                   401 401 401 200 200
GET    /api/agent/v1/configuration                             401 401 401 200 200
PUT    /api/agent/v1/configuration                             401 401 401 403 204 {"interval":15}
POST   /api/agent/v1/keys/inspect                200 200 200 200 200 {"registration_key":"x"}
POST   /api/agent/v1/sessions                                  422 422 422 422 422 {}
POST   /agent/logout                                           303 303 303 303 303
DELETE /api/agent/v1/session                                   401 401 204 204 204
"""
"""The people are told apart by their OP Agent's session, its token in the cookie of the browser's
agent and in the Authorization of a program: `portal` is a super admin with the portal's cookie
alone, `ended` a partner whose session was ended, `partner` is there under a key, `client` under
none.
"""
# fmt: on
