"""A render ends after its time, whatever its template does, and holds up nobody else."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from pyconfd.errors import RenderTimeout, TemplateFault
from pyconfd.model.resources import Origin, Resource
from pyconfd.pipeline.render.renderer import Renderer
from pyconfd.pipeline.store import Snapshot
from pyconfd.system.time_limit import TimeLimit
from tests.pipeline.render.gotemplate.rendering import snapshot
from tests.support.repository import ROOT

#: What a busy machine may add to a limit.
SLACK_S = 3.0

HARD = "a" * 5000 + "b"
ENDLESS = "{% for a in range(1000000) %}{% for b in range(1000000) %}{% endfor %}{% endfor %}"
MACRO = "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(80) }}"
GO_ENDLESS = (
    "{{ range seq 1 1000000 }}{{ range seq 1 1000000 }}{{ range seq 1 1000000 }}x{{ end }}"
    "{{ end }}{{ end }}"
)


def resource(engine: str = "jinja2", limit_s: float = 0.3, format: str = "") -> Resource:  # noqa: A002
    """One whose template is `t`."""
    return Resource(
        name="r",
        origin=Origin("r.toml", 1),
        src="t",
        dest="/d",
        keys=("/",),
        engine=engine,
        format=format,
        render_timeout_s=limit_s,
    )


def fault_of(folder: Path, template: str, one: Resource, keys: Snapshot) -> TemplateFault:
    """The fault of rendering this."""
    (folder / "t").write_text(template)
    with pytest.raises(TemplateFault) as caught:
        Renderer(str(folder), {}, compat="confd-fork").render(one, keys)
    return caught.value


@pytest.mark.parametrize(
    ("engine", "template"), [("jinja2", ENDLESS), ("jinja2", MACRO), ("go", GO_ENDLESS)]
)
def test_a_render_without_end_fails_after_its_time(
    tmp_path: Path, engine: str, template: str
) -> None:
    """The fault names the setting, the template and the line."""
    begun = time.monotonic()
    fault = fault_of(tmp_path, f"first\n{template}\n", resource(engine), snapshot({}))
    assert time.monotonic() - begun < 0.3 + SLACK_S
    assert "render_timeout = 0.3 s" in str(fault)
    assert (fault.template, fault.line) == ("t", 2)


@pytest.mark.parametrize(
    ("engine", "template"),
    [
        ("jinja2", '{{ regexMatch("^(a|aa)+$", getv("/k")) }}'),
        ("jinja2", '{{ regexFind("^(a|aa)+$", getv("/k")) }}'),
        ("jinja2", '{{ regexReplaceAll("^(a|aa)+$", getv("/k"), "") }}'),
        ("go", '{{ regexMatch "^(a|aa)+$" (getv "/k") }}'),
        ("go", '{{ regexFind "^(a|aa)+$" (getv "/k") }}'),
        ("go", '{{ regexReplaceAll "^(a|aa)+$" (getv "/k") "" }}'),
    ],
)
def test_a_hard_regular_expression_ends_and_stops_no_other_thread(
    tmp_path: Path, engine: str, template: str
) -> None:
    """No other thread waits for the interpreter meanwhile."""
    longest = Longest()
    with longest:
        fault = fault_of(tmp_path, template, resource(engine, 30), snapshot({"/k": HARD}))
    assert "regular expression took longer" in str(fault)
    assert longest.seconds < 0.4


@pytest.mark.parametrize(
    "template",
    [
        "{{ range(10 ** 15) | sum }}",
        "{{ range(10 ** 30) | sum }}",
        '{{ "x" * 10 ** 12 }}',
        '{{ 10 ** 12 * "x" }}',
        "{{ ([1] * 10 ** 12) | length }}",
        "{{ 10 ** (10 ** 10) }}",
        '{{ "x" | repeat(10 ** 12) }}',
        "{{ lipsum(10 ** 12) }}",
    ],
)
def test_a_call_that_would_make_too_much_is_refused(tmp_path: Path, template: str) -> None:
    """It is one step for Python, which no time limit can interrupt."""
    begun = time.monotonic()
    fault_of(tmp_path, template, resource(), snapshot({}))
    assert time.monotonic() - begun < 0.3 + SLACK_S


@pytest.mark.parametrize("call", ['lookupIP("x.example")', 'lookupSRV("a", "tcp", "x.example")'])
def test_a_name_that_is_looked_up_for_long_holds_up_no_render(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """The C library cannot be interrupted; a name server that does not answer is its matter."""
    for place in ("socket.getaddrinfo", "pyconfd.system.dns.srv"):
        monkeypatch.setattr(place, lambda *_, **__: time.sleep(4) or [])
    begun = time.monotonic()
    fault = fault_of(tmp_path, f"{{{{ {call} | length }}}}", resource(), snapshot({}))
    assert "render_timeout" in str(fault)
    assert time.monotonic() - begun < SLACK_S


def test_the_limit_of_values_is_a_setting(tmp_path: Path) -> None:
    """Of characters that a value of a resource with a format may have."""
    (tmp_path / "t").write_text('{{ getv("/k") }}')
    keys = snapshot({"/k": "a" * 100_000})
    one = resource(format="nginx", limit_s=30)
    with pytest.raises(TemplateFault, match="/k is longer than value_limit = 65536"):
        Renderer(str(tmp_path), {}).render(one, keys)
    made = Renderer(str(tmp_path), {}, value_limit=200_000).render(one, keys)
    assert len(made.content) == 100_000


def test_renders_end_soon_when_pyconfd_stops(tmp_path: Path) -> None:
    """Whatever their own limit is."""
    (tmp_path / "t").write_text(ENDLESS)
    limit = TimeLimit(lambda: time.monotonic() > begun + 0.2)
    begun = time.monotonic()
    with pytest.raises(TemplateFault, match="because pyconfd stops"):
        Renderer(str(tmp_path), {}, time_limit=limit).render(resource(limit_s=60), snapshot({}))
    assert time.monotonic() - begun < 0.5 + SLACK_S


def test_what_is_quick_enough_is_never_interrupted() -> None:
    """Also when it ends at the very moment of its limit."""
    limit = TimeLimit()
    ended = 0
    for round in range(40):  # noqa: A001
        pause_s = 0.08 + round * 0.002
        try:
            limit.run(lambda: _spin(pause_s), 0.1)  # noqa: B023
        except RenderTimeout:
            ended += 1
        for _ in range(1000):
            pass  # nothing is raised here
    assert 0 < ended < 40


def test_a_template_cannot_catch_the_end(tmp_path: Path) -> None:
    """`except Exception` in a library does not swallow it."""
    limit = TimeLimit()
    with pytest.raises(RenderTimeout):
        limit.run(_stubborn, 0.2)


def test_a_limited_step_of_c_that_fails_after_its_time_is_no_longer_limited() -> None:
    """Its thread lives on: nothing is raised there when the work has ended."""
    limit = TimeLimit()
    late_and_wrong = partial(list, map(time.sleep, [0.5, "no number"]))
    with pytest.raises((RenderTimeout, TypeError)):
        limit.run(late_and_wrong, 0.1)
    _spin(1.0)  # what an interrupted work of this long ago would not survive


TRACED = """
import sys
from pyconfd.errors import RenderTimeout
from pyconfd.system.time_limit import TimeLimit

def endless():
    while True:
        pass

for _ in range(3):
    try:
        TimeLimit().run(endless, 0.05)
    except RenderTimeout:
        continue
seen = []
sys.settrace(lambda frame, *_: seen.append(frame.f_code.co_name))
(lambda: None)()
sys.settrace(None)
print(seen)
"""


def test_after_an_interruption_the_interpreter_looks_for_no_other() -> None:
    """Seen by tracing: Python 3.11 would look for ever before a traced function."""
    argv = [sys.executable, "-c", TRACED]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.stdout == "['<lambda>']\n", done.stderr


def test_its_own_limit_comes_before_the_setting(tmp_path: Path) -> None:
    """Another resource of the same renderer has the time that it needs."""
    (tmp_path / "t").write_text("{% for a in range(300000) %}{% endfor %}done")
    renderer = Renderer(str(tmp_path), {})
    with pytest.raises(TemplateFault):
        (tmp_path / "u").write_text(ENDLESS)
        renderer.render(replace(resource(limit_s=0.2), src="u"), snapshot({}))
    assert renderer.render(resource(limit_s=30), snapshot({})).content == b"done"


def _spin(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def _stubborn() -> None:
    while True:
        try:
            _spin(0.01)
        except Exception:  # noqa: BLE001 - what is tested
            continue


class Longest:
    """While it is entered: the longest time that a thread of small sleeps was not run."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._tick)

    def __enter__(self) -> Longest:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _tick(self) -> None:
        last = time.monotonic()
        while not self._over.wait(0.01):
            now = time.monotonic()
            self.seconds, last = max(self.seconds, now - last), now
