"""What was wrong with the arguments of a tool, in the words of its schema: an agent reads it and does better."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

_SHOWN_CHARACTERS = 60  # of a wrong value
_TYPES = {"string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false"}


def mistakes(schema: Mapping[str, Any], arguments: Mapping[str, Any], wrong: Sequence[str]) -> str:
    """One sentence for each argument named in `wrong`, by the JSON schema of all arguments."""
    told = []
    for name in dict.fromkeys(wrong):
        expected = _expected(schema.get("properties", {}).get(name, {}), schema.get("$defs", {}))
        if name not in arguments:
            told.append(f"`{name}` is missing; it must be {expected}")
        else:
            told.append(f"`{name}` must be {expected}, not {_shown(arguments[name])}")
    return "; ".join(told)


def _expected(wanted: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if "$ref" in wanted:
        return _expected(definitions[wanted["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in wanted:
        choices = [_expected(choice, definitions) for choice in wanted["anyOf"] if choice.get("type") != "null"]
        return " or ".join([*choices, "left out"] if len(choices) < len(wanted["anyOf"]) else choices)
    if "enum" in wanted:
        return f"one of {', '.join(str(choice) for choice in wanted['enum'])}"
    if wanted.get("type") == "array":
        most = f" of at most {wanted['maxItems']}" if "maxItems" in wanted else ""
        return f"a list{most}, each {_expected(wanted.get('items', {}), definitions)}"
    return _TYPES.get(wanted.get("type", ""), "something else") + _bounds(wanted)


def _bounds(wanted: Mapping[str, Any]) -> str:
    if wanted.get("type") == "string":
        least, most, unit = wanted.get("minLength"), wanted.get("maxLength"), " characters"
    else:
        least, most, unit = wanted.get("minimum"), wanted.get("maximum"), ""
    bounds = [*([] if least is None else [f"at least {least}"]), *([] if most is None else [f"at most {most}"])]
    return f" of {' and '.join(bounds)}{unit}" if bounds else ""


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
