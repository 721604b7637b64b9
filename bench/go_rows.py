"""
What rendering a Go template costs beside a hand-written Jinja2 template of the same output:

    python -m bench --only go

10,000 keys each time; the least CPU time of many renders, in one process, the two in turn.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable

from bench.scenarios import Bench, Figure
from pyconfd.model.keys import KeyValue, Listed
from pyconfd.model.resources import Origin, Resource
from pyconfd.pipeline.render.gotemplate.environment import GoEnvironment
from pyconfd.pipeline.render.renderer import Renderer
from pyconfd.pipeline.render.template_files import TemplateFiles
from pyconfd.pipeline.store import Snapshot, Store

KEYS = 10_000
GO, JINJA2 = "Go template", "Jinja2 by hand"

#: What is rendered -> the Go template, the Jinja2 template.
TEMPLATES = {
    "flat": (
        '{{range gets "/flat/*"}}server {{.Value}}; # {{.Key}}\n{{end}}',
        '{% for p in gets("/flat/*") %}\nserver {{ p.value }}; # {{ p.key }}\n{% endfor %}\n',
    ),
    "json": (
        '{{range gets "/json/*"}}{{$j := json .Value}}server {{$j.host}}:{{$j.port}};\n{{end}}',
        '{% for p in gets("/json/*") %}\n{% set j = json(p.value) %}\n'
        "server {{ j.host }}:{{ j.port }};\n{% endfor %}\n",
    ),
    "tree": (
        '{{range ls "/tree"}}{{.}} {{getv (printf "/tree/%s/host" .)}}:'
        '{{getv (printf "/tree/%s/port" .)}}\n{{end}}',
        '{% for s in ls("/tree") %}\n{{ s }} {{ getv("/tree/%s/host" % s) }}:'
        '{{ getv("/tree/%s/port" % s) }}\n{% endfor %}\n',
    ),
}
#: A hundred lines as they stand in templates of people.
COMPILED = (
    '{{range gets "/a/*"}}\n  server {{.Value}};\n{{end}}\n# text\n  listen {{getv "/p"}};\n' * 20
)


def rendering(bench: Bench) -> list[Figure]:
    """Both languages, for each kind of tree, and what compiling costs."""
    snapshot, figures = _snapshot(), []
    with tempfile.TemporaryDirectory() as folder:
        renderer = Renderer(folder, {})
        for kind, texts in TEMPLATES.items():
            least = _in_turn(folder, renderer, snapshot, kind, texts, bench.times(20))
            for who, taken_ms in least.items():
                figures.append(Figure(f"render {KEYS} keys", kind, "ms", who, taken_ms))
        environment = GoEnvironment(TemplateFiles(folder), "confd")
        compile_ms = _least_ms(lambda: environment.compile(COMPILED, "t", "t"), bench.times(20))
    return [*figures, Figure(f"render {KEYS} keys", "compile 100 lines", "ms", GO, compile_ms)]


def _in_turn(
    folder: str,
    renderer: Renderer,
    snapshot: Snapshot,
    kind: str,
    texts: tuple[str, str],
    times: int,
) -> dict[str, float]:
    resources = {}
    for who, text in zip((GO, JINJA2), texts, strict=True):
        src = f"{kind}-{who.split()[0]}"
        with open(os.path.join(folder, src), "w", encoding="utf-8") as file:
            file.write(text)
        resources[who] = Resource(
            name=src, origin=Origin("bench"), src=src, dest="/none", keys=("/",)
        )
    outputs = {renderer.render(one, snapshot).content for one in resources.values()}
    assert len(outputs) == 1, "both templates give the same bytes"
    least = dict.fromkeys(resources, float("inf"))
    for _ in range(max(times // 4, 1)):
        for who, one in resources.items():
            taken_ms = _least_ms(lambda one=one: renderer.render(one, snapshot), 4)  # type: ignore[misc]
            least[who] = min(least[who], taken_ms)
    return least


def _least_ms(work: Callable[[], object], times: int) -> float:
    least = float("inf")
    for _ in range(times):
        begun = time.process_time()
        work()
        least = min(least, time.process_time() - begun)
    return least * 1e3


def _snapshot() -> Snapshot:
    keys: dict[str, str] = {}
    for at in range(KEYS):
        keys[f"/flat/k{at:05}"] = f"10.0.{at // 250}.{at % 250}:80"
        keys[f"/json/k{at:05}"] = json.dumps({"host": f"h{at}", "port": 8000, "tags": ["a", "b"]})
    for at in range(KEYS // 2):
        keys[f"/tree/s{at:04}/host"], keys[f"/tree/s{at:04}/port"] = f"h{at}", "80"
    store = Store()
    items = tuple(KeyValue(key, value.encode(), 1) for key, value in keys.items())
    store.apply(Listed("bench", 1, 1, items))
    return store.snapshot()


GO_SCENARIOS = {"go": rendering}
