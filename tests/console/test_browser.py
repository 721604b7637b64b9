"""
The console in a real browser, beside three nginx: a refusal, a drain by click, a rollout.

With PYCONFD_SCREENSHOTS=FOLDER the test also leaves pictures there, those of docs/.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.e2e.test_fleet import NODES, ROLLOUT, Fleet, fleets
from tests.support.daemons.etcd import PrivateEtcd, free_ports
from tests.support.daemons.live_nginx import LiveNginx
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

TOKEN = "a-token-of-the-tests-0001"
TEMPLATE = """\
upstream web {
{% for id in ls("/app/web/members") %}
    server {{ getv("/app/web/members/" ~ id) }}{{ " down" if exists("/app/web/override/" ~ id) }};
{% endfor %}
}
client_header_timeout {{ getv("/app/settings/timeout") }};
"""
PICTURES = os.environ.get("PYCONFD_SCREENSHOTS", "")
BACKENDS = dict(zip("ab", free_ports(2), strict=True))
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1240,1100",
)
#: Notes every text that a rollout's stage has.
OBSERVE = """
window.stages = [];
const note = () => {
  const stage = document.querySelector("#rollouts .title .dot").innerText;
  if (window.stages.at(-1) !== stage) window.stages.push(stage);
};
new MutationObserver(note).observe(
  document.getElementById("rollouts"), {subtree: true, childList: true, characterData: true});
note();
"""


def arrange(nginx: LiveNginx) -> None:
    """A front that asks the members, and on one machine the members."""
    front = f"server {{ listen 127.0.0.1:{nginx.port}; location / {{ proxy_pass http://web; }} }}\n"
    if nginx.folder.name.startswith("web1"):
        for name, port in BACKENDS.items():
            front += f"server {{ listen 127.0.0.1:{port}; return 200 {name}; }}\n"
    (nginx.sites / "front.conf").write_text(front)
    (nginx.sites / "edge.conf").write_text("upstream web { server 127.0.0.1:1; }\n")


def prepare(etcd: PrivateEtcd) -> None:
    for name, port in BACKENDS.items():
        etcd.put(f"/app/web/members/{name}", f"127.0.0.1:{port}", lease=etcd.grant(600))


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    text = ROLLOUT + 'pause = "800ms"\n'
    with tempfile.TemporaryDirectory(prefix="edge") as folder:  # a short name, for the pictures
        yield from fleets(Path(folder), text, prepare=prepare, template=TEMPLATE, arrange=arrange)


@pytest.fixture(scope="module")
def console(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of one that takes orders."""
    tokens = tmp_path_factory.mktemp("console") / "tokens"
    tokens.write_text(f"alice {TOKEN}\n")
    tokens.chmod(0o600)
    argv = [
        *(sys.executable, "-m", "pyconfd", "console", "edges", "--listen", "127.0.0.1:0"),
        *("--node", fleet.etcd.endpoint, "--key-pattern", "/app/{service}/members/{id}"),
        *("--allow-orders", "--token-file", str(tokens)),
    ]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            found = re.search(r"http://\S+", process.stdout.readline())
            assert found
            yield found[0]
        finally:
            process.terminate()
            assert process.wait(20) == 0


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path="/usr/bin/chromedriver")
    browser = webdriver.Chrome(options=options, service=service)
    light = [{"name": "prefers-color-scheme", "value": "light"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": light})
    try:
        yield browser
    finally:
        browser.quit()


@pytest.fixture
def page(chromium: webdriver.Chrome, console: str) -> Iterator[Page]:
    """Open, live, without complaints of the browser at the end."""
    chromium.get(console)
    found = Page(chromium)
    found.wait("#live[data-state=on]", "live")
    yield found
    log = chromium.get_log("browser")
    assert [entry for entry in log if entry["level"] == "SEVERE"] == []


class Page:
    def __init__(self, browser: webdriver.Chrome) -> None:
        self.browser = browser

    def wait(self, selector: str, text: str = "") -> str:
        """Until an element of this kind holds the text: all of its text."""
        script = (
            "return [...document.querySelectorAll(arguments[0])].map(each => each.innerText)"
            ".find(each => each.includes(arguments[1])) ?? null"
        )

        def found() -> bool:
            texts.append(self.browser.execute_script(script, selector, text))
            return texts[-1] is not None

        texts: list[str] = []
        wait_until(found, 20, lambda: f"{selector} {text!r} in\n{self.text}")
        return texts[-1]

    def colour(self, selector: str) -> str:
        script = "return getComputedStyle(document.querySelector(arguments[0])).color"
        return str(self.browser.execute_script(script, selector))

    def press(self, selector: str, *keys: str) -> None:
        """Click, or type when keys are given."""
        self.wait(selector)
        element = self.browser.find_element(By.CSS_SELECTOR, selector)
        element.send_keys(*keys) if keys else element.click()

    @property
    def text(self) -> str:
        return self.browser.find_element(By.TAG_NAME, "body").text

    def log_in(self) -> None:
        """Unless that was done."""
        if links := self.browser.find_elements(By.LINK_TEXT, "Give orders"):
            links[0].click()
            self.press("#token", TOKEN, Keys.ENTER)
            self.wait("#live[data-state=on]")

    def picture(self, name: str) -> None:
        """In light and dark, where pictures are asked for; small, with few colours."""
        for scheme in ("dark", "light") if PICTURES else ():
            features = [{"name": "prefers-color-scheme", "value": scheme}]
            self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
            made = Path(PICTURES) / f"console-{name}-{scheme}.png"
            colours = "split[a][b];[a]palettegen=max_colors=64[p];[b][p]paletteuse=dither=none"
            argv = ["ffmpeg", "-y", "-v", "error", "-i", "-", "-vf", colours, str(made)]
            shot = self.browser.get_screenshot_as_png()
            subprocess.run(argv, input=shot, check=True, timeout=30)


def test_a_rollout_is_seen_from_canary_to_done(fleet: Fleet, page: Page) -> None:
    """Without loading the page again: the bar grows from the canary to all nodes."""

    def stages() -> Sequence[str]:
        return list(page.browser.execute_script("return window.stages"))

    page.wait("#rollouts .dot", "done on all nodes")
    page.browser.execute_script(OBSERVE)
    fleet.etcd.put("/app/settings/timeout", "20s")
    if PICTURES:
        page.wait("#rollouts .dot", "canary: web2 proving")
        page.picture("rollout")
    wait_until(lambda: len(stages()) > 1, what="a canary")
    page.wait("#rollouts .dot", "done on all nodes")
    wanted = ("canary: web2", "1 of 3 done: web", "2 of 3 done: web", "done on all nodes")
    seen = stages()
    assert [any(one.startswith(begin) for one in seen) for begin in wanted] == [True] * 4, seen
    assert fleet.timeouts() == ["20s"] * 3


def test_a_node_that_refuses_is_red_with_the_words_of_nginx(fleet: Fleet, page: Page) -> None:
    """The others wait, and are not red."""
    before = fleet.timeouts()
    fleet.etcd.put("/app/settings/timeout", "many")
    words = page.wait("#rollouts .notice.bad", "directive invalid value")
    assert "web2" in words
    assert "canary" in page.wait("#rollouts tr.bad", "web2")
    assert page.colour("#rollouts tr.bad .dot.bad") == "rgb(197, 54, 45)"
    page.wait("#nodes tr.bad", "web2")
    page.wait("#nodes tr.waiting", "web3")
    page.wait("#rollouts tr.waiting", "halted")
    page.picture("refusal")
    assert fleet.timeouts() == before
    fleet.etcd.put("/app/settings/timeout", "30s")
    page.wait("#rollouts .dot", "done on all nodes")


def test_a_drain_by_click_reaches_nginx(fleet: Fleet, page: Page) -> None:
    """It is kept with who ordered it; every node has it; Up ends it. By keyboard alone."""
    front = fleet.nginx["web3"]
    wait_until(lambda: {front.ask("web") for _ in range(4)} == {"a", "b"}, what="both answer")
    page.log_in()
    page.press('button[id="drain web a"]', Keys.ENTER)
    page.wait("#members tr.waiting", "drain")
    wait_until(lambda: {front.ask("web") for _ in range(4)} == {"b"}, what="a is drained")
    page.wait("#members tr.waiting", "3 of 3")
    order = page.wait("#orders tr", "drain a")
    assert "alice" in order
    assert "127.0.0.1, by the console on" in order
    page.picture("members")
    page.press('button[id="up web a"]')
    wait_until(lambda: {front.ask("web") for _ in range(4)} == {"a", "b"}, what="it is back")


def test_halt_and_resume_by_click(fleet: Fleet, page: Page) -> None:
    """As by `pyconfd fleet halt`."""
    page.log_in()
    page.press('button[id="halt edge"]')
    page.wait("#rollouts .dot", "stopped by alice: no turn begins")
    assert "edge: no turn begins" in page.wait("p.notice", "edge")
    page.press('button[id="resume edge"]')
    page.wait("#rollouts .dot", "done on all nodes")


def test_it_can_be_read_without_scripts(
    fleet: Fleet, chromium: webdriver.Chrome, console: str
) -> None:
    """The same tables; the page comes again by itself."""
    chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        chromium.get(console)
        text = Page(chromium).text
        assert all(name in text for name in (*NODES, "edge", "127.0.0.1:"))
        assert chromium.find_elements(By.CSS_SELECTOR, "meta[http-equiv=refresh]")
    finally:
        chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
