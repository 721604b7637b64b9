"""The words of the most frequent mistakes, compared with tests/messages, exactly."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyconfd.system.locks import InstanceLock
from tests.support.messages import RENEW, Golden, said

RESOURCE = '[template]\nsrc = "app.j2"\ndest = "@DIR@/app.conf"\nkeys = ["/app"]\n'
KEYS = {"app": {"name": "web", "port": "80", "bad": "a;b", "list": "[1, 2]"}}
FILE = ("--backend", "file", "--file", "keys.json")


class World:
    """A folder with a good confdir, a file of keys, and a free port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("etc/conf.d", "etc/templates"):
            (folder / name).mkdir(parents=True)
        (folder / "keys.json").write_text(json.dumps(KEYS))
        self.template("{{ getv('/app/name') }}\n")
        self.resource("")

    def template(self, text: str, name: str = "app.j2") -> None:
        (self.folder / "etc/templates" / name).write_text(text)

    def resource(self, more: str, name: str = "app.toml", text: str = RESOURCE) -> None:
        path = self.folder / "etc/conf.d" / name
        path.write_text((text + more).replace("@DIR@", str(self.folder)))

    def file(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)


Prepare = Callable[[World], object]


def nothing(world: World) -> None:
    """The world as it is."""


def gone(path: str) -> Prepare:
    def prepare(world: World) -> None:
        place = world.folder / path
        place.unlink() if place.is_file() else place.rename(place.with_name("elsewhere"))

    return prepare


def template(text: str) -> Prepare:
    return lambda world: world.template(text)


def resource(more: str, text: str = RESOURCE) -> Prepare:
    return lambda world: world.resource(more, text=text)


def both(*each: Prepare) -> Prepare:
    def prepare(world: World) -> None:
        for one in each:
            one(world)

    return prepare


def keys(tree: object) -> Prepare:
    return lambda world: world.file("keys.json", json.dumps(tree))


ONCE = ("--onetime", *FILE)

#: Name -> what is done to the world, and the words of the command.
MISTAKES: dict[str, tuple[Prepare, tuple[str, ...]]] = {
    # the command line
    "a misspelt option": (nothing, ("--intervall", "5")),
    "an option of confd that there is not": (nothing, ("-srv-record", "x")),
    "an option without its value": (nothing, ("--watch", "--node")),
    "a value of the wrong type": (nothing, ("--interval", "soon")),
    "a value that is not one of the choices": (nothing, ("--log-level", "loud")),
    "a word that is no command": (nothing, ("statsu",)),
    "the backend as a command, as in confd's fork": (nothing, ("etcd", "--watch")),
    "a backend of confd's that there is not": (nothing, ("consul", "--watch")),
    "a command after the options": (nothing, ("--onetime", "status")),
    "a backend that there is not": (nothing, ("--onetime", "--backend", "consul")),
    "the file backend without a file": (nothing, ("--onetime", "--backend", "file")),
    "a command with a one-shot run": (nothing, (*ONCE, "--", "nginx")),
    # settings
    "a config file that is not there": (nothing, (*ONCE, "--config-file", "none.toml")),
    "a misspelt key in the config file": (
        lambda world: world.file("p.toml", 'nod = ["127.0.0.1:2379"]\n'),
        (*ONCE, "--config-file", "p.toml"),
    ),
    # folders
    "no confdir": (gone("etc"), ONCE),
    "no conf.d": (gone("etc/conf.d"), ONCE),
    "no resource": (gone("etc/conf.d/app.toml"), ONCE),
    "no folder for the destination": (
        resource("", text=RESOURCE.replace("/app.conf", "/none/app.conf")),
        ONCE,
    ),
    "a destination that is a folder": (resource("", text=RESOURCE.replace("/app.conf", "")), ONCE),
    # resources
    "a misspelt key in a resource": (resource('chekc_cmd = "true"\n'), ONCE),
    "a wrong type in a resource": (
        resource("", text=RESOURCE.replace('["/app"]', '"/app"')),
        ONCE,
    ),
    "keys are missing": (resource("", text=RESOURCE.replace('keys = ["/app"]\n', "")), ONCE),
    "a pattern in keys": (resource("", text=RESOURCE.replace('["/app"]', '["/app/*"]')), ONCE),
    "a file that is not TOML": (resource("mode = 0644\n"), ONCE),
    "no template table": (resource("", text='src = "app.j2"\n'), ONCE),
    "a template that is not there": (gone("etc/templates/app.j2"), ONCE),
    "an owner that is not there": (resource('owner = "nosuch"\n'), ONCE),
    "a check that is not known": (resource('check = "ngnix"\n'), ONCE),
    "a format that is not known": (resource('format = "ngnix"\n'), ONCE),
    "a service that is not declared": (resource('service = "web"\n'), ONCE),
    "an unknown placeholder": (resource('check_cmd = "true {{ srcc }}"\n'), ONCE),
    "a placeholder inside of code": (resource("check_cmd = \"sh -c 'cat {{ src }}'\"\n"), ONCE),
    "one destination of two resources": (lambda world: world.resource("", name="two.toml"), ONCE),
    "a resource that is not there": (nothing, (*ONCE, "--resource", "ap")),
    # templates
    "a syntax error": (template("a\n{% if %}\n"), ONCE),
    "a block that is not closed": (template("{% if true %}\n"), ONCE),
    "a function that is not there": (template("{{ getvv('/app/name') }}"), ("check",)),
    "a filter that is not there": (template("{{ 'x' | upercase }}"), ("check",)),
    "a variable that is not there": (template("{{ server }}"), ("check",)),
    "a key that is not there": (template("{{ getv('/app/none') }}"), ONCE),
    "a path that keys does not cover": (template("{{ ls('/svc') }}"), ONCE),
    "a path without a slash": (template("{{ getv('app/name') }}"), ONCE),
    "a value that is not JSON": (template("{{ json(getv('/app/name')).x }}"), ONCE),
    "a member that is not there": (template("{{ (getv('/app/list') | fromJson).x }}"), ONCE),
    "arithmetic on text": (template("{{ getv('/app/port') + 1 }}"), ONCE),
    "a field in Go's spelling": (template("{{ get('/app/name').Value }}"), ONCE),
    "a list that is printed": (template("{{ ls('/app') }}"), ONCE),
    "a value that would be syntax": (
        both(template("x {{ getv('/app/bad') }};\n"), resource('format = "nginx"\n')),
        ONCE,
    ),
    # checks and reloads
    "a check that refuses": (resource('check_cmd = "echo line 3 is wrong; exit 1"\n'), ONCE),
    "a check that is not there": (resource('check_cmd = "nosuch-checker {{ src }}"\n'), ONCE),
    "a program that check does not find": (
        resource('check_cmd = "nosuch-checker {{ src }}"\n'),
        ("check",),
    ),
    "a reload that fails": (resource('reload_cmd = "echo no such service; exit 5"\n'), ONCE),
    "fewer keys than must be there": (both(resource("min_keys = 9\n"), keys({"app": "1"})), ONCE),
    # the store
    "no etcd": (nothing, ("--onetime", "--node", "127.0.0.1:1", "--timeout", "2s")),
    "a file of keys that is not there": (
        nothing,
        ("--onetime", "--backend", "file", "--file", "none.json"),
    ),
    "a file of keys that is not JSON": (lambda world: world.file("keys.json", "{"), ONCE),
    "a TLS file that is not there": (
        nothing,
        ("--onetime", "--node", "https://127.0.0.1:1", "--client-ca-keys", "/none/ca.pem"),
    ),
    "a certificate without its key": (nothing, ("--onetime", "--client-cert", "a.pem")),
    # a daemon
    "no daemon to ask": (nothing, ("status",)),
    "no daemon to explain": (nothing, ("explain", "app")),
    "nothing to explain": (nothing, ("explain",)),
    # registration
    "an address without a port": (nothing, ("register", "www", "10.0.0.5")),
    "an address that listens everywhere": (nothing, ("register", "www", "0.0.0.0:80")),
    "an address of this machine alone": (
        nothing,
        ("register", "www", "127.0.0.1:80", "--node", "10.0.0.1:2379"),
    ),
    "no address": (nothing, ("register", "www")),
    "a TTL that is too short": (nothing, ("register", "www", "10.0.0.5:80", "--ttl", "0.5s")),
    "a services file that is not there": (nothing, ("register", "--file", "none.toml")),
    "no member to steer": (nothing, ("members", "drain", "www")),
    # recipes and probes
    "a recipe that is not there": (nothing, ("recipes", "show", "ngnix-sites")),
    "a probe of a closed port": (nothing, ("probe", "tcp://127.0.0.1:1")),
    "a probe of nothing": (nothing, ("probe", "127.0.0.1:1")),
}

GOLDEN = Golden("mistakes")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize("name", MISTAKES)
def test_the_words_for(name: str, world: World) -> None:
    """What is wrong, where, and what to do, as in tests/messages/mistakes.txt."""
    prepare, words = MISTAKES[name]
    prepare(world)
    GOLDEN.check(name, said(words, world.folder))


def test_the_words_for_a_misspelt_variable(world: World) -> None:
    """Of the environment."""
    environ = {"PYCONFD_INTERVALL": "5"}
    GOLDEN.check("a misspelt variable", said(ONCE, world.folder, environ=environ))


@pytest.fixture
def locked(world: World) -> Iterator[World]:
    """Its state folder is in use."""
    import hashlib

    name = hashlib.sha256(str(world.folder / "etc").encode()).hexdigest()[:12]
    folder = world.folder / "state" / name
    folder.mkdir(parents=True, mode=0o700)
    (world.folder / "state").chmod(0o700)
    with InstanceLock(str(folder)):
        yield world


def test_the_words_for_a_second_daemon(locked: World) -> None:
    """It names the process of the first."""
    GOLDEN.check("a second daemon", said(ONCE, locked.folder))


def test_the_words_for_a_change_that_is_held_back(world: World) -> None:
    """All keys are gone."""
    said(ONCE, world.folder)
    world.file("keys.json", "{}")
    world.template("{{ gets('/app/*') | length }}")
    GOLDEN.check("a store that is suddenly empty", said(ONCE, world.folder))


def test_every_case_of_the_list_is_made() -> None:
    """Nothing in the list is a leftover."""
    more = {
        "a misspelt variable",
        "a second daemon",
        "a store that is suddenly empty",
    }
    assert RENEW or set(GOLDEN.expected()) == {*MISTAKES, *more}
    assert len(MISTAKES) >= 30
