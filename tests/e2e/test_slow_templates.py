"""Whatever templates do with a value: the daemon answers, the others are done, SIGTERM ends it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyconfd.daemon import control_socket
from tests.support.daemons.etcd import PrivateEtcd, free_ports
from tests.support.http import ask
from tests.support.pyconfd import Confdir, Daemon
from tests.support.waiting import Stopwatch

pytestmark = pytest.mark.integration

#: docs/reliability.md promises a second; the last is for a machine that is busy otherwise.
PROMISE_S, AT_MOST_S = 1.0, 8.0

#: What a template does with the value of /app/v.
HARD = {
    "loop": "{% for a in range(1000000) %}{% for b in range(1000000) %}{% endfor %}{% endfor %}",
    "regex": '{{ regexMatch("^(1|11)+$", getv("/app/v")) }}',
    "retried": '{% for a in range(1000) %}{{ regexFind("^(1|11)+$", getv("/app/v")[:5000]) }}'
    "{% endfor %}",
    "find": '{{ regexFind("[0-9]*\\\\Z", getv("/app/v")) }}',
    "sum": "{{ range(10 ** 15) | sum }}",
    "words": '{{ getv("/app/v") | wordwrap(1) | urlize }}',
    "sorted": '{% for a in range(1000000) %}{{ getv("/app/v").split("11") | sort | length }}'
    "{% endfor %}",
    "letters": '{% for c in getv("/app/v") %}{{ c ~ c }}{% endfor %}',
    "replace": '{% for a in range(1000000) %}{{ getv("/app/v").replace("1", "22") | length }}'
    "{% endfor %}",
    "macro": "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}"
    "{{ m(80) }}",
    "go": '{{ range seq 1 1000000 }}{{ range seq 1 1000000 }}{{ regexMatch "^(1|11)+$" '
    '(getv "/app/v") }}{{ end }}{{ end }}',
    "json": '{% for a in range(1000000) %}{{ json("/app/v") }}{% endfor %}',
}


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateEtcd]:
    extra = ["--max-request-bytes", "33554432"]
    with PrivateEtcd(tmp_path_factory.mktemp("etcd"), extra=extra) as server:
        yield server


def hard(confdir: Confdir, kind: str, number: int = 0) -> None:
    """A resource whose template is hard."""
    name = f"{kind}{number or ''}"
    confdir.template(f"{name}.j2", HARD[kind])
    engine = "go" if kind == "go" else "jinja2"
    confdir.resource(
        name,
        f'[template]\nsrc = "{name}.j2"\ndest = "@OUT@/{name}.conf"\nkeys = ["/app"]\n'
        f'engine = "{engine}"\n',
    )


@pytest.mark.parametrize(
    ("size", "copies"), [(200_000, 1), (1_000_000, 1), (10_000_000, 1), (200_000, 3)]
)
def test_everything_is_answered_while_templates_are_slow(
    tmp_path: Path, etcd: PrivateEtcd, size: int, copies: int
) -> None:
    """Status, health, another resource, and the end; also with more of them than lanes."""
    etcd.put("/app/v", "1" * size + ";")
    etcd.put("/other/a", "1")
    port = free_ports(1)[0]
    confdir = Confdir(tmp_path, "--node", etcd.endpoint, "--compat", "confd-fork")
    for number in range(copies):
        for kind in HARD:
            hard(confdir, kind, number)
    other = confdir.simple("other", "/other")
    with confdir.daemon("--metrics-listen", f"127.0.0.1:{port}") as daemon:
        daemon.wait_file(other, "/other/a=1\n")
        end = time.monotonic() + 6.0
        number = 1
        while time.monotonic() < end:
            for act in (lambda: health(port), lambda: status(confdir)):
                took = Stopwatch()
                act()
                assert took.within(PROMISE_S, at_most_s=AT_MOST_S), (act, took)
            number += 1
            took = Stopwatch()
            etcd.put("/other/a", str(number))
            daemon.wait_file(other, f"/other/a={number}\n")
            assert took.within(PROMISE_S, at_most_s=AT_MOST_S), took
        ended(daemon)


def ended(daemon: Daemon) -> None:
    """SIGTERM ends it in time."""
    took = Stopwatch()
    assert daemon.end() == 0
    assert took.within(PROMISE_S, at_most_s=AT_MOST_S), f"{took}\n{daemon.log}"


def health(port: int) -> None:
    """It answers; whether it is well is not asked."""
    assert ask(port, "/health").status in (200, 503)


def status(confdir: Confdir) -> None:
    """What `pyconfd status` asks."""
    (folder,) = (confdir.folder / "state").iterdir()
    assert "other" in str(control_socket.ask(str(folder), {"do": "status"}))


def test_a_one_shot_run_does_the_others_and_says_which_was_slow(
    tmp_path: Path, etcd: PrivateEtcd
) -> None:
    """Exit status 1, and the fault names the line."""
    etcd.put("/app/v", "1")
    etcd.put("/other/a", "1")
    confdir = Confdir(tmp_path, "--node", etcd.endpoint)
    hard(confdir, "loop")
    other = confdir.simple("other", "/other")
    done = confdir.once("--render-timeout", "500ms")
    assert done.returncode == 1
    assert "longer than render_timeout = 0.5 s" in done.stderr
    assert "loop.j2:1" in done.stderr
    assert other.read_text() == "/other/a=1\n"


def test_a_one_shot_run_ends_on_sigterm_while_a_template_is_slow(
    tmp_path: Path, etcd: PrivateEtcd
) -> None:
    """It waits for no render."""
    confdir = Confdir(tmp_path, "--node", etcd.endpoint)
    hard(confdir, "loop")
    process = subprocess.Popen(
        confdir.argv("--onetime", "--log-level", "debug"), stderr=subprocess.PIPE, text=True
    )
    time.sleep(1.5)  # it renders from half a second after its start, for ten seconds
    assert process.poll() is None
    took = Stopwatch()
    process.terminate()
    process.communicate(timeout=60)
    assert took.within(PROMISE_S, at_most_s=AT_MOST_S), took
