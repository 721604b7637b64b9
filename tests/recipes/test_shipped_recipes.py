"""Every recipe that is shipped: complete, free of faults, on the page; and proved on its daemon."""

from __future__ import annotations

import itertools
import json
import re
import tomllib
from pathlib import Path

import pytest

from pyconfd.cli import main as cli
from pyconfd.cli.confdir_writer import write_files
from pyconfd.cli.recipe_collisions import collisions
from pyconfd.cli.recipe_proof import missing_programs, prove
from pyconfd.config.recipes import confdir_files, load_recipe, recipe_names
from pyconfd.config.resources import load_resources
from pyconfd.config.settings import load_settings
from pyconfd.config.shipped import names, table
from tests.support.recipes import keys_of, laid_out
from tests.support.repository import ROOT

PAGES = ROOT / "docs" / "recipes"
TABLES = (PAGES / "README.md").read_text()
NAMES = recipe_names()


def rows(heading: str) -> dict[str, list[str]]:
    """The table under this heading: what the first cell links to by its text -> the other cells."""
    table = TABLES.split(heading)[1].split("\n\n")[0]
    found = {}
    for line in table.splitlines()[2:]:
        first, *cells = (cell.strip() for cell in line.strip("|").split(" | "))
        link = re.fullmatch(r"\[([\w-]+)\]\(([\w-]+\.md)\)", first)
        assert link, f"the first cell is no link to a page: {first}"
        found[link[1]] = [link[2], *cells]
    return found


def test_the_table_has_every_recipe() -> None:
    """And no other; each row leads to the recipe's page and says everything."""
    table = rows("| Recipe |")
    assert sorted(table) == list(NAMES)
    for name, cells in table.items():
        assert cells[0] == f"{load_recipe(name).page}.md"
        assert len(cells) == 7
        assert all(cells), f"{name} has an empty cell"


def test_every_page_is_in_a_table() -> None:
    """What has no recipe is in the second one."""
    told = {cells[0] for cells in (*rows("| Recipe |").values(), *rows("| Page |").values())}
    assert told == {path.name for path in PAGES.glob("*.md")} - {"README.md"}


def meet(one: str, other: str) -> bool:
    """Whether two destinations can be the same file; `{name}` stands for any name."""
    first, second = (text.partition("{name}") for text in (one, other))
    if first[1] and second[1]:
        heads = first[0].startswith(second[0]) or second[0].startswith(first[0])
        tails = first[2].endswith(second[2]) or second[2].endswith(first[2])
        return heads and tails
    if first[1] or second[1]:
        (head, _, tail), whole = (first, other) if first[1] else (second, one)
        fits = whole.startswith(head) and whole.endswith(tail)
        return fits and "/" not in whole[len(head) : len(whole) - len(tail)]
    return one == other


def destinations(name: str) -> dict[str, str]:
    """Each destination of a recipe, and the file of conf.d that makes it, with its text."""
    found = {}
    for file in confdir_files(load_recipe(name), "/etc/pyconfd"):
        if file.path.startswith("conf.d/"):
            text = file.content if isinstance(file.content, str) else file.content.decode()
            for dest in re.findall(r'^dest = "(.*)"$', text, re.MULTILINE):
                found[dest] = f"{file.path}\n{text}"
    return found


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(NAMES, 2)))
def test_two_recipes_have_no_destination_in_common(one: str, other: str) -> None:
    """They can share a folder, whatever sites are called. A shared file of conf.d counts once."""
    for (dest, made_by), (rival, made_by_rival) in itertools.product(
        destinations(one).items(), destinations(other).items()
    ):
        assert made_by == made_by_rival or not meet(dest, rival), (dest, rival)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("/a/{name}.conf", "/a/x.conf", True),
        ("/a/{name}.conf", "/a/b/x.conf", False),
        ("/a/p-{name}.conf", "/a/p-q-{name}.conf", True),
        ("/a/p-{name}.conf", "/a/q-{name}.conf", False),
        ("/a/x", "/a/x", True),
    ],
)
def test_destinations_that_meet(one: str, other: str, same: bool) -> None:
    """Whether a name exists with which they are one file."""
    assert meet(one, other) is meet(other, one) is same


@pytest.mark.parametrize("name", NAMES)
def test_the_drop_in_lets_the_unit_write_what_the_recipe_writes(name: str) -> None:
    """Every folder of a destination, and the page names the same paths."""
    recipe = load_recipe(name)
    files = {file.path: file.content.decode() for file in confdir_files(recipe, "/etc/pyconfd")}
    drop_in = files[f"systemd/{name}.conf"]
    written = set(re.findall(r"ReadWritePaths=(.*)", drop_in)[0].replace("-/", "/").split())
    assert ("pyconfd-root.conf" in drop_in) is recipe.root
    for dest in destinations(name):
        folders = {str(parent) for parent in Path(dest).parents}
        assert folders & written, f"{dest} is below none of {written}"
    page = (PAGES / f"{recipe.page}.md").read_text()
    named = " ".join(re.findall(r"ReadWritePaths=([^`\n]*)", page)).replace("-/", "/").split()
    assert written <= {*named, "/etc/nginx", "/var/log/nginx", "/var/lib/nginx"}


@pytest.mark.parametrize("place", names("places"))
def test_a_place_replaces_every_path_of_the_daemon(place: str) -> None:
    """In each recipe that has one; a word that is in none is a slip."""
    replaced = table("places", place)["replace"]
    debian = "/etc/apache2" if place == "httpd" else "/etc/nginx"
    before = after = ""
    for name in set(NAMES) - {"httpd-cluster"}:
        for made, words in ((True, replaced), (False, {})):
            files = confdir_files(load_recipe(name), "/etc/pyconfd", words)
            text = "".join(
                file.content.decode()
                for file in files
                if file.path.startswith(("conf.d/", "scripts/", "systemd/", "pyconfd.toml"))
            )
            for file in files:
                if file.path.endswith(".toml"):
                    tomllib.loads(file.content.decode())
            before, after = (before, after + text) if made else (before + text, after)
    assert debian in before
    assert debian not in after
    for word in replaced:
        assert word in before, word


@pytest.mark.parametrize("name", ["haproxy", "csync2", "rtmp-hls"])
def test_members_with_leases_that_share_a_file_are_guarded_folder_by_folder(name: str) -> None:
    """Of one file for many backends: leases that all end at once would empty one."""
    for made_by in destinations(name).values():
        assert made_by.count("shrink_in = [") == made_by.count("dest = ") > 0


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_is_complete(name: str) -> None:
    """It parses, has a page, and keys that the daemon itself refuses, where it has a check."""
    recipe = load_recipe(name)
    assert (PAGES / f"{recipe.page}.md").exists()
    assert recipe.programs
    assert recipe.keys
    assert any(one.by == "daemon" for one in recipe.broken)


def test_recipes_can_be_laid_into_one_folder() -> None:
    """No file of one takes the place of another's but the example keys and the settings."""
    made: dict[str, tuple[str, bytes]] = {}
    for name in NAMES:
        for file in confdir_files(load_recipe(name), "/etc/pyconfd"):
            other, content = made.setdefault(file.path, (name, file.content))
            if file.path not in ("keys.json", "pyconfd.toml"):
                assert content == file.content, f"{file.path} of {other} and {name}"


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_is_not_in_the_way_of_another(name: str, tmp_path: Path) -> None:
    """Laid into one folder, but for those that are two ways to make the same file."""
    same = {"keepalived": {"keepalived-dual"}, "keepalived-dual": {"keepalived"}}
    for other in set(NAMES) - {name} - same.get(name, set()):
        folder = tmp_path / other
        for each in (other, name):
            files = confdir_files(load_recipe(each), str(folder))
            assert collisions(files, str(folder)) == []
            write_files(files, str(folder), force=True)


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        (None, "conf.d/nginx.toml: makes parts of the same service from /nginx too"),
        ('dest = "/etc/nginx/conf.d/x.conf"\nkeys = ["/nginx/a"]', "from /nginx/a too"),
        ('dest = "/x"\nkeys = ["/"]\nreload_cmd = "nginx -s reload"', "from /nginx too"),
        ('dest = "/x"\nkeys = ["/a"]\nprefix = "/nginx"\ncheck = "nginx"', "from /nginx/a too"),
        ('dest = "/etc/nginx/conf.d/{name}.conf"\nkeys = ["/b"]\neach = "/b"', ""),
        ('dest = "/x"\nkeys = ["/nginx"]\nreload_cmd = "haproxy"', ""),
        ('dest = "/etc/nginx/conf.d/x.conf"\nkeys = ["/nginx2"]\ncheck = "nginx"', ""),
        ("dest = 1\nkeys = 2", ""),
        ("nonsense", ""),
    ],
)
def test_init_refuses_what_would_clash(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], toml: str | None, says: str
) -> None:
    """The README's confdir first of all: nothing is written, --force writes it all the same."""
    (tmp_path / "conf.d").mkdir()
    there = (ROOT / "conf.d/nginx.toml").read_text() if toml is None else f"[template]\n{toml}\n"
    (tmp_path / "conf.d/nginx.toml").write_text(there)
    status = cli.main(["init", "nginx-sites", str(tmp_path)])
    said = capsys.readouterr().err
    assert (status, says in said) == (2 if says else 0, True), said
    assert (tmp_path / "conf.d/sites.toml").exists() == (not says)
    if says:
        assert "names would come twice" in said
        assert "remove what is in the way" in said
    assert cli.main(["init", "nginx-sites", str(tmp_path), "--force"]) == 0
    assert cli.main(["init", "nginx-sites", str(tmp_path), "--force"]) == 0


@pytest.mark.parametrize("name", NAMES)
def test_the_example_of_a_recipe_has_no_faults(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of resources and templates: `pyconfd check`, with what a test changes in the keys."""
    recipe = load_recipe(name)
    if missing := missing_programs(recipe):
        pytest.skip(f"not installed: {', '.join(missing)}")
    confdir = laid_out(name, tmp_path)
    values = confdir.folder / "keys.json"
    values.write_text(json.dumps(recipe.test(keys_of(confdir))))
    words = [*confdir.argv()[3:], "--values", str(values)]
    status = cli.main(["check", *words])
    assert status == 0, capsys.readouterr().err


def test_the_rollout_that_a_recipe_has_as_a_comment_can_be_used(tmp_path: Path) -> None:
    """As its words say: settings of a site are gated, its members are not."""
    confdir = laid_out("nginx-sites", tmp_path)
    path = confdir.folder / "conf.d" / "sites.toml"
    head, _, comment = path.read_text().partition("# [service.nginx]\n")
    head = re.sub(r"^reload_cmd = .*$", 'service = "nginx"', head, flags=re.M)
    head = re.sub(r"^on_reload_failure = .*\n", "", head, flags=re.M)
    path.write_text(f"{head}[service.nginx]\n" + re.sub(r"^# ?", "", comment, flags=re.M))
    found = load_resources(str(confdir.folder), load_settings([], {}))
    assert found.faults == ()
    rollout = found.resources[0].service.rollout
    assert rollout
    site = "/nginx/www.example.com"
    assert rollout.keys == (f"{site}/lb", f"{site}/locations", f"{site}/tls")


@pytest.mark.integration
@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_is_proved_on_its_daemon(name: str) -> None:
    """The example is accepted, and each broken set of keys is refused."""
    recipe = load_recipe(name)
    assert missing_programs(recipe) == []
    wrong = [case for case in prove(recipe, {"PATH": "/usr/bin:/bin"}) if case.wrong]
    assert wrong == [], "\n".join(f"{case.what}: {case.wrong}" for case in wrong)
