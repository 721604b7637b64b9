"""Trees of nginx configurations from tests/corpus, planted in a folder of the test."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from pyconfd.model.resources import Nginx
from pyconfd.model.steps import Staged
from pyconfd.pipeline import stage
from tests.support.repository import ROOT
from tests.support.steps import rendered

CORPUS = ROOT / "tests" / "corpus"
DEBIAN_MODULES = "/usr/lib/nginx/modules"
#: Where nginx's loadable modules are, if not installed as Debian does it.
MODULES = Path(os.environ.get("PYCONFD_TEST_NGINX_MODULES", DEBIAN_MODULES))


@dataclass
class Tree:
    """
    A planted tree. dests: what the tree's header names as destinations; needs: nginx modules.
    """

    root: Path
    about: str
    nginx: Nginx
    dests: list[Path] = field(default_factory=list)
    needs: list[str] = field(default_factory=list)
    staged: list[Staged] = field(default_factory=list)

    @property
    def missing(self) -> list[str]:
        """Modules that are not installed here."""
        return [name for name in self.needs if not (MODULES / f"ngx_{name}_module.so").exists()]

    def stage(self, dest: Path, content: str) -> Staged:
        """A new version of one destination."""
        staged = stage.stage(rendered(dest, content.encode()))
        assert staged is not None
        self.staged.append(staged)
        return staged

    def everything(self) -> dict[str, bytes | str]:
        """
        Every file and link with its content, without staged files: none may change in a check.
        """
        staged = {os.path.realpath(each.path) for each in self.staged}
        return {
            str(path.relative_to(self.root)): os.readlink(path)
            if path.is_symlink()
            else path.read_bytes()
            for path in sorted(self.root.rglob("*"))
            if (path.is_symlink() or path.is_file()) and str(path) not in staged
        }


def trees() -> list[str]:
    """Names of the trees of the corpus."""
    return sorted(path.stem for path in CORPUS.glob("*.tree"))


def plant(name: str, root: Path) -> Tree:
    """
    Make a tree of the corpus. A .tree file is one line on what it is, then headers, then files:

    main: its main file, if not nginx.conf; prefix: for -p; dest: a destination; needs: an nginx
    module; cert: makes NAME.pem and NAME.key; link: PATH -> TARGET; `-- PATH --` begins a file.
    """
    text = (CORPUS / f"{name}.tree").read_text().replace("@ROOT@", str(root))
    text = text.replace(DEBIAN_MODULES, str(MODULES))
    head, *parts = re.split(r"^-- (.+) --\n", text, flags=re.MULTILINE)
    about, *headers = head.splitlines()
    for path, content in zip(parts[::2], parts[1::2], strict=True):
        if os.geteuid() != 0 and "access_log" not in content:
            # The built-in log is root's. On the same line, so that all lines keep their numbers.
            content = re.sub(
                r"^(http|rtmp) \{", r"\1 { access_log off;", content, flags=re.MULTILINE
            )
        _write(root / path, content)
    for folder in ("log", "run", "hls"):
        (root / folder).mkdir(exist_ok=True)
    main = next(root / path for path in parts[::2] if path.endswith("nginx.conf") or "main" in path)
    tree = Tree(root, about, Nginx(str(main), nginx_binary()))
    for header in headers:
        _apply(tree, *header.split(": ", 1))
    return tree


def _apply(tree: Tree, key: str, value: str) -> None:
    match key:
        case "main":
            tree.nginx = Nginx(str(tree.root / value), tree.nginx.binary, tree.nginx.prefix)
        case "prefix":
            tree.nginx = Nginx(tree.nginx.conf, tree.nginx.binary, str(tree.root / value))
        case "dest":
            tree.dests.append(tree.root / value)
        case "needs":
            tree.needs.append(value)
        case "cert":
            certificate(tree.root / value)
        case "link":
            path, target = value.split(" -> ")
            (tree.root / path).parent.mkdir(parents=True, exist_ok=True)
            (tree.root / path).symlink_to(target)
        case _:
            raise AssertionError(f"unknown header {key}")


def _write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def nginx_binary() -> str:
    """nginx as installed; Debian keeps it out of a user's PATH."""
    found = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    assert found, "the Debian package nginx is needed; make test installs it"
    return found


@functools.cache
def _pem(name: str) -> tuple[bytes, bytes]:
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "30", "-subj", f"/CN={name}", "-keyout", "-", "-out", "-"]
    both = subprocess.run(command, capture_output=True, check=True).stdout
    key, cert = both.split(b"-----BEGIN CERTIFICATE")
    return b"-----BEGIN CERTIFICATE" + cert, key


def certificate(path: Path, name: str = "site") -> None:
    """Write PATH.pem and PATH.key (0600), self-signed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cert, key = _pem(name)
    path.with_suffix(".pem").write_bytes(cert)
    path.with_suffix(".key").write_bytes(key)
    path.with_suffix(".key").chmod(0o600)
