"""The scripts of the recipe keepalived, each by itself."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import threading
from pathlib import Path

import pytest

from pyconfd.config.shipped import RECIPES
from tests.support.recipes import laid_out

pytestmark = pytest.mark.integration

RECIPE = Path(RECIPES) / "keepalived"
SCRIPTS = RECIPE / "scripts"
EVENT = ["INSTANCE", "VI_1", "MASTER", "150"]
GOOD = """\
global_defs {
    enable_script_security
    script_user @USER@
}
vrrp_script well {
    script "/usr/bin/env true"
}
vrrp_instance VI_1 {
    interface eth0
    virtual_router_id 51
    priority 100
    track_script {
        well
    }
    virtual_ipaddress {
        10.55.0.100/24
    }
}
"""


def script(name: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run it as it is shipped."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    return subprocess.run(
        ["sh", str(SCRIPTS / name), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": path, **environ},
        check=False,
    )


def checked(tmp_path: Path, text: str) -> subprocess.CompletedProcess[str]:
    """What check-keepalived says of a file, where there is an eth0."""
    within = tmp_path / "within-net"
    within.write_text((RECIPE / "test" / "within-net").read_text())
    within.chmod(0o755)
    conf = tmp_path / "keepalived.conf"
    conf.write_text(text)
    return script("check-keepalived", str(conf), CHECK_WITHIN=str(within))


# Only root checks on behalf of another user.
USERS = pytest.mark.parametrize("user", ["root", "nobody"] if os.geteuid() == 0 else ["root"])


@USERS
def test_a_good_file_is_accepted_whoever_runs_the_scripts(tmp_path: Path, user: str) -> None:
    """keepalived's check ends itself by a signal for other users than root, and says nothing."""
    done = checked(tmp_path, GOOD.replace("@USER@", user))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@USERS
def test_a_faulty_file_is_refused_with_its_line(tmp_path: Path, user: str) -> None:
    """Whatever the exit status of keepalived was."""
    done = checked(tmp_path, GOOD.replace("@USER@", user).replace("51", "300"))
    assert done.returncode != 0
    assert "keepalived.conf: Line 10) (VI_1): VRID '300' not valid" in done.stdout


def test_a_file_without_an_instance_is_refused(tmp_path: Path) -> None:
    """keepalived takes an empty one, and one that is not there."""
    assert checked(tmp_path, "").returncode == 1
    assert "holds no vrrp_instance" in checked(tmp_path, "global_defs {\n}\n").stdout
    assert script("check-keepalived", str(tmp_path / "none")).returncode == 1


@pytest.mark.parametrize("mode", [None, 0o644, 0o755], ids=["absent", "no-program", "program"])
def test_a_notify_script_that_cannot_be_run_is_refused(tmp_path: Path, mode: int | None) -> None:
    """keepalived takes it in silence, and tells nobody when the address moves."""
    notified = tmp_path / "tell"
    if mode is not None:
        notified.write_text("#!/bin/sh\n")
        notified.chmod(mode)
    line = f'    interface eth0\n    notify "{notified}"\n'
    done = checked(tmp_path, GOOD.replace("@USER@", "root").replace("    interface eth0\n", line))
    if mode == 0o755:
        assert (done.returncode, done.stdout) == (0, "")
    else:
        assert done.returncode == 1
        assert (
            done.stdout
            == f"{tmp_path}/keepalived.conf:10: {notified} is no script that can be run\n"
        )


def test_a_check_that_cannot_be_run_is_refused_with_its_file(tmp_path: Path) -> None:
    """keepalived names the check and not what it misses, such as a pyconfd of another place."""
    done = checked(tmp_path, GOOD.replace("@USER@", "root").replace("/usr/bin/env", "/no/pyconfd"))
    assert done.returncode == 1
    assert (
        done.stdout == f"{tmp_path}/keepalived.conf:6: /no/pyconfd is no script that can be run\n"
    )


def test_without_keepalived_there_is_no_verdict_and_nothing_is_written(tmp_path: Path) -> None:
    """The program is not installed."""
    places = {"/etc/keepalived": f"{tmp_path}/etc"}
    confdir = laid_out("keepalived", tmp_path, places)
    bare = tmp_path / "bin"
    bare.mkdir()
    for name in ("grep", "sh"):
        (bare / name).symlink_to(f"/bin/{name}")
    source = ["--backend", "file", "--file", str(confdir.folder / "keys.json")]
    done = confdir.once(*source, environ={"PATH": str(bare)})
    assert done.returncode == 1
    assert "no verdict: command not found" in done.stderr
    assert "keepalived: not found; apt-get install keepalived" in done.stderr
    assert not (tmp_path / "etc" / "keepalived.conf").exists()


def test_nobody_else_is_told_to_reload(tmp_path: Path) -> None:
    """A pid file may be missing, empty, or name another process by now."""
    pidfile = tmp_path / "pid"
    assert script("reload-keepalived", str(pidfile)).returncode == 1
    for text in ("", str(os.getpid())):
        pidfile.write_text(text)
        done = script("reload-keepalived", str(pidfile))
        assert done.returncode == 1
        assert "is no keepalived" in done.stdout


def test_mail_is_sent_to_who_is_named(tmp_path: Path) -> None:
    """With the state in the subject; nobody is named by default."""
    sent = tmp_path / "sent"
    command = tmp_path / "mailer"
    command.write_text(f'#!/bin/sh\n{{ printf "%s|" "$@"; cat; }} >>{sent}\n')
    command.chmod(0o755)
    told = {"EVENT_NODE": "lb1", "EVENT_WAS": "BACKUP", "EVENT_SINCE": "now"}
    assert script("notify.d/mail", *EVENT, VRRP_MAIL_COMMAND=str(command)).returncode == 0
    assert not sent.exists()
    done = script("notify.d/mail", *EVENT, VRRP_MAIL_TO="ops@example.com",
                  VRRP_MAIL_COMMAND=str(command), **told)  # fmt: skip
    assert done.returncode == 0
    assert sent.read_text().startswith("-s|VRRP VI_1 is MASTER on lb1|ops@example.com|")
    assert "VI_1 is MASTER on lb1, priority 150\nbefore: BACKUP\n" in sent.read_text()


def test_the_webhook_posts_the_event_and_fails_when_it_is_not_taken() -> None:
    """An error of the other side is one of the hook, which is logged."""
    posted: list[bytes] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200 if self.path == "/good" else 500)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        event = json.dumps({"service": "VI_1", "state": "MASTER"})
        assert script("notify.d/webhook", *EVENT).returncode == 0
        good = script("notify.d/webhook", *EVENT, VRRP_WEBHOOK_URL=f"{url}/good", EVENT_JSON=event)
        assert good.returncode == 0, good.stderr
        bad = script("notify.d/webhook", *EVENT, VRRP_WEBHOOK_URL=f"{url}/bad", EVENT_JSON=event)
        assert bad.returncode != 0
        assert "500" in bad.stderr
    finally:
        server.shutdown()
        server.server_close()
    assert posted == [event.encode()] * 2
