"""The recipe nginx-sites on a real etcd and nginx: confd's classic keys, the options, bad input."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import signal
import socket
import ssl
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pyconfd.config.recipes import BrokenExample, load_recipe
from tests.support.daemons.etcd import PrivateEtcd, free_ports
from tests.support.daemons.live_nginx import LiveNginx
from tests.support.daemons.nginx_sites import (
    Backend,
    backends,
    for_nginx,
    put_all,
    settled,
)
from tests.support.daemons.nginx_trees import certificate, nginx_binary
from tests.support.http import Answer, ask
from tests.support.pyconfd import Confdir, Daemon
from tests.support.recipes import laid_out

pytestmark = pytest.mark.integration

RECIPE = "nginx-sites"
GUIDE = "/nginx/www.example.com"
_COUNTER = itertools.count(5000)
EXAMPLE = load_recipe(RECIPE)


@dataclass
class Site:
    """Everything that runs for these tests."""

    etcd: PrivateEtcd
    nginx: LiveNginx
    confdir: Confdir
    daemon: Daemon
    backends: list[Backend]

    def put(self, key: str, value: object) -> None:
        """A key of the classic site; what is no text as JSON."""
        text = value if isinstance(value, str) else json.dumps(value)
        self.etcd.put(f"{GUIDE}/{key}", text)

    @property
    def file(self) -> Path:
        """What is rendered for the classic site."""
        return self.nginx.sites / "www.example.com.conf"

    def shows(self, text: str) -> None:
        """Wait until the classic site has it in its file, and nginx has it."""
        self.daemon.wait(
            lambda: self.file.exists() and text in self.file.read_text(), f"{text!r} in the file"
        )
        settled(self.nginx, self.confdir)

    def ask(self, path: str = "/", host: str = "www.example.com") -> Answer:
        """One request on a connection of its own."""
        return ask(self.nginx.port, path, host)

    def names(self, count: int, path: str = "/") -> list[str]:
        """Which members answered so many requests."""
        return [self.ask(path).body for _ in range(count)]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """etcd, nginx, two backends and pyconfd with the files of the recipe."""
    folder = tmp_path_factory.mktemp("sites")
    nginx = LiveNginx(folder / "nginx")
    with PrivateEtcd(folder) as etcd, backends(2) as two, nginx.running():
        settings = folder / "pyconfd.toml"
        settings.write_text(
            f'[vars]\nroot_folders = ["/var/www", "/srv/www", "/tmp"]\n'
            f'certificate_folders = ["/etc/ssl", "/etc/letsencrypt", "{folder.parent}"]\n'
        )
        more = ("--node", etcd.endpoint, "--config-file", str(settings))
        confdir = laid_out(RECIPE, folder, for_nginx(nginx), *more)
        with confdir.daemon() as daemon:
            yield Site(etcd, nginx, confdir, daemon, two)


@pytest.fixture
def site(running: Site) -> Site:
    """The guide's site with two members that live, whatever a test before has done."""
    etcd, (one, two) = running.etcd, running.backends
    keys = {
        f"{GUIDE}/server_name": "www.example.com",
        f"{GUIDE}/listen": f"127.0.0.1:{running.nginx.port}",
        f"{GUIDE}/upstream/server01": one.address,
        f"{GUIDE}/upstream/server02": two.address,
        f"{GUIDE}/locations/marker": '{"path": "/marker", "return": 204}',
        # Different for each test, so that its own version can be waited for.
        f"{GUIDE}/read_timeout": f"{next(_COUNTER)}ms",
    }
    etcd.txn(list(keys.items()), sorted(etcd.all(f"{GUIDE}/").keys() - keys.keys()))
    running.shows(f"proxy_read_timeout {keys[f'{GUIDE}/read_timeout']};")
    return running


def test_the_guides_keys_become_a_site_with_the_headers_set(site: Site) -> None:
    """Round robin over both members, which learn the host, the client and the scheme."""
    assert sorted(site.names(10)) == ["b0"] * 5 + ["b1"] * 5
    seen = site.backends[0].requests[-1]
    assert seen["Host"] == "www.example.com"
    assert seen["X-Real-IP"] == "127.0.0.1"
    assert seen["X-Forwarded-For"] == "127.0.0.1"
    assert seen["X-Forwarded-Proto"] == "http"


def test_a_member_that_is_drained_gets_no_request_and_returns(site: Site) -> None:
    """What `pyconfd members` writes is honoured."""
    site.put("override/server01", {"state": "drain"})
    site.shows(f"server {site.backends[0].address} down;")
    assert set(site.names(6)) == {"b1"}
    site.etcd.delete(f"{GUIDE}/override/server01")
    site.shows(f"server {site.backends[0].address};")
    assert set(site.names(6)) == {"b0", "b1"}


def test_a_weight_is_the_share_of_the_requests(site: Site) -> None:
    """A member as JSON, with weight 3 of 4."""
    site.put("upstream/server01", {"addr": site.backends[0].address, "weight": 3})
    site.shows("weight=3;")
    assert site.names(20).count("b0") == 15


@pytest.mark.parametrize("lb", ["hash request_uri consistent", "hash $request_uri", "ip_hash"])
def test_a_hash_keeps_a_key_on_its_member(site: Site, lb: str) -> None:
    """Equal keys go to one member; different ones to both."""
    site.put("lb", lb)
    site.shows("ip_hash;" if lb == "ip_hash" else "hash $request_uri")
    for path in ("/one", "/two"):
        assert len(set(site.names(5, path))) == 1
    spread = {name for number in range(20) for name in site.names(1, f"/{number}")}
    assert spread == ({"b0", "b1"} if lb != "ip_hash" else spread)


def test_kept_connections_are_used_again(site: Site) -> None:
    """With keepalive, twenty requests need a connection for each worker and member at most."""
    site.put("lb", "least_conn")
    site.put("keepalive", "8")
    site.shows("keepalive 8;")
    assert "least_conn;" in site.file.read_text()
    before = sum(each.connections for each in site.backends)
    site.names(20)
    assert sum(each.connections for each in site.backends) - before <= 4


def test_tls_and_the_redirect_to_it(site: Site, tmp_path: Path) -> None:
    """The site answers with the certificate that its keys name; the plain port sends there."""
    certificate(tmp_path / "site", "www.example.com")
    [tls_port] = free_ports(1)
    put_all(
        site.etcd,
        {
            f"{GUIDE}/tls/certificate": f"{tmp_path}/site.pem",
            f"{GUIDE}/tls/key": f"{tmp_path}/site.key",
            f"{GUIDE}/tls/redirect": f"127.0.0.1:{site.nginx.port}",
            f"{GUIDE}/listen": f"127.0.0.1:{tls_port}",
        },
    )
    site.shows(f"listen 127.0.0.1:{tls_port} ssl;")
    answer = site.ask("/path?a=1")
    assert (answer.status, answer.headers["location"]) == (301, "https://www.example.com/path?a=1")
    context = ssl.create_default_context(cafile=f"{tmp_path}/site.pem")
    context.check_hostname = False
    with contextlib.closing(
        http.client.HTTPSConnection("127.0.0.1", tls_port, context=context, timeout=60)
    ) as connection:
        connection.request("GET", "/", headers={"Host": "www.example.com"})
        assert connection.getresponse().status == 200
    assert site.backends[0].requests[-1]["X-Forwarded-Proto"] == "https" or (
        site.backends[1].requests[-1]["X-Forwarded-Proto"] == "https"
    )


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that nginx's workers may read, which are another user than root."""
    # Not below a TMPDIR that is for its owner alone.
    with tempfile.TemporaryDirectory(prefix="pyconfd-test-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def test_further_locations(site: Site, public_folder: Path) -> None:
    """Files, a redirect, and a part of the site that only some networks may see."""
    (public_folder / "static").mkdir()
    (public_folder / "static" / "a.txt").write_text("a file")
    (public_folder / "static").chmod(0o755)  # whatever the umask is
    (public_folder / "static" / "a.txt").chmod(0o644)
    put = {
        "static": {"path": "/static/", "root": str(public_folder), "expires": "1h"},
        "old": {"path": "/old", "match": "exact", "return": 301, "to": "/new?a=b"},
        "admin": {"path": "/admin/", "allow": ["192.0.2.0/24"], "read_timeout": "5m"},
    }
    put_all(site.etcd, {f"{GUIDE}/locations/{n}": json.dumps(v) for n, v in put.items()})
    site.shows("location = /old")
    static = site.ask("/static/a.txt")
    assert (static.body, static.headers["cache-control"]) == ("a file", "max-age=3600")
    assert site.ask("/old").headers["location"].endswith("/new?a=b")
    assert site.ask("/admin/").status == 403
    assert site.ask("/else").status == 200


def test_a_site_comes_and_goes_with_its_keys(site: Site) -> None:
    """A second name makes a second file; with its last key the file is gone."""
    port, member = site.nginx.port, site.backends[1].address
    keys = {"server_name": "two.example.com", "listen": f"127.0.0.1:{port}", "upstream/a": member}
    put_all(site.etcd, {f"/nginx/two.example.com/{key}": value for key, value in keys.items()})
    second = site.nginx.sites / "two.example.com.conf"
    site.daemon.wait(second.exists, "the second file")
    site.nginx.wait_answer("two.example.com", "b1")
    site.etcd.delete("/nginx/two.example.com/", prefix=True)
    site.daemon.wait(lambda: not second.exists(), "the file to go")


@pytest.mark.parametrize("name", ["0", "zzz"])
@pytest.mark.parametrize("claim", ["www.example.com", "WWW.Example.com other.example.com"])
def test_a_site_cannot_take_the_name_of_another(site: Site, name: str, claim: str) -> None:
    """Whichever file comes first; the owner goes on, and its own changes are no claims."""
    port, member = site.nginx.port, site.backends[1].address
    keys = {"server_name": claim, "listen": f"127.0.0.1:{port}", "upstream/a": member}
    said = len(site.daemon.log)
    put_all(site.etcd, {f"/nginx/{name}/{key}": value for key, value in keys.items()})
    refusal = f"/{name}.conf:"
    site.daemon.wait(lambda: refusal in site.daemon.log[said:], refusal)
    assert "another server has the name" in site.daemon.log[said:]
    assert not (site.nginx.sites / f"{name}.conf").exists()
    site.etcd.delete(f"{GUIDE}/upstream/server02")
    site.put("upstream/server01", site.backends[0].address)
    site.daemon.wait(lambda: set(site.names(4)) == {"b0"}, "the owner's own member")
    site.etcd.delete(f"/nginx/{name}/", prefix=True)


@pytest.mark.parametrize(
    ("key", "value"),
    [("tls", "/etc/ssl/no-such.pem"), ("upstream/b", "no-such-host.invalid:80")],
    ids=["certificate", "name"],
)
def test_a_site_that_cannot_be_loaded_holds_up_no_other(site: Site, key: str, value: str) -> None:
    """It is left out alone, though it changes together with the others, and goes live mended."""
    member = site.backends[1].address
    keys = {"server_name": "bad.example.com", "listen": f"127.0.0.1:{site.nginx.port}"}
    keys |= {"upstream/a": member}
    keys |= {"tls/certificate": value, "tls/key": value} if key == "tls" else {key: value}
    bad = {f"/nginx/bad.example.com/{name}": text for name, text in keys.items()}
    timeout = f"{next(_COUNTER)}ms"
    said = len(site.daemon.log)
    put_all(site.etcd, {**bad, f"{GUIDE}/read_timeout": timeout})
    site.shows(f"proxy_read_timeout {timeout};")
    assert not (site.nginx.sites / "bad.example.com.conf").exists()
    reason = f"(the value of /nginx/bad.example.com/{key}"
    site.daemon.wait(lambda: reason in site.daemon.log[said:], "the reason")
    gone = [name for name in bad if "tls/" in name or name.endswith("/b")]
    site.etcd.txn([], gone)
    site.nginx.wait_answer("bad.example.com", "b1")
    site.etcd.delete("/nginx/bad.example.com/", prefix=True)
    file = site.nginx.sites / "bad.example.com.conf"
    site.daemon.wait(lambda: not file.exists(), "the file to go")


def test_names_that_no_site_has_get_404_whichever_site_sorts_first(site: Site) -> None:
    """
    A new site before all others changes nothing for them, on plain ports and with a redirect; one
    that says that it is the default answers them, and only one may say so for a port.
    """
    port, member = site.nginx.port, site.backends[1].address
    begun = len(site.daemon.log)

    def put(name: str, **more: str) -> None:
        keys = {"server_name": name, "listen": f"127.0.0.1:{port}", "upstream/a": member, **more}
        put_all(site.etcd, {f"/nginx/{name}/{key}": value for key, value in keys.items()})

    assert site.ask(host="nobody.example.com").status == 404
    put("0.example.com")
    site.nginx.wait_answer("0.example.com", "b1")
    settled(site.nginx, site.confdir)  # old workers answer for some moments more
    assert site.ask(host="nobody.example.com").status == 404
    assert site.ask(host=f"127.0.0.1:{port}").status == 404
    put("z.example.com", default="true")
    site.daemon.wait(lambda: site.ask(host="nobody.example.com").body == "b1", "the default")
    settled(site.nginx, site.confdir)
    assert site.ask("/marker").status == 204
    said = len(site.daemon.log)
    put("y.example.com", default="true")
    site.daemon.wait(
        lambda: "a duplicate default server" in site.daemon.log[said:], "the refusal of a second"
    )
    assert site.ask(host="nobody.example.com").body == "b1"
    for name in ("y", "z", "0"):
        site.etcd.delete(f"/nginx/{name}.example.com/", prefix=True)
        file = site.nginx.sites / f"{name}.example.com.conf"
        site.daemon.wait(lambda file=file: not file.exists(), "the file to go")
    site.daemon.wait(lambda: site.ask(host="nobody.example.com").status == 404, "no default again")
    assert "conflicting server name" not in site.daemon.log[begun:]


@pytest.mark.parametrize("broken", EXAMPLE.broken, ids=lambda one: one.why.replace(" ", "-"))
def test_bad_input_changes_nothing_and_is_said(site: Site, broken: BrokenExample) -> None:
    """The refusal names key or file and line; file, workers and answers are as before."""
    put_all(site.etcd, {key: value for key, value in EXAMPLE.keys.items() if f"{GUIDE}/up" in key})
    site.shows("server 192.168.1.120:8080;")
    before, workers = site.file.read_bytes(), site.nginx.workers()
    said = len(site.daemon.log)
    site.etcd.txn(list(broken.edit.set.items()), broken.edit.unset)
    site.daemon.wait(lambda: broken.says.search(site.daemon.log[said:]), broken.says.pattern)
    assert site.file.read_bytes() == before
    assert site.nginx.workers() == workers
    assert site.ask("/marker").status == 204


def test_a_port_of_another_program_is_put_back(site: Site) -> None:
    """nginx -t takes it, the reload does not: the file of before is live again."""
    before = site.file.read_bytes()
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        site.put("listen", f"127.0.0.1:{taken}")
        site.daemon.wait(lambda: f"127.0.0.1:{taken} failed" in site.daemon.log, "nginx's refusal")
        site.daemon.wait(lambda: site.file.read_bytes() == before, "the file of before")
        assert set(site.names(4)) == {"b0", "b1"}


def test_nginx_that_is_not_installed_refuses_nothing_and_passes_nothing(
    running: Site, tmp_path: Path
) -> None:
    """Without its program no file can be judged, so none is written."""
    nginx = LiveNginx(tmp_path / "nginx")
    changes = for_nginx(nginx)
    program = 'nginx_conf = "/etc/nginx/nginx.conf"'
    changes[program] = changes[program].replace(nginx_binary(), "/no/such/nginx")
    confdir = laid_out(RECIPE, tmp_path, changes, "--node", running.etcd.endpoint)
    done = confdir.once()
    assert done.returncode == 1
    assert "/no/such/nginx" in done.stderr
    assert list(nginx.sites.iterdir()) == []


def test_a_change_while_nginx_is_down_is_served_when_it_is_up(tmp_path: Path) -> None:
    """nginx reads the file when it starts."""
    nginx = LiveNginx(tmp_path / "nginx")
    with PrivateEtcd(tmp_path) as etcd, backends(1) as [one]:
        keys = {"server_name": "a", "listen": f"127.0.0.1:{nginx.port}", "upstream/a": one.address}
        put_all(etcd, {f"/nginx/a/{key}": value for key, value in keys.items()})
        confdir = laid_out(RECIPE, tmp_path, for_nginx(nginx), "--node", etcd.endpoint)
        with confdir.daemon() as daemon:
            daemon.wait_log("nginx does not run")
            with nginx.running():
                daemon.signal(signal.SIGHUP)
                nginx.wait_answer("a", "b0")
