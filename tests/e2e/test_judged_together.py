"""Files that were judged as one set do not go live when one of them could not be swapped."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.support_live_nginx import LiveNginx
from tests.support_pyconfd import Confdir

pytestmark = pytest.mark.integration


def test_what_needs_a_file_that_could_not_be_swapped_stays_as_it_was(tmp_path: Path) -> None:
    """The server names a new upstream whose file may not be replaced: the live tree stays good."""
    nginx = LiveNginx(tmp_path / "nginx")
    store = tmp_path / "store.json"
    store.write_text(json.dumps({"pool": "new"}))
    confdir = Confdir(tmp_path / "confdir", "--backend", "file", "--file", str(store))
    upstream, server = nginx.sites / "a-upstream.conf", nginx.sites / "b-server.conf"
    old = "upstream old { server 127.0.0.1:1; }\n"
    upstream.write_text(old)
    server.write_text("server { listen 127.0.0.1:1; location / { proxy_pass http://old; } }\n")
    before = server.read_text()
    confdir.template("up.j2", "upstream {{ getv('/pool') }} { server 127.0.0.1:1; }\n")
    confdir.template(
        "srv.j2",
        "server { listen 127.0.0.1:1; location / { proxy_pass http://{{ getv('/pool') }}; } }\n",
    )
    judged = nginx.toml.replace(nginx.reload_command, "true") + "confirm = false\n"
    for name, src, dest in (("a", "up.j2", upstream), ("b", "srv.j2", server)):
        confdir.resource(
            name, f'[template]\nsrc = "{src}"\ndest = "{dest}"\nkeys = ["/pool"]\n{judged}'
        )
    if subprocess.run(["chattr", "+i", str(upstream)], check=False, capture_output=True).returncode:
        pytest.skip("the file system or our rights know no immutable files (chattr +i)")
    try:
        done = confdir.once()
        assert done.returncode == 1
        assert upstream.read_text() == old
        assert server.read_text() == before
        assert "could not be put in place" in done.stderr
        assert not nginx.test()
    finally:
        subprocess.run(["chattr", "-i", str(upstream)], check=True)
    assert confdir.once().returncode == 0
    assert "http://new" in server.read_text()
    assert not nginx.test()
