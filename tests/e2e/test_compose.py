"""docker-compose.yml: by a compose client where there is one, and by the rules it must keep."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from pyconfd import __version__
from pyconfd.registration.agent.arguments import ALL_OPTIONS
from tests.support.repository import ROOT

FILE = ROOT / "docker-compose.yml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
# From the compose specification: what stands where, and of which type, as far as it is used here.
TOP = {"services": dict, "volumes": dict}
SERVICE = {
    "image": str,
    "build": dict,
    "command": list,
    "init": bool,
    "environment": dict,
    "ports": list,
    "volumes": list,
    "depends_on": dict,
    "healthcheck": dict,
    "restart": str,
}
HEALTHCHECK = {"test": list, "interval": str, "timeout": str, "retries": int}
CONDITIONS = {"service_started", "service_healthy", "service_completed_successfully"}


def follows(table: dict[str, Any], rules: dict[str, type]) -> None:
    """Only known names, each with a value of its type."""
    for name, value in table.items():
        assert name in rules, f"{name} is not in the rules"
        assert isinstance(value, rules[name]), f"{name}: {value!r}"


def test_the_file_keeps_the_rules_of_the_specification() -> None:
    """Names, types, and words where words are wanted."""
    follows(COMPOSE, TOP)
    for service in SERVICES.values():
        follows(service, SERVICE)
        follows(service.get("healthcheck", {}), HEALTHCHECK)
        assert all(isinstance(word, str) for word in service.get("command", []))
        assert all(isinstance(value, str) for value in service.get("environment", {}).values())


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_is_pinned(name: str) -> None:
    """A full version as tag: the same file means the same programs next year."""
    assert re.search(r":v?\d+\.\d+\.\d+$", SERVICES[name]["image"])


def test_what_is_referred_to_exists() -> None:
    """Services waited for, their health checks, volumes, and the build's files."""
    for service in SERVICES.values():
        for name, how in service.get("depends_on", {}).items():
            assert how["condition"] in CONDITIONS
            assert how["condition"] != "service_healthy" or "healthcheck" in SERVICES[name]
        for volume in service.get("volumes", []):
            assert volume.split(":")[0] in COMPOSE["volumes"]
    build = SERVICES["balancer"]["build"]
    assert (ROOT / build["context"] / build["dockerfile"]).is_file()


def test_there_is_a_store_a_balancer_and_two_backends() -> None:
    """The set that the documentation speaks of; the balancer is published on loopback alone."""
    registering = [
        name for name, each in SERVICES.items() if each.get("command", [])[:2] == REGISTER
    ]
    assert len(registering) == 2
    assert {"etcd", "balancer"} < set(SERVICES)
    assert all(each.startswith("127.0.0.1:") for each in SERVICES["balancer"]["ports"])


REGISTER = ["pyconfd", "register"]


def test_the_options_of_the_backends_exist() -> None:
    """What stands before the double dash is an option of `pyconfd register`."""
    known = {"--" + option.name.replace("_", "-") for option in ALL_OPTIONS}
    words = SERVICES["backend-a"]["command"]
    for word in words[2 : words.index("--")]:
        assert not word.startswith("--") or word.split("=")[0] in known


def test_the_image_is_of_this_version() -> None:
    """The tag follows the release."""
    assert SERVICES["balancer"]["image"] == f"pyconfd:{__version__}"


def test_every_service_comes_back_and_the_balancer_is_asked() -> None:
    """pyconfd ends with nginx, so a restart policy is what brings both back."""
    assert {each.get("restart") for each in SERVICES.values()} == {"unless-stopped"}
    test = SERVICES["balancer"]["healthcheck"]["test"]
    assert test[:3] == ["CMD", "pyconfd", "probe"]
    health = (ROOT / "packaging" / "docker" / "health.conf").read_text()
    port, path = test[3].removeprefix("http://127.0.0.1:").split("/", 1)
    assert f"listen 127.0.0.1:{port};" in health
    assert f"location = /{path} " in health


def test_the_image_pins_its_base_and_copies_what_exists() -> None:
    """Dockerfile: a pinned base, and sources that are in the repository."""
    text = (ROOT / "packaging" / "docker" / "Dockerfile").read_text()
    assert re.search(r"^FROM python:\d+\.\d+\.\d+-\S+$", text, re.MULTILINE)
    for source in re.findall(r"^COPY (\S+) ", text, re.MULTILINE):
        assert (ROOT / source).exists()


@pytest.mark.integration
def test_a_compose_client_accepts_it() -> None:
    """`docker compose config` or docker-compose, where either is installed."""
    for argv in (["docker", "compose"], ["docker-compose"]):
        if not shutil.which(argv[0]):
            continue
        if subprocess.run([*argv, "version"], capture_output=True, timeout=120).returncode:
            continue
        done = subprocess.run(
            [*argv, "-f", str(FILE), "config", "-q"], capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return
    pytest.skip("no compose client here: the rules above are what is checked")
