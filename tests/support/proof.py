"""
The edge of the proof: etcd, nginx, pyconfd between them, members that answer, steady requests.

A group of two files that are valid only together serves `web`; one file for each tenant serves
the tenants. Every upstream has a member that answers at all times, so no request may fail.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

from tests.support.daemons.etcd import PrivateEtcd, free_ports
from tests.support.daemons.live_nginx import INCLUDES, LiveNginx
from tests.support.daemons.nginx_sites import settled
from tests.support.pyconfd import Confdir, Daemon
from tests.support.waiting import wait_until

UPSTREAM = """\
limit_conn_zone $binary_remote_addr zone={{ getv("/web/zone") }}:64k;
upstream web {
{% for member in ls("/web/members") %}
    server {{ getv("/web/members/" ~ member) | hostport }};
{% endfor %}
}
"""
SERVER = """\
server {
    listen 127.0.0.1:@PORT@;
    server_name web;
    limit_conn {{ getv("/web/zone") }} 1000;
    location / { proxy_pass http://web; }
}
"""
TENANT = """\
{% set path = "/tenants/" ~ name %}
upstream t_{{ name }} {
{% for member in ls(path ~ "/members") %}
    server {{ getv(path ~ "/members/" ~ member) }};
{% endfor %}
}
server {
    listen 127.0.0.1:@PORT@;
    server_name {{ name }};
    add_header X-Note {{ getv(path ~ "/note") }};
    location / { proxy_pass http://t_{{ name }}; }
    {{ getv(path ~ "/extra", "") | raw }}
}
"""
FALLBACK = """
    server { listen 127.0.0.1:@PORT@ default_server; return 404; }
"""
# Fails each fifth time as long as it may, every time when it has to, and once does nothing and
# says that all is well.
RELOAD = """\
if [ -e lie ]; then rm lie; echo lied >>told; exit 0; fi
if [ -e fail ]; then echo failed >>told; exit 1; fi
if [ -e may-fail ] && [ $(($(wc -l <told) % 5)) -eq 4 ]; then
    echo failed >>told; exit 1
fi
echo reload >>told
exec @RELOAD@
"""
ALWAYS = ("t0", "t1", "t2", "t3")


class ProofEdge:
    """Everything that runs, and the store as it ought to be."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.etcd = PrivateEtcd(folder)
        self.dead, *self.members = free_ports(5)
        self.backends = LiveNginx(folder / "backends", self._backends())
        self.nginx = LiveNginx(folder / "nginx", INCLUDES + FALLBACK)
        text = self.nginx.conf.read_text().replace("@PORT@", str(self.nginx.port))
        self.nginx.conf.write_text(text)
        self.confdir = Confdir(folder / "confdir", "--node", self.etcd.endpoint)
        self.daemon: Daemon
        self._stack = contextlib.ExitStack()
        self._declare()

    def _backends(self) -> str:
        lines = [
            f'server {{ listen 127.0.0.1:{port}; return 200 "b{n}"; }}'
            for n, port in enumerate(self.members)
        ]
        return "\n    ".join(lines)

    def _declare(self) -> None:
        """The resources of the proof."""
        script = RELOAD.replace("@RELOAD@", self.nginx.reload_command)
        (self.folder / "reload.sh").write_text(script)
        command = f"cd {self.folder} && exec sh reload.sh"
        toml = self.nginx.toml.replace(self.nginx.reload_command, command)
        toml += 'min_reload_interval = "200ms"\n'
        sites = self.nginx.sites
        for name, text in (("upstream", UPSTREAM), ("server", SERVER), ("tenant", TENANT)):
            self.confdir.template(f"{name}.j2", text.replace("@PORT@", str(self.nginx.port)))
        for name in ("upstream", "server"):
            keys = f'keys = ["/web"]\ndest = "{sites}/web-{name}.conf"\n'
            self.confdir.resource(name, f'[template]\nsrc = "{name}.j2"\n{keys}')
        members = 'resources = ["upstream", "server"]\n'
        self.confdir.resource("web", f"[group.web]\n{members}{toml}")
        keys = f'keys = ["/tenants"]\neach = "/tenants"\ndest = "{sites}/t-{{name}}.conf"\n'
        self.confdir.resource("tenant", f'[template]\nsrc = "tenant.j2"\n{keys}{toml}')

    @contextlib.contextmanager
    def running(self) -> Iterator[ProofEdge]:
        """All of it, once every host is served and nobody who knows of none is left."""
        with contextlib.ExitStack() as stack:
            for each in (self.etcd, self.backends.running(), self.nginx.running()):
                stack.enter_context(each)
            stack.callback(self._end_daemon)
            self.etcd.txn([("/web/zone", "z"), ("/web/members/a", self.address(0))])
            for name in ALWAYS:
                self.etcd.txn(self.tenant(name))
            self.start()
            for host in ("web", *ALWAYS):
                self.nginx.wait_answer(host, "b0")
            settled(self.nginx, self.confdir)
            (self.folder / "may-fail").touch()
            yield self

    def tenant(self, name: str) -> list[tuple[str, str]]:
        """The keys of a new tenant."""
        path = f"/tenants/{name}"
        return [(f"{path}/members/a", self.address(0)), (f"{path}/note", "first")]

    def address(self, member: int) -> str:
        """host:port of a member that answers `b<number>`; -1 for one that nobody listens at."""
        return f"127.0.0.1:{self.dead if member < 0 else self.members[member]}"

    def start(self) -> None:
        """Start pyconfd."""
        self._stack = contextlib.ExitStack()
        self.daemon = self._stack.enter_context(self.confdir.daemon())

    def kill(self) -> None:
        """SIGKILL, as the kernel does when memory is short."""
        self.daemon.signal(signal.SIGKILL)
        self.daemon.process.wait()
        self._stack.close()

    def _end_daemon(self) -> None:
        self._stack.close()

    def told(self, word: str) -> int:
        """How often the reload command did this: reload, failed, lied."""
        path = self.folder / "told"
        return path.read_text().splitlines().count(word) if path.exists() else 0

    def log(self) -> str:
        """What all runs of pyconfd have said."""
        logs = sorted(self.confdir.folder.glob("log-*.txt"))
        return "".join(path.read_text(errors="replace") for path in logs)

    def live(self) -> dict[str, str]:
        """Every file below sites, hidden ones included."""
        found = {}
        for path in list(self.nginx.sites.iterdir()):
            with contextlib.suppress(FileNotFoundError):
                found[path.name] = path.read_text()
        return found

    def expected(self) -> dict[str, str]:
        """What the files have to be, told from the store by other means than the templates."""
        keys = {key: value.decode() for key, value in self.etcd.all().items()}
        names = sorted({key.split("/")[2] for key in keys if key.startswith("/tenants/")})
        port = self.nginx.port
        servers = _servers(keys, "/web/members/")
        zone = keys["/web/zone"]
        files = {
            "web-upstream.conf": (
                f"limit_conn_zone $binary_remote_addr zone={zone}:64k;\n"
                f"upstream web {{\n{servers}}}\n"
            ),
            "web-server.conf": (
                f"server {{\n    listen 127.0.0.1:{port};\n    server_name web;\n"
                f"    limit_conn {zone} 1000;\n    location / {{ proxy_pass http://web; }}\n}}\n"
            ),
        }
        for name in names:
            path = f"/tenants/{name}"
            servers = _servers(keys, f"{path}/members/")
            files[f"t-{name}.conf"] = (
                f"upstream t_{name} {{\n{servers}}}\n"
                f"server {{\n    listen 127.0.0.1:{port};\n    server_name {name};\n"
                f"    add_header X-Note {keys[f'{path}/note']};\n"
                f"    location / {{ proxy_pass http://t_{name}; }}\n"
                f"    {keys.get(f'{path}/extra', '')}\n}}\n"
            )
        return files

    def converged(self) -> bool:
        """Whether the live files are what the store says."""
        return self.live() == self.expected()

    def wait_true_to_the_store(self, timeout_s: float = 30.0) -> None:
        """Until they are; then that nginx runs with them."""
        (self.folder / "may-fail").unlink(missing_ok=True)
        with contextlib.suppress(AssertionError):
            wait_until(self.converged, timeout_s)
        assert self.live() == self.expected(), self.log()[-4000:]


def _servers(keys: dict[str, str], prefix: str) -> str:
    found = (keys[key] for key in sorted(keys) if key.startswith(prefix))
    return "".join(f"    server {address};\n" for address in found)
