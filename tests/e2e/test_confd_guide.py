"""
The resource and the template of confd's guide, unedited, on a real etcd and a real nginx; and a
confdir that has what the integration tests of both confds have.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.daemons.etcd import PrivateEtcd
from tests.support.repository import ROOT
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

GOLDEN = ROOT / "tests" / "golden"
GUIDE = ("01-seed-verbatim", "02-seed-no-upstreams", "03-seed-missing-server-name")
# The guide's server has no `listen`, which is port 80: so nginx runs in a network of its own.
NGINX = """\
daemon off;
pid nginx.pid;
error_log error.log;
events {}
http { access_log off; client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f;
uwsgi_temp_path u; scgi_temp_path s; include out/*.out; }
"""
BACKEND = """\
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(sys.argv[1].encode())
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
ASK = (
    "import urllib.request as u; "
    "print(u.urlopen(u.Request('http://127.0.0.1/', headers={'Host': 'www.example.com'}),"
    " timeout=5).read().decode())"
)


class Guide:
    """The guide's confdir, called as the guide calls confd."""

    def __init__(self, folder: Path, etcd: PrivateEtcd, name: str = GUIDE[0]) -> None:
        self.folder = folder
        self.etcd = etcd
        self.out = folder / "out"
        for each in ("conf.d", "templates", "out"):
            (folder / each).mkdir(parents=True)
        toml = (GOLDEN / name / "confd.toml").read_text().replace("@OUT@", str(self.out))
        (folder / "conf.d" / "case.toml").write_text(toml)
        shutil.copy(GOLDEN / name / "case.tmpl", folder / "templates")
        self.program = folder / "confd"
        self.program.write_text("from pyconfd.__main__ import main\nmain()\n")

    def argv(self, *more: str) -> list[str]:
        words = ["-backend", "etcdv3", "-node", f"http://{self.etcd.endpoint}"]
        return [sys.executable, str(self.program), "-confdir", str(self.folder), *words, *more]

    def environ(self) -> dict[str, str]:
        return {**os.environ, "PYCONFD_STATE_DIR": str(self.folder / "state")}

    def once(self, *more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv("-onetime", *more),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env=self.environ(),
        )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateEtcd]:
    with PrivateEtcd(tmp_path_factory.mktemp("etcd")) as server:
        yield server


@pytest.fixture
def etcd(server: PrivateEtcd) -> PrivateEtcd:
    server.delete("/", prefix=True)
    return server


@pytest.mark.parametrize("name", GUIDE)
def test_the_guide_gives_the_bytes_and_the_exit_status_of_confd(
    name: str, tmp_path: Path, etcd: PrivateEtcd
) -> None:
    """Nothing is edited; the reload command ran where confd ran it."""
    guide = Guide(tmp_path / "confdir", etcd, name)
    etcd.put_many(list(json.loads((GOLDEN / name / "keys.json").read_text()).items()))
    wanted = json.loads((GOLDEN / name / "expected.json").read_text())
    done = guide.once()
    assert done.returncode == wanted["exit"], done.stderr
    assert {path.name for path in guide.out.iterdir()} == set(wanted["files"])
    if "case.out" in wanted["files"]:
        expected = (GOLDEN / name / "expected.out").read_bytes()
        assert (guide.out / "case.out").read_bytes() == expected
        assert (guide.out / "reload.log").read_text() == "reloaded\n"


class Host:
    """A network with nginx and two backends in it."""

    def __init__(self, folder: Path) -> None:
        (folder / "nginx.conf").write_text(NGINX)
        inside = ["sh", "-c", 'ip link set lo up; exec "$@"', "sh"]
        nginx = ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "error.log"]
        self.nginx = subprocess.Popen(["unshare", "-n", *inside, *nginx])
        wait_until(self.workers, what="nginx runs")
        self.backends = [
            subprocess.Popen([*self._enter(), sys.executable, "-c", BACKEND, port])
            for port in ("8081", "8082")
        ]

    def _enter(self) -> list[str]:
        return ["nsenter", "-t", str(self.nginx.pid), "-n"]

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.nginx.pid).children()

    def ask(self) -> str:
        """The body of the guide's site; "" while there is none."""
        done = subprocess.run(
            [*self._enter(), sys.executable, "-c", ASK],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stdout.strip()

    def reload(self) -> None:
        self.nginx.send_signal(signal.SIGHUP)

    def close(self) -> None:
        for process in (*self.backends, self.nginx):
            process.terminate()
            process.wait(30)


@pytest.mark.skipif(os.geteuid() != 0, reason="a network of its own needs root")
def test_the_guide_serves_through_a_real_nginx(tmp_path: Path, etcd: PrivateEtcd) -> None:
    """-watch: a put changes the file, and nginx serves from the other backend."""
    guide = Guide(tmp_path / "confdir", etcd)
    site = "/nginx/www.example.com"
    etcd.put(f"{site}/server_name", "www.example.com")
    etcd.put(f"{site}/upstream/server01", "127.0.0.1:8081")
    assert guide.once().returncode == 0
    host = Host(guide.folder)
    log = guide.out / "reload.log"
    daemon = subprocess.Popen(guide.argv("-watch"), env=guide.environ(), stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: host.ask() == "8081", what="the first backend answers")
        etcd.put(f"{site}/upstream/server01", "127.0.0.1:8082")
        wait_until(lambda: log.read_text() == "reloaded\n" * 2, what="the reload command runs")
        host.reload()
        wait_until(lambda: host.ask() == "8082", what="the other backend answers")
    finally:
        daemon.terminate()
        assert daemon.wait(60) == 0
        host.close()


RESOURCE = '[template]\nmode = "0644"\nsrc = "{name}.tmpl"\ndest = "{out}/{name}"\n'
TEMPLATES = {
    "values": (
        'keys = ["/database/host", "/database/port", "/database/user"]\n',
        'host={{getv "/database/host"}}\nport={{getv "/database/port"}}\n',
    ),
    "exists": (
        'keys = ["/key"]\n',
        '{{if exists "/key"}}key: {{getv "/key"}}{{end}}{{if exists "/none"}}no{{end}}\n',
    ),
    "loops": (
        'keys = [\n  "/upstream",\n]\n',
        'upstream app {\n{{range getvs "/upstream/*"}}    server {{.}};\n{{end}}}\n',
    ),
    "many": (
        "keys = [" + ", ".join(f'"/many/{number}"' for number in range(300)) + "]\n",
        '{{range gets "/many/*"}}{{base .Key}}{{end}}\n',
    ),
    "nested": (
        'keys = ["/nested"]\n',
        '{{range $env := ls "/nested"}}{{$env}}: {{range gets (printf "/nested/%s/*" $env)}}'
        "{{.Value}} {{end}}\n{{end}}",
    ),
}
KEYS = {
    "/key": "foobar",
    "/database/host": "127.0.0.1",
    "/database/port": "3306",
    "/upstream/app1": "10.0.1.10:8080",
    "/upstream/app2": "10.0.1.11:8080",
    "/nested/production/app1": "10.0.1.10:8080",
    "/nested/staging/app1": "172.16.1.10:8080",
    "/many/7": "x",
    "/many/299": "x",
}
# What both programs make of them, with and without a prefix.
MADE = {
    "values": "host=127.0.0.1\nport=3306\n",
    "exists": "key: foobar\n",
    "loops": "upstream app {\n    server 10.0.1.10:8080;\n    server 10.0.1.11:8080;\n}\n",
    "many": "2997\n",
    "nested": "production: 10.0.1.10:8080 \nstaging: 172.16.1.10:8080 \n",
}


@pytest.mark.parametrize("prefix", ["", "/prefix"])
@pytest.mark.parametrize("form", ["confd", "confd-fork"])
def test_what_the_integration_tests_of_both_confds_cover(
    form: str, prefix: str, tmp_path: Path, etcd: PrivateEtcd
) -> None:
    """Values, existence, loops, many keys in one resource, folders; with a prefix for all."""
    guide = Guide(tmp_path / "confdir", etcd)
    (guide.folder / "conf.d" / "case.toml").unlink()
    for name, (more, template) in TEMPLATES.items():
        resource = RESOURCE.format(name=name, out=guide.out) + more
        (guide.folder / "conf.d" / f"{name}.toml").write_text(resource)
        (guide.folder / "templates" / f"{name}.tmpl").write_text(textwrap.dedent(template))
    etcd.put_many([(f"{prefix}{key}", value) for key, value in KEYS.items()])
    more_words = ["-prefix", prefix] if prefix else []
    if form == "confd-fork":
        more_words = ["-compat", form, *more_words]
    done = guide.once("-log-level", "debug", *more_words)
    assert done.returncode == 0, done.stderr
    assert {path.name: path.read_text() for path in guide.out.iterdir()} == MADE
