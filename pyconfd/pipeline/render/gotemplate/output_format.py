"""
Whether an output is valid JSON, YAML, TOML or XML: the fork's `output_format`. Pure.

Messages name lines and columns, and hold nothing of the output.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping


def problem(content: bytes, name: str) -> str:
    """Why the output is not of this format; "" when it is. name: of CHECKS."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return f"it is not UTF-8 in line {line}"
    return CHECKS[name](text)


def _json(text: str) -> str:
    try:
        json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        return f"{error.msg}, line {error.lineno}, column {error.colno}"
    except (ValueError, RecursionError) as error:
        return str(error)
    return ""


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is not a value")


def _yaml(text: str) -> str:
    import yaml

    try:
        for _ in yaml.parse(text, yaml.SafeLoader):
            pass
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        return f"it cannot be parsed{line}"
    except (yaml.YAMLError, RecursionError):
        return "it cannot be parsed"
    return ""


def _toml(text: str) -> str:
    import re

    import tomli

    try:
        tomli.loads(text)
    except (tomli.TOMLDecodeError, RecursionError) as error:
        at = re.search(r"line \d+, column \d+", str(error))
        return f"it cannot be parsed{', ' + at[0] if at else ''}"
    return ""


def _xml(text: str) -> str:
    from xml.parsers import expat

    parser = expat.ParserCreate()
    parser.EntityDeclHandler = _no_entities
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        return f"{expat.ErrorString(error.code)}, line {error.lineno}"
    except ValueError as error:
        return str(error)
    return ""


def _no_entities(*_: object) -> None:
    """Entities that refer to one another grow without limit."""
    raise ValueError("it declares entities")


CHECKS: Mapping[str, Callable[[str], str]] = {
    "json": _json,
    "yaml": _yaml,
    "yml": _yaml,
    "toml": _toml,
    "xml": _xml,
}
