"""JSON operations: one decorator both checks a request and describes it in the document."""

import json
from collections.abc import Callable, Mapping
from functools import wraps
from math import isinf
from typing import Any, NoReturn

from flask import Response, make_response, request
from pydantic import BaseModel, ConfigDict, RootModel, ValidationError
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from app.core.errors import InvalidRequest
from app.web.transaction import SAFE_METHODS

BODY_BYTES = 64 * 1024
MAX_DEPTH = 64
PROBLEM = "application/problem+json"
SCHEMAS = "#/components/schemas/"
MEANINGS = {204: "Done.", 304: "What the client has is still right."}
ApiView = Callable[..., Response]


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


def operation(
    summary: str,
    *,
    answers: Mapping[int, type[BaseModel] | None],
    problems: Mapping[int, str] | None = None,
    body: type[BaseModel] | None = None,
    example: Mapping[str, Any] | None = None,
    bearer: bool = False,
    headers: Mapping[str, str] | None = None,
    media_type: str = "application/json",
) -> Callable[[ApiView], ApiView]:
    """Make a view an operation: the request's body is checked and passed to it as `body`.

    `answers` maps each status to the model of its body, or None for no body; `problems` maps each
    status of a refusal to its meaning; `headers` describes the headers of the answers; `example`
    is an example of the request's body. A body of more than 64 KiB is refused with 413.
    """
    extra = {429: {"Retry-After": "How many seconds to wait."}}
    if bearer:
        extra[401] = {"WWW-Authenticate": "Bearer (RFC 6750)."}
    responses = {
        status: _response(MEANINGS.get(status, summary), model, media_type, headers)
        for status, model in answers.items()
    } | {
        status: _response(meaning, Problem, PROBLEM, extra.get(status))
        for status, meaning in (problems or {}).items()
    }
    described: dict[str, Any] = {
        "summary": summary,
        "responses": {str(status): response for status, response in responses.items()},
        "security": [{"session_token": []}] if bearer else [],
    }
    models = [(model, "serialization") for model in (*answers.values(), Problem) if model]
    if body is not None:
        content = {"schema": _reference(body), "example": example}
        described["requestBody"] = {"required": True, "content": {"application/json": content}}
        models.append((body, "validation"))

    def stamp(view: ApiView) -> ApiView:
        @wraps(view)
        def checked(**arguments: Any) -> Response:
            if request.method not in SAFE_METHODS and len(request.get_data()) > BODY_BYTES:
                raise RequestEntityTooLarge
            if body is not None:
                arguments["body"] = _validated(body, read_json())
            return view(**arguments)

        checked.operation = described, models  # type: ignore[attr-defined]
        return checked

    return stamp


def _response(
    meaning: str,
    model: type[BaseModel] | None,
    media_type: str,
    headers: Mapping[str, str] | None,
) -> dict[str, Any]:
    response: dict[str, Any] = {"description": meaning}
    if headers:
        response["headers"] = {
            name: {"description": text, "required": True, "schema": {"type": "string"}}
            for name, text in headers.items()
        }
    if model is not None:
        response["content"] = {media_type: {"schema": _reference(model)}}
    return response


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": SCHEMAS + model.__name__}


def answer(model: BaseModel, status: int = 200) -> Response:
    """A response with `model` as JSON, without fields that were not set. Not to be cached."""
    response = make_response(model.model_dump_json(exclude_unset=True), status)
    response.mimetype = "application/json"
    response.headers["Cache-Control"] = "no-store"
    return response


def nothing() -> Response:
    """A response with status 204 and no body."""
    response = make_response("", 204)
    del response.headers["Content-Type"]
    return response


def read_json() -> Any:
    """The JSON of the request's body.

    Raises UnsupportedMediaType (415), and InvalidRequest (422) if the body is not JSON or is JSON
    that programs read differently (RFC 8259): a name twice in one object, numbers out of range,
    half a surrogate pair.
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
    if _is_deeper(value, MAX_DEPTH):
        raise InvalidRequest(f"The body is nested more than {MAX_DEPTH} levels deep.")
    return value


WRONG_VALUES = {
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
"""What is wrong with a value, by pydantic's type of error; never the value itself."""


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
    wrong = WRONG_VALUES.get(error["type"], "is not right")
    return f"{what} {wrong.format(**error.get('ctx', {}))}".rstrip(".") + "."


def _is_deeper(value: Any, levels: int) -> bool:
    """Whether `value` has more than `levels` levels of objects and arrays."""
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(child, levels - 1) for child in inner)


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
