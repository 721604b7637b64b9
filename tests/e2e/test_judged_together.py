"""Files that were judged as one set go live as one set, or not at all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pyconfd.cli.main import main
from pyconfd.pipeline.journal import Journal
from tests.e2e.test_groups import Edge
from tests.support.daemons.live_nginx import LiveNginx
from tests.support.pyconfd import Confdir
from tests.support.steps import in_child, strays_in

pytestmark = pytest.mark.integration


def test_what_needs_a_file_that_could_not_be_swapped_stays_as_it_was(tmp_path: Path) -> None:
    """The server names a new upstream whose file may not be replaced: the live tree stays good."""
    nginx = LiveNginx(tmp_path / "nginx")
    store = tmp_path / "store.json"
    store.write_text(json.dumps({"pool": "new"}))
    confdir = Confdir(tmp_path / "confdir", "--backend", "file", "--file", str(store))
    upstream, server = nginx.sites / "a-upstream.conf", nginx.sites / "b-server.conf"
    old = "upstream old { server 127.0.0.1:1; }\n"
    upstream.write_text(old)
    listen = f"listen 127.0.0.1:{nginx.port};"
    server.write_text(f"server {{ {listen} location / {{ proxy_pass http://old; }} }}\n")
    before = server.read_text()
    confdir.template("up.j2", "upstream {{ getv('/pool') }} { server 127.0.0.1:1; }\n")
    confdir.template(
        "srv.j2",
        f"server {{ {listen} location / {{ proxy_pass http://{{{{ getv('/pool') }}}}; }} }}\n",
    )
    judged = nginx.toml.replace(nginx.reload_command, "true") + "confirm = false\n"
    for name, src, dest in (("a", "up.j2", upstream), ("b", "srv.j2", server)):
        confdir.resource(
            name, f'[template]\nsrc = "{src}"\ndest = "{dest}"\nkeys = ["/pool"]\n{judged}'
        )
    if subprocess.run(["chattr", "+i", str(upstream)], check=False, capture_output=True).returncode:
        pytest.skip("the file system or our rights know no immutable files (chattr +i)")
    try:
        done = confdir.once()
        assert done.returncode == 1
        assert upstream.read_text() == old
        assert server.read_text() == before
        assert "no permission to replace the file" in done.stderr
        assert 'host not found in upstream "new"' in done.stderr
        assert not nginx.test()
    finally:
        subprocess.run(["chattr", "-i", str(upstream)], check=True)
    assert confdir.once().returncode == 0
    assert "http://new" in server.read_text()
    assert not nginx.test()


def chain(nginx: LiveNginx, confdir: Confdir, *names: str) -> list[Path]:
    """
    Resources without a group, each of which needs the one before it under its new name: no order
    of single files is good at every moment.
    """
    judged = nginx.toml.replace(nginx.reload_command, "true") + "confirm = false\n"
    before = "127.0.0.1:1"
    dests = []
    for name in names:
        confdir.template(
            f"{name}.j2",
            f"upstream {name}_{{{{ getv('/v') }}}} {{ server 127.0.0.1:1; }}\n"
            f"server {{ server_name {name}; listen 127.0.0.1:{nginx.port}; "
            f"location / {{ proxy_pass http://{before}; }} }}\n",
        )
        before = f"{name}_{{{{ getv('/v') }}}}"
        dests.append(nginx.sites / f"{name}.conf")
        confdir.resource(
            name, f'[template]\nsrc = "{name}.j2"\ndest = "{dests[-1]}"\nkeys = ["/v"]\n{judged}'
        )
    return dests


def test_a_kill_between_two_renames_leaves_no_mix_after_the_recovery(tmp_path: Path) -> None:
    """Ungrouped resources, one verdict: all old or all new, and nginx takes either."""
    nginx = LiveNginx(tmp_path / "nginx")
    store = tmp_path / "store.json"
    confdir = Confdir(tmp_path / "confdir", "--backend", "file", "--file", str(store))
    dests = chain(nginx, confdir, "a", "b", "c")
    store.write_text(json.dumps({"v": "old"}))
    assert confdir.once().returncode == 0
    old = [dest.read_text() for dest in dests]
    store.write_text(json.dumps({"v": "new"}))
    new = [text.replace("_old", "_new") for text in old]
    mixed = number = 0
    while killed_at_rename(number := number + 1, confdir.argv("--onetime")[3:]):
        mixed += [dest.read_text() for dest in dests] not in (old, new)
        (journal,) = (confdir.folder / "state").rglob("journal")
        Journal(str(journal.parent)).recover()
        assert [dest.read_text() for dest in dests] in (old, new)
        assert nginx.test() == ""
        store.write_text(json.dumps({"v": "old"}))
        assert confdir.once().returncode == 0
        store.write_text(json.dumps({"v": "new"}))
    assert mixed >= 2, "some of the kills came between two renames"
    assert [dest.read_text() for dest in dests] == new
    assert strays_in(tmp_path) == []


def killed_at_rename(number: int, argv: list[str]) -> bool:
    """Run the command in a child that dies before or after its n-th rename; False: it did not."""

    def until_then() -> None:
        seen = 0

        def profile(_frame: object, event: str, function: object) -> None:
            nonlocal seen
            if event in ("c_call", "c_return") and function is os.rename:
                seen += 1
                if seen == number:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(profile)
        assert main(argv) == 0

    status = in_child(until_then)
    assert status in (0, -signal.SIGKILL)
    return status != 0


def test_a_file_that_cannot_be_swapped_does_not_hold_up_those_that_need_nothing_of_it(
    tmp_path: Path,
) -> None:
    """The others are judged without it, and go live in the same pass."""
    nginx = LiveNginx(tmp_path / "nginx")
    store = tmp_path / "store.json"
    store.write_text(json.dumps({"v": "1"}))
    confdir = Confdir(tmp_path / "confdir", "--backend", "file", "--file", str(store))
    dests = {name: chain(nginx, confdir, name)[0] for name in "abc"}
    assert confdir.once().returncode == 0
    store.write_text(json.dumps({"v": "2"}))
    if subprocess.run(
        ["chattr", "+i", str(dests["b"])], check=False, capture_output=True
    ).returncode:
        pytest.skip("the file system or our rights know no immutable files (chattr +i)")
    try:
        done = confdir.once()
    finally:
        subprocess.run(["chattr", "-i", str(dests["b"])], check=True)
    assert done.returncode == 1
    assert {name: f"{name}_2" in dest.read_text() for name, dest in dests.items()} == {
        "a": True, "b": False, "c": True
    }  # fmt: skip
    assert strays_in(tmp_path) == []
    assert "failed=1" in done.stderr


def tenants(folder: Path, **templates: str) -> Edge:
    """Resources that one nginx judges, which nobody is told of."""
    edge = Edge(folder, LiveNginx(folder / "nginx"))
    judged = edge.nginx.toml.replace(edge.nginx.reload_command, "true") + "confirm = false\n"
    for name, template in templates.items():
        edge.resource(name, template, judged)
    return edge


def test_the_tenant_whose_name_was_taken_by_another_is_not_held_up(tmp_path: Path) -> None:
    """nginx names the owner's file, because it reads that later; the thief alone is refused."""
    owner = "upstream owner { server 127.0.0.1:{{ getv('@PATH@/port') }}; }\n"
    thief = "{% if exists('@PATH@/more') %}upstream owner { server 127.0.0.1:9; }{% endif %}\n"
    edge = tenants(tmp_path, thief=thief, zz_owner=owner)
    edge.keys(thief={"less": 1}, zz_owner={"port": 1})
    edge.once()
    edge.keys(thief={"more": 1}, zz_owner={"port": 2})
    said = edge.once(fails=True)
    assert said.count("the check refused the new version") == 1
    assert "resource=thief" in said
    assert "updated resource=zz_owner " in said
    assert "127.0.0.1:2" in (edge.nginx.sites / "zz_owner.conf").read_text()
    assert not edge.nginx.test()


def test_a_fault_that_names_no_file_is_put_down_to_its_group(tmp_path: Path) -> None:
    """A server name that is too long for nginx's table; what was judged before it is fine."""
    site = f"server {{ listen 127.0.0.1:@PORT@; server_name {'{{'} getv('@PATH@/name') {'}}'}; }}\n"
    edge = tenants(tmp_path, **dict.fromkeys("abcde", site))
    keys = {name: {"name": name} for name in "abcde"}
    edge.keys(**{**keys, "d": {"name": "x" * 190}})
    said = edge.once(fails=True)
    assert "could not build server_names_hash" in said
    refused = [line for line in said.splitlines() if "the check refused" in line]
    assert len(refused) == 1
    assert "resource=d " in refused[0]
    assert "left out" not in said
    assert said.count("updated resource=") == 4
