"""
The options of a member, the same on the command line and as keys of a services file.

One table of rows. The values are checked when a Declaration is made of all of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pyconfd.config.options import Option
from pyconfd.errors import RegistrationError
from pyconfd.registration.address import local_only, parse_address
from pyconfd.registration.declaration import KEY_PATTERN, Check, Declaration
from pyconfd.registration.health import HealthRule
from pyconfd.registration.registrar.probes import ADDRESS, parse_check

KEY, HEALTH, HOOKS = "Key and value", "Health", "Commands and maintenance"


def _option(name: str, kind: str, default: object, help: str, group: str, **more: Any) -> Option:  # noqa: A002
    return Option(name, kind, default, help, group, in_file=False, **more)


MEMBER_OPTIONS = (
    _option("id", "text", "", "name of this member in the service", KEY, metavar="ID",
            default_text="host:port"),
    _option("key-pattern", "text", KEY_PATTERN, "where the key goes, below --prefix", KEY,
            metavar="PATTERN", aliases=("key",)),
    _option("ttl", "wait", 10.0, "the key expires this long after its last renewal; whole"
            " seconds", KEY),
    _option("interface", "text", "", "with :port: the address of this network interface", KEY,
            metavar="NAME"),
    _option("value", "text", "auto", "host:port alone, or JSON; auto is JSON when there is more"
            " to publish", KEY, choices=("auto", "plain", "json")),
    _option("weight", "text", "", "share of the requests, a number; auto follows the load", KEY,
            metavar="N|auto"),
    _option("weight-interval", "wait", 30.0, "with --weight auto: never rewrite more often", KEY),
    _option("label", "text", (), "a label in the value; may be repeated", KEY,
            metavar="NAME=VALUE", repeatable=True, aliases=("labels",)),
    _option("app-version", "text", "", "the version in the value", KEY, metavar="WORD"),
    _option("field", "text", (), "a further field of the value, such as max_fails=2; may be"
            " repeated", KEY, metavar="NAME=JSON", repeatable=True, aliases=("fields",)),
    _option("takeover", "flag", False, "replace a key of this name that is not this member's"
            " own", KEY),
    _option("check", "text", (), "http:/PATH, http://HOST/PATH, https:..., tcp, grpc, exec:COMMAND,"
            " pid:N; may be repeated", HEALTH, metavar="CHECK", repeatable=True,
            default_text="tcp", aliases=("checks",)),
    _option("no-check", "flag", False, "register without a health check", HEALTH),
    _option("check-interval", "wait", 2.0, "from one check to the next", HEALTH,
            aliases=("interval",)),
    _option("check-timeout", "wait", 1.0, "for one check", HEALTH, aliases=("timeout",)),
    _option("rise", "text", "2", "passes in a row that make it healthy", HEALTH, metavar="N"),
    _option("fall", "text", "3", "failures in a row that make it unhealthy", HEALTH, metavar="N"),
    _option("start-period", "duration", 0.0, "failures this soon after the start do not count",
            HEALTH),
    _option("max-load", "text", "", "out of rotation above this load per processor", HEALTH,
            metavar="N"),
    _option("max-memory", "text", "", "out of rotation above this percentage of memory in use",
            HEALTH, metavar="N"),
    _option("before", "text", "", "must succeed before each (re)registration", HOOKS,
            metavar="COMMAND"),
    _option("after-withdraw", "text", "", "runs after each withdrawal", HOOKS, metavar="COMMAND"),
    _option("hook-timeout", "wait", 60.0, "for --before and --after-withdraw", HOOKS),
    _option("maintenance", "flag", False, "stay out of rotation", HOOKS),
    _option("maintenance-file", "text", "", "stay out of rotation while this file exists", HOOKS,
            metavar="FILE"),
)  # fmt: skip


def declaration(service: str, address: str, values: Mapping[str, Any], prefix: str) -> Declaration:
    """
    A declaration from values by field of MEMBER_OPTIONS.

    Raises RegistrationError with the first thing that is wrong.
    """
    nodes = (*values["node"], *filter(None, [values["srv_domain"]]))
    wrong = None if values["interface"] else local_only(parse_address(address), nodes)
    if wrong:
        raise wrong
    weight, auto = _weight(values["weight"])
    return Declaration(
        service=service,
        address=address,
        member_id=values["id"],
        key_pattern=values["key_pattern"],
        prefix=prefix,
        ttl_s=whole_seconds(values["ttl_s"]),
        interface=values["interface"],
        as_json={"auto": None, "plain": False, "json": True}[values["value"]],
        weight=weight,
        auto_weight=auto,
        weight_interval_s=values["weight_interval_s"],
        labels=dict(_pair("label", each) for each in values["label"]),
        version=values["app_version"],
        fields={name: _json(text) for name, text in _pairs("field", values["field"])},
        checks=_checks(values, address),
        rule=HealthRule(
            interval_s=values["check_interval_s"],
            timeout_s=values["check_timeout_s"],
            rise=_count("rise", values["rise"]),
            fall=_count("fall", values["fall"]),
            start_period_s=values["start_period_s"],
        ),
        before=values["before"],
        after_withdraw=values["after_withdraw"],
        hook_timeout_s=values["hook_timeout_s"],
        takeover=values["takeover"],
        maintenance=values["maintenance"],
        maintenance_file=values["maintenance_file"],
    )


def whole_seconds(ttl_s: float) -> int:
    """A TTL in whole seconds, as etcd requires. Raises RegistrationError for fractions."""
    if ttl_s != int(ttl_s):
        raise RegistrationError(f"{ttl_s:g} is not a whole number of seconds", where="ttl")
    return int(ttl_s)


def _checks(values: Mapping[str, Any], address: str) -> tuple[Check, ...]:
    """Without any check the member must at least accept connections."""
    checks = [parse_check(each) for each in values["check"]]
    if values["no_check"] and checks:
        raise RegistrationError("no-check contradicts check", where="check")
    if not checks and not values["no_check"]:
        checks.append(Check("tcp", ADDRESS))
    if address.startswith("pid:"):
        checks.append(parse_check(address))
    if values["max_load"]:
        checks.append(parse_check(f"load:{values['max_load']}"))
    if values["max_memory"]:
        checks.append(parse_check(f"memory:{values['max_memory']}"))
    return tuple(checks)


def _weight(text: str) -> tuple[int | None, bool]:
    """`5`, `auto`, or `auto:50` for a weight that follows the load up to 50."""
    word, _, top = text.partition(":")
    if word == "auto":
        return (_count("weight", top) if top else None), True
    if top or (text and not text.isdigit()):
        raise RegistrationError(
            f"{text!r} is not a weight", where="weight", hint="a number, or auto"
        )
    return (int(text) if text else None), False


def _count(name: str, text: str) -> int:
    if not text.isdigit() or not 0 < int(text) <= 65535:
        raise RegistrationError(f"{text!r} is not a whole number above 0", where=name)
    return int(text)


def _pair(name: str, text: str) -> tuple[str, str]:
    left, equals, right = text.partition("=")
    if not equals or not left:
        raise RegistrationError(f"{text!r} is not NAME=VALUE", where=name)
    return left, right


def _pairs(name: str, texts: tuple[str, ...]) -> list[tuple[str, str]]:
    return [_pair(name, each) for each in texts]


def _json(text: str) -> object:
    """
    The text as JSON if it is valid, else the text itself: `max_fails=2` is a number, `zone=a` is
    text.
    """
    try:
        return json.loads(text)
    except ValueError:
        return text
