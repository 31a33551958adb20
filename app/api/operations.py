"""JSON operations that document themselves: what checks a request is what the document shows."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from math import isinf
from typing import Any, NoReturn

from flask import Response, current_app, make_response, request
from pydantic import BaseModel, ConfigDict, RootModel, ValidationError
from pydantic.json_schema import JsonSchemaMode, models_json_schema
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from app.core.errors import InvalidRequest
from app.web.transaction import SAFE_METHODS

BODY_BYTES = 64 * 1024
MAX_DEPTH = 64
PROBLEM = "application/problem+json"
SCHEMAS = "#/components/schemas/"
ApiView = Callable[..., Response]
References = Mapping[tuple[Any, JsonSchemaMode], dict[str, Any]]
"""Where the schema of a model, as it is sent or as it is answered, stands in the document."""


class Incoming(BaseModel):
    """What is sent: exact types, and no field that is not documented."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class Outgoing(BaseModel):
    """What is answered. Later versions may answer more."""

    model_config = ConfigDict(strict=True, hide_input_in_errors=True)


class AnyObject(RootModel[dict[str, Any]]):
    """Any JSON object, at most 64 levels deep."""


class Text(RootModel[str]):
    """Plain text."""


class Problem(Outgoing):
    """RFC 9457 problem details. `code` is stable, `detail` is for people."""

    type: str
    status: int
    code: str
    title: str
    detail: str
    expired_at: str | None = None
    registered_to: str | None = None


@dataclass(frozen=True)
class Operation:
    """One call of the interface, as it answers and as it is documented.

    `answers` are the statuses with the model of their body, or None where there is none;
    `problems` the statuses of refusals with what they mean; `headers` what the answers carry.
    """

    summary: str
    answers: Mapping[int, type[BaseModel] | None]
    problems: Mapping[int, str] = field(default_factory=dict)
    body: type[BaseModel] | None = None
    bearer: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = "application/json"


def operation(described: Operation) -> Callable[[ApiView], ApiView]:
    """Make a view an operation: its body is checked first and given to it as `body`.

    More than 64 KiB are 413.
    """

    def stamp(view: ApiView) -> ApiView:
        @wraps(view)
        def checked(**arguments: Any) -> Response:
            if request.method not in SAFE_METHODS and len(request.get_data()) > BODY_BYTES:
                raise RequestEntityTooLarge
            if described.body is not None:
                arguments["body"] = _validated(described.body, read_json())
            return view(**arguments)

        checked.operation = described  # type: ignore[attr-defined]
        return checked

    return stamp


def answer(model: BaseModel, status: int = 200, exclude: Iterable[str] = ()) -> Response:
    """`model` as JSON, less the fields in `exclude`, never cached."""
    response = make_response(model.model_dump_json(exclude=set(exclude)), status)
    response.mimetype = "application/json"
    response.headers["Cache-Control"] = "no-store"
    return response


def nothing() -> Response:
    """204: done, and there is nothing to say."""
    response = make_response("", 204)
    del response.headers["Content-Type"]
    return response


def read_json() -> Any:
    """The JSON of the request's body.

    Raises 415 for another media type, InvalidRequest (422) for what is not JSON,
    or is JSON that programs understand differently (RFC 8259: a name twice in one object, numbers
    out of range, half a surrogate pair).
    """
    if request.mimetype != "application/json":
        raise UnsupportedMediaType
    try:
        value = json.loads(
            request.get_data().decode("utf-8"),
            parse_constant=_refuse_constant,
            parse_float=_finite,
            object_pairs_hook=_each_name_once,
        )
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise InvalidRequest(
            "The body is not JSON (RFC 8259) in UTF-8, each name once in its object and every "
            "number finite."
        ) from None
    if _depth(value) > MAX_DEPTH:
        raise InvalidRequest(f"The body is nested more than {MAX_DEPTH} levels deep.")
    return value


def openapi_document(title: str, version: str, description: str) -> dict[str, Any]:
    """The OpenAPI 3.1 document of every operation of the running app."""
    operations = [
        (rule, method, found)
        for rule in sorted(current_app.url_map.iter_rules(), key=lambda rule: rule.rule)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
        if (found := getattr(current_app.view_functions[rule.endpoint], "operation", None))
    ]
    schemas, references = _schemas([found for _, _, found in operations])
    paths: dict[str, dict[str, Any]] = {}
    for rule, method, found in operations:
        entry = _describe(rule.endpoint, found, references)
        paths.setdefault(rule.rule, {})[method.lower()] = entry
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": description},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "session_token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The `session_token` that a sign-in was answered with.",
                }
            },
        },
    }


def _describe(endpoint: str, described: Operation, references: References) -> dict[str, Any]:
    answers = {
        str(status): _answer(described, status, model, references)
        for status, model in described.answers.items()
    }
    problems = {
        str(status): _problem(described, status, meaning, references)
        for status, meaning in described.problems.items()
    }
    entry: dict[str, Any] = {
        "operationId": endpoint.replace(".", "_"),
        "summary": described.summary,
        "responses": answers | problems,
        "security": [{"session_token": []}] if described.bearer else [],
    }
    if described.body is not None:
        schema = references[described.body, "validation"]
        entry["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema}},
        }
    return entry


def _answer(
    described: Operation, status: int, model: type[BaseModel] | None, references: References
) -> dict[str, Any]:
    meaning = {204: "Done.", 304: "What the client has is still right."}
    response: dict[str, Any] = {"description": meaning.get(status, described.summary)}
    if described.headers:
        response["headers"] = _headers(described.headers)
    if model is not None:
        schema = references[model, "serialization"]
        response["content"] = {described.media_type: {"schema": schema}}
    return response


def _problem(
    described: Operation, status: int, meaning: str, references: References
) -> dict[str, Any]:
    response: dict[str, Any] = {"description": meaning}
    if status == 401 and described.bearer:
        response["headers"] = _headers({"WWW-Authenticate": "Bearer (RFC 6750)."})
    if status == 429:
        response["headers"] = _headers({"Retry-After": "How many seconds to wait."})
    response["content"] = {PROBLEM: {"schema": references[Problem, "serialization"]}}
    return response


def _headers(headers: Mapping[str, str]) -> dict[str, Any]:
    return {
        name: {"description": text, "required": True, "schema": {"type": "string"}}
        for name, text in headers.items()
    }


def _schemas(operations: list[Operation]) -> tuple[dict[str, Any], References]:
    """The schemas of every model by name, and the reference to each model's."""
    models: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {(Problem, "serialization"): None}
    for found in operations:
        if found.body:
            models[found.body, "validation"] = None
        models |= {(model, "serialization"): None for model in found.answers.values() if model}
    references, document = models_json_schema([*models], ref_template=SCHEMAS + "{model}")
    schemas: dict[str, Any] = document["$defs"]
    return schemas, references


SENTENCES = {
    "missing": "is missing",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "has characters that are not allowed there",
    "value_error": "is not right: {error}",
}
"""What is wrong with a value, by the type of pydantic's error; never the value itself."""


def _validated(model: type[BaseModel], value: Any) -> BaseModel:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise InvalidRequest(_sentence(model, first)) from None


def _sentence(model: type[BaseModel], error: Any) -> str:
    if error["type"] == "extra_forbidden":
        known = ", ".join(f"`{name}`" for name in model.model_fields)
        return f"There is a field that this call does not know. It knows {known}."
    what = f"`{error['loc'][0]}`" if error["loc"] else "The body"
    wrong = SENTENCES.get(error["type"], "is not right")
    return f"{what} {wrong.format(**error.get('ctx', {}))}".rstrip(".") + "."


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


def _each_name_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return members


def _finite(text: str) -> float:
    number = float(text)
    if isinf(number):
        raise ValueError("a number is out of range")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
