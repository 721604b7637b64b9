"""An apply that is undone when the new version does not answer: on the real Apache."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemons.apache import PrivateApache, serving
from tests.support.pyconfd import Confdir

pytestmark = pytest.mark.integration

PROBE = f"{sys.executable} -m pyconfd probe"


class Site:
    """Apache, whose main file comes from the key /site, and has to answer as /expect says."""

    def __init__(self, folder: Path, apache: PrivateApache) -> None:
        self.apache = apache
        self.keys = folder / "keys.json"
        self.confdir = Confdir(folder / "confdir", "--backend", "file", "--file", str(self.keys))
        self.confdir.template("site.j2", '{{ getv("/site") }}')
        test = " ".join(apache.argv("-t"))
        self.confdir.resource(
            "site",
            f"""
            [template]
            src = "site.j2"
            dest = "{apache.conf}"
            keys = ["/site"]
            check_cmd = '''{test.replace(str(apache.conf), "{{ src }}")}'''
            reload_cmd = '''{apache.reload_command}'''
            confirm = {{ by = "apache", at = "{apache.status_url}" }}
            confirm_cmd = "{PROBE} http://{apache.address}/"
            confirm_timeout = "6s"
            on_reload_failure = "revert"
            """,
        )

    def apply(self, text: str) -> tuple[int, str]:
        """Exit status of a run with this configuration, and its log."""
        self.keys.write_text(json.dumps({"site": text}))
        done = self.confdir.once()
        return done.returncode, done.stderr


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with PrivateApache(tmp_path / "srv", serving("one")).running() as apache:
        yield Site(tmp_path, apache)


def test_a_version_that_does_not_answer_is_taken_back(site: Site) -> None:
    """The check says yes, Apache takes it, and it answers 503: the version before comes back."""
    good = site.apache.conf.read_text()
    status, log = site.apply(good.replace('"one"', '"two"'))
    assert status == 0, log
    assert site.apache.ask("/").body == "two"
    live = site.apache.conf.read_text()
    status, log = site.apply(good.replace("RedirectMatch 200", "RedirectMatch 503"))
    assert status == 1
    assert "confirm_cmd did not succeed within 6 s: exit status 1" in log
    assert "the version before it is live again" in log
    assert site.apache.conf.read_text() == live
    assert site.apache.ask("/").body == "two"
    assert site.apply(good)[0] == 0
    assert site.apache.ask("/").body == "one"


def test_nothing_is_rolled_back_when_apache_cannot_be_asked(site: Site, tmp_path: Path) -> None:
    """Another Apache runs, which may be the one. The reload stays pending until it can be asked."""
    good = site.apache.conf.read_text()
    site.apache.stop()
    shutil.copy("/bin/sleep", other := tmp_path / "apache2")
    with subprocess.Popen([other, "600"]) as process:
        _not_asked(site, good)
        process.kill()


def _not_asked(site: Site, good: str) -> None:
    status, log = site.apply(good.replace('"one"', '"two"'))
    assert status == 1
    assert "apache cannot be asked: Connection refused" in log
    assert "the reload is pending" in log
    assert '"two"' in site.apache.conf.read_text()
    site.apache.start()
    before = site.apache.generation()
    assert site.apply(good.replace('"one"', '"two"'))[0] == 0
    assert site.apache.generation() == before + 1
