"""nginx judges staged files in their context: every include style, on the real nginx."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pyconfd.apply.group_search import sort_out
from pyconfd.errors import CheckBroken
from pyconfd.model.resources import Nginx
from pyconfd.model.steps import Checked, CommandReport, Refused, Staged
from pyconfd.pipeline import check
from pyconfd.pipeline.nginx import shadow
from pyconfd.system import files
from pyconfd.system.proc import Commands
from pyconfd.testing.fake_runner import FakeRunner, problem
from tests.support.daemons.nginx_trees import Tree, certificate, plant, trees
from tests.support.steps import in_child, may_mount, mount, private_mounts

pytestmark = pytest.mark.integration


def judge(tree: Tree, *staged: Staged, removed: tuple[Path, ...] = ()) -> object:
    """Let nginx judge; everything else must stay as it was."""
    before = tree.everything()
    try:
        return check.check_in_nginx(
            staged,
            tree.nginx,
            Commands().run,
            timeout_s=30,
            work_dir=str(tree.root.parent / "work"),
            removed=tuple(str(path) for path in removed),
        )
    finally:
        assert tree.everything() == before, "a check must leave nothing and change nothing"
        assert list((tree.root.parent / "work").iterdir()) == []


@pytest.fixture(params=trees())
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> Tree:
    """Each tree of the corpus."""
    (tmp_path / "root").mkdir()
    made = plant(request.param, tmp_path / "root")
    if made.missing:
        pytest.skip(f"nginx module not installed: {', '.join(made.missing)}")
    return made


def a_tree(name: str, tmp_path: Path) -> Tree:
    """One tree of the corpus."""
    (tmp_path / "root").mkdir()
    return plant(name, tmp_path / "root")


def test_a_harmless_change_passes_in_every_place(tree: Tree) -> None:
    """Each destination for itself, then all of them together."""
    for dest in tree.dests:
        judged = judge(tree, tree.stage(dest, dest.read_text() + "# changed\n"))
        assert isinstance(judged, tuple), (dest, judged)
        os.unlink(judged[0].staged.path)
    together = [tree.stage(dest, dest.read_text() + "# changed\n") for dest in tree.dests]
    judged = judge(tree, *together)
    assert isinstance(judged, tuple)
    assert [each.staged for each in judged] == together
    assert all(isinstance(each, Checked) for each in judged)


def test_a_canary_is_found_in_every_place_with_its_real_path_and_line(tree: Tree) -> None:
    """A planted fault proves that the staged file was judged and not the live one."""
    for dest in tree.dests:
        content = dest.read_text() + "canary }\n"
        judged = judge(tree, tree.stage(dest, content))
        assert isinstance(judged, Refused), dest
        assert judged.staged.rendered.resource.dest == str(dest)
        output = judged.report.output
        where = [line for line in output.splitlines() if "[emerg]" in line]
        assert len(where) == 1, output
        path, _, line = where[0].rpartition(" in ")[2].rpartition(":")
        assert os.path.samefile(path, dest), output
        assert int(line) == content.count("\n"), output
        assert "pyconfd~" not in output
        assert str(tree.root.parent / "work") not in output


def test_a_fault_in_the_live_version_of_a_file_that_is_replaced_does_not_count(tree: Tree) -> None:
    """A broken live file is mended by a good new version."""
    for dest in tree.dests:
        good = dest.read_text()
        dest.write_text(good + "canary }\n")
        judged = judge(tree, tree.stage(dest, good))
        assert isinstance(judged, tuple), dest
        os.unlink(judged[0].staged.path)
        dest.write_text(good)


def test_files_that_are_valid_only_together_pass_together(tmp_path: Path) -> None:
    """A new upstream and the server that uses it; each alone is told apart."""
    tree = a_tree("fragments", tmp_path)
    conf_d = tree.root / "etc/nginx/conf.d"
    servers = (conf_d / "servers.conf").read_text().replace("http://www_example_com", "http://new")

    def user() -> Staged:
        return tree.stage(conf_d / "servers.conf", servers)

    def provider() -> Staged:
        return tree.stage(conf_d / "zz-new.conf", "upstream new { server 127.0.0.1:8003; }\n")

    alone = judge(tree, user())
    assert isinstance(alone, Refused)
    assert 'host not found in upstream "new"' in alone.report.output
    both = judge(tree, user(), provider())
    assert isinstance(both, tuple), both
    assert len(both) == 2


def test_a_file_that_appears_is_judged_where_a_pattern_will_find_it(tmp_path: Path) -> None:
    """Good and bad; beside a folder that is a link as well."""
    tree = a_tree("symlinked-tree", tmp_path)
    for dest in (tree.root / "srv/config/new.conf", tree.root / "etc/nginx/conf.d/new.conf"):
        good = judge(tree, tree.stage(dest, "map $uri $x { default 1; }\n"))
        assert isinstance(good, tuple)
        os.unlink(good[0].staged.path)
        bad = judge(tree, tree.stage(dest, "upstream x { }\n"))
        assert isinstance(bad, Refused)
        assert "no servers are inside upstream" in bad.report.output
        assert "new.conf:1" in bad.report.output


def test_a_file_that_disappears_is_left_out(tmp_path: Path) -> None:
    """The server that needs the removed upstream is refused; both gone together pass."""
    tree = a_tree("fragments", tmp_path)
    upstreams = tree.root / "etc/nginx/conf.d/upstreams.conf"
    servers = tree.root / "etc/nginx/conf.d/servers.conf"
    changed = tree.stage(servers, servers.read_text() + "# changed\n")
    judged = judge(tree, changed, removed=(upstreams,))
    assert isinstance(judged, Refused)
    assert "host not found in upstream" in judged.report.output
    instead = tree.stage(servers, "server { listen 127.0.0.1:18094; return 503; }\n")
    assert isinstance(judge(tree, instead, removed=(upstreams,)), tuple)


def test_a_file_that_disappears_though_it_is_included_by_name_is_missed(tmp_path: Path) -> None:
    """nginx names the real path."""
    tree = a_tree("included-twice", tmp_path)
    main = Path(tree.nginx.conf)
    gone = tree.root / "etc/snippets/common.conf"
    judged = judge(tree, tree.stage(main, main.read_text() + "#\n"), removed=(gone,))
    assert isinstance(judged, Refused)
    assert f'open() "{gone}" failed (2: No such file or directory)' in judged.report.output


def test_a_certificate_is_judged_with_its_key(tmp_path: Path) -> None:
    """A pair that belongs together passes, a certificate of another key is refused."""
    tree = a_tree("certificates", tmp_path)
    certs = tree.root / "etc/nginx/certs"
    certificate(tmp_path / "other", "other")
    new = (tmp_path / "other.pem").read_text()
    key = (tmp_path / "other.key").read_text()
    alone = judge(tree, tree.stage(certs / "site.pem", new))
    assert isinstance(alone, Refused)
    assert "key values mismatch" in alone.report.output
    pair = judge(tree, tree.stage(certs / "site.pem", new), tree.stage(certs / "site.key", key))
    assert isinstance(pair, tuple)


def test_a_destination_that_nothing_leads_to_is_said(tmp_path: Path) -> None:
    """Instead of a yes that means nothing."""
    tree = a_tree("fragments", tmp_path)
    dest = tree.root / "etc/nginx/conf.d/ignored.txt"
    with pytest.raises(CheckBroken, match=r"ignored.txt: nothing in .*nginx.conf leads to it"):
        judge(tree, tree.stage(dest, "x"))


def test_a_live_configuration_that_is_refused_already_is_told_apart(tmp_path: Path) -> None:
    """The fault is not in our file, and was there before."""
    tree = a_tree("fragments", tmp_path)
    broken = tree.root / "etc/nginx/conf.d/aa-broken.conf"
    broken.write_text("\nbogus on;\n")
    servers = tree.root / "etc/nginx/conf.d/servers.conf"
    says = rf"{broken}:2: the live nginx configuration is refused already, without this change"
    with pytest.raises(CheckBroken, match=says):
        judge(tree, tree.stage(servers, servers.read_text() + "# changed\n"))
    own = judge(tree, tree.stage(tree.root / "etc/nginx/conf.d/a.conf", "our own fault;\n"))
    assert isinstance(own, Refused), "our file comes first, and its fault is ours"


def test_our_change_is_blamed_for_what_it_breaks_elsewhere(tmp_path: Path) -> None:
    """The upstream is gone from ours, nginx complains about the server in another file."""
    tree = a_tree("fragments", tmp_path)
    upstreams = tree.root / "etc/nginx/conf.d/upstreams.conf"
    judged = judge(tree, tree.stage(upstreams, "# nobody left\n"))
    assert isinstance(judged, Refused)
    assert judged.staged.rendered.resource.dest == str(upstreams)
    assert not judged.named
    assert "servers.conf:4" in judged.report.output


def test_no_log_and_no_pid_file_is_made(tmp_path: Path) -> None:
    """Also not by a staged file that names a new log; a missing log folder is still refused."""
    tree = a_tree("fragments", tmp_path)
    dest = tree.root / "etc/nginx/conf.d/new.conf"
    log = tree.root / "log/made-by-a-check.log"
    good = judge(
        tree, tree.stage(dest, f"access_log {log} combined buffer=4k;\nerror_log {log};\n")
    )
    assert isinstance(good, tuple), good
    assert not log.exists()
    assert not (tree.root / "run/nginx.pid").exists()
    bad = judge(tree, tree.stage(dest, f"access_log {tree.root}/no/such.log;\n"))
    assert isinstance(bad, Refused)
    assert "no/such.log" in bad.report.output


def test_no_log_is_made_below_the_built_in_prefix(tmp_path: Path) -> None:
    """That is what a relative log means where nobody gives a prefix."""
    tree = a_tree("fragments", tmp_path)
    nginx = tmp_path / "nginx"
    nginx.write_text(
        f'#!/bin/sh\ntest "$1" != -V || exec echo --prefix={tmp_path}/built-in\n'
        f'exec {tree.nginx.binary} -p {tmp_path}/built-in "$@"\n'
    )
    nginx.chmod(0o755)
    (tmp_path / "built-in/logs").mkdir(parents=True)
    tree.nginx = replace(tree.nginx, binary=str(nginx))
    dest = tree.root / "etc/nginx/conf.d/new.conf"
    good = judge(tree, tree.stage(dest, "access_log logs/new.log;\nerror_log new.log;\n"))
    assert isinstance(good, tuple), good
    assert [path.name for path in (tmp_path / "built-in").rglob("*.log")] == []
    bad = judge(tree, tree.stage(dest, "access_log no/such.log;\n"))
    assert isinstance(bad, Refused)


def test_a_main_file_in_a_folder_that_may_not_be_written_is_shadowed_elsewhere(
    tmp_path: Path,
) -> None:
    """As in a container whose root is read-only; relative includes still mean the same."""
    if not may_mount():
        pytest.skip("a read-only folder for root needs a mount of one's own (CAP_SYS_ADMIN)")
    tree = a_tree("relative-includes", tmp_path)
    folder, dests = tree.root / "nginx", tree.root / "nginx/conf.d"
    good = (dests / "a.conf").read_text()

    def work() -> None:
        private_mounts()
        mount(str(folder), folder, "", 0x1000)
        mount("", folder, "", 0x1000 | 32 | 1)
        mount("tmpfs", dests, "tmpfs")
        (dests / "a.conf").write_text(good)
        assert isinstance(judge(tree, tree.stage(dests / "a.conf", good + "#\n")), tuple)
        refused = judge(tree, tree.stage(dests / "a.conf", good + "canary }\n"))
        assert isinstance(refused, Refused)
        assert f"{dests}/a.conf:6" in refused.report.output

    assert in_child(work) == 0


@pytest.mark.parametrize("answer", [127, problem("timed out after 3 s")], ids=["absent", "hangs"])
def test_an_nginx_that_does_not_answer_gives_no_verdict(tmp_path: Path, answer: object) -> None:
    """Absent or hanging."""
    tree = a_tree("fragments", tmp_path)
    staged = tree.stage(tree.root / "etc/nginx/conf.d/new.conf", "# new\n")
    with pytest.raises(CheckBroken, match="nginx gave no verdict"):
        check.check_in_nginx(
            [staged],
            tree.nginx,
            FakeRunner(default=answer),  # type: ignore[arg-type]
            timeout_s=3,
            work_dir=str(tmp_path / "work"),
        )


def test_a_yes_that_judged_the_live_file_does_not_count(tmp_path: Path) -> None:
    """The proof is nginx's own list of the files it read; a checker without one is not believed."""
    tree = a_tree("fragments", tmp_path)
    staged = tree.stage(tree.root / "etc/nginx/conf.d/servers.conf", "broken")
    with pytest.raises(CheckBroken, match="did not list the files it read"):
        check.check_in_nginx(
            [staged], tree.nginx, FakeRunner(), timeout_s=3, work_dir=str(tmp_path / "work")
        )


def test_a_yes_about_the_live_tree_does_not_count(tmp_path: Path) -> None:
    """What a naive checker would say: the live files are fine, the staged one was never read."""
    tree = a_tree("fragments", tmp_path)
    servers = tree.root / "etc/nginx/conf.d/servers.conf"

    def naive(
        command: str | Sequence[str], *, timeout_s: float, env: object = None
    ) -> CommandReport:
        argv = list(command)
        argv[argv.index("-c", 4) + 1] = tree.nginx.conf
        return Commands().run(argv, timeout_s=timeout_s)

    with pytest.raises(CheckBroken, match=r"did not read the new version of .*nginx.conf"):
        check.check_in_nginx(
            [tree.stage(servers, "broken")],
            tree.nginx,
            naive,
            timeout_s=30,
            work_dir=str(tmp_path / "work"),
        )
    staged = tree.stage(servers, "broken")
    with shadow.build(tree.nginx, {str(servers): staged.path}, work_dir=str(tmp_path)) as made:
        read = "".join(f"# configuration file {path}:\n" for path in (*made.expected, servers))
        Path(made.listing).write_text(read)
        assert made.unproven() == f"nginx read the live version of {servers}"


def test_a_comment_that_looks_like_the_list_of_files_does_no_harm(tmp_path: Path) -> None:
    """Who splits the output of `nginx -T` into files keeps such lines."""
    tree = a_tree("fragments", tmp_path)
    for dest in (tree.root / "etc/nginx/conf.d/servers.conf", Path(tree.nginx.conf)):
        kept = f"# configuration file {dest}:\n{dest.read_text()}\n# configuration file {dest}:\n"
        judged = judge(tree, tree.stage(dest, kept))
        assert isinstance(judged, tuple), judged


def test_a_statement_that_cannot_be_followed_is_named(tmp_path: Path) -> None:
    """Old line ends count as lines with the parser and not with nginx."""
    tree = a_tree("fragments", tmp_path)
    main = Path(tree.nginx.conf)
    main.write_bytes(main.read_bytes().replace(b"\n", b"\r"))
    dest = tree.root / "etc/nginx/conf.d/servers.conf"
    words = r"nginx.conf:5: the include statement .*cannot be followed"
    with pytest.raises(CheckBroken, match=words):
        judge(tree, tree.stage(dest, dest.read_text() + "#\n"))


def test_a_comment_inside_a_statement_does_no_harm(tmp_path: Path) -> None:
    """nginx allows it anywhere between two words."""
    tree = a_tree("fragments", tmp_path)
    main = Path(tree.nginx.conf)
    main.write_text(main.read_text().replace("include ", "include # why\n  "))
    dest = tree.root / "etc/nginx/conf.d/servers.conf"
    assert isinstance(judge(tree, tree.stage(dest, dest.read_text() + "#\n")), tuple)


def test_groups_of_one_nginx_do_not_hold_up_each_other(tmp_path: Path) -> None:
    """One with a fault of its own, two that clash, one that breaks another file, one good."""
    tree = a_tree("fragments", tmp_path)
    conf_d = tree.root / "etc/nginx/conf.d"
    groups = {
        "faulty": [tree.stage(conf_d / "faulty.conf", "nonsense;\n")],
        "first": [tree.stage(conf_d / "first.conf", "upstream same { server 127.0.0.1:1; }\n")],
        "second": [tree.stage(conf_d / "second.conf", "upstream same { server 127.0.0.1:2; }\n")],
        "breaks": [tree.stage(conf_d / "upstreams.conf", "# empty\n")],
        "good": [tree.stage(conf_d / "good.conf", "keepalive_timeout 60;\n")],
    }

    def judge_set(staged: Sequence[Staged]) -> tuple[Checked, ...] | Refused:
        verdict = judge(tree, *staged)
        assert isinstance(verdict, tuple | Refused)
        return verdict

    result = sort_out(groups, judge_set)
    assert list(result.passed) == ["first", "good"]
    assert list(result.refused) == ["faulty", "second", "breaks"]
    check.discard_all(staged for group in groups.values() for staged in group)


def test_a_shadow_left_by_a_killed_check_is_swept_away(tmp_path: Path) -> None:
    """The main file's shadow beside it, and the copies; those of a living process stay."""
    tree = a_tree("included-twice", tmp_path)
    dest, work = tree.dests[0], str(tmp_path / "work")
    before = tree.everything()

    def build() -> shadow.Shadow:
        staged = tree.stage(dest, "client_max_body_size 9m;\n")
        return shadow.build(tree.nginx, {str(dest): staged.path}, work_dir=work)

    assert in_child(build) == 0
    living = build()
    assert len(shadow.sweep(tree.nginx, work_dir=work)) == 2
    assert os.path.exists(living.main)
    living.close()
    assert os.listdir(work) == []
    for path in list(files.strays([str(dest)])):
        files.remove(path)
    assert tree.everything() == before


def test_a_missing_main_file_is_named(tmp_path: Path) -> None:
    """The shadow cannot be made."""
    nginx = Nginx(str(tmp_path / "nginx.conf"))
    with pytest.raises(CheckBroken, match=r"nginx.conf: cannot make the shadow.*No such file"):
        shadow.build(nginx, {}, work_dir=str(tmp_path / "work"))


UPSTREAM = "upstream {} {{ server 127.0.0.1:8003; }}\n"


@pytest.mark.parametrize("pattern", ["[^_]*.conf", "[[:alnum:]]*.conf", "[!_]*.con[f]", "*.con\\f"])
def test_a_pattern_of_an_include_means_what_it_means_to_nginx(tmp_path: Path, pattern: str) -> None:
    """What it leaves out stays out, what it finds is judged, there already or not."""
    tree = a_tree("fragments", tmp_path)
    conf_d, main = tree.root / "etc/nginx/conf.d", Path(tree.nginx.conf)
    main.write_text(main.read_text().replace("*.conf", pattern))
    (conf_d / "one.conf").write_text(UPSTREAM.format("one"))
    if "*.con\\" not in pattern:
        (conf_d / "_no.conf").write_text("broken }")
    for name in ("one.conf", "two.conf"):
        good = judge(tree, tree.stage(conf_d / name, UPSTREAM.format("two")))
        assert isinstance(good, tuple), good
        os.unlink(good[0].staged.path)
        bad = judge(tree, tree.stage(conf_d / name, UPSTREAM.format("www_example_com")))
        assert isinstance(bad, Refused)
        assert "duplicate upstream" in bad.report.output


@pytest.mark.parametrize(
    "name", ["a[1].conf", "a*b.conf", "a?[!b].conf", "a\\*.conf", "a b;{$c}.conf"]
)
def test_a_file_whose_name_is_a_pattern_is_judged_and_judged_with(
    tmp_path: Path, name: str
) -> None:
    """It is read when it is changed, and when its neighbours are."""
    tree = a_tree("fragments", tmp_path)
    odd = tree.root / "etc/nginx/conf.d" / name
    odd.write_text(UPSTREAM.format("odd"))
    beside = odd.with_name("beside.conf")
    clash = judge(tree, tree.stage(beside, UPSTREAM.format("odd")))
    assert isinstance(clash, Refused), "two upstreams of one name"
    needs = "server { listen 127.0.0.1:18094; location / { proxy_pass http://odd; } }\n"
    good = judge(tree, tree.stage(beside, needs))
    assert isinstance(good, tuple), good
    without = judge(tree, tree.stage(odd.with_name("needs.conf"), needs), removed=(odd,))
    assert isinstance(without, Refused)
    assert isinstance(judge(tree, tree.stage(odd, UPSTREAM.format("new"))), tuple)
    own = judge(tree, tree.stage(odd, "canary }\n"))
    assert isinstance(own, Refused)
    assert f"{odd}:1" in own.report.output


def test_a_state_folder_whose_name_is_a_pattern_does_no_harm(tmp_path: Path) -> None:
    """Copies are read; a file that is gone is missed, and not passed over as no match."""
    (tmp_path / "odd [12]*").mkdir()
    tree = a_tree("included-twice", tmp_path / "odd [12]*")
    tree.nginx = a_tree("included-twice", tmp_path).nginx
    tree.root = tmp_path / "root"
    common, work = tree.root / "etc/snippets/common.conf", str(tmp_path / "odd [12]*" / "work")
    staged = tree.stage(common, common.read_text() + "#\n")
    judged = check.check_in_nginx([staged], tree.nginx, Commands().run, timeout_s=30, work_dir=work)
    assert isinstance(judged, tuple)
    other = tree.stage(Path(tree.nginx.conf), Path(tree.nginx.conf).read_text() + "#\n")
    missed = check.check_in_nginx(
        [other], tree.nginx, Commands().run, timeout_s=30, work_dir=work, removed=[str(common)]
    )
    assert isinstance(missed, Refused)
    assert f'open() "{common}" failed (2: No such file or directory)' in missed.report.output


def test_a_faulty_include_is_not_mended_by_its_rewriting(tmp_path: Path) -> None:
    """With a word too many it is refused; with a space that only parsers know it is no verdict."""
    tree = a_tree("fragments", tmp_path)
    conf_d = tree.root / "etc/nginx/conf.d"
    part = tree.stage(tree.root / "etc/nginx/part", UPSTREAM.format("part"))
    more = tree.stage(conf_d / "more.conf", "include part more;\n")
    refused = judge(tree, part, more)
    assert isinstance(refused, Refused)
    assert 'invalid number of arguments in "include"' in refused.report.output
    os.unlink(more.path)
    for space in "\u00a0\u2003\v\f":
        odd = tree.stage(conf_d / "odd.conf", f"include{space}part;\n")
        with pytest.raises(CheckBroken, match="cannot be followed"):
            judge(tree, part, odd)
        os.unlink(odd.path)


@pytest.mark.parametrize("log", ["access_log", "error_log"])
def test_a_log_that_is_no_file_is_judged_also_with_a_prefix(tmp_path: Path, log: str) -> None:
    """The place of a relative log is no reason to take everything for a file."""
    tree = a_tree("prefix", tmp_path)
    dest = tree.dests[0]
    bad = judge(tree, tree.stage(dest, f"{dest.read_text()}\n{log} syslog:server=127.0.0.1:x;\n"))
    assert isinstance(bad, Refused)
    assert "invalid port in syslog server" in bad.report.output


def test_a_word_that_happens_to_be_the_name_of_a_destination_stays(tmp_path: Path) -> None:
    """A file `backend` beside the main file, and an upstream of that name."""
    tree = a_tree("fragments", tmp_path)
    main = Path(tree.nginx.conf)
    dest = main.with_name("backend")
    dest.write_text(UPSTREAM.format("one"))
    use = f"{UPSTREAM.format('backend')}server {{ listen 127.0.0.1:18094; server_name backend;"
    use += " location / { proxy_pass http://backend; } }\n"
    (main.parent / "conf.d/use.conf").write_text(use)
    main.write_text(main.read_text().replace("include ", "include backend; include ", 1))
    judged = judge(tree, tree.stage(dest, UPSTREAM.format("two")))
    assert isinstance(judged, tuple), judged
