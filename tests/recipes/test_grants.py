"""The rights of docs/security.md on a real etcd: enough for recipes, and tenants stay below."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyconfd.config.recipes import load_recipe, recipe_names
from pyconfd.config.resources import load_resources
from pyconfd.config.settings import load_settings
from tests.support.daemons.etcd import PrivateEtcd
from tests.support.pyconfd import Confdir
from tests.support.recipes import laid_out
from tests.support.repository import ROOT

pytestmark = pytest.mark.integration

PAGE = (ROOT / "docs" / "security.md").read_text()
(GRANTS,) = re.findall(r"^```sh grants\n(.*?)^```$", PAGE, re.M | re.S)


def etcdctl(etcd: PrivateEtcd, *words: str, user: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "ETCDCTL_ENDPOINTS": etcd.url, "ETCDCTL_API": "3"}
    argv = ["etcdctl", "--user", user, *words]
    return subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateEtcd]:
    """With users and roles as the page has them."""
    with PrivateEtcd(tmp_path_factory.mktemp("etcd")) as server:
        server.enable_auth()
        for line in filter(None, GRANTS.splitlines()):
            done = etcdctl(server, *shlex.split(line)[1:], user="root:rootpw")
            assert done.returncode == 0, f"{line}: {done.stderr}"
        yield server


@pytest.mark.parametrize("name", recipe_names())
def test_pyconfd_reads_the_keys_of_a_recipe_and_writes_none(
    name: str, etcd: PrivateEtcd, tmp_path: Path
) -> None:
    """All that its conf.d names, at and below it."""
    confdir = laid_out(name, tmp_path)
    words = ["--confdir", str(confdir.folder)]
    settings = load_settings(words, {})
    resources = load_resources(settings.confdir, settings).resources
    prefixes = {path for one in resources for path in one.watched}
    assert prefixes
    for path in prefixes:
        for words in (["get", path], ["get", f"{path}/", f"{path}0"]):
            assert etcdctl(etcd, *words, user="pyconfd:SECRET").returncode == 0, words
        assert etcdctl(etcd, "put", f"{path}/x", "1", user="pyconfd:SECRET").returncode != 0


def test_a_pass_with_these_rights_reads_the_store(etcd: PrivateEtcd, tmp_path: Path) -> None:
    """Of a resource that reads what nginx-sites does; a resource that reads more is told of it."""
    etcd.put("/nginx/www.example.com/server_name", "www.example.com")
    confdir = Confdir(tmp_path, "--node", etcd.endpoint, "--username", "pyconfd")
    environ = {"PYCONFD_PASSWORD": "SECRET"}
    dest = confdir.simple("app", "/nginx/www.example.com")
    done = confdir.once(environ=environ)
    assert done.returncode == 0, done.stderr
    assert "www.example.com" in dest.read_text()
    confdir.simple("more", "/private")
    done = confdir.once(environ=environ)
    assert done.returncode != 0
    assert "no permission" in done.stderr


def test_a_tenant_writes_below_its_own_name_alone(etcd: PrivateEtcd) -> None:
    """Neither beside it nor above it; nor does it read the others' keys."""
    own = re.findall(r"tenant readwrite --prefix (\S+)", GRANTS)
    assert own
    for prefix in own:
        above = prefix.rstrip("/").rpartition("/")[0]
        assert etcdctl(etcd, "put", f"{prefix}a", "1", user="tenant:SECRET").returncode == 0
        for key in (f"{above}/other/a", prefix.rstrip("/"), f"{above}/www.example.comx/a"):
            done = etcdctl(etcd, "put", key, "1", user="tenant:SECRET")
            assert "permission denied" in done.stderr, key
        assert etcdctl(etcd, "get", "--prefix", above, user="tenant:SECRET").returncode != 0


def test_the_page_speaks_of_every_recipe() -> None:
    """In the table of what its keys grant."""
    pages = {load_recipe(name).page for name in recipe_names()}
    assert {page for page in pages if f"| [{page}](recipes/{page}.md) |" not in PAGE} == set()
