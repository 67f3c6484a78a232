"""Replies of the LLM service: an instance of the request's own JSON schema that quotes the request's transcript.

Which stage asks is seen in the schema: ``conversations`` is LLM1, properties ``q<id>`` are LLM2.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import orjson

from cofi_dagster_tests.fleet_simulator.calls import trades_of
from cofi_dagster_tests.fleet_simulator.replies import GREETING, spoken

Json = dict[str, Any]

_NAME = re.compile(re.escape(GREETING) + r"(.+)\.", re.DOTALL)
_QUESTION = re.compile(r"q\d+")
_QUOTE, _SEGMENT = "\x1aquote\x1a", 987_654_321
_TEMPLATES_KEPT = 64


class BadRequestError(ValueError):
    """The chat completion request is not one of LLM1's or LLM2's; the message says why."""


class LlmRequest:
    """One chat completion request: which stage asks (``service``), about which file, with which schema."""

    __slots__ = ("body_length", "file", "schema", "segments", "service")

    def __init__(self, body: bytes) -> None:
        try:
            request = orjson.loads(body)
            form = request["response_format"]
            if form["type"] != "json_schema":
                raise BadRequestError("response_format is not of the type json_schema")
            self.schema: Json = form["json_schema"]["schema"]
            user = next(m["content"] for m in reversed(request["messages"]) if m["role"] == "user")
        except (orjson.JSONDecodeError, KeyError, TypeError, StopIteration) as error:
            raise BadRequestError(f"no chat completion request with a JSON schema: {error!r}") from None
        self.service = _service(self.schema)
        self.segments = _transcript(user)
        found = _NAME.fullmatch(self.segments[0]["text"]) if self.segments else None
        self.file = found[1] if found else ""
        self.body_length = len(body)


def _service(schema: Json) -> str:
    properties = schema.get("properties", {})
    if "conversations" in properties:
        return "llm1"
    if properties and all(_QUESTION.fullmatch(name) for name in properties):
        return "llm2"
    raise BadRequestError(f"a schema neither of LLM1 nor of LLM2: its properties are {sorted(properties)}")


def _transcript(content: str) -> list[Json]:
    start = content.find('{"segments"')
    if start < 0:
        raise BadRequestError('the user message holds no transcript of the form {"segments": [...]}')
    try:
        found = orjson.loads(content[start:])
    except orjson.JSONDecodeError:
        found, _ = json.JSONDecoder().raw_decode(content, start)
    segments: list[Json] = found["segments"]
    if any("segment" not in segment or "text" not in segment for segment in segments):
        raise BadRequestError("a segment of the transcript lacks its number or its text")
    return segments


def fill(schema: Json, hints: Mapping[str, Any], root: Json, name: str = "") -> Any:
    """An instance of a JSON schema: of each property the hint of that name where it fits, else the least that fits."""
    if "$ref" in schema:
        return fill(_resolve(schema["$ref"], root), hints, root, name)
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in schema:
            kinds = [kind for kind in schema[choice] if kind.get("type") != "null"]
            return fill((kinds or schema[choice])[0], hints, root, name)
    hint = hints.get(name)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return next((value for value in schema["enum"] if _same(value, hint)), schema["enum"][0])
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = next((k for k in kind if k != "null"), "null")
    return _FILL[kind](schema, hints, root, hint)


def _resolve(reference: str, root: Json) -> Json:
    found: Any = root
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    resolved: Json = found
    return resolved


def _same(value: Any, hint: Any) -> bool:
    return value == hint or (isinstance(value, str) and isinstance(hint, str) and value.lower() == hint.lower())


def _object(schema: Json, hints: Mapping[str, Any], root: Json, hint: Any) -> Json:
    own = {**hints, **hint} if isinstance(hint, dict) else hints
    return {name: fill(sub, own, root, name) for name, sub in schema.get("properties", {}).items()}


def _array(schema: Json, hints: Mapping[str, Any], root: Json, hint: Any) -> list[Any]:
    elements = hint if isinstance(hint, list) else [{}] * schema.get("minItems", 0)
    items = schema.get("items", {})
    return [fill(items, {**hints, **element}, root) for element in elements][: schema.get("maxItems")]


def _number(schema: Json, hints: Mapping[str, Any], root: Json, hint: Any) -> float:
    value: float = hint if isinstance(hint, int | float) else 0
    value = max(value, schema.get("minimum", value))
    highest: float = schema.get("maximum", value)
    return min(value, highest)


def _string(schema: Json, hints: Mapping[str, Any], root: Json, hint: Any) -> str:
    value = hint if isinstance(hint, str) else str(hint) if isinstance(hint, int) else "simulated"
    return value.ljust(schema.get("minLength", 0), ".")[: schema.get("maxLength")]


_FILL: dict[str, Any] = {
    "object": _object,
    "array": _array,
    "number": _number,
    "integer": _number,
    "string": _string,
    "boolean": lambda schema, hints, root, hint: bool(hint),
    "null": lambda schema, hints, root, hint: None,
}


def _llm1_content(request: LlmRequest) -> bytes:
    by_text = {segment["text"]: segment["segment"] for segment in request.segments}
    discussed = []
    for trade in trades_of(request.file) if request.file else ():
        words = spoken(trade)
        if words in by_text:
            evidence = [{"segment": by_text[words], "quote": words}]
            discussed.append(
                {"symbol": trade.symbol, "side": trade.side, "quantity": trade.quantity,
                 "price": trade.price, "price_type": "limit", "evidence": evidence}
            )  # fmt: skip
    return orjson.dumps(fill(request.schema, {"conversations": discussed}, request.schema))


class Answers:
    """LLM2's contents: made once per schema, then only the quotation is put in."""

    def __init__(self) -> None:
        self._templates: OrderedDict[bytes, bytes] = OrderedDict()

    def _template(self, schema: Json) -> bytes:
        key = orjson.dumps(schema)
        if key not in self._templates:
            evidence = [{"segment": _SEGMENT, "quote": _QUOTE}]
            hints = {"answer": "yes", "confidence": 0.9, "evidence": evidence}
            self._templates[key] = orjson.dumps(orjson.dumps(fill(schema, hints, schema)).decode())
            if len(self._templates) > _TEMPLATES_KEPT:
                self._templates.popitem(last=False)
        return self._templates[key]

    def content(self, request: LlmRequest) -> bytes:
        """The answers as a JSON string inside JSON, quotation marks included."""
        cited: Json = (
            request.segments[min(1, len(request.segments) - 1)] if request.segments else {"segment": 0, "text": ""}
        )
        quote = orjson.dumps(orjson.dumps(cited["text"])[1:-1].decode())[1:-1]
        template = self._template(request.schema).replace(_TWICE_ENCODED_QUOTE, quote)
        return template.replace(b"%d" % _SEGMENT, b"%d" % cited["segment"])


_TWICE_ENCODED_QUOTE = orjson.dumps(orjson.dumps(_QUOTE)[1:-1].decode())[1:-1]


def completion(content: bytes, finish_reason: str, prompt_length: int) -> bytes:
    """A chat completion whose message is ``content``, which is a JSON string with its quotation marks."""
    prompt, answer = prompt_length // 4, len(content) // 4
    return (
        b'{"id":"simulated","object":"chat.completion","created":0,"model":"simulator","choices":[{"index":0,'
        b'"message":{"role":"assistant","content":%b},"finish_reason":"%b"}],'
        b'"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}}'
        % (content, finish_reason.encode(), prompt, answer, prompt + answer)
    )


def reply(request: LlmRequest, answers: Answers) -> bytes:
    """The reply's body: LLM1's trades, or LLM2's answers."""
    llm1 = request.service == "llm1"
    content = orjson.dumps(_llm1_content(request).decode()) if llm1 else answers.content(request)
    return completion(content, "stop", request.body_length)
