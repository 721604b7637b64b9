"""
A running apache2 of the test's own: private ServerRoot, free ports of 127.0.0.1, ended by its pid.

    with PrivateApache(tmp_path / "srv1", serving("srv1 here")).running() as apache:
        assert apache.ask("/").body == "srv1 here"

`/server-status?auto` is at `status_url`, for `confirm = { by = "apache", at = ... }`.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil

from tests.support.daemons.etcd import free_ports
from tests.support.http import Answer, ask
from tests.support.waiting import PATIENCE_S, wait_until

MODULES = Path(os.environ.get("PYCONFD_TEST_APACHE_MODULES", "/usr/lib/apache2/modules"))
#: What every server here has; mod_alias and friends are named by those who need them.
BASE_MODULES = ("mpm_event", "authz_core", "authz_host", "dir", "headers", "mime", "status")

# Few processes, but with spare slots: a scoreboard without any stalls a graceful restart.
MAIN = """\
ServerRoot "@FOLDER@"
ServerName 127.0.0.1
PidFile "@FOLDER@/run/apache2.pid"
DefaultRuntimeDir "@FOLDER@/run"
Mutex "file:@FOLDER@/run" default
ErrorLog "@FOLDER@/log/error.log"
LogLevel notice
@LOAD@
@USER@
TypesConfig /etc/mime.types
DirectoryIndex index.html
StartServers 1
ServerLimit 6
ThreadsPerChild 16
MaxRequestWorkers 96
MinSpareThreads 4
MaxSpareThreads 32
Listen @PLACE@:@PORT@
Listen @PLACE@:@STATUS@
<Directory "@FOLDER@/www">
    Require all granted
</Directory>
<VirtualHost @PLACE@:@STATUS@>
    <IfModule proxy_module>
        ProxyPassInherit Off
    </IfModule>
    <Location "/server-status">
        SetHandler server-status
    </Location>
</VirtualHost>
@BODY@
"""


def apache_program() -> str:
    """apache2 as installed; Debian keeps it out of a user's PATH."""
    found = shutil.which("apache2", path=os.environ.get("PATH", "") + ":/usr/sbin")
    assert found, "the Debian package apache2 is needed; make test installs it"
    return found


#: What a main file needs for the recipes: Debian's folders of sites, and its folder of logs.
INCLUDES = """\
Define APACHE_LOG_DIR @FOLDER@/log
LogFormat "%h %l %u %t \\"%r\\" %>s %b" common
LogFormat "%h %l %u %t \\"%r\\" %>s %b \\"%{User-Agent}i\\"" combined
IncludeOptional conf-enabled/*.conf
IncludeOptional sites-enabled/*.conf
"""


def serving(text: str) -> str:
    """Configuration for a server that answers everything with this text, from no file."""
    return f'RedirectMatch 200 "^/(?!server-status)"\nErrorDocument 200 "{text}"\n'


class PrivateApache:
    """
    apache2 in a folder of its own; `body` is what its main file holds beside the necessary.

    In `body`, @FOLDER@, @PORT@ and @STATUS@ stand for those; modules: names to load beside
    BASE_MODULES. Files below FOLDER/www are served when a body says DocumentRoot. place: the
    address it has; inside: words before its command line, such as those that enter the network
    namespace with that address (tests/support/net.py).
    """

    def __init__(
        self,
        folder: Path,
        body: str = "",
        *,
        modules: Sequence[str] = (),
        port: int = 0,
        place: str = "127.0.0.1",
        inside: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.place = place
        self.inside = list(inside)
        for name in ("run", "log", "www", "conf-enabled", "sites-enabled"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        ports = free_ports(2)
        self.port, self.status_port = port or ports[0], ports[1]
        self.conf = folder / "apache2.conf"
        self.modules = tuple(dict.fromkeys((*BASE_MODULES, "alias", *modules)))
        self.process: subprocess.Popen[bytes] | None = None
        self.write(body)

    def write(self, body: str) -> None:
        """The main file with another body; for the next start or reload."""
        load = [f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in self.modules]
        text = MAIN.replace("@BODY@", body).replace("@LOAD@", "\n".join(load))
        user = "User www-data\nGroup www-data" if os.geteuid() == 0 else ""
        self.conf.write_text(self.filled(text.replace("@USER@", user)))

    def filled(self, text: str) -> str:
        """The text with this server's folder and ports."""
        text = text.replace("@FOLDER@", str(self.folder)).replace("@PORT@", str(self.port))
        return text.replace("@STATUS@", str(self.status_port)).replace("@PLACE@", self.place)

    @property
    def address(self) -> str:
        """host:port"""
        return f"{self.place}:{self.port}"

    @property
    def status_url(self) -> str:
        """Where it tells its generation."""
        return f"http://{self.place}:{self.status_port}/server-status?auto"

    @property
    def pid_file(self) -> Path:
        return self.folder / "run" / "apache2.pid"

    @property
    def error_log(self) -> str:
        """Everything in its error log so far."""
        path = self.folder / "log" / "error.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def argv(self, *more: str) -> list[str]:
        """Its command line."""
        return [*self.inside, apache_program(), "-d", str(self.folder), "-f", str(self.conf), *more]

    @property
    def reload_command(self) -> str:
        """
        As an operator would write it, and fails when nothing runs.

        `-k graceful` alone would start a daemon where none runs, and it would not be ours to end.
        """
        return f'kill -0 "$(cat {self.pid_file})" && {self.graceful_command}'

    @property
    def graceful_command(self) -> str:
        """Only for where something looks first, as `confirm` does."""
        return " ".join(self.argv("-k", "graceful"))

    def words(self, manager_port: int) -> dict[str, str]:
        """For `laid_out`: a recipe that is written for Debian's Apache, on this one instead."""
        return {
            "/etc/apache2": str(self.folder),
            "/var/log/apache2": str(self.folder / "log"),
            "/var/www/html": str(self.folder / "www"),
            '["/var/www"': f'["{self.folder}/www"',
            "apachectl graceful": self.graceful_command,
            "http://127.0.0.1/server-status?auto": self.status_url,
            "127.0.0.1:8081": f"127.0.0.1:{manager_port}",
            'apache_ports = ["80"]': f'apache_ports = ["{self.address}"]',
            'min_reload_interval = "2s"': 'min_reload_interval = "100ms"',
            'hold_min = "200ms"': 'hold_min = "20ms"',
        }

    def launch(self) -> None:
        """Start the process without waiting for it to serve."""
        assert self.process is None, "it runs already"
        argv = self.argv("-DFOREGROUND")
        if os.geteuid() == 0:
            # Workers run as www-data, who may not walk through a folder of root's such as pytest
            # makes: they keep root's rights on files across their change of user.
            argv = ["setpriv", "--securebits", "+no_setuid_fixup", *argv]
        with (self.folder / "log" / "stderr").open("ab") as log:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def start(self) -> PrivateApache:
        """Start and wait until it answers."""
        self.launch()
        wait_until(self._answers, what=f"apache2 on {self.address}")
        return self

    def _answers(self) -> bool:
        assert self.process is not None
        said = (self.folder / "log" / "stderr").read_text(errors="replace")
        assert self.process.poll() is None, f"apache2 ended: {said}{self.error_log}"
        return self.ask("/server-status?auto", port=self.status_port).status == 200

    def stop(self) -> None:
        """SIGTERM to its parent process and wait; what is left of its group is killed."""
        process, self.process = self.process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self._end_another()

    def _end_another(self) -> None:
        """A `-k graceful` that came while it was ending has started a daemon of its own."""
        found = [
            each
            for each in psutil.process_iter(["cmdline"])
            if {str(self.conf), "graceful"} <= set(each.info["cmdline"] or ())
        ]
        for each in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.terminate()
        for each in psutil.wait_procs(found, 10)[1]:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()

    def kill(self) -> None:
        """SIGKILL to it and its workers, as a crash."""
        if self.process is not None:
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    @contextlib.contextmanager
    def running(self) -> Iterator[PrivateApache]:
        """Start it, and end it with everything it has started."""
        try:
            yield self.start()
        finally:
            self.stop()

    def graceful(self) -> None:
        """Reload it, and wait until the new generation answers."""
        before = self.generation()
        subprocess.run(self.argv("-k", "graceful"), check=True, capture_output=True)
        try:
            wait_until(lambda: self.generation() > before)
        except AssertionError as error:
            raise AssertionError(f"no generation after {before}: {self.error_log}") from error

    def test(self) -> str:
        """What `apache2 -t` says against the live files; "" when it takes them."""
        done = subprocess.run(self.argv("-t"), capture_output=True, text=True, check=False)
        return "" if done.returncode == 0 else done.stderr

    def generation(self) -> int:
        """How often its configuration has been read since the start, from 1; 0 without answer."""
        said = self.ask("/server-status?auto", port=self.status_port).body
        found = re.search(r"^ParentServerConfigGeneration: (\d+)", said, re.MULTILINE)
        return int(found[1]) if found else 0

    def ask(
        self,
        path: str = "/",
        host: str = "127.0.0.1",
        *,
        port: int = 0,
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
    ) -> Answer:
        """One request on a connection of its own."""
        where = port or self.port
        return ask(
            where, path, host, headers=headers, method=method, place=self.place, timeout_s=10.0
        )

    def wait_answer(self, path: str, host: str, body: str, timeout_s: float = PATIENCE_S) -> None:
        """Until a request is answered so."""
        wait_until(
            lambda: self.ask(path, host).body.strip() == body,
            timeout_s,
            lambda: f"{host}{path} says {self.ask(path, host)}, not {body!r}",
        )
