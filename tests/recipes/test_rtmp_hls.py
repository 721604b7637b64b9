"""The recipe rtmp-hls: ffmpeg publishes to a real nginx-rtmp, which relays and serves HLS."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pyconfd.config.recipes import BrokenExample, load_recipe
from tests.support.daemons.etcd import PrivateEtcd
from tests.support.daemons.nginx_sites import put_all
from tests.support.daemons.nginx_trees import MODULES
from tests.support.daemons.rtmp import RtmpNginx, frames_played, publishing
from tests.support.pyconfd import Daemon
from tests.support.recipes import laid_out
from tests.support.register import registered

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        not (MODULES / "ngx_rtmp_module.so").exists(), reason="libnginx-mod-rtmp is not installed"
    ),
]

RECIPE = "rtmp-hls"
EXAMPLE = load_recipe(RECIPE)
#: Far more than anything here takes, also beside other tests.
WAIT_S = 40.0
LIVE = "/live/apps/live"


@dataclass
class Streams:
    """Everything that runs: an origin and an edge, each with its pyconfd."""

    folder: Path
    etcd: PrivateEtcd
    origin: RtmpNginx
    edge: RtmpNginx
    daemons: list[Daemon]

    def shows(self, text: str) -> None:
        """Wait until it is in the origin's file, and nginx was told and has a new worker."""
        origin, state = self.origin, self.folder / "confdir-origin" / "state"
        self.daemons[0].wait(lambda: text in origin.conf.read_text(), f"{text!r} in nginx.conf")
        self.daemons[0].wait(
            lambda: not any(path.stat().st_size for path in state.glob("*/journal")),
            "the reload to be confirmed",
        )
        # The old worker takes connections for another 100 ms, and keeps whom it takes.
        self.daemons[0].wait(lambda: len(origin.workers()) == 1, "the old worker leaving")

    def playlist(self, nginx: RtmpNginx, stream: str, segments: int = 1) -> str:
        """A playlist with so many segments, waited for."""
        found: list[str] = []

        def there() -> bool:
            answer = nginx.get(f"/hls/live/{stream}.m3u8")
            found[:] = [answer.body]
            return answer.status == 200 and answer.body.count("#EXTINF") >= segments

        self.daemons[0].wait(there, f"{segments} segments of {stream}", WAIT_S)
        return found[0]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Streams]:
    """
    etcd, two nginx that know nothing of streams yet, and pyconfd beside each.

    Both are on one machine here, so the edge has keys of its own below /edge, with other ports.
    """
    folder = tmp_path_factory.mktemp("streams")
    origin, edge = RtmpNginx(folder / "origin"), RtmpNginx(folder / "edge")
    with contextlib.ExitStack() as stack:
        etcd = stack.enter_context(PrivateEtcd(folder))
        for nginx, prefix in ((origin, ""), (edge, "/edge")):
            put_all(etcd, {prefix + key: text for key, text in _keys(nginx, origin).items()})
        daemons = []
        for nginx, name, prefix in ((origin, "origin", "/"), (edge, "edge", "/edge")):
            stack.enter_context(nginx.running())
            confdir = laid_out(
                RECIPE,
                folder,
                nginx.changes(name),
                *("--node", etcd.endpoint, "--prefix", prefix),
                folder=f"confdir-{name}",
            )
            daemons.append(stack.enter_context(confdir.daemon()))
        put_edge = ["live", f"127.0.0.1:{edge.rtmp_port}", *EDGES, "--id", "edge1"]
        stack.enter_context(registered(folder, etcd, put_edge))
        streams = Streams(folder, etcd, origin, edge, daemons)
        streams.shows(f"push rtmp://127.0.0.1:{edge.rtmp_port}/live;")
        daemons[1].wait(lambda: edge.get("/healthz").status == 200, "the edge")
        yield streams


EDGES = ("--key-pattern", "/live/apps/{service}/edges/{id}", "--ttl", "2", "--rise", "1")


def _keys(nginx: RtmpNginx, origin: RtmpNginx) -> dict[str, str]:
    """Short fragments, and little time for old workers."""
    own = {} if nginx is origin else {f"{LIVE}/edges/edge1": f"127.0.0.1:{nginx.rtmp_port}"}
    return {
        **own,
        "/live/listen": f"127.0.0.1:{nginx.rtmp_port}",
        "/live/http_listen": f"127.0.0.1:{nginx.http_port}",
        "/live/shutdown_timeout": "1s",
        f"{LIVE}/hls_fragment": "1s",
        f"{LIVE}/hls_playlist_length": "30s",
        f"{LIVE}/allow_publish/local": "127.0.0.0/8",
        f"{LIVE}/origin": f"127.0.0.1:{origin.rtmp_port}",
        "/live/apps/far/allow_publish/local": "127.0.0.0/8",
        "/live/apps/far/relay": "pull",
        "/live/apps/far/origin": f"127.0.0.1:{origin.rtmp_port}",
        "/live/apps/stage/allow_publish/nobody": "192.0.2.1",
        "/live/apps/stage/relay": "pull",
        "/live/apps/stage/origin": f"127.0.0.1:{origin.rtmp_port}",
    }


def test_a_stream_is_served_as_hls_by_the_origin_and_by_an_edge(running: Streams) -> None:
    """ffmpeg's pattern: playlist, types, headers, and a segment that is one."""
    log = running.folder / "one.log"
    with publishing(running.origin.rtmp_port, "live/one", log):
        for nginx in (running.origin, running.edge):
            playlist = running.playlist(nginx, "one", segments=2)
            answer = nginx.get("/hls/live/one.m3u8")
            assert answer.headers["content-type"] == "application/vnd.apple.mpegurl"
            assert answer.headers["access-control-allow-origin"] == "*"
            assert answer.headers["cache-control"] == "no-cache"
            segment = next(line for line in playlist.splitlines() if line.endswith(".ts"))
            media = nginx.get(f"/hls/live/{segment}")
            assert (media.status, media.headers["content-type"]) == (200, "video/mp2t")
            assert media.body.startswith("G")  # each packet of a transport stream begins so
            assert len(media.body) > 188
        assert "<name>one</name>" in running.origin.get("/stat").body


def test_a_change_during_a_broadcast_does_not_end_it(running: Streams) -> None:
    """The publisher outlives worker_shutdown_timeout; the next one has the new setting."""
    with publishing(running.origin.rtmp_port, "live/two", running.folder / "two.log") as two:
        running.playlist(running.origin, "two", segments=2)
        before = running.origin.workers()
        running.etcd.put(f"{LIVE}/hls_fragment", "3s")
        running.shows("hls_fragment 3s;")
        changed = time.monotonic()
        running.daemons[0].wait(
            lambda: not before & running.origin.workers(), "the old one leaving"
        )
        with publishing(running.origin.rtmp_port, "live/three", running.folder / "three.log"):
            three = running.playlist(running.origin, "three", segments=1)
        running.daemons[0].wait(lambda: time.monotonic() > changed + 1.5, "the timeout")
        count = running.playlist(running.origin, "two").count("#EXTINF")
        running.playlist(running.origin, "two", segments=count + 1)
        assert two.poll() is None, (running.folder / "two.log").read_text()
    assert _target(running.playlist(running.origin, "two")) < 3 <= _target(three)


def _target(playlist: str) -> int:
    found = re.search(r"#EXT-X-TARGETDURATION:(\d+)", playlist)
    assert found, playlist
    return int(found[1])


def test_who_is_not_allowed_cannot_publish(running: Streams) -> None:
    """The origin ends the connection, and nothing is served."""
    with publishing(running.origin.rtmp_port, "stage/x", running.folder / "x.log") as process:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(60)
        assert process.poll() not in (None, 0)
    assert running.origin.get("/hls/stage/x.m3u8").status == 404


def test_who_is_denied_cannot_publish(running: Streams) -> None:
    """Although the network that the address is of is allowed."""
    running.etcd.put(f"{LIVE}/deny_publish/guest", "127.0.0.1")
    running.shows("deny publish 127.0.0.1;")
    with publishing(running.origin.rtmp_port, "live/four", running.folder / "four.log") as process:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(60)
        assert process.poll() not in (None, 0)
    running.etcd.delete(f"{LIVE}/deny_publish/guest")
    running.daemons[0].wait(
        lambda: "deny publish 127" not in running.origin.conf.read_text(), "the rule to go"
    )


def test_edges_come_and_go(running: Streams) -> None:
    """A relay that registers is pushed to; one that ends is not."""
    line = f"push rtmp://127.0.0.1:{running.edge.http_port}/live;"
    words = ["live", f"127.0.0.1:{running.edge.http_port}", *EDGES, "--id", "edge2"]
    with registered(running.folder, running.etcd, words):
        running.shows(line)
    running.daemons[0].wait(lambda: line not in running.origin.conf.read_text(), "it to go")


def test_an_edge_that_is_drained_is_not_pushed_to(running: Streams) -> None:
    """By `pyconfd members`, as members of other recipes; it comes back."""
    line = f"push rtmp://127.0.0.1:{running.edge.rtmp_port}/live;"

    def members(*words: str) -> None:
        argv = [sys.executable, "-m", "pyconfd", "members", *words, *EDGES[:2]]
        argv += ["--node", running.etcd.endpoint]
        subprocess.run(argv, check=True, capture_output=True, timeout=120)

    members("drain", "live", "edge1")
    running.daemons[0].wait(lambda: line not in running.origin.conf.read_text(), "it to be left")
    members("up", "live", "edge1")
    running.shows(line)


def test_an_edge_that_pulls_asks_the_origin_when_somebody_plays(running: Streams) -> None:
    """Publishing is for nobody there; what is played comes from the origin."""
    block = running.edge.conf.read_text().split("application far {")[1].split("application")[0]
    assert "allow publish" not in block
    with publishing(running.origin.rtmp_port, "far/one", running.folder / "far.log"):
        running.daemons[0].wait(
            lambda: "<name>one</name>" in running.origin.get("/stat").body, "the stream"
        )
        assert "<name>one</name>" not in running.edge.get("/stat").body
        assert frames_played(running.edge.rtmp_port, "far/one", 5) == 5
        with publishing(running.edge.rtmp_port, "far/two", running.folder / "far2.log") as refused:
            with contextlib.suppress(subprocess.TimeoutExpired):
                refused.wait(60)
            assert refused.poll() not in (None, 0)


# These speak of keys that are others here; `pyconfd recipes test` proves them.
OTHERS = ("all applications at once", "an edge twice", "a playlist of less")
BROKEN = [one for one in EXAMPLE.broken if not one.why.startswith(OTHERS)]


@pytest.mark.parametrize("broken", BROKEN, ids=lambda one: one.why.replace(" ", "-"))
def test_bad_input_changes_nothing_and_is_said(running: Streams, broken: BrokenExample) -> None:
    """Refused by the name of its key, or by nginx with file and line; it goes on serving."""
    daemon, origin = running.daemons[0], running.origin
    changed = broken.edit.set.keys() | set(broken.edit.unset)
    before = {key: value for key in changed if (value := running.etcd.get(key)) is not None}
    file, said = origin.conf.read_bytes(), len(daemon.log)
    try:
        running.etcd.txn(list(broken.edit.set.items()), list(broken.edit.unset))
        daemon.wait(lambda: broken.says.search(daemon.log[said:]), broken.says.pattern)
        assert origin.conf.read_bytes() == file
        assert origin.get("/healthz").status == 200
    finally:
        running.etcd.txn(list(before.items()), sorted(changed - before.keys()))


def test_an_edge_that_registers_twice_is_refused(running: Streams) -> None:
    """It would get each stream twice."""
    key, said = f"{LIVE}/edges/again", len(running.daemons[0].log)
    file = running.origin.conf.read_bytes()
    running.etcd.put(key, f"127.0.0.1:{running.edge.rtmp_port}")
    words = f"{LIVE}/edges/edge1 has the address of again"
    running.daemons[0].wait(lambda: words in running.daemons[0].log[said:], words)
    assert running.origin.conf.read_bytes() == file
    running.etcd.delete(key)


def test_a_port_of_another_program_is_put_back(running: Streams) -> None:
    """nginx -t takes it, the reload does not: the file of before is live again."""
    daemon, origin = running.daemons[0], running.origin
    before = running.etcd.get("/live/http_listen")
    assert before is not None
    file = origin.conf.read_bytes()
    running.etcd.put("/live/http_listen", running.etcd.endpoint)
    daemon.wait(lambda: f"{running.etcd.endpoint} failed" in daemon.log, "nginx's refusal")
    daemon.wait(lambda: origin.conf.read_bytes() == file, "the file of before")
    running.etcd.put("/live/http_listen", before)
    assert origin.get("/healthz").status == 200


def test_without_nginx_nothing_is_written(running: Streams, tmp_path: Path) -> None:
    """No program, no verdict: the file of before stays."""
    nginx = RtmpNginx(tmp_path / "nginx")
    before, changes = nginx.conf.read_bytes(), nginx.changes("origin", "/no/nginx")
    done = laid_out(RECIPE, tmp_path, changes, "--node", running.etcd.endpoint).once()
    assert done.returncode == 1
    assert "/no/nginx" in done.stderr
    assert nginx.conf.read_bytes() == before
