"""
JSON Schemas of the TOML files that people write.

Which keys there are comes from the tables that read the files, what they mean from the pages. What
a key of a resource takes is below; a test gives the same values to the reader and to the schema.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from generate.documented import GROUP, RECIPE, RESOURCE, ROLLOUT, SERVICE, Documented
from pyconfd.cli.help import default_of
from pyconfd.config import shipped
from pyconfd.config.daemons import daemon_names
from pyconfd.config.option_table import OPTIONS, TABLES
from pyconfd.config.options import Option
from pyconfd.config.resource_table import ENGINES, KEYS, SERVICE_KEYS, SHARED_KEYS
from pyconfd.config.rollouts import ROLLOUT_KEYS
from pyconfd.registration.agent.options import MEMBER_OPTIONS

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
NAMED: Schema = {"type": "string", "minLength": 1}
TEXTS: Schema = {"type": "array", "items": TEXT}
FLAG: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 1}
NUMBER: Schema = {"type": "integer", "minimum": 0}
ID: Schema = {"type": "integer", "minimum": 0, "maximum": 2**32 - 2}
SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
MODE: Schema = {"type": "string", "pattern": "^(0?[0-7]{3})?$"}
_TIME = r"^(\d+(\.\d+)?(us|ms|s|m|h))+$|^\d+(\.\d+)?$"
TIME: Schema = {"type": ["number", "string"], "minimum": 0, "maximum": 1e9, "pattern": _TIME}
#: Above zero; that a text such as "0s" is not is left to pyconfd check.
WAIT: Schema = {**TIME, "exclusiveMinimum": 0}
WORDS: Schema = {"type": "object", "additionalProperties": TEXT}
_NODES: Schema = {"type": "array", "items": {"type": "string", "pattern": "^[A-Za-z0-9_.-]+$"}}

CONFIRM: Schema = {
    "oneOf": [
        FLAG,
        {
            "type": "object",
            "properties": {
                "by": {"enum": list(daemon_names()), "description": "the daemon that is asked"},
                "at": {"type": "string", "description": "where it answers"},
                "log": {"type": "string", "description": "the file of its refusals"},
                "pid": {"type": "string", "description": "its pid file, with keepalived only"},
            },
            "required": ["by", "at"],
            "additionalProperties": False,
        },
    ]
}

RUNTIME: Schema = {
    "oneOf": [
        {
            "type": "object",
            "properties": {
                "by": {"enum": ["haproxy"], "description": "HAProxy takes the changes"},
                "socket": {
                    "type": "string", "pattern": "^/", "description": "of its master or a worker",
                },
            },
            "required": ["by", "socket"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {
                "by": {"enum": ["apache"], "description": "Apache takes the changes"},
                "at": {
                    "type": "string", "pattern": "^https?://",
                    "description": "the URL of its balancer manager",
                },
            },
            "required": ["by", "at"],
            "additionalProperties": False,
        },
    ]
}  # fmt: skip

#: What each key of a resource takes.
KINDS: Mapping[str, Schema] = {
    "src": NAMED, "engine": {"enum": ["", *ENGINES]}, "dest": NAMED, "keys": TEXTS, "prefix": TEXT,
    "each": TEXT, "each_names": {"enum": ["", "safe", "any"]}, "each_limit": COUNT, "adopt": FLAG,
    "mode": MODE, "uid": ID, "gid": ID, "owner": TEXT, "group": TEXT, "make_dirs": FLAG,
    "check_cmd": TEXT, "check_cmd_timeout": WAIT, "render_timeout": WAIT,
    "check": {"enum": ["", "nginx"]}, "nginx_conf": TEXT, "nginx_bin": TEXT, "nginx_prefix": TEXT,
    "service": NAMED, "reload_cmd": TEXT, "reload_cmd_timeout": WAIT, "confirm": CONFIRM,
    "confirm_cmd": TEXT, "confirm_timeout": WAIT,
    "on_reload_failure": {"enum": ["", "keep", "revert"]},
    "min_reload_interval": TIME, "hold_min": TIME, "hold_max": TIME, "debounce": TIME,
    "format": {"enum": ["", *shipped.names("formats")]}, "min_keys": NUMBER, "max_shrink": SHARE,
    "runtime": RUNTIME,
    "adopt_runtime": FLAG, "shrink_in": TEXTS, "require": TEXTS, "allow_empty": FLAG,
    "guard_timeout": WAIT,
}  # fmt: skip

ROLLOUT_KINDS: Mapping[str, Schema] = {
    "keys": {**TEXTS, "minItems": 1},
    "max_parallel": {
        "oneOf": [
            COUNT,
            {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
            {"type": "string", "pattern": r"^\d{1,2}(\.\d+)?\s*%$"},
        ]
    },
    "canary": {"oneOf": [COUNT, {**_NODES, "minItems": 1}, _NODES["items"]]},
    "pause": TIME,
    "verify_cmd": TEXT,
    "verify_cmd_timeout": WAIT,
    "on_failure": {"enum": ["", "halt"]},
    "timeout": WAIT,
}

_EXAMPLES = {
    "src": "site.conf.j2",
    "dest": "/etc/nginx/conf.d/site.conf",
    "keys": ["/nginx"],
    "mode": "0644",
    "check_cmd": "nginx -t -c {{ src }}",
    "reload_cmd": "systemctl reload nginx",
    "hold_min": "200ms",
    "max_shrink": 0.5,
}


def _table(
    properties: Mapping[str, Schema], required: Iterable[str] = (), **more: object
) -> Schema:
    wanted = {"required": list(required)} if required else {}
    return {
        "type": "object",
        "properties": dict(properties),
        **wanted,
        "additionalProperties": False,
        **more,
    }


def _keys(
    names: Iterable[str], kinds: Mapping[str, Schema], *pages: Mapping[str, Documented]
) -> dict[str, Schema]:
    """A property for each key; its meaning is from the first page that has it."""
    found: dict[str, Schema] = {}
    for name in names:
        row = next(page[name] for page in pages if name in page)
        text = row.meaning
        if row.default not in ("", "-", "required"):
            text += f" (default: {row.default})"
        examples = {"examples": [_EXAMPLES[name]]} if name in _EXAMPLES else {}
        found[name] = {"description": text, **kinds[name], **examples}
    return found


def resource_schema() -> Schema:
    """A file below conf.d."""
    template = _table(
        _keys(KEYS, KINDS, RESOURCE),
        ("src", "dest", "keys"),
        description="a resource: which template, which file, which keys, which commands",
    )
    group = _table(
        _keys(("resources", *SHARED_KEYS), {**KINDS, "resources": TEXTS}, RESOURCE, GROUP),
        ("resources",),
        description="resources that are checked, swapped and reloaded as one",
    )
    rollout = _table(
        _keys(ROLLOUT_KEYS, ROLLOUT_KINDS, ROLLOUT),
        description="how the nodes of a fleet take a changed setting in turn",
    )
    service = _table(
        {**_keys(SERVICE_KEYS, KINDS, RESOURCE, SERVICE), "rollout": rollout},
        description="what reads the files of several resources, and how it is reloaded",
    )
    several = {"type": "array", "items": {"$ref": "#/$defs/template"}}
    return {
        **_head("resource", "A resource file of pyconfd: conf.d/*.toml"),
        **_table(
            {
                "template": {"oneOf": [{"$ref": "#/$defs/template"}, several]},
                "group": _by_name({"$ref": "#/$defs/group"}),
                "service": _by_name({"$ref": "#/$defs/service"}),
            }
        ),
        "$defs": {"template": template, "group": group, "service": service},
    }


def _by_name(schema: Schema) -> Schema:
    names = {"pattern": "^[a-zA-Z0-9_.-]+$"}
    return {"type": "object", "additionalProperties": schema, "propertyNames": names}


def settings_schema() -> Schema:
    """pyconfd.toml: each option in its spellings with _ and -, and the table [vars]."""
    return {
        **_head("pyconfd", "The settings of pyconfd: pyconfd.toml"),
        **_table(
            _options([*OPTIONS, *TABLES], lambda option: _of_option(option), in_file=True),
        ),
    }


def services_schema() -> Schema:
    """services.toml of pyconfd register."""
    members = _options(MEMBER_OPTIONS, _of_member)
    names = {
        "name": {**NAMED, "description": "the service", "examples": ["www.example.com"]},
        "address": {
            **NAMED,
            "description": "host:port, :port, unix:/path or pid:N",
            "examples": [":8080", "10.0.0.7:8080"],
        },
    }
    service = _table({**names, **members}, ("name", "address"), description="a member")
    return {
        **_head("services", "Services for pyconfd register --file: services.toml"),
        **_table(
            {**members, "service": {"type": "array", "minItems": 1, "items": service}},
            ("service",),
        ),
    }


def recipe_schema() -> Schema:
    """recipe.toml of a recipe."""
    from pyconfd.config.recipes import _BROKEN_KEYS, _KEYS, _TEST_KEYS

    edit = {"set": WORDS, "unset": TEXTS, "environ": WORDS, "by": {"enum": ["daemon", "pyconfd"]}}
    broken = _table(
        {key: edit.get(key, NAMED) for key in _BROKEN_KEYS},
        ("why", "says", "by"),
        anyOf=[{"required": ["set"]}, {"required": ["unset"]}],
    )
    tests = _table({key: edit[key] for key in _TEST_KEYS})
    kinds: dict[str, Schema] = {
        **dict.fromkeys(("title", "summary", "system", "page"), NAMED),
        **dict.fromkeys(("packages", "programs", "writes"), TEXTS),
        "root": FLAG,
        "broken": {"oneOf": [broken, {"type": "array", "items": broken}]},
        "test": tests,
        "shared": {"type": "object", "additionalProperties": TEXTS},
    }
    return {
        **_head("recipe", "What a recipe is: recipe.toml"),
        **_table(_keys(_KEYS, kinds, RECIPE), ("title", "summary", "system", "page")),
    }


def _head(name: str, title: str) -> Schema:
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$comment": f"made by python -m generate; pyconfd schema {name} prints it",
        "title": title,
    }


def _options(options: Iterable[Option], kind: Any, *, in_file: bool = False) -> dict[str, Schema]:
    found: dict[str, Schema] = {}
    for option in options:
        if in_file and not option.in_file:
            continue
        default = default_of(option)
        text = f"{option.help} (default: {default})" if default else option.help
        schema = {"description": text, **kind(option)}
        for name in (option.name, *option.aliases):
            spelt = name.replace("-", "_")
            found[spelt] = schema if name == option.name else _other_name(schema, option)
            if spelt != name:
                found[name] = _other_name(schema, option)
    return found


def _other_name(schema: Schema, option: Option) -> Schema:
    name = option.name.replace("-", "_")
    return {**schema, "description": f"another spelling of {name}", "x-taplo": {"hidden": True}}


def _of_option(option: Option) -> Schema:
    """What a key of the config file takes (config/options.py, from_toml)."""
    one = _ONE[option.kind]
    if option.choices:
        one = {"enum": list(option.choices)}
    return {"oneOf": [one, {"type": "array", "items": one}]} if option.repeatable else one


def _of_member(option: Option) -> Schema:
    """What a key of a services file takes: numbers and tables as well, where they mean a text."""
    if option.choices:
        return _of_option(option)
    if option.repeatable:
        return {"oneOf": [{"type": ["string", "number"]}, TEXTS, {"type": "object"}]}
    return {"type": ["string", "number"]} if option.kind == "text" else _of_option(option)


_ONE: Mapping[str, Schema] = {
    "flag": FLAG, "text": TEXT, "duration": TIME, "wait": WAIT, "count": COUNT,
    "table": {"type": "object"},
}  # fmt: skip

SCHEMAS = {
    "resource": resource_schema,
    "pyconfd": settings_schema,
    "services": services_schema,
    "recipe": recipe_schema,
}


def files() -> dict[str, str]:
    """Path below the repository -> what is in it."""
    return {
        f"pyconfd/schema/{name}.schema.json": json.dumps(make(), indent=1, ensure_ascii=False)
        + "\n"
        for name, make in SCHEMAS.items()
    }
