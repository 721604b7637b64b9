"""The token of calls to etcd: fetched once, and forgotten when it is refused. Shell."""

from __future__ import annotations

import math
import threading

from pyconfd.backends.base import SourceOptions
from pyconfd.backends.etcd.errors import authentication_disabled
from pyconfd.backends.etcd.link import Link
from pyconfd.backends.etcd.protobuf import load_grpc, message

Metadata = tuple[tuple[str, str], ...]

# In the place of a token while the store has authentication switched off.
_NO_AUTH = "-"


class Login:
    """
    One user's token. May be used from any thread.

    token: empty before the first login and after a refusal.
    """

    def __init__(self, options: SourceOptions) -> None:
        self._options = options
        self._lock = threading.Lock()
        self.token = ""

    def metadata(self, link: Link, timeout_s: float = math.inf) -> Metadata:
        """
        The token for a call. If there is none, logs in within `timeout_s`.

        It is plain metadata, not grpc's call credentials, which grpc refuses without TLS.
        """
        if not self._options.username:
            return ()
        if not self.token:
            with self._lock:
                if not self.token:
                    self.token = self._log_in(link, timeout_s)
        return (("token", self.token),) if self.token != _NO_AUTH else ()

    def forget(self, used: str = "") -> None:
        """Log in again at the next call, unless another thread has done so since `used`."""
        with self._lock:
            if used in ("", self.token):
                self.token = ""

    def _log_in(self, link: Link, timeout_s: float) -> str:
        grpc = load_grpc()
        options = self._options
        limit_s = max(0.0, min(timeout_s, options.dial_timeout_s))
        request = message("AuthenticateRequest")(name=options.username, password=options.password)
        try:
            answer = link.unary("Auth/Authenticate")(request, timeout=limit_s)
        except grpc.RpcError as error:
            if authentication_disabled(error.details() or ""):
                return _NO_AUTH
            raise link.translate(error).error from None
        return str(answer.token)
