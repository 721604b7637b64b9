"""runtime and adopt_runtime: which daemon is changed while it runs, and where."""

from __future__ import annotations

import pytest

from pyconfd.model.resources import Runtime
from tests.config.conftest import Add, Load

RELOAD = 'reload_cmd = "r"\n'
RUNTIME = 'runtime = { by = "haproxy", socket = "/run/h.sock" }\n'
APACHE = 'runtime = { by = "apache", at = "http://127.0.0.1:8081/balancer-manager" }\n'


@pytest.mark.parametrize(
    ("lines", "runtime"),
    [
        ("", None),
        (RUNTIME, Runtime(by="haproxy", socket="/run/h.sock")),
        (APACHE, Runtime(by="apache", at="http://127.0.0.1:8081/balancer-manager")),
        (f"{RUNTIME}adopt_runtime = true", Runtime(by="haproxy", socket="/run/h.sock", adopt=True)),
    ],
)
def test_what_is_changed_while_it_runs(
    add: Add, load: Load, lines: str, runtime: Runtime | None
) -> None:
    """A daemon and its socket, or nothing."""
    add("www", f"{RELOAD}{lines}\n")
    resources, faults = load()
    assert not faults
    assert resources["www"].service.runtime == runtime


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (f"{RELOAD}runtime = true", "runtime is not a table"),
        (f'{RELOAD}runtime = {{ by = "haprox", socket = "/s" }}', "did you mean haproxy"),
        (f'{RELOAD}runtime = {{ socket = "/s" }}', "runtime: by is missing"),
        (f'{RELOAD}runtime = {{ by = "haproxy" }}', "runtime: socket is missing"),
        (f'{RELOAD}runtime = {{ by = "haproxy", socket = "s" }}', "is not an absolute path: s"),
        (
            f'{RELOAD}runtime = {{ by = "haproxy", at = "/s" }}',
            "at is of no use by haproxy",
        ),
        (f'{RELOAD}runtime = {{ by = "haproxy", sokket = "/s" }}', "did you mean socket"),
        (f"{RELOAD}runtime = {{ by = 1, socket = 2 }}", "runtime: by 1 is not known"),
        (f'{RELOAD}runtime = {{ by = "haproxy", socket = 2 }}', "runtime: socket is not a text"),
        (f'{RELOAD}runtime = {{ by = "apache" }}', "runtime: at is missing"),
        (f'{RELOAD}runtime = {{ by = "apache", at = "/run/s" }}', "runtime: at is not a URL"),
        (f'{RELOAD}runtime = {{ by = "apache", socket = "/s" }}', "is of no use by apache"),
        (f"{RELOAD}adopt_runtime = true", "adopt_runtime is of use with runtime only"),
        (RUNTIME, "runtime is of use with a reload_cmd only"),
    ],
)
def test_what_is_wrong_is_a_fault(add: Add, load: Load, lines: str, said: str) -> None:
    """With the line, and nothing is done."""
    add("www", f"{lines}\n")
    resources, faults = load()
    assert "www" not in resources
    assert any(said in str(fault) for fault in faults), faults
