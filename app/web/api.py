"""JSON operations that document themselves: what checks a request is what the document shows."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Literal, NoReturn

from flask import Response, current_app, make_response, request
from pydantic import BaseModel, ConfigDict, RootModel, ValidationError
from pydantic.json_schema import models_json_schema
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from app.errors import InvalidInput

BODY_BYTES = 64 * 1024
MAX_DEPTH = 64
SCHEMAS = "#/components/schemas/"
ApiView = Callable[..., Response]


class ApiModel(BaseModel):
    """What goes in and comes out: exact types, and no field that is not documented."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class AnyObject(RootModel[dict[str, Any]]):
    """Any JSON object."""


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str
    status: int
    code: str
    title: str
    detail: str
    expired_at: str | None = None
    registered_to: str | None = None


@dataclass(frozen=True)
class Operation:
    """One call of the interface, as it answers and as it is documented."""

    summary: str
    answers: Mapping[int, type[BaseModel] | None]
    problems: Mapping[int, str]
    body: type[BaseModel] | None = None
    bearer: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = "application/json"


def operation(described: Operation) -> Callable[[ApiView], ApiView]:
    """Make a view an operation: its body is checked first and given to it as `body`."""

    def stamp(view: ApiView) -> ApiView:
        @wraps(view)
        def checked(**arguments: Any) -> Response:
            if described.body is not None:
                arguments["body"] = _validated(described.body, read_json())
            return view(**arguments)

        checked.operation = described  # type: ignore[attr-defined]
        return checked

    return stamp


def answer(model: BaseModel, status: int = 200, exclude: frozenset[str] = frozenset()) -> Response:
    """`model` as JSON, less the fields in `exclude`, never cached."""
    response = make_response(model.model_dump_json(exclude=set(exclude)), status)
    response.mimetype = "application/json"
    response.headers["Cache-Control"] = "no-store"
    return response


def read_json() -> Any:
    """The JSON of the request's body.

    Raises 413 above 64 KiB, 415 for another media type, InvalidInput (422) for what is not JSON.
    """
    if len(request.get_data()) > BODY_BYTES:
        raise RequestEntityTooLarge
    if request.mimetype != "application/json":
        raise UnsupportedMediaType
    try:
        value = json.loads(request.get_data().decode("utf-8"), parse_constant=_no_constant)
        # What cannot be written again (half a surrogate pair) can be neither stored nor answered.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise InvalidInput("body", "The body is not JSON (RFC 8259) in UTF-8.") from None
    if _depth(value) > MAX_DEPTH:
        raise InvalidInput("body", f"The body is nested more than {MAX_DEPTH} levels deep.")
    return value


def _depth(value: Any) -> int:
    """How many levels of objects and arrays there are."""
    depth, level = 0, [value]
    while level:
        inner = [item for item in level if isinstance(item, dict | list)]
        depth += bool(inner)
        level = [
            child for item in inner for child in (item.values() if isinstance(item, dict) else item)
        ]
    return depth


def openapi_document(title: str, version: str, description: str) -> dict[str, Any]:
    """The OpenAPI 3.1 document of every operation of the running app."""
    operations = [
        (rule, method, found)
        for rule in sorted(current_app.url_map.iter_rules(), key=lambda rule: rule.rule)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
        if (found := getattr(current_app.view_functions[rule.endpoint], "operation", None))
    ]
    paths: dict[str, dict[str, Any]] = {}
    for rule, method, found in operations:
        paths.setdefault(rule.rule, {})[method.lower()] = _describe(rule.endpoint, found)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": description},
        "paths": paths,
        "components": {
            "schemas": _schemas([found for _, _, found in operations]),
            "securitySchemes": {"session_token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _describe(endpoint: str, described: Operation) -> dict[str, Any]:
    responses = {
        str(status): _response(described, model) for status, model in described.answers.items()
    }
    for status, meaning in described.problems.items():
        responses[str(status)] = {
            "description": meaning,
            "content": {"application/problem+json": {"schema": {"$ref": SCHEMAS + "Problem"}}},
        }
    entry: dict[str, Any] = {
        "operationId": endpoint.replace(".", "_"),
        "summary": described.summary,
        "responses": responses,
        "security": [{"session_token": []}] if described.bearer else [],
    }
    if described.body is not None:
        schema = {"$ref": SCHEMAS + described.body.__name__}
        entry["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema}},
        }
    return entry


def _response(described: Operation, model: type[BaseModel] | None) -> dict[str, Any]:
    response: dict[str, Any] = {"description": described.summary}
    if described.headers:
        response["headers"] = {
            name: {"description": text, "schema": {"type": "string"}}
            for name, text in described.headers.items()
        }
    if model is not None:
        schema = {"$ref": SCHEMAS + model.__name__}
        response["content"] = {described.media_type: {"schema": schema}}
    return response


def _schemas(operations: list[Operation]) -> dict[str, Any]:
    incoming = [found.body for found in operations if found.body]
    outgoing: list[type[BaseModel]] = [Problem]
    for found in operations:
        outgoing += [model for model in found.answers.values() if model]
    models: list[tuple[type[BaseModel], Literal["validation", "serialization"]]] = []
    models += [(model, "validation") for model in dict.fromkeys(incoming)]
    models += [(model, "serialization") for model in dict.fromkeys(outgoing)]
    _, document = models_json_schema(models, ref_template=SCHEMAS + "{model}")
    schemas: dict[str, Any] = document["$defs"]
    return schemas


def _validated(model: type[BaseModel], value: Any) -> BaseModel:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise InvalidInput(where, f"{where}: {first['msg']}.") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
