"""A pattern neither replaces nor removes a file that pyconfd did not make."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.pyconfd import Confdir


class Sites:
    """A pattern with the keys of a file; the folder `out` is also others'."""

    def __init__(self, folder: Path, more: str = "") -> None:
        self.confdir = Confdir(folder / "confdir")
        self.keys = folder / "keys.json"
        self.out = self.confdir.out
        self.confdir.template("site.j2", "site {{ name }} {{ getv('/s/' ~ name) }}\n")
        self.declare("@OUT@/{name}.conf", more)

    def declare(self, dest: str, more: str = "") -> None:
        self.confdir.resource(
            "sites",
            f'[template]\nsrc = "site.j2"\ndest = "{dest}"\nkeys = ["/s"]\neach = "/s"\n{more}\n',
        )

    def run(self, *words: str, **values: str) -> str:
        """One pass over these keys; what it said."""
        keys = {f"/s/{name}": text for name, text in {"always": "1", **values}.items()}
        self.keys.write_text(json.dumps(keys))
        file = ["--backend", "file", "--file", str(self.keys)]
        return self.confdir.once(*file, *words).stderr

    def text(self, name: str) -> str | None:
        path = self.out / f"{name}.conf"
        return path.read_text() if path.exists() else None


@pytest.fixture
def sites(tmp_path: Path) -> Sites:
    made = Sites(tmp_path)
    (made.out / "default.conf").write_text("the operator's own\n")
    return made


def test_a_file_of_another_is_not_replaced_and_not_removed(sites: Sites) -> None:
    """The name fails with file, key and what to do; the others are written; it survives its key."""
    said = sites.run(default="1", other="1")
    assert "the file was not made by pyconfd; sites would replace it for the key /s/default" in said
    assert f"{sites.out}/default.conf" in said
    assert "adopt = true" in said
    assert sites.text("default") == "the operator's own\n"
    assert sites.text("other") == "site other 1\n"
    sites.run(other="2")
    assert sites.text("default") == "the operator's own\n"
    assert sites.text("other") == "site other 2\n"


def test_a_dry_run_says_the_same(sites: Sites) -> None:
    """And leaves no trace that would make the file ours later."""
    assert "was not made by pyconfd" in sites.run("--noop", default="1")
    sites.run()
    assert sites.text("default") == "the operator's own\n"


def test_adopt_replaces_it_and_removes_it_with_its_name(tmp_path: Path) -> None:
    """The resource says so."""
    sites = Sites(tmp_path, "adopt = true")
    (sites.out / "default.conf").write_text("the operator's own\n")
    sites.run(default="1")
    assert sites.text("default") == "site default 1\n"
    sites.run()
    assert sites.text("default") is None


def test_own_files_are_replaced_and_removed(sites: Sites) -> None:
    """Also when somebody has changed one by hand."""
    sites.run(a="1")
    (sites.out / "a.conf").write_text("by hand\n")
    assert "was not made" not in sites.run(a="1")
    assert sites.text("a") == "site a 1\n"
    sites.run()
    assert sites.text("a") is None


def test_a_file_that_came_after_ours_went_is_anothers(sites: Sites) -> None:
    """Also while another name of the pattern fails, which keeps the pass from being whole."""
    sites.run(a="1", default="1")
    sites.run(default="1")
    assert sites.text("a") is None
    (sites.out / "a.conf").write_text("the operator's own\n")
    sites.run(default="1")
    assert sites.text("a") == "the operator's own\n"
    assert "was not made by pyconfd" in sites.run(a="1")
    assert sites.text("a") == "the operator's own\n"


def test_a_name_that_was_never_written_claims_no_file(sites: Sites) -> None:
    """Its render fails or its check refuses it; then the operator puts a file there."""
    sites.declare("@OUT@/{name}.conf", "check_cmd = '! grep -q bad {{ src }}'")
    sites.run(a="bad")
    assert sites.text("a") is None
    (sites.out / "a.conf").write_text("the operator's own\n")
    assert "was not made by pyconfd" in sites.run(a="good")
    sites.run()
    assert sites.text("a") == "the operator's own\n"


def test_another_dest_has_no_files_of_ours(sites: Sites) -> None:
    """Names that were made elsewhere do not make the files of the new place ours."""
    sites.run(a="1")
    other = sites.out / "other"
    other.mkdir()
    (other / "a.conf").write_text("the operator's own\n")
    sites.declare("@OUT@/other/{name}.conf")
    assert "was not made by pyconfd" in sites.run(a="1")
    sites.run()
    assert (other / "a.conf").read_text() == "the operator's own\n"


def test_a_lost_state_folder_comes_back_from_the_files(sites: Sites) -> None:
    """What is as it would be written is ours again, and goes with its key; what differs is not."""
    import shutil

    sites.run(a="1", b="1")
    shutil.rmtree(sites.confdir.folder / "state")
    assert "resource sites[b]" not in sites.run(a="1", b="2")
    assert sites.text("b") == "site b 1\n"
    assert "was not made" not in sites.run(a="2", b="1")
    assert sites.text("a") == "site a 2\n"
    sites.run()
    assert (sites.text("a"), sites.text("b")) == (None, None)


def test_a_link_to_nowhere_is_a_file_of_another(sites: Sites) -> None:
    """Its target is not written."""
    (sites.out / "a.conf").symlink_to(sites.out / "elsewhere")
    assert "was not made by pyconfd" in sites.run(a="1")
    assert not (sites.out / "elsewhere").exists()


def test_the_list_of_an_older_version_is_read(sites: Sites) -> None:
    """It has names alone; what cannot be a name is left out."""
    sites.run(a="1")
    (found,) = (sites.confdir.folder / "state").rglob("made.json")
    found.write_text(json.dumps({"sites": ["a", "../../x", "always"]}))
    sites.run(a="2")
    assert sites.text("a") == "site a 2\n"
    sites.run()
    assert sites.text("a") is None


def test_a_resource_without_each_replaces_what_is_there(tmp_path: Path) -> None:
    """As confd does: the operator named the file."""
    confdir = Confdir(tmp_path)
    dest = confdir.simple()
    dest.write_text("of confd\n")
    keys = tmp_path / "keys.json"
    keys.write_text('{"/app/a": "1"}')
    assert confdir.once("--backend", "file", "--file", str(keys)).returncode == 0
    assert dest.read_text() == "/app/a=1\n"
