"""Limits of this host that a check meets are no verdict about the files: on the real nginx."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
from pathlib import Path

import pytest

from pyconfd.errors import CheckBroken, StageError
from pyconfd.model.resources import Command, Nginx
from pyconfd.model.steps import Refused
from pyconfd.pipeline import check, exhausted, stage
from pyconfd.system.proc import Commands
from tests.support.daemons.live_nginx import LiveNginx
from tests.support.daemons.nginx_trees import Tree, nginx_binary
from tests.support.pyconfd import Confdir
from tests.support.steps import in_child, may_mount, mount, private_mounts, rendered, strays_in

SITES = 100


def limit_files(hard: int | None = None) -> tuple[int, int]:
    """Let this child open some files more than it has inherited; `hard`: the others may be more."""
    soft = max(map(int, os.listdir("/proc/self/fd"))) + 20
    limits = (soft, hard or soft)
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    return limits


def tree(folder: Path) -> Tree:
    """An nginx with one site."""
    conf = folder / "root/nginx.conf"
    (conf.parent / "conf.d").mkdir(parents=True)
    conf.write_text("events {} http { access_log off; include conf.d/*.conf; }\n")
    (folder / "log").mkdir()
    return Tree(conf.parent, "", Nginx(str(conf), nginx_binary()))


def logs(folder: Path, count: int) -> str:
    """As many logs, each a file that `nginx -t` opens."""
    return "".join(f"access_log {folder}/log/{n}.log;\n" for n in range(count))


def judge(made: Tree, folder: Path, content: str) -> object:
    """Let nginx check one site."""
    staged = made.stage(made.root / "conf.d/site.conf", content)
    try:
        return check.check_in_nginx(
            [staged], made.nginx, Commands().run, timeout_s=30, work_dir=str(folder / "work")
        )
    finally:
        os.unlink(staged.path)


def test_nginx_is_checked_with_the_hard_limit_of_files(tmp_path: Path) -> None:
    """The soft one is for programs that know no better."""

    def work() -> None:
        limits = limit_files(hard=2048)
        assert isinstance(judge(tree(tmp_path), tmp_path, logs(tmp_path, limits[0] + 50)), tuple)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == limits

    assert in_child(work) == 0


def test_too_many_open_files_is_no_refusal(tmp_path: Path) -> None:
    """Nor is it a fault of what is live; the limit and its switch are named."""

    def work() -> None:
        soft, _ = limit_files()
        with pytest.raises(CheckBroken, match="no verdict: too many open files;") as caught:
            judge(tree(tmp_path), tmp_path, logs(tmp_path, soft + 50))
        assert caught.value.hopeless
        assert "no fault of the files: raise LimitNOFILE=" in caught.value.hint

    assert in_child(work) == 0


def test_a_disk_that_is_full_is_no_refusal(tmp_path: Path) -> None:
    """nginx has no room for its log: no verdict. Nothing is left when there is no room for us."""
    if not may_mount():
        pytest.skip("a small file system of one's own needs CAP_SYS_ADMIN")
    made = tree(tmp_path)
    site = made.root / "conf.d/site.conf"

    def work() -> None:
        private_mounts()
        (tmp_path / "work").mkdir()
        mount("tmpfs", tmp_path / "work", "tmpfs", 0, "size=16k,nr_inodes=6")
        with pytest.raises(
            CheckBroken, match=r"(?i)no verdict: no space left|cannot make"
        ) as caught:
            judge(made, tmp_path, logs(tmp_path, SITES))
        assert caught.value.hopeless
        assert "free disk space" in caught.value.hint
        assert os.listdir(tmp_path / "work") == []
        assert strays_in(site.parent) == []

    assert in_child(work) == 0


def test_a_full_disk_of_one_log_holds_up_no_other_site(tmp_path: Path) -> None:
    """It is no refusal either; the search for the others goes on, because their disk has room."""
    made = tree(tmp_path)
    full = tmp_path / "full"
    full.mkdir()
    nginx = tmp_path / "nginx"
    nginx.write_text(
        f'#!/bin/sh\n{nginx_binary()} "$@" || exit 1\n'
        f"if grep -q full/ {made.root}/conf.d/.one.conf.*; then echo "
        f"'nginx: [emerg] open() \"{full}/a.log\" failed (28: No space left on device)' >&2\n"
        "exit 1; fi\n"
    )
    nginx.chmod(0o755)
    made.nginx = Nginx(made.nginx.conf, str(nginx))
    staged = made.stage(made.root / "conf.d/one.conf", f"# {full}/a.log\n")
    with pytest.raises(CheckBroken, match="no verdict: no space left on device") as caught:
        check.check_in_nginx(
            [staged], made.nginx, Commands().run, timeout_s=30, work_dir=str(tmp_path / "work")
        )
    assert not caught.value.hopeless
    assert "free disk space" in caught.value.hint


@pytest.mark.parametrize(
    ("message", "what"),
    [
        ('open() "/a.log" failed (24: Too many open files)', "too many open files"),
        ("socket() 0.0.0.0:80 failed (24: No file descriptors available)", "too many open files"),
        ('open() "/a" failed (23: Too many open files in system)', "too many open files in system"),
        ("mmap(268435456) failed (12: Cannot allocate memory)", "cannot allocate memory"),
        ('mkdir() "/x" failed (122: Disk quota exceeded)', "disk quota exceeded"),
        (
            'cannot load certificate "/c.pem": BIO_new_file() failed (SSL: error:80000018:system '
            "library::Too many open files:calling fopen(/c.pem, r) error:10000080:BIO "
            "routines::no such file)",
            "too many open files",
        ),
        (
            'cannot load certificate key "/c": BIO_new_file() failed (SSL: error:02001018:system '
            "library:fopen:Too many open files:fopen('/c','r') error:2006D002:BIO)",
            "too many open files",
        ),
        ('host not found in upstream "x failed (24: Too many open files)"', ""),
        ('open() "/x failed (24: Too many open files)" failed (2: No such file or directory)', ""),
        ('unknown directive "(24:"', ""),
        ('open() "/a" failed (13: Permission denied)', ""),
    ],
)
def test_a_limit_is_what_nginx_says_and_not_what_it_quotes(message: str, what: str) -> None:
    """A value that looks like one must not hold up everybody else."""
    found = exhausted.in_message(message)
    assert (found.what if found else "") == what


@pytest.mark.parametrize(
    "words",
    [
        "sh: 1: Cannot fork",
        "bash: fork: retry: Resource temporarily unavailable",
        "(24)Too many open files: AH00091: could not open error log file /x.",
        "OSError: [Errno 28] No space left on device: '/tmp/x'",
        "[ALERT] (7) : [haproxy.main()] Cannot raise FD limit: Too many open files.",
    ],
)
def test_the_limit_that_any_checker_met_is_no_refusal(tmp_path: Path, words: str) -> None:
    """A checker that complains and accepts has decided."""
    for status, broken in ((1, True), (0, False)):
        (tmp_path / "words").write_text(words + "\n")
        text = f"cat {tmp_path}/words; exit {status}"
        made = stage.stage(rendered(tmp_path / "a", b"new", check=Command(text, 10.0)))
        assert made is not None
        if broken:
            with pytest.raises(CheckBroken, match=r"gave no verdict.*a limit of this host"):
                check.check(made, Commands().run)
        else:
            assert not isinstance(check.check(made, Commands().run), Refused)


def test_a_process_that_cannot_be_started_is_no_refusal(tmp_path: Path) -> None:
    """Not one process more for this user."""
    if os.geteuid() != 0:
        pytest.skip("needs a user of its own")
    made = stage.stage(rendered(tmp_path / "a", b"new", check=Command("true", 10.0)))
    assert made is not None

    def work() -> None:
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
        os.setuid(64321)
        with pytest.raises(CheckBroken, match=r"resource temporarily unavailable.*raise TasksMax"):
            check.check(made, Commands().run)

    assert in_child(work) == 0


def test_our_own_want_of_files_is_named(tmp_path: Path) -> None:
    """The file cannot even be staged."""
    (tmp_path / "a").write_text("old")

    def work() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, 64))
        with pytest.raises(StageError, match=r"Too many open files.*raise LimitNOFILE"):
            stage.stage(rendered(tmp_path / "a", b"new"))

    assert in_child(work) == 0


@pytest.mark.integration
def test_many_sites_wait_for_the_limit_and_then_go_live(tmp_path: Path) -> None:
    """
    A file for each of a hundred sites with logs of their own. Too few files for nginx -t: nothing
    goes live, nothing counts as refused, one run of nginx tells; with enough, all of it.
    """
    with LiveNginx(tmp_path / "nginx").running() as nginx:
        counted = tmp_path / "nginx-counted"
        counted.write_text(f'#!/bin/sh\necho run >>{tmp_path}/runs\nexec {nginx_binary()} "$@"\n')
        counted.chmod(counted.stat().st_mode | stat.S_IXUSR)
        confdir = Confdir(tmp_path / "confdir", "--backend", "file", "--file", str(tmp_path / "k"))
        confdir.template("s", f"access_log {nginx.sites.parent}/{{{{ name }}}}.log;\n")
        confdir.resource(
            "s",
            f'[template]\nsrc = "s"\ndest = "{nginx.sites}/{{name}}.conf"\neach = "/s"\n'
            f'keys = ["/s"]\n{nginx.toml.replace(nginx_binary(), str(counted))}',
        )
        (tmp_path / "k").mkdir()
        (tmp_path / "k/s.toml").write_text("[s]\n" + "".join(f'n{n} = "1"\n' for n in range(SITES)))
        few = subprocess.run(
            ["/bin/sh", "-c", 'ulimit -n 64; exec "$@"', "sh", *confdir.argv("--onetime")],
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )
        assert few.returncode == 1, few.stderr
        assert list(nginx.sites.glob("n*.conf")) == []
        assert (tmp_path / "runs").read_text().count("run") == 1
        assert "too many open files" in few.stderr
        assert "refused=0" in few.stderr or "refused" not in few.stderr, few.stderr
        assert confdir.once().returncode == 0
        assert len(list(nginx.sites.glob("n*.conf"))) == SITES
