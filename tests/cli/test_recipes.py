"""`pyconfd recipes` and `pyconfd init` on a small recipe of the test's own: no daemon is needed."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from pyconfd.cli import main as cli
from tests.support.recipes import keys_of, laid_out

Run = Callable[..., tuple[int, str, list[str]]]

RECIPE = """\
title = "A speaker"
summary = "Says one word"
system = "Speaker"
packages = ["coreutils"]
programs = ["sh"]
page = "speaker"

[test]
set = { "/speaker/word" = "good" }
environ = { SPEAKER_LIMIT = "@ROOT@/etc/speaker/limit" }

[[broken]]
why = "a word that the speaker does not know"
set = { "/speaker/word" = "bad" }
says = "speaker.conf:2: unknown word"
by = "daemon"

[[broken]]
why = "no word"
unset = ["/speaker/word"]
says = "key does not exist: /speaker/word"
by = "pyconfd"
"""
RESOURCE = """\
[template]
src = "speaker.conf.j2"
dest = "/etc/speaker/speaker.conf"
keys = ["/speaker"]
owner = "root"
check_cmd = "sh /etc/pyconfd/scripts/judge {{ src }} /etc/speaker/main.conf"
reload_cmd = "touch /etc/speaker/reloaded"
"""
JUDGE = """\
#!/bin/sh
grep -q sound "$2" || { echo "no main file"; exit 1; }
[ -f "$SPEAKER_LIMIT" ] || { echo "no limit"; exit 1; }
if grep -q bad "$1"; then echo "speaker.conf:2: unknown word"; exit 1; fi
"""
FILES = {
    "recipe.toml": RECIPE,
    "conf.d/speaker.toml": RESOURCE,
    "templates/speaker.conf.j2": "# spoken\n{{ getv('/speaker/word') }}\n",
    "scripts/judge": JUDGE,
    "keys.json": '{"/speaker/word": "hello", "/speaker/voice": "loud"}',
    "vars.toml": 'interval = "5s"\n# scripts are in /etc/pyconfd/scripts\n',
    "test/etc/speaker/main.conf": "sound @ROOT@/dev/sound\n",
    "test/etc/speaker/limit": "3\n",
}


def write(folder: Path, **changed: str) -> None:
    """The recipe as files; changed: by name without folder and suffix."""
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(changed.get(path.stem, text))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path / "recipes" / "speaker")
    return tmp_path / "recipes"


@pytest.fixture
def run(root: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*argv: str) -> tuple[int, str, list[str]]:
        """Exit status, standard output, and the lines of errors."""
        status = cli.main([*argv, "--from", str(root)])
        captured = capsys.readouterr()
        lines = captured.err.replace(f"{root}/", "").splitlines()
        return status, captured.out, [line.removeprefix("pyconfd: error: ") for line in lines]

    return run


def test_recipes_are_listed(run: Run) -> None:
    """As a table, and as JSON for machines."""
    status, out, _ = run("recipes")
    assert status == 0
    assert out.splitlines()[1].split(None, 2) == ["speaker", "Speaker", "Says one word"]
    (record,) = json.loads(run("recipes", "--json")[1])
    assert (record["name"], record["page"]) == ("speaker", "speaker")
    assert [one["by"] for one in record["broken"]] == ["daemon", "pyconfd"]
    assert yaml.safe_load(run("recipes", "-o", "yaml")[1]) == [record]
    head, row = run("recipes", "-o", "tsv")[1].splitlines()
    assert dict(zip(head.split("\t"), row.split("\t"), strict=True))["system"] == "Speaker"
    assert run("recipes", "-o", "xml")[0] == 2
    assert run("recipes", "-o", "tsv", "--json")[0] == 2


def test_a_recipe_is_shown_whole(run: Run) -> None:
    """Keys, what is refused, and every file."""
    status, out, _ = run("recipes", "show", "speaker")
    assert status == 0
    assert "/speaker/word = hello" in out
    assert "a word that the speaker does not know (by Speaker)" in out
    for name in set(FILES) - {"recipe.toml", "keys.json"}:
        assert f"--- {name}\n{FILES[name].rstrip()}" in out
    record = json.loads(run("recipes", "show", "speaker", "--json")[1])
    assert record["files"] == FILES


def test_init_writes_a_confdir_that_checks_clean(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the paths of where it is, scripts that can be executed, and what to do next."""
    target = tmp_path / "here"
    status, out, _ = run("init", "speaker", str(target))
    assert status == 0
    assert f"check --confdir {target} --config-file {target}/pyconfd.toml --values" in out
    assert f"{target}/scripts/judge {{{{ src }}}}" in (target / "conf.d/speaker.toml").read_text()
    assert os.access(target / "scripts" / "judge", os.X_OK)
    assert f"# scripts are in {target}/scripts" in (target / "pyconfd.toml").read_text()
    assert not (target / "test").exists()
    assert not (target / "recipe.toml").exists()
    command = next(line for line in out.splitlines() if "--values" in line).split()[1:]
    assert cli.main(command) == 0
    assert "no faults" in capsys.readouterr().out


def test_init_says_how_all_example_keys_are_put(run: Run, tmp_path: Path) -> None:
    """As commands that a shell reads as they are meant: with the first one alone nothing works."""
    _, out, _ = run("init", "speaker", str(tmp_path / "here"))
    puts = [shlex.split(line) for line in out.splitlines() if line.startswith("  etcdctl ")]
    assert [words[:2] for words in puts] == [["etcdctl", "put"]] * len(puts)
    assert {key: value for _, _, key, value in puts} == json.loads(FILES["keys.json"])


def test_init_overwrites_nothing_that_differs(run: Run, tmp_path: Path) -> None:
    """All such files are named and nothing is written; --force overwrites; the same is fine."""
    target = tmp_path / "here"
    assert run("init", "speaker", str(target))[0] == 0
    assert run("init", "speaker", str(target))[0] == 0
    (target / "keys.json").write_text("{}")
    (target / "conf.d/speaker.toml").write_text("mine")
    (target / "scripts/judge").unlink()
    status, out, errors = run("init", "speaker", str(target))
    assert (status, out) == (2, "")
    assert [line.split(": ")[0] for line in errors[:2]] == [
        f"{target}/conf.d/speaker.toml", f"{target}/keys.json",
    ]  # fmt: skip
    assert "--force" in errors[2]
    assert not (target / "scripts/judge").exists()
    assert run("init", "speaker", str(target), "--force")[0] == 0
    assert (target / "keys.json").read_text() == FILES["keys.json"]


def test_init_goes_below_the_current_folder(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under its own name, when no folder is given."""
    monkeypatch.chdir(tmp_path)
    status, out, _ = run("init", "speaker")
    assert status == 0
    assert (tmp_path / "speaker" / "conf.d" / "speaker.toml").exists()
    assert "--confdir ./speaker " in out


def test_a_folder_that_takes_no_files_is_said(run: Run, tmp_path: Path) -> None:
    """With the path and the reason."""
    (tmp_path / "file").write_text("")
    status, _, errors = run("init", "speaker", str(tmp_path / "file"))
    assert status == 1
    assert errors[0].endswith("cannot be written: Not a directory")


def test_a_recipe_is_proved(run: Run, root: Path) -> None:
    """Its example passes, each broken set of keys is refused by whom it says; no reload is run."""
    status, out, _ = run("recipes", "test", "speaker")
    assert status == 0, out
    assert [line.split(" (")[0].split(None, 1) for line in out.splitlines()[1:4]] == [
        ["ok", "the example is accepted"],
        ["ok", "Speaker refuses: a word that the speaker does not know"],
        ["ok", "pyconfd refuses: no word"],
    ]
    assert out.endswith("1 recipe, 3 cases, none failed\n")
    assert "\x1b" not in out


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"judge": "#!/bin/sh\nexit 0\n"}, "it is accepted"),
        ({"keys": '{"/speaker/other": "x"}', "recipe": RECIPE.replace("set = { \"/speaker/word\" = "
          "\"good\" }", "")}, "key does not exist: /speaker/word"),
        ({"recipe": RECIPE.replace("speaker.conf:2", "speaker.conf:7")}, "does not match"),
        ({"recipe": RECIPE.replace('by = "pyconfd"', 'by = "daemon"')}, "refused by pyconfd"),
        ({"judge": "#!/bin/sh\nexit 127\n"}, "check broken: /etc/speaker/speaker.conf: the check "
         "gave no verdict: command not found"),
        ({"speaker": RESOURCE.replace("keys =", "kees =")}, "/etc/pyconfd/conf.d/speaker.toml:4: "
         "unknown key: kees"),
    ],
    ids=["accepted", "example", "words", "by", "checker", "conf.d"],
)  # fmt: skip
def test_what_is_wrong_with_a_recipe_is_said(
    changed: dict[str, str], said: str, root: Path, run: Run
) -> None:
    """With the words of the daemon or of pyconfd, as they would be on a node."""
    write(root / "speaker", **changed)
    status, out, _ = run("recipes", "test", "speaker")
    assert status == 1
    assert "FAILED" in out
    assert said in out


def test_a_missing_program_fails_only_what_was_named(root: Path, run: Run) -> None:
    """With the Debian packages that bring it."""
    text = RECIPE.replace('programs = ["sh"]', 'programs = ["sh", "no-such-daemon"]')
    write(root / "speaker", recipe=text)
    status, out, _ = run("recipes", "test")
    assert status == 0
    assert "not tested  no-such-daemon not found; apt-get install coreutils" in out
    assert "1 recipe, 0 cases, none failed, 1 not tested" in out
    assert run("recipes", "test", "speaker")[0] == 1


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"recipe": RECIPE.replace("summary", "sumary")},
         "speaker/recipe.toml:2: unknown key: sumary (did you mean summary?)"),
        ({"recipe": RECIPE.replace('by = "daemon"', 'by = "nobody"')}, "recipe.toml:16: by"),
        ({"recipe": RECIPE.replace('"speaker.conf:2', '"(speaker')}, "recipe.toml:15: says"),
        ({"keys": '{"speaker": {"word": "x"}}'}, "speaker/keys.json: is no flat map"),
        ({"keys": "{"}, "speaker/keys.json: is no JSON"),
        ({"recipe": RECIPE + '[shared]\nlouder = ["templates/x.j2"]\n'},
         "speaker/recipe.toml:24: recipe louder has no templates/x.j2"),
        ({"recipe": RECIPE + '[shared]\nspeaker = ["scripts"]\n'},
         "recipe.toml:24: scripts/judge is there twice: here, and in recipe speaker"),
    ],
    ids=["key", "by", "says", "nested", "json", "absent", "twice"],
)  # fmt: skip
def test_faults_of_a_recipe_have_their_place(
    changed: dict[str, str], said: str, root: Path, run: Run
) -> None:
    """All of them, by file and line."""
    write(root / "speaker", **changed)
    status, _, errors = run("recipes", "show", "speaker")
    assert status == 2
    assert any(line.startswith(said) or said in line for line in errors), errors


def test_a_recipe_can_take_files_of_another(root: Path, run: Run, tmp_path: Path) -> None:
    """Whole folders and single files; the confdir and the proof are as with files of its own."""
    twin = root / "twin"
    twin.mkdir()
    (twin / "keys.json").write_text(FILES["keys.json"])
    shared = 'speaker = ["conf.d", "templates/speaker.conf.j2", "scripts", "vars.toml", "test"]'
    (twin / "recipe.toml").write_text(f"{RECIPE}\n[shared]\n{shared}\n")
    assert run("init", "twin", str(tmp_path / "made"))[0] == 0
    assert (tmp_path / "made" / "scripts" / "judge").read_text() == JUDGE
    assert (tmp_path / "made" / "conf.d" / "speaker.toml").is_file()
    status, said, errors = run("recipes", "test", "twin")
    assert (status, errors) == (0, [])
    assert "3 cases" in said


def test_wrong_words_are_refused(run: Run) -> None:
    """With what was probably meant."""
    assert run("recipes", "tset") == (2, "", ["tset: unknown command (did you mean test?)"])
    assert run("init") == (2, "", ["needs the name of a recipe (pyconfd init NAME [FOLDER])"])
    status, _, errors = run("init", "speeker")
    assert status == 2
    assert errors[0] == "speeker: no recipe is called speeker (did you mean speaker?)"


def test_a_recipe_can_be_laid_out_for_a_test(root: Path, tmp_path: Path) -> None:
    """With other folders and keys, and its settings file in the command line."""
    replace = {"/etc/speaker": f"{tmp_path}/etc", "hello": "goodbye"}
    confdir = laid_out("speaker", tmp_path, replace, root=str(root))
    assert (
        f'dest = "{tmp_path}/etc/speaker.conf"'
        in (confdir.folder / "conf.d" / "speaker.toml").read_text()
    )
    assert keys_of(confdir)["/speaker/word"] == "goodbye"
    assert confdir.argv()[-2:] == ["--config-file", str(confdir.folder / "pyconfd.toml")]
    assert sys.executable in confdir.argv()
