"""
What the functions of templates take and give, by the names of Go's types. Pure.

The translator checks calls against them where it can; values of unknown type are checked when
the call is made, as Go does it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Signature:
    """
    takes: the types of the fixed parameters.
    more: the type of any number of further ones; empty when there are none.
    gives: the type of the result; "any" and "value" can be anything.
    """

    takes: tuple[str, ...]
    more: str
    gives: str


def _signature(text: str) -> Signature:
    """`string any... -> bool`."""
    taken, gives = text.split(" -> ")
    parts = taken.split()
    more = parts.pop().removesuffix("...") if taken.endswith("...") else ""
    return Signature(tuple(parts), more, gives)


def _table(**texts: str) -> dict[str, Signature]:
    return {name.strip("_"): _signature(text) for name, text in texts.items()}


#: Of Go's package itself. `and` and `or` are operators of the translated template.
GO = _table(
    and_="value value... -> value",
    call="value value... -> value",
    eq="value value... -> bool",
    ge="value value -> bool",
    gt="value value -> bool",
    html="any... -> string",
    index="value value... -> value",
    js="any... -> string",
    le="value value -> bool",
    len="value -> int",
    lt="value value -> bool",
    ne="value value -> bool",
    not_="value -> bool",
    or_="value value... -> value",
    print="any... -> string",
    printf="string any... -> string",
    println="any... -> string",
    slice="value value... -> value",
    urlquery="any... -> string",
)

#: Of confd, in both programs.
CONFD = _table(
    add="int int -> int",
    atoi="string -> int",
    base="string -> string",
    base64Decode="string -> string",
    base64Encode="string -> string",
    contains="string string -> bool",
    datetime=" -> time",
    dir="string -> string",
    div="int int -> int",
    exists="string -> bool",
    fileExists="string -> bool",
    get="string -> pair",
    getenv="string string... -> string",
    gets="string -> pairs",
    getv="string string... -> string",
    getvs="string -> strings",
    join="strings string -> string",
    json="string -> map",
    jsonArray="string -> list",
    lookupIP="string -> strings",
    lookupIPV4="string -> strings",
    lookupIPV6="string -> strings",
    lookupSRV="string string string -> services",
    ls="string -> strings",
    lsdir="string -> strings",
    map="any... -> map",
    mod="int int -> int",
    mul="int int -> int",
    parseBool="string -> bool",
    replace="string string string int -> string",
    reverse="any -> any",
    seq="int int -> ints",
    sortByLength="strings -> strings",
    sortKVByLength="pairs -> pairs",
    split="string string -> strings",
    sub="int int -> int",
    toLower="string -> string",
    toUpper="string -> string",
    trimSuffix="string string -> string",
)

#: Of confd's active fork alone.
FORK = _table(
    append="list any -> list",
    camelcase="string -> string",
    coalesce="any... -> any",
    default="any any -> any",
    dict="any... -> map",
    empty="any -> bool",
    fromJson="string -> any",
    hasKey="map string -> bool",
    hostname=" -> string",
    include="string any... -> string",
    indent="int string -> string",
    kebabcase="string -> string",
    keys="map -> strings",
    list="any... -> list",
    lookupIfaceIPV4="string -> string",
    lookupIfaceIPV6="string -> string",
    nindent="int string -> string",
    nospace="string -> string",
    pluck="string map... -> list",
    quote="string -> string",
    regexFind="string string -> string",
    regexMatch="string string -> bool",
    regexReplaceAll="string string string -> string",
    repeat="int string -> string",
    sha256sum="string -> string",
    snakecase="string -> string",
    squote="string -> string",
    ternary="any any bool -> any",
    toJson="any -> string",
    toPrettyJson="any -> string",
    trimPrefix="string string -> string",
    values="map -> list",
)

#: compat -> what its templates can call; "go" for command lines, which have Go's functions alone.
SIGNATURES = {
    "go": GO,
    "confd": {**GO, **CONFD},
    "confd-fork": {**GO, **CONFD, **FORK},
}

#: Function -> hint, for templates of classic confd.
FORK_ONLY = dict.fromkeys(FORK, ": only confd's fork has it (--compat confd-fork)")
