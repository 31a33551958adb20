"""The interface's own description: the OpenAPI document, and a page to read."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from flask import Blueprint, Response, make_response, render_template, request

from app.agents.codes import AT, END_SENTENCES, NAME, SENTENCES
from app.api.operations import BODY_BYTES, SCHEMAS, AnyObject, Operation, Text, answer, operation
from app.api.operations import openapi_document as document_of_operations
from app.web.access import public
from app.web.errors import REFUSALS

blueprint = Blueprint("docs", __name__, url_prefix="/api")

TITLE = "The OP Agent's interface"
VERSION = "1.0.0"
DESCRIPTION = (
    "JSON over HTTP for OP Agents, and what is published for checking licenses off-line. Times are "
    "RFC 3339 in UTC with Z. Errors are RFC 9457 problems with a stable `code`. Unknown fields are "
    f"refused; bodies have at most {BODY_BYTES // 1024} KiB. An answer never repeats a password or "
    "a key that was sent. Addresses below /v1 stay as they are; answers may get further fields."
)
OTHER_CODES = {
    "invalid_request": REFUSALS[422].detail,
    "payload_too_large": REFUSALS[413].detail,
    "unsupported_media_type": "Send the body as `Content-Type: application/json`.",
    "throttled": REFUSALS[429].detail,
    "not_found": "There is nothing at this address.",
    "method_not_allowed": "The header `Allow` says which methods there are.",
    "unavailable": "The database cannot be used just now. Try again in a minute.",
    "signing_key_missing": "The person who runs the portal must put the signing key back.",
    "internal_error": "Something went wrong on the portal's side. Nothing was saved.",
}
EXAMPLES = {
    "agent_api_open_session": (
        "curl -s {portal}/api/agent/v1/sessions -H 'Content-Type: application/json' "
        '-d \'{{"login_id": "you@example.com", "password": "...", '
        '"mac_id": "00:1A:2B:3C:4D:5E", "registration_key": "rw1...."}}\''
    ),
    "agent_api_show_session": (
        "curl -s {portal}/api/agent/v1/session -H 'Authorization: Bearer SESSION_TOKEN'"
    ),
    "agent_api_close_session": (
        "curl -s -X DELETE {portal}/api/agent/v1/session -H 'Authorization: Bearer SESSION_TOKEN'"
    ),
    "agent_api_show_configuration": (
        "curl -s {portal}/api/agent/v1/configuration -H 'Authorization: Bearer SESSION_TOKEN'"
    ),
    "agent_api_put_configuration": (
        "curl -s -X PUT {portal}/api/agent/v1/configuration "
        "-H 'Authorization: Bearer SESSION_TOKEN' -H 'Content-Type: application/json' "
        "-d '{{\"interval\": 15}}'"
    ),
    "agent_api_inspect": (
        "curl -s {portal}/api/agent/v1/keys/inspect -H 'Content-Type: application/json' "
        '-d \'{{"registration_key": "rw1...."}}\''
    ),
    "docs_openapi": "curl -s {portal}/api/openapi.json",
    "published_license_keys": "curl -s {portal}/.well-known/license-keys.json",
    "published_revoked_licenses": "curl -s {portal}/.well-known/revoked-licenses",
}
"""A command for each call, by its operationId; a person puts their own values in."""


WORDS = {
    "array": "list",
    "boolean": "true or false",
    "integer": "whole number",
    "string": "text",
}
"""What people call JSON's types."""


class Field(NamedTuple):
    """A row of the page's tables of fields."""

    name: str
    kind: str
    required: bool
    description: str


@blueprint.get("/openapi.json")
@public
@operation(Operation(summary="This description, OpenAPI 3.1", answers={200: AnyObject}))
def openapi() -> Response:
    return answer(AnyObject(openapi_document()))


@blueprint.get("/docs")
@public
@operation(
    Operation(
        summary="This description, a page to read",
        answers={200: Text},
        media_type="text/html",
    )
)
def page() -> Response:
    document = openapi_document()
    calls = [
        (method.upper(), path, call, _example(call), _tables(document, call))
        for path, methods in sorted(document["paths"].items(), key=lambda entry: _place(entry[0]))
        for method, call in methods.items()
    ]
    return make_response(
        render_template("docs/api.html", document=document, calls=calls, codes=_codes())
    )


def openapi_document() -> dict[str, Any]:
    """The OpenAPI 3.1 document of the portal's interface."""
    return document_of_operations(TITLE, VERSION, DESCRIPTION)


def fields_of(
    document: Mapping[str, Any], schema: Mapping[str, Any], within: str = ""
) -> Iterator[Field]:
    """The fields that a schema of the document has, those of objects within it too."""
    found = _resolve(document, schema)
    for name, described in found.get("properties", {}).items():
        inner = _resolve(document, described)
        yield Field(
            within + name,
            _kind(document, described),
            name in found.get("required", ()),
            described.get("description", ""),
        )
        item = _resolve(document, inner.get("items", {}))
        yield from fields_of(document, inner, f"{within}{name}.")
        yield from fields_of(document, item, f"{within}{name}[].")


def _place(path: str) -> int:
    """Where a path stands on the page: what agents need first, this description last."""
    return next(
        at
        for at, start in enumerate(("/api/agent/", "/.well-known/", "/"))
        if path.startswith(start)
    )


def _tables(document: Mapping[str, Any], call: Mapping[str, Any]) -> list[tuple[str, list[Field]]]:
    """What is sent and what is answered, each with its fields, where there are any."""
    bodies = [("Sent", call["requestBody"])] if "requestBody" in call else []
    bodies += [
        (f"Answered ({status})", response)
        for status, response in call["responses"].items()
        if status < "400"
    ]
    tables = [
        (what, list(fields_of(document, content["schema"])))
        for what, body in bodies
        for content in body.get("content", {}).values()
    ]
    return [(what, fields) for what, fields in tables if fields]


def _example(call: Mapping[str, Any]) -> str | None:
    command = EXAMPLES.get(call["operationId"])
    return command.format(portal=request.host_url.rstrip("/")) if command else None


def _codes() -> dict[str, str]:
    """Every `code`, with what it says."""
    said = {code.value: sentence for code, sentence in SENTENCES.items()}
    ends = {cause.code.value: sentence for cause, sentence in END_SENTENCES.items()}
    return {
        code: sentence.replace(AT, "(instant)").replace(NAME, "(organisation)")
        for code, sentence in (ends | said | OTHER_CODES).items()
    }


def _resolve(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    name = schema.get("$ref", "").removeprefix(SCHEMAS)
    found: Mapping[str, Any] = document["components"]["schemas"][name] if name else schema
    return found


def _kind(document: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """The type of a field, in words."""
    if "anyOf" in schema:
        return " or ".join(_kind(document, choice) for choice in schema["anyOf"])
    found = _resolve(document, schema)
    if "enum" in found:
        return " or ".join(f'"{choice}"' for choice in found["enum"])
    if found.get("format") == "date-time":
        return "time"
    kind = str(found.get("type", "anything"))
    return WORDS.get(kind, kind)
