"""
A main file whose folder may not be written: its shadow stands elsewhere, and means the same. And a
check that did not read what the live nginx reads is no yes. On the real nginx.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pyconfd.errors import CheckBroken
from pyconfd.model.resources import Nginx
from pyconfd.model.steps import CommandReport, Refused
from pyconfd.pipeline import check
from pyconfd.system.proc import Commands
from tests.support.daemons.nginx_trees import Tree, certificate, nginx_binary
from tests.support.steps import in_child, may_mount, mount, private_mounts

pytestmark = pytest.mark.integration

READ_ONLY, BIND, REMOUNT = 1, 0x1000, 32
UPSTREAM = "upstream {} {{ server 127.0.0.1:8003; }}\n"


def planted(root: Path, main: str, **others: str) -> Tree:
    """A main file at etc/nginx/nginx.conf below `root`; other files by path, `__` for a slash."""
    files = {"etc/nginx/nginx.conf": f"events {{}}\n{main}\n"}
    files |= {path.replace("__", "/") + ".conf": text for path, text in others.items()}
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / "etc/nginx/conf.d").mkdir(exist_ok=True)
    return Tree(root, "", Nginx(str(root / "etc/nginx/nginx.conf"), nginx_binary()))


@contextlib.contextmanager
def read_only(tree: Tree, *writable: str) -> Iterator[None]:
    """In a child: the main file's folder is read-only, but for these folders in it."""
    folder = Path(tree.nginx.conf).parent
    private_mounts()
    mount(str(folder), folder, "", BIND)
    for name in writable:
        mount(str(folder / name), folder / name, "", BIND)
    mount("", folder, "", BIND | REMOUNT | READ_ONLY)
    yield


def judge(tree: Tree, dest: str, content: str, **fields: object) -> object:
    """Let nginx check a new version of one file; nothing is left of the check."""
    staged = tree.stage(tree.root / dest, content)
    work = tree.root.parent / "work"
    run = fields.pop("run", Commands().run)
    try:
        return check.check_in_nginx(
            [staged],
            tree.nginx,
            run,
            timeout_s=30,
            work_dir=str(work),
            **fields,  # type: ignore[arg-type]
        )
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(staged.path)
        assert list(work.iterdir()) == []


def in_read_only(tree: Tree, dest: str, good: str, bad: str, says: str) -> None:
    """`good` passes and `bad` is refused with these words, where only conf.d may be written."""
    if not may_mount():
        pytest.skip("a read-only folder for root needs a mount of one's own (CAP_SYS_ADMIN)")

    def work() -> None:
        with read_only(tree, "conf.d"):
            passed = judge(tree, dest, good)
            assert isinstance(passed, tuple), passed
            refused = judge(tree, dest, bad)
            assert isinstance(refused, Refused), refused
            assert says in refused.report.output, refused.report.output
            assert "pyconfd~" not in refused.report.output
            assert str(tree.root.parent / "work") not in refused.report.output

    assert in_child(work) == 0


def refuses_a_second_upstream(tree: Tree) -> None:
    """One of its own passes; one of the name that is elsewhere in the tree does not."""
    in_read_only(
        tree,
        "etc/nginx/conf.d/site.conf",
        UPSTREAM.format("own"),
        UPSTREAM.format("shared"),
        "duplicate upstream",
    )


@pytest.mark.parametrize(
    "pattern",
    [
        "../extra/*.conf",
        "./../extra/[a-z].conf",
        "conf.d/../../extra/*.conf",
        "../nginx/../extra/a*",
        "../ex*/a.conf",
        "../../etc/extra/*.conf",
        "../*/a.conf",
    ],
)
def test_what_a_pattern_finds_beside_the_folder_is_read(tmp_path: Path, pattern: str) -> None:
    """An upstream in another folder, that a glob leads to: a second one of its name is refused."""
    tree = planted(
        tmp_path / "root",
        f"http {{ access_log off; include conf.d/*.conf; include {pattern}; }}",
        etc__extra__a=UPSTREAM.format("shared"),
    )
    refuses_a_second_upstream(tree)


def test_a_pattern_in_an_included_file_leads_upwards_too(tmp_path: Path) -> None:
    """Three levels, every step relative to the folder of the main file."""
    tree = planted(
        tmp_path / "root",
        "http { access_log off; include conf.d/*.conf; include ../one/*.conf; }",
        etc__one__a="include ../two/*.conf;\n",
        etc__two__b="include ../../srv/*.conf;\n",
        srv__c=UPSTREAM.format("shared"),
    )
    refuses_a_second_upstream(tree)


def test_the_folder_may_be_a_link(tmp_path: Path) -> None:
    """Upwards from a linked folder is upwards from the folder it leads to."""
    tree = planted(
        tmp_path / "root",
        "http { access_log off; include conf.d/*.conf; include ../extra/*.conf; }",
        etc__extra__a=UPSTREAM.format("shared"),
    )
    (tree.root / "opt").mkdir()
    (tree.root / "opt/nginx").symlink_to("../etc/nginx")
    tree.nginx = replace(tree.nginx, conf=str(tree.root / "opt/nginx/nginx.conf"))
    refuses_a_second_upstream(tree)


def test_what_is_no_include_leads_upwards_too(tmp_path: Path) -> None:
    """Certificates, geo and map data beside the folder; a prefix changes nothing of it."""
    tree = planted(
        tmp_path / "root",
        "http { access_log off; include conf.d/*.conf; geo $g { include ../data/nets.conf; }"
        " map $uri $m { include ../data/*.map; } }",
        etc__data__nets="10.0.0.0/8 1;\n",
    )
    certificate(tree.root / "etc/tls/site")
    (tree.root / "etc/data/a.map").write_text("/a 1;\n")
    (tree.root / "opt/logs").mkdir(parents=True)
    tree.nginx = replace(tree.nginx, prefix=str(tree.root / "opt"))
    server = (
        "server {{ listen 127.0.0.1:18443 ssl; ssl_certificate ../tls/site.pem;"
        " ssl_certificate_key ../tls/{}.key; }}\n"
    )
    in_read_only(
        tree,
        "etc/nginx/conf.d/site.conf",
        server.format("site"),
        server.format("none"),
        "none.key",
    )


def test_a_file_that_the_check_did_not_read_is_named(tmp_path: Path) -> None:
    """
    Whatever the reason is: an nginx that does not find what the pattern finds here gives no
    verdict. The one here is started with the pattern changed.
    """
    main = "http { access_log off; include conf.d/*.conf; include ../extra/*.conf; }"
    tree = planted(tmp_path / "root", main, etc__extra__a=UPSTREAM.format("shared"))

    def blind(
        command: str | Sequence[str], *, timeout_s: float, env: object = None
    ) -> CommandReport:
        main = Path(command[command.index("-c", 4) + 1])
        main.write_text(main.read_text().replace("../extra/*", "../none/*"))
        return Commands().run(command, timeout_s=timeout_s)

    with pytest.raises(CheckBroken, match=r"did not read .*/extra/a.conf, which its config"):
        judge(tree, "etc/nginx/nginx.conf", f"events {{}}\n{main}\n#\n", run=blind)


def test_a_folder_that_may_not_be_listed_is_no_empty_folder(tmp_path: Path) -> None:
    """Root's nginx reads it; glob(3) of another user finds nothing there and says nothing."""
    if os.geteuid() != 0:
        pytest.skip("needs a user that may be changed")
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        tree = planted(
            Path(folder) / "root",
            "http { access_log off; include conf.d/*.conf; include private/*.conf; }",
            etc__nginx__private__a=UPSTREAM.format("shared"),
        )
        private = tree.root / "etc/nginx/private"
        private.chmod(0o700)
        os.chown(tree.root / "etc/nginx/conf.d", 65534, 65534)
        (tree.root.parent / "work").mkdir()
        os.chown(tree.root.parent / "work", 65534, 65534)

        def work() -> None:
            os.setgid(65534)
            os.setuid(65534)
            with pytest.raises(CheckBroken, match="Permission denied") as caught:
                judge(tree, "etc/nginx/conf.d/site.conf", UPSTREAM.format("shared"))
            assert caught.value.where == str(private)
            assert "the user that starts nginx" in caught.value.hint

        assert in_child(work) == 0


def test_a_binary_geo_base_is_read_in_the_place_of_its_text(tmp_path: Path) -> None:
    """nginx makes and reads base.bin, and lists nothing: no reason to refuse."""
    tree = planted(
        tmp_path / "root",
        "http { access_log off; include conf.d/*.conf; geo $g { ranges; include nets.conf; } }",
    )
    ranges = (f"10.{n >> 14}.{n >> 6 & 255}.{n % 64 * 4}" for n in range(100_001))
    nets = tree.root / "etc/nginx/nets.conf"
    nets.write_text("".join(f"{each}-{each} {n % 2};\n" for n, each in enumerate(ranges)))
    made = Commands().run([tree.nginx.binary, "-t", "-c", tree.nginx.conf], timeout_s=30)
    assert made.ok, made.output
    assert nets.with_name("nets.conf.bin").exists()
    assert isinstance(judge(tree, "etc/nginx/conf.d/a.conf", "# a\n"), tuple)
