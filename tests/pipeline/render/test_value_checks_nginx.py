"""The real nginx takes quoted values as exactly the text that they are."""

from __future__ import annotations

import random
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyconfd.model.keys import KeyValue, Listed
from pyconfd.model.resources import Origin, Resource
from pyconfd.pipeline.render.renderer import Renderer
from pyconfd.pipeline.store import Store
from tests.support.http import ask
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
TEMPLATE = """\
{% for key, value in gets("/v/*") %}
location = {{ key }} { return 200 {{ value | quoted }}; }
{% endfor %}
"""
MAIN = """\
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ }}
http {{
  access_log off;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{
    listen 127.0.0.1:{port};
    include {folder}/values.conf;
  }}
}}
"""
PIECES = [
    *";{}'\"#\\ <>%~@|&()[]",
    "\\n",
    "\\\\",
    "\\'",
    '\\"',
    "#{",
    "a",
    "é",
    "; return 444;",
    "}}",
]


def values() -> dict[str, str]:
    """Three hundred texts of what nginx could stumble over, the same in every run."""
    dice = random.Random(7)
    return {f"/v/{n}": "".join(dice.choices(PIECES, k=dice.randint(1, 8))) for n in range(300)}


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """An nginx that answers each location with its value."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    (tmp_path / "t.j2").write_text(TEMPLATE)
    store = Store()
    items = tuple(KeyValue(key, value.encode(), 1) for key, value in values().items())
    store.apply(Listed("fake", 1, 1, items))
    resource = Resource(
        name="v", origin=Origin("v"), src="t.j2", dest="/none", keys=("/v",), format="nginx"
    )
    rendered = Renderer(str(tmp_path), {}).render(resource, store.snapshot())
    (tmp_path / "values.conf").write_bytes(rendered.content)
    main = tmp_path / "nginx.conf"
    main.write_text(MAIN.format(folder=tmp_path, port=port))
    with subprocess.Popen([NGINX, "-c", str(main)], stderr=subprocess.PIPE) as nginx:
        try:
            wait_until(lambda: listens(port, nginx), what="nginx listens")
            yield port
        finally:
            nginx.terminate()
            nginx.wait(60)


def listens(port: int, nginx: subprocess.Popen[bytes]) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        assert nginx.poll() is None, nginx.stderr.read() if nginx.stderr else ""
        return False


@pytest.mark.skipif(not Path(NGINX).exists(), reason="nginx is not installed")
def test_nginx_reads_quoted_values_as_they_are(port: int) -> None:
    """Byte for byte, whatever they hold."""
    for key, value in values().items():
        assert ask(port, key).text == value
