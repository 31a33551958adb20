"""The data for off-line checks of licenses: the public keys and the revocation list."""

import hashlib

from flask import Blueprint, Response, make_response, request

from app.api.operations import answer, operation
from app.api.schemas import CheckpointOut, JwkOut, JwkSetOut, LogKeyOut, RevocationListOut
from app.audit.log_key import stored_log_key
from app.audit.tree import newest_checkpoint
from app.config import current_config
from app.core.clock import utcnow
from app.core.errors import NotFound
from app.extensions import db
from app.keyformat.signing_keys import jwk_set
from app.licenses.offline import published_keys, revocation_list
from app.web.access import public

blueprint = Blueprint("published", __name__, url_prefix="/.well-known")

FRESH_SECONDS = 5
"""How long caches may keep an answer."""
CACHE_HEADERS = {
    "Cache-Control": f"public, max-age={FRESH_SECONDS}.",
    "ETag": "Send it in If-None-Match: 304 if nothing has changed.",
}
NO_SIGNING_KEY = {
    503: "The database cannot be used just now (`unavailable`), or the signing key is not there "
    "(`signing_key_missing`)."
}

NO_CHECKPOINT = {
    404: "There is none yet: the portal has just been set up.",
    503: "The database cannot be used just now (`unavailable`).",
}


@blueprint.get("/license-keys.json")
@public
@operation(
    "The public signing keys, a JWK Set (RFC 7517, RFC 8037)",
    answers={200: JwkSetOut, 304: None},
    problems=NO_SIGNING_KEY,
    headers=CACHE_HEADERS,
)
def license_keys() -> Response:
    keys = jwk_set(published_keys(db.session(), utcnow()))["keys"]
    return _cacheable(answer(JwkSetOut(keys=[JwkOut(**key) for key in keys])))


@blueprint.get("/revoked-licenses")
@public
@operation(
    "The signed list of licenses revoked before their expiry, a compact JWS (RFC 7515)",
    answers={200: RevocationListOut, 304: None},
    problems=NO_SIGNING_KEY,
    headers=CACHE_HEADERS,
    media_type="application/jose",
)
def revoked_licenses() -> Response:
    signing_keys = current_config().signing_keys
    text = revocation_list(db.session(), signing_keys=signing_keys, now=utcnow())
    response = make_response(text)
    response.content_type = "application/jose"
    return _cacheable(response)


@blueprint.get("/audit-checkpoint")
@public
@operation(
    "The latest signed head of the audit log's tree, a C2SP checkpoint",
    answers={200: CheckpointOut, 304: None},
    problems=NO_CHECKPOINT,
    headers=CACHE_HEADERS,
    media_type="text/plain",
)
def audit_checkpoint() -> Response:
    checkpoint = newest_checkpoint(db.session())
    if checkpoint is None:
        raise NotFound("The audit log has no checkpoint yet.")
    return _plain_text(checkpoint.note)


@blueprint.get("/audit-log-key")
@public
@operation(
    "The key that verifies the audit log's checkpoints, a C2SP verifier key",
    answers={200: LogKeyOut, 304: None},
    problems=NO_CHECKPOINT,
    headers=CACHE_HEADERS,
    media_type="text/plain",
)
def audit_log_key() -> Response:
    key = stored_log_key(db.session())
    if not key:
        raise NotFound("The audit log has no key yet.")
    return _plain_text(f"{key}\n")


def _plain_text(text: str) -> Response:
    response = make_response(text)
    response.content_type = "text/plain; charset=utf-8"
    return _cacheable(response)


def _cacheable(response: Response) -> Response:
    response.headers["Cache-Control"] = f"public, max-age={FRESH_SECONDS}"
    response.set_etag(hashlib.sha256(response.get_data()).hexdigest()[:32])
    response.make_conditional(request)
    return response
