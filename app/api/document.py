"""The description of the JSON interface: an OpenAPI document, and a page for people."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from flask import Blueprint, Response, current_app, make_response, render_template, request
from pydantic.json_schema import models_json_schema

from app.agents.codes import AT, NAME, EndCause, RefusalCode
from app.api.operations import BODY_BYTES, SCHEMAS, AnyObject, Text, answer, operation
from app.web.access import public
from app.web.errors import ERROR_TEXTS
from app.web.proxies import path_prefix, public_root

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
    "invalid_request": ERROR_TEXTS[422].detail,
    "payload_too_large": ERROR_TEXTS[413].detail,
    "unsupported_media_type": "Send the body as `Content-Type: application/json`.",
    "throttled": ERROR_TEXTS[429].detail,
    "not_found": "There is nothing at this address.",
    "method_not_allowed": "The header `Allow` says which methods there are.",
    "unavailable": "The database cannot be used just now. Try again in a minute.",
    "signing_key_missing": "The person who runs the portal must put the signing key back.",
    "internal_error": "Something went wrong on the portal's side. Nothing was saved.",
}
WORDS = {
    "array": "list",
    "boolean": "true or false",
    "integer": "whole number",
    "string": "text",
}
"""Names of JSON's types for people."""


class FieldRow(NamedTuple):
    """A row of a table of fields on the page."""

    name: str
    kind: str
    required: bool
    description: str


@blueprint.get("/openapi.json")
@public
@operation("This description, OpenAPI 3.1", answers={200: AnyObject})
def openapi() -> Response:
    return answer(AnyObject(openapi_document()))


@blueprint.get("/docs")
@public
@operation(
    "This description, a page to read",
    answers={200: Text},
    media_type="text/html",
)
def page() -> Response:
    document = openapi_document()
    paths = _resolved(document["paths"], document["components"]["schemas"])
    calls = [
        (method.upper(), path, call, _example(method, path, call), _tables(call))
        for path, methods in paths.items()
        for method, call in methods.items()
    ]
    return make_response(
        render_template("docs/api.html", document=document, calls=calls, codes=_codes())
    )


def openapi_document() -> dict[str, Any]:
    """The OpenAPI 3.1 document of all operations of the running app."""
    paths: dict[str, dict[str, Any]] = {}
    models: list[Any] = []
    for rule in current_app.url_map.iter_rules():
        view = current_app.view_functions[rule.endpoint]
        if hasattr(view, "operation"):
            described, its_models = view.operation
            entry = {"operationId": rule.endpoint.replace(".", "_")} | described
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                paths.setdefault(rule.rule, {})[method.lower()] = entry
            models += its_models
    _, schemas = models_json_schema(models, ref_template=SCHEMAS + "{model}")
    token = {
        "type": "http",
        "scheme": "bearer",
        "description": "The `session_token` that a sign-in was answered with.",
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": VERSION, "description": DESCRIPTION},
        "servers": [{"url": path_prefix() or "/"}],
        "paths": paths,
        "components": {"schemas": schemas["$defs"], "securitySchemes": {"session_token": token}},
    }


def _resolved(value: Any, schemas: Mapping[str, Any]) -> Any:
    """`value` with each `$ref` in it replaced by the schema that it refers to."""
    if isinstance(value, list):
        return [_resolved(item, schemas) for item in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        return _resolved(schemas[value["$ref"].removeprefix(SCHEMAS)], schemas)
    return {name: _resolved(item, schemas) for name, item in value.items()}


def _tables(call: Mapping[str, Any]) -> list[tuple[str, list[FieldRow]]]:
    """The tables of fields of a call: of its request and of its successful responses."""
    bodies = {"Sent": call.get("requestBody", {})} | {
        f"Answered ({status})": response
        for status, response in call["responses"].items()
        if status < "400"
    }
    tables = [
        (what, [*_fields(content["schema"])])
        for what, body in bodies.items()
        for content in body.get("content", {}).values()
    ]
    return [(what, fields) for what, fields in tables if fields]


def _fields(schema: Mapping[str, Any], within: str = "") -> Iterator[FieldRow]:
    """The fields of a schema, including those of objects within it."""
    for name, field in schema.get("properties", {}).items():
        required = name in schema.get("required", ())
        yield FieldRow(within + name, _kind(field), required, field.get("description", ""))
        yield from _fields(field, f"{within}{name}.")
        yield from _fields(field.get("items", {}), f"{within}{name}[].")


def _kind(schema: Mapping[str, Any]) -> str:
    """The type of a field, for people."""
    if "anyOf" in schema:
        return " or ".join(_kind(choice) for choice in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f'"{choice}"' for choice in schema["enum"])
    if schema.get("format") == "date-time":
        return "time"
    kind = str(schema.get("type", "anything"))
    return WORDS.get(kind, kind)


def _example(method: str, path: str, call: Mapping[str, Any]) -> str | None:
    """The call as a curl command with example values; None for the page itself."""
    if path == request.path:
        return None
    option = "" if method in ("get", "post") else f" -X {method.upper()}"
    command = f"curl -s{option} {public_root() or path_prefix()}{path}"
    if call["security"]:
        command += " -H 'Authorization: Bearer SESSION_TOKEN'"
    if "requestBody" in call:
        body = json.dumps(call["requestBody"]["content"]["application/json"]["example"])
        command += f" -H 'Content-Type: application/json' -d '{body}'"
    return command


def _codes() -> dict[str, str]:
    """Every `code` with its sentence."""
    said = {cause.code.value: cause.sentence for cause in EndCause}
    said |= {code.value: code.sentence for code in RefusalCode}
    return {
        code: sentence.replace(AT, "(instant)").replace(NAME, "(organisation)")
        for code, sentence in (said | OTHER_CODES).items()
    }
