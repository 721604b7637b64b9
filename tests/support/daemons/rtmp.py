"""nginx with the RTMP module in a folder of the test, and ffmpeg that publishes to it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support.daemons.etcd import free_ports
from tests.support.daemons.live_nginx import LiveNginx
from tests.support.daemons.nginx_trees import MODULES, nginx_binary
from tests.support.http import Answer, ask
from tests.support.waiting import wait_until

# What runs before the recipe's first file is there.
FIRST = """\
include modules-enabled/*.conf;
pid run/nginx.pid;
error_log log/error.log notice;
worker_processes 1;
events {}
"""
_MIME = "types {\n    text/html html;\n}\n"


class RtmpNginx(LiveNginx):
    """nginx whose whole main file is rendered by a recipe."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.conf.write_text(FIRST)
        self.rtmp_port, self.http_port = free_ports(2)
        for name in ("modules-enabled", "hls"):
            (folder / name).mkdir()
        load = f"load_module {MODULES}/ngx_rtmp_module.so;\n"
        (folder / "modules-enabled" / "50-mod-rtmp.conf").write_text(load)
        (folder / "mime.types").write_text(_MIME)

    @contextlib.contextmanager
    def running(self) -> Iterator[LiveNginx]:
        """Start it, and end it with everything it has started."""
        with (self.folder / "log" / "stderr").open("wb") as log:
            self.process = subprocess.Popen(
                self.argv("-g", "daemon off;"),
                stdin=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
        try:
            wait_until(lambda: self.workers(), what="workers of nginx")
            yield self
        finally:
            # Workers stay for as long as somebody publishes: the test ends those first.
            self._end(self.process)

    def changes(self, role: str, program: str = "") -> dict[str, str]:
        """What is changed in the recipe for this nginx. program: another one that judges."""
        user = "root" if os.geteuid() == 0 else "www-data"
        return {
            'role = "origin"': f'role = "{role}"',
            'user = "www-data"': f'user = "{user}"',
            '"/run/nginx.pid"': f'"{self.folder}/run/nginx.pid"',
            '"/var/log/nginx"': f'"{self.folder}/log"',
            '"/var/lib/nginx/hls"': f'"{self.folder}/hls"',
            'dest = "/etc/nginx/nginx.conf"': f'dest = "{self.conf}"',
            'nginx_conf = "/etc/nginx/nginx.conf"': (
                f'nginx_conf = "{self.conf}"\nnginx_prefix = "{self.folder}"\n'
                f'nginx_bin = "{program or nginx_binary()}"'
            ),
            '"nginx -s reload"': f'"{self.reload_command}"',
            'min_reload_interval = "5s"': 'min_reload_interval = "50ms"',
            'hold_min = "500ms"': 'hold_min = "20ms"',
        }

    def get(self, path: str) -> Answer:
        """A request for a playlist, a segment or the state."""
        return ask(self.http_port, path)


@contextlib.contextmanager
def publishing(port: int, stream: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """ffmpeg that sends a generated pattern to rtmp://127.0.0.1:PORT/STREAM, until it is ended."""
    quiet = ["-nostdin", "-hide_banner", "-loglevel", "warning"]
    video = ["-re", "-f", "lavfi", "-i", "testsrc=size=160x120:rate=10"]
    encoder = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "10", "-threads", "1"]
    encoder += ["-pix_fmt", "yuv420p"]
    target = ["-f", "flv", f"rtmp://127.0.0.1:{port}/{stream}"]
    with log.open("wb") as said:
        process = subprocess.Popen(
            ["ffmpeg", *quiet, *video, *encoder, *target],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def frames_played(port: int, stream: str, count: int) -> int:
    """How many frames of rtmp://127.0.0.1:PORT/STREAM a player gets, who leaves after `count`."""
    argv = ["ffmpeg", "-nostdin", "-hide_banner", "-rw_timeout", "15000000"]
    argv += ["-analyzeduration", "500000"]  # by default it looks at 5 s of a stream first
    argv += ["-i", f"rtmp://127.0.0.1:{port}/{stream}", "-frames:v", str(count), "-f", "null", "-"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    shown = re.findall(r"frame=\s*(\d+)", done.stderr)
    return int(shown[-1]) if shown else 0
