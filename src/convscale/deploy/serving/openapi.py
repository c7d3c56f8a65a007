"""The server's description of itself, as OpenAPI 3.1 has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convscale.deploy.serving.limits import Limits
from convscale.deploy.serving.metrics import CONTENT_TYPE
from convscale.deploy.serving.uploads import FIELD, FORM
from convscale.version import __version__

TOP = 5  # classes in an answer, as `convscale predict`

Table = dict[str, Any]

_REFUSALS = {
    "400": "A parameter or a form that cannot be read.",
    "408": "The body did not arrive in time.",
    "413": "Too many bytes or images in one request.",
    "415": "Neither an image nor a form.",
    "422": "No image, or one as the body that cannot be read.",
    "429": "Too many images are waiting.",
    "500": "The server failed.",
}
_WITHOUT_TOKEN = {"401": "No token, or another one."}
_LOCAL = {"403": "A request from a page of another host.", "421": "A request for another host."}
_ERROR: Table = {
    "type": "object",
    "required": ["error", "hint"],
    "properties": {"error": {"type": "string"}, "hint": {"type": "string", "description": "What to do."}},
}
_CLASS: Table = {
    "type": "object",
    "required": ["class", "probability"],
    "properties": {"class": {"type": "string"}, "probability": {"type": "number", "minimum": 0, "maximum": 1.0001}},
}
_PREDICTION: Table = {
    "type": "object",
    "required": ["image", "classes", "error"],
    "properties": {
        "image": {"type": "string", "description": "The file's name, or its position."},
        "classes": {"type": "array", "items": {"$ref": "#/components/schemas/Class"},
                    "description": "Most probable first; none where the image cannot be read."},
        "error": {"type": ["string", "null"], "description": "Why the image cannot be read."},
    },
}  # fmt: skip
_PREDICTIONS: Table = {
    "type": "object",
    "required": ["predictions"],
    "properties": {"predictions": {"type": "array", "items": {"$ref": "#/components/schemas/Prediction"}}},
}
_HEALTH: Table = {
    "type": "object",
    "required": ["status"],
    "properties": {"status": {"enum": ["ok", "failed"]}},
}


def description(facts: Mapping[str, str], limits: Limits, token: str | None) -> Table:
    """Of a server of what `facts` describe; the token itself is not in it."""
    scheme: Table = {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}}
    refusals = _WITHOUT_TOKEN if token else _LOCAL
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "convscale serve",
            "version": __version__,
            "description": "Predicts the classes of images. " + ", ".join(f"{key} {facts[key]}" for key in facts),
        },
        "paths": {
            "/predict": {"post": _predict(limits, refusals)},
            "/health": {"get": _health({} if token else refusals)},
            "/metrics": {"get": _metrics(refusals)},
            "/openapi.json": {"get": _openapi(refusals)},
        },
        "components": {
            "schemas": {
                "Class": _CLASS, "Prediction": _PREDICTION, "Predictions": _PREDICTIONS, "Error": _ERROR,
                "Health": _HEALTH, "Description": {"type": "object"},
            },
            **(scheme if token else {}),
        },
        **({"security": [{"token": []}]} if token else {}),
    }  # fmt: skip


def _predict(limits: Limits, refusals: Mapping[str, str]) -> Table:
    """One image or several."""
    image = {"type": "string", "format": "binary"}
    files = {"type": "array", "items": image, "minItems": 1}
    form = {"type": "object", "required": [FIELD], "properties": {FIELD: files}, "additionalProperties": False}
    top = {
        "name": "top", "in": "query", "description": "Classes in an answer.",
        "schema": {"type": "integer", "minimum": 1, "maximum": 999_999_999, "default": TOP},
    }  # fmt: skip
    content: Table = {"image/*": {"schema": image}, FORM: {"schema": form}}
    answers = {"200": _answer("The classes of each image, in the order of the request.", "Predictions")}
    answers |= {status: _answer(text, "Error") for status, text in _REFUSALS.items()}
    answers["429"]["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    summary = "The most probable classes of one image (the body) or of each of several (a form's files)."
    body = {
        "required": True,
        "description": f"At most {limits.max_bytes:,} bytes and {limits.queue:,} images, each of at most "
        f"{limits.max_pixels:,} pixels.",
        "content": content,
    }
    return _get(summary, answers, refusals) | {"operationId": "predict", "parameters": [top], "requestBody": body}


def _health(refusals: Mapping[str, str]) -> Table:
    """Needs no token."""
    answers = {"200": _answer("They are.", "Health"), "503": _answer("They are not.", "Health")}
    return _get("Whether images are answered.", answers, refusals) | {"security": []}


def _metrics(refusals: Mapping[str, str]) -> Table:
    text = {"description": "The text format of Prometheus.", "content": {CONTENT_TYPE: {"schema": {"type": "string"}}}}
    return _get("Counts of requests, images and seconds.", {"200": text}, refusals)


def _openapi(refusals: Mapping[str, str]) -> Table:
    return _get("This description.", {"200": _answer("OpenAPI 3.1.", "Description")}, refusals)


def _get(summary: str, answers: Mapping[str, Table], refusals: Mapping[str, str]) -> Table:
    """An operation with the answers of its own and those that all have."""
    return {
        "summary": summary,
        "responses": {**answers, **{status: _answer(text, "Error") for status, text in refusals.items()}},
    }


def _answer(text: str, schema: str) -> Table:
    return {
        "description": text,
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
    }
