"""docs/faq.md: each answer is tried, with its commands as they stand there."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.pyconfd import Confdir, save
from tests.support.repository import ROOT

PAGE = (ROOT / "docs" / "faq.md").read_text()
ANSWERS = dict(re.findall(r"^\*\*(.+\?)\*\* (.+)$", PAGE, re.MULTILINE))
#: Answers that need a store, a daemon or a user that are tried elsewhere, and the test that does.
PROVED = {
    "Must nginx run when pyconfd does?": ("e2e/test_exec.py", "test_the_documented_entrypoint"),
    "What happens when etcd is away?": (
        "backends/etcd/test_faults.py",
        "test_a_restart_loses_nothing",
    ),
    "How do I go back to an older version?": (
        "e2e/test_looking_back.py",
        "test_a_service_without_a_fleet_is_pinned_with_all_its_keys",
    ),
    "Can two files be changed together?": (
        "e2e/test_groups.py",
        "test_files_that_are_valid_only_together_go_live_in_one_swap_and_one_reload",
    ),
    "Does it need root?": (
        "packaging/test_unit.py",
        "test_nginx_is_checked_in_context_with_the_rights_of_the_unit",
    ),
    "How many files and keys can it take?": (
        "e2e/test_bench.py",
        "test_growth_is_measured_at_several_sizes_and_drawn",
    ),
}


@pytest.fixture
def confdir(tmp_path: Path) -> Confdir:
    """A resource that prints the keys below /app; those are in keys.yaml."""
    confdir = Confdir(tmp_path / "etc")
    confdir.simple(reload_cmd=json.dumps(f"echo r >>{confdir.out}/reloads"))
    (tmp_path / "keys.yaml").write_text("app:\n  a: topsecret\n  b: topsecret\n")
    return confdir


def commands(question: str) -> list[str]:
    """What the answer tells to type, without the word pyconfd."""
    typed = re.findall(r"`((?:pyconfd |--)[^`]*)`", ANSWERS[question])
    return [command.removeprefix("pyconfd ") for command in typed]


def run(confdir: Confdir, command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Type it in the folder of keys.yaml."""
    folder = confdir.folder
    words = shlex.split(command)
    done = subprocess.run(
        [sys.executable, "-m", "pyconfd", *words, "--confdir", str(folder)],
        cwd=folder.parent,
        env={**os.environ, "PYCONFD_STATE_DIR": str(folder / "state"), **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return done


FILE = {"PYCONFD_BACKEND": "file", "PYCONFD_FILE": "keys.yaml"}


def test_every_question_is_tried() -> None:
    """Here, in a test that quotes it, or by the test that is named."""
    here = Path(__file__).read_text()
    for question in ANSWERS:
        path, name = PROVED.get(question, ("e2e/test_faq.py", f'"{question}"'))
        if question in PROVED:
            assert f"def {name}(" in (ROOT / "tests" / path).read_text()
        else:
            assert name in here, question
    assert set(PROVED) < set(ANSWERS)


def test_it_works_without_etcd(confdir: Confdir) -> None:
    """With a file and with variables."""
    from_file, from_env = commands("Does it work without etcd?")
    assert run(confdir, f"--onetime {from_file}").returncode == 0
    assert (confdir.out / "app.conf").read_text() == "/app/a=topsecret\n/app/b=topsecret\n"
    assert run(confdir, f"--onetime {from_env}", APP_A="1").returncode == 0
    assert (confdir.out / "app.conf").read_text() == "/app/a=1\n"


def test_an_emptied_store_empties_nothing_until_it_is_released(confdir: Confdir) -> None:
    """Without a daemon, in the next run."""
    (release,) = commands("What happens when the store is emptied?")
    run(confdir, "--onetime", **FILE)
    (confdir.folder.parent / "keys.yaml").write_text("{}\n")
    assert run(confdir, "--onetime", **FILE).returncode == 1
    assert (confdir.out / "app.conf").read_text() != ""
    assert run(confdir, release.replace("NAME", "app")).returncode == 0
    assert run(confdir, "--onetime", **FILE).returncode == 0
    assert (confdir.out / "app.conf").read_text() == ""


def test_what_would_change_is_shown(confdir: Confdir) -> None:
    """From the store, and from a file of values."""
    for command in commands("How do I see what would change?"):
        done = run(confdir, command, **FILE)
        assert done.returncode == 0, done.stderr
        assert "+/app/a=topsecret" in done.stdout
    assert list(confdir.out.iterdir()) == []


def test_a_template_is_read_again_on_request(confdir: Confdir) -> None:
    """And by no other way while the daemon runs; a confdir has one daemon."""
    (reload,) = (
        each for each in commands("Why is my template not read again?") if each == "reload"
    )
    two = "Can I run two daemons on one machine?"
    other = Confdir(confdir.folder.parent / "other")
    other.simple()
    source = ("--backend", "file", "--file", str(confdir.folder.parent / "keys.yaml"))
    with confdir.daemon(*source) as daemon:
        daemon.wait_log("status: ok")
        save(confdir.folder / "templates" / "app.j2", "new\n")
        assert run(confdir, "--onetime", **FILE).returncode == 1, two
        assert "new" not in (confdir.out / "app.conf").read_text()
        assert run(confdir, reload).returncode == 0
        daemon.wait_file(confdir.out / "app.conf", "new\n")
        assert run(other, "--onetime", **FILE).returncode == 0
        assert "topsecret" not in daemon.log


def test_resources_with_one_reload_cmd_are_reloaded_once(confdir: Confdir) -> None:
    """ "One reload for many resources?", and "Do values appear in the log?": no."""
    confdir.simple("web", "/app", reload_cmd=json.dumps(f"echo r >>{confdir.out}/reloads"))
    done = run(confdir, "--onetime --log-level debug", **FILE)
    assert (confdir.out / "reloads").read_text() == "r\n"
    assert "topsecret" not in done.stdout + done.stderr


def test_what_is_not_understood_of_a_confd_template_is_listed(confdir: Confdir) -> None:
    """A good one passes, the functions that nobody knows are named."""
    (check,) = commands("Are my confd templates and files good?")
    template = confdir.folder / "templates" / "app.j2"
    template.write_text('{{range gets "/app/*"}}{{.Key}}={{.Value}}\n{{end}}')
    assert run(confdir, check).returncode == 0
    template.write_text('{{range gets "/app/*"}}{{nosuch .Key}}\n{{end}}')
    done = run(confdir, check)
    assert done.returncode == 1
    assert 'function "nosuch" not defined' in done.stdout + done.stderr
