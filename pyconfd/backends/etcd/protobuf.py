"""
The only import of grpc and protobuf: message classes and method descriptions, made from etcd3's.

The generated code inside etcd3 0.12.0 refuses every protobuf above 3.20. The descriptors in it
are sound, so they are read from the installed package as text, without importing it, and made
into classes in a pool of their own: no generated code is vendored, nothing is pinned, another
package's `rpc.proto` in the process does not clash. This takes some milliseconds.

Shell; its only state is what was imported. It has no behaviour of a client.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import sys
import threading
import types
from typing import Any

from pyconfd.errors import SourceRefused
from pyconfd.model.values import dataclass

_FILES = ("kv", "auth", "rpc")
_PACKAGE = "etcdserverpb"

# Fields that etcd has and the descriptors of etcd3 0.12.0 lack: (message, field, number, type).
# etcd api/etcdserverpb/rpc.proto; tests/backends/etcd/test_protobuf.py checks them on a server.
_INT64, _STRING = 3, 9
_ADDED = (
    ("WatchCreateRequest", "watch_id", 7, _INT64),
    ("StatusResponse", "errors", 8, _STRING),
)


@dataclass(frozen=True, slots=True)
class Method:
    """
    One call of etcd's API: its path, and how requests and responses are converted to and from
    bytes.
    """

    path: str
    request: Any
    response: Any


def load_grpc() -> Any:
    """
    The grpc module, imported with the settings this program needs.

    Fork support is off: with it, children started while calls are running sometimes fail.
    Verbosity is none: grpc writes to stderr on every failed handshake, and pyconfd reports these
    itself. grpc reads both once, at import; settings of the operator are kept.
    """
    with _importing:  # a module that another thread is importing is there and not complete
        grpc = sys.modules.get("grpc")
        if grpc is None:
            os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
            os.environ.setdefault("GRPC_VERBOSITY", "NONE")
            grpc = _import_without_asyncio() if _alone else importlib.import_module("grpc")
        return grpc


_alone = False
_importing = threading.Lock()
_making = threading.Lock()


def own_this_process() -> None:
    """
    Declare that nothing else in this process uses grpc or asyncio: the command line calls this.

    grpc imports asyncio for its asynchronous half, which is not used here and costs 40 of its
    90 ms of CPU at every start. In a host program that half must stay usable.
    """
    global _alone
    _alone = True


# The newest grpcio on which the import without asyncio was tried; newer ones get the plain one.
_TRIED = (1, 85)


def _import_without_asyncio() -> Any:
    if "asyncio" in sys.modules or not (0, 0) < _grpc_version() <= _TRIED:
        return importlib.import_module("grpc")
    sys.modules["asyncio"] = _NoAsyncio("asyncio")
    sys.modules["grpc.aio"] = types.ModuleType("grpc.aio")
    try:
        return importlib.import_module("grpc")
    finally:
        # Whoever imports asyncio later gets the real one.
        del sys.modules["asyncio"], sys.modules["grpc.aio"]


class _NoAsyncio(types.ModuleType):
    """Stands for asyncio, and has any class that the import of grpc needs from it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def _grpc_version() -> tuple[int, ...]:
    """(1, 85) of the installed grpcio, read as text; (0, 0) when it cannot be found."""
    spec = importlib.util.find_spec("grpc")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        try:
            with open(os.path.join(folder, "_grpcio_metadata.py"), encoding="utf-8") as file:
                major, minor, *_ = file.read().split('"""')[1].split(".")
            return int(major), int(minor)
        except (OSError, IndexError, ValueError):
            break
    return 0, 0


def message(name: str) -> Any:
    """The message class with this name, such as "RangeRequest" or "mvccpb.KeyValue"."""
    with _making:  # two threads must not get two classes of one name
        return _message(name)


def method(name: str) -> Method:
    """The method `name`, such as "KV/Range"."""
    with _making:
        return _method(name)


@functools.cache
def _message(name: str) -> Any:
    full = name if "." in name else f"{_PACKAGE}.{name}"
    return _message_class(_pool().FindMessageTypeByName(full))


@functools.cache
def _method(name: str) -> Method:
    service, call = name.split("/")
    described = _pool().FindServiceByName(f"{_PACKAGE}.{service}").methods_by_name[call]
    return Method(
        f"/{_PACKAGE}.{name}",
        _message_class(described.input_type),
        _message_class(described.output_type),
    )


def _message_class(descriptor: Any) -> Any:
    from google.protobuf import message_factory

    return message_factory.GetMessageClass(descriptor)


@functools.cache
def _pool() -> Any:
    """A pool with etcd's three files and the added fields."""
    from google.protobuf import descriptor_pb2, descriptor_pool

    pool = descriptor_pool.DescriptorPool()
    folder = _etcd3_folder()
    for name in _FILES:
        described = descriptor_pb2.FileDescriptorProto.FromString(_serialized(folder, name))
        if name == "rpc":
            _add_fields(described)
        pool.AddSerializedFile(described.SerializeToString())
    return pool


def _etcd3_folder() -> str:
    spec = importlib.util.find_spec("etcd3")
    if spec is None or not spec.submodule_search_locations:
        raise SourceRefused("the etcd3 package is not installed", hint="pip install etcd3")
    return str(spec.submodule_search_locations[0])


def _serialized(folder: str, name: str) -> bytes:
    r"""The descriptor in `etcdrpc/<name>_pb2.py`: the literal in `serialized_pb=_b('...')`."""
    path = os.path.join(folder, "etcdrpc", f"{name}_pb2.py")
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        literal = text.split("serialized_pb=_b('", 1)[1].split("')\n", 1)[0]
    except (OSError, IndexError):
        raise SourceRefused(
            "the installed etcd3 package has a shape that is not known here",
            where=path,
            hint="pip install 'etcd3==0.12.0'",
        ) from None
    return literal.encode("ascii").decode("unicode_escape").encode("latin-1")


def _add_fields(described: Any) -> None:
    """Give the messages of rpc.proto the fields of `_ADDED` and the progress request."""
    messages = {each.name: each for each in described.message_type}
    for owner, field, number, kind in _ADDED:
        if all(known.name != field for known in messages[owner].field):
            label = 3 if kind == _STRING else 1  # the only string added is a repeated one
            messages[owner].field.add(name=field, number=number, type=kind, label=label)
    request = messages["WatchRequest"]
    if all(known.name != "progress_request" for known in request.field):
        described.message_type.add(name="WatchProgressRequest")
        request.field.add(
            name="progress_request",
            number=3,
            type=11,
            label=1,
            type_name=f".{_PACKAGE}.WatchProgressRequest",
            oneof_index=0,
        )
