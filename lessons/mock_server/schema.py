"""A value that satisfies a JSON Schema: always the same for the same schema.

It knows what schemas of tools and of structured answers use (JSON Schema 2020-12):
types, bounds, properties, items, enum, const, $ref, allOf, anyOf and oneOf.
"""

import json
import math
import re
from collections.abc import Callable
from typing import Any

# What would need more than this file does. Other unknown words say nothing about the
# value, as the standard has it.
NOT_OFFERED = (
    *("not", "if", "then", "else", "contains", "patternProperties", "propertyNames"),
    *("dependentRequired", "dependentSchemas", "dependencies", "unevaluatedItems"),
    *("unevaluatedProperties", "$dynamicRef"),
)
MOST_VALUES = 2_000  # in one value, all levels counted
FORMATS = {
    "date-time": "2026-01-31T12:00:00Z",
    "date": "2026-01-31",
    "time": "12:00:00Z",
    "duration": "P1D",
    "email": "ada@example.com",
    "hostname": "example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
}
# Tried in this order where a text must match a pattern.
SAMPLES = (
    *("a", "A", "0", "1", "ab", "AB", "12", "abc", "ABC", "123", "1234", "12345"),
    *("a1", "A1", "Ab", "AB-1234", "AB1234", "1.0", "1.0.0", "12:00", "#a0b1c2"),
    *("+12025550123", "202-555-0123", "EUR", "en-US", "a_b", "a-b", "@ada"),
    *FORMATS.values(),
)


class CannotSatisfy(ValueError):
    """No value was found for a schema; the text says for which part of it, and why."""


def value_for(schema: Any) -> Any:
    """Return a value that satisfies the schema.

    Raises CannotSatisfy.
    """
    maker = _Maker(schema)
    try:
        value = maker.make(schema, "schema", "value")
        if not maker.fits(value, schema):
            raise CannotSatisfy("schema: no value satisfies all its parts together")
    except (TypeError, AttributeError, RecursionError, re.error) as error:
        raise CannotSatisfy(f"schema: this is not a JSON Schema: {error}") from error
    return value


def _canonical(value: Any) -> str:
    """Return a text that is the same for the same JSON: 1 is not true, 1.0 is 1."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, list):
        return f"[{','.join(map(_canonical, value))}]"
    if isinstance(value, dict):
        pairs = [[name, _canonical(value[name])] for name in sorted(value)]
        return f"{{{json.dumps(pairs)}}}"
    return json.dumps(value)


def _same(one: Any, other: Any) -> bool:
    """Say whether two values are the same JSON."""
    return _canonical(one) == _canonical(other)


class _Maker:
    """Makes the values of one schema; root is where its `$ref`s begin."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self.open: tuple[str, ...] = ()  # the references that are being followed
        self.made = 0

    # --- the schema ---

    def whole(
        self, schema: Any, place: str, followed: tuple[str, ...] = ()
    ) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Return a schema with what its `$ref` and its allOf say, and the references
        that were followed.
        """
        if schema is True:
            return {}, followed
        if schema is False:
            raise CannotSatisfy(f"{place}: false allows no value")
        for word in NOT_OFFERED:
            if word in schema:
                raise CannotSatisfy(f"{place}: {word!r} is not offered here")
        merged = {
            word: schema[word] for word in schema if word not in ("$ref", "allOf")
        }
        others = list(schema.get("allOf", []))
        if "$ref" in schema:
            if schema["$ref"] in (*self.open, *followed):
                wrong = f"{place}: {schema['$ref']} refers to itself without end"
                raise CannotSatisfy(wrong)
            followed = (*followed, schema["$ref"])
            others.append(self.target(schema["$ref"], place))
        for other in others:
            theirs, followed = self.whole(other, place, followed)
            for word, said in theirs.items():
                merged[word] = (
                    _both(word, merged[word], said) if word in merged else said
                )
        return merged, followed

    def target(self, reference: Any, place: str) -> Any:
        """Return what a reference inside of the schema points to (RFC 6901)."""
        target = self.root
        try:
            start, *names = reference.split("/")
            if start != "#":
                raise KeyError(start)
            for name in names:
                target = target[name.replace("~1", "/").replace("~0", "~")]
        except (KeyError, TypeError, AttributeError):
            wrong = f"{place}: there is nothing at $ref {reference!r}"
            raise CannotSatisfy(wrong) from None
        return target

    # --- a value ---

    def make(self, schema: Any, place: str, name: str, number: int = 0) -> Any:
        """Return a value; name and number tell texts and numbers apart."""
        self.made += 1
        if self.made > MOST_VALUES:
            raise CannotSatisfy(f"{place}: the schema is too large")
        whole, followed = self.whole(schema, place)
        before, self.open = self.open, (*self.open, *followed)
        try:
            return self.make_whole(whole, place, name, number)
        finally:
            self.open = before

    def make_whole(self, schema: dict, place: str, name: str, number: int) -> Any:
        """Return a value for a schema without `$ref` and allOf."""
        for word in ("anyOf", "oneOf"):
            if word in schema:
                return self.choose(schema, word, place, name, number)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            if not schema["enum"]:
                raise CannotSatisfy(f"{place}.enum: it has no value")
            return schema["enum"][number % len(schema["enum"])]
        kind = schema.get("type") or _guess_type(schema)
        if isinstance(kind, list):
            kind = next((one for one in kind if one != "null"), "null")
        makers: dict[str, Callable[[], Any]] = {
            "object": lambda: self.make_object(schema, place),
            "array": lambda: self.make_array(schema, place, name),
            "string": lambda: _make_string(schema, place, name, number),
            "integer": lambda: _make_number(schema, place, number, is_whole=True),
            "number": lambda: _make_number(schema, place, number, is_whole=False),
            "boolean": lambda: number % 2 == 0,
            "null": lambda: None,
        }
        if kind not in makers:
            raise CannotSatisfy(f"{place}.type: there is no type {kind!r}")
        return makers[kind]()

    def choose(
        self, schema: dict, word: str, place: str, name: str, number: int
    ) -> Any:
        """Return a value for the first choice of anyOf or oneOf that has one."""
        rest = {key: said for key, said in schema.items() if key != word}
        trouble = CannotSatisfy(f"{place}.{word}: it has no choice")
        for index, choice in enumerate(schema[word]):
            where = f"{place}.{word}[{index}]"
            try:
                value = self.make({"allOf": [choice, rest]}, where, name, number)
                if self.fits(value, schema):
                    return value
            except CannotSatisfy as error:
                trouble = error
        raise trouble

    def make_object(self, schema: dict, place: str) -> dict[str, Any]:
        properties, needed = schema.get("properties", {}), schema.get("required", [])
        value = {}
        for name in [*properties, *(name for name in needed if name not in properties)]:
            inner = properties.get(name, schema.get("additionalProperties", True))
            if name not in needed and len(value) >= schema.get(
                "maxProperties", math.inf
            ):
                continue
            try:
                value[name] = self.make(inner, f"{place}.properties.{name}", name)
            except CannotSatisfy:
                if name in needed:
                    raise
        while len(value) < schema.get("minProperties", 0):
            name, inner = (
                f"key{len(value) + 1}",
                schema.get("additionalProperties", True),
            )
            value[name] = self.make(inner, f"{place}.additionalProperties", name)
        return value

    def make_array(self, schema: dict, place: str, name: str) -> list[Any]:
        first, least = schema.get("prefixItems", []), schema.get("minItems", 0)
        value = [
            self.make(inner, f"{place}.prefixItems[{number}]", name)
            for number, inner in enumerate(first)
        ]
        wanted = max(least, min(1, schema.get("maxItems", 1)), len(first))
        while len(value) < wanted:
            inner = schema.get("items", True)
            try:
                value.append(self.make(inner, f"{place}.items", name, len(value)))
            except CannotSatisfy:
                if len(value) < least:
                    raise
                break
        return value

    # --- whether a value fits ---

    def fits(self, value: Any, schema: Any) -> bool:
        """Say whether a value satisfies a schema."""
        if isinstance(schema, bool):
            return schema
        others = [self.target(schema["$ref"], "schema")] if "$ref" in schema else []
        if not all(
            self.fits(value, one) for one in [*others, *schema.get("allOf", [])]
        ):
            return False
        kinds = schema.get("type", _type_of(value))
        kinds = kinds if isinstance(kinds, list) else [kinds]
        is_whole = isinstance(value, float) and value == int(value)
        types = {_type_of(value)} | ({"integer"} if is_whole else set())
        if "integer" in types:
            types.add("number")
        if not types & set(kinds):
            return False
        if "const" in schema and not _same(value, schema["const"]):
            return False
        if not any(_same(value, one) for one in schema.get("enum", [value])):
            return False
        if "anyOf" in schema and not any(
            self.fits(value, one) for one in schema["anyOf"]
        ):
            return False
        if (
            "oneOf" in schema
            and sum(self.fits(value, one) for one in schema["oneOf"]) != 1
        ):
            return False
        if isinstance(value, str):
            is_long = _in_bounds(len(value), schema, "minLength", "maxLength")
            return is_long and bool(re.search(schema.get("pattern", ""), value))
        if isinstance(value, dict):
            return self.object_fits(value, schema)
        if isinstance(value, list):
            return self.array_fits(value, schema)
        return isinstance(value, bool | None) or _number_fits(value, schema)

    def object_fits(self, value: dict, schema: dict) -> bool:
        properties, others = (
            schema.get("properties", {}),
            schema.get("additionalProperties", True),
        )
        return (
            _in_bounds(len(value), schema, "minProperties", "maxProperties")
            and all(name in value for name in schema.get("required", []))
            and all(
                self.fits(value[name], inner)
                for name in value
                for inner in [properties.get(name, others)]
            )
        )

    def array_fits(self, value: list, schema: dict) -> bool:
        first = schema.get("prefixItems", [])
        items = [*first, *[schema.get("items", True)] * (len(value) - len(first))]
        different = {_canonical(one) for one in value}
        is_unique = not schema.get("uniqueItems") or len(different) == len(value)
        return (
            is_unique
            and _in_bounds(len(value), schema, "minItems", "maxItems")
            and all(
                self.fits(one, inner) for one, inner in zip(value, items, strict=False)
            )
        )


_NUMBERS = {"integer", "number"}


def _both(word: str, one: Any, other: Any) -> Any:
    """Return what two schemas together say with one word."""
    if word == "properties":
        return one | {
            name: {"allOf": [one[name], said]} if name in one else said
            for name, said in other.items()
        }
    if word == "type":
        one, other = (
            [said] if isinstance(said, str) else said for said in (one, other)
        )
        return [kind for kind in one if kind in other or {kind, *other} >= _NUMBERS]
    if word == "required":
        return list(dict.fromkeys([*one, *other]))
    if word == "enum":
        return [value for value in one if any(_same(value, said) for said in other)]
    if word.startswith(("min", "exclusiveMin")):
        return max(one, other)
    if word.startswith(("max", "exclusiveMax")):
        return min(one, other)
    return other if word == "additionalProperties" and one is not False else one


def _type_of(value: Any) -> str:
    """Return JSON Schema's word for the type of a value."""
    for kind, word in ((bool, "boolean"), (int, "integer"), (float, "number")):
        if isinstance(value, kind):
            return word
    words = {str: "string", dict: "object", list: "array", type(None): "null"}
    return words[type(value)]


def _guess_type(schema: dict) -> str:
    """Return the type that a schema without `type` speaks of."""
    words = {
        "object": ("properties", "required", "additionalProperties", "minProperties"),
        "array": ("items", "prefixItems", "minItems"),
        "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    }
    for kind, its_words in words.items():
        if any(word in schema for word in its_words):
            return kind
    return "number" if "multipleOf" in schema else "string"


def _in_bounds(number: float, schema: dict, least: str, most: str) -> bool:
    return schema.get(least, 0) <= number <= schema.get(most, math.inf)


def _make_string(schema: dict, place: str, name: str, number: int) -> str:
    usual = FORMATS.get(schema.get("format"), f"mock {name}")
    texts = [f"{usual} {number + 1}" if number and usual not in SAMPLES else usual]
    texts += SAMPLES if "pattern" in schema else ()
    least, most = schema.get("minLength", 0), schema.get("maxLength", math.inf)
    if least > 10_000:
        raise CannotSatisfy(f"{place}.minLength: it is over 10,000")
    for text in texts:
        text = text + "x" * (least - len(text))
        text = text if len(text) <= most else text[: int(most)]
        if re.search(schema.get("pattern", ""), text) and least <= len(text):
            return text
    word = "pattern" if "pattern" in schema else "maxLength"
    raise CannotSatisfy(f"{place}.{word}: no text was found for {schema[word]!r}")


def _number_fits(value: float, schema: dict) -> bool:
    step = schema.get("multipleOf")
    return (
        schema.get("minimum", -math.inf) <= value <= schema.get("maximum", math.inf)
        and schema.get("exclusiveMinimum", -math.inf) < value
        and value < schema.get("exclusiveMaximum", math.inf)
        and (not step or math.isclose(value / step, round(value / step), abs_tol=1e-9))
    )


def _make_number(schema: dict, place: str, number: int, is_whole: bool) -> float:
    """Return the first of a few numbers that fits: near 1, or near a bound."""
    low = max(
        schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf)
    )
    high = min(
        schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf)
    )
    step = schema.get("multipleOf") or 1
    begin = low if math.isfinite(low) else min(1, high)
    near = [begin + number, 1 + number, begin, begin + step, high, high - step]
    near += [
        math.ceil(begin / step) * step + offset * step for offset in (number, 1, -1)
    ]
    near += [(low + high) / 2, low + 0.5, high - 0.5, 0]
    for value in near:
        if not math.isfinite(value):
            continue
        if is_whole:
            value = math.ceil(value)
        if _number_fits(value, schema):
            return value
    raise CannotSatisfy(f"{place}: no number was found for its bounds")
