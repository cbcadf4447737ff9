"""HTTP with masters: TLS, redirects, and the choice of a master that answers."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union
from urllib.parse import urlsplit

try:
    import ssl
except ImportError:  # Within a component there is none, and no need of it.
    ssl = None  # type: ignore[assignment]

from .errors import CallError, SkepError, UnreachableError
from .identity import MASTER_NAME

PORT = 5050
#: How long connecting and an answer may take.
TIMEOUT = 30.0
#: How long a connection may be idle before it is not used again: the master hangs up after 30 s.
IDLE_MAX = 20.0
_REDIRECTS_MAX = 5

Address = Tuple[str, int]
#: Bytes, or a file that is open for reading.
Body = Any


def addresses(master: Union[str, Sequence[str]]) -> List[Address]:
    """The masters of a URL, of several with commas between, or of a list of them."""
    texts = master.split(",") if isinstance(master, str) else list(master)
    found = [_address(text.strip()) for text in texts if text.strip()]
    if not found:
        raise SkepError("no master is named: give its URL or set SKEP_MASTER")
    return found


def _address(text: str) -> Address:
    parts = urlsplit(text if "//" in text else f"https://{text}")
    try:
        host, port = parts.hostname, parts.port or PORT
    except ValueError:
        host, port = None, 0
    if parts.scheme != "https" or not host or parts.path not in ("", "/"):
        raise SkepError(f"{text!r} is no master: write https://HOST:PORT")
    return host, port


def shown(address: Address) -> str:
    """An address as skep writes it: ``host:port``, or ``[v6]:port``."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Connection(http.client.HTTPConnection):
    """HTTP over TLS with a master, whose certificate names no host but what it is."""

    def __init__(self, address: Address, context: ssl.SSLContext, timeout: float) -> None:
        super().__init__(address[0], address[1], timeout=timeout)
        self._context = context

    def connect(self) -> None:
        plain = socket.create_connection((self.host, self.port), self.timeout)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sock = self._context.wrap_socket(plain, server_hostname=MASTER_NAME)
        except BaseException:
            plain.close()
            raise

    def cut(self) -> None:
        """Ends it, also for a thread that is waiting for something to read."""
        sock = self.sock
        if sock is not None:
            try:
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            except OSError:
                pass


class Client:
    """Requests to whichever master leads. Safe to be used by several threads."""

    def __init__(self, masters: Sequence[Address], context: ssl.SSLContext) -> None:
        self._masters = list(masters)
        self._context = context
        self._leader = self._masters[0]
        self._lock = threading.Lock()
        self._kept: Optional[Connection] = None
        self._used = 0.0

    def open(self, path: str, call: Any) -> Tuple[Connection, http.client.HTTPResponse]:
        """Makes a call whose answer is a stream, on a connection of its own."""
        body = json.dumps(call).encode()
        headers = {"Content-Type": "application/json"}
        failures: List[str] = []
        others = [master for master in self._masters if master != self._leader]
        for master in [self._leader, *others]:
            try:
                connection, response, leader = self._go("POST", master, path, body, headers)
            except (OSError, http.client.HTTPException) as error:
                if isinstance(error, ssl.SSLCertVerificationError):
                    raise SkepError(
                        f"{shown(master)} is no master of this identity's cluster: {error}"
                    ) from error
                failures.append(f"{shown(master)}: {error or type(error).__name__}")
                continue
            if response.status == 200:
                with self._lock:
                    self._leader = leader
                    self._drop()
                return connection, response
            try:
                refusal = _error(response)
            finally:
                connection.close()
            if response.status < 500:
                raise refusal
            failures.append(f"{shown(leader)}: {refusal}")
        raise UnreachableError("; ".join(failures))

    def _go(
        self, method: str, master: Address, path: str, body: Any, headers: Dict[str, str]
    ) -> Tuple[Connection, http.client.HTTPResponse, Address]:
        for _ in range(_REDIRECTS_MAX):
            connection = Connection(master, self._context, TIMEOUT)
            try:
                connection.request(method, path, body, headers)
                response = connection.getresponse()
                if response.status != 307:
                    return connection, response, master
                master = _location(response)
            except BaseException:
                connection.close()
                raise
            connection.close()
        raise UnreachableError(f"{shown(master)}: the masters send us to each other")

    def request(
        self,
        method: str,
        path: str,
        body: Body = None,
        headers: Optional[Dict[str, str]] = None,
    ) -> bytes:
        """Makes a request to the leader; of a body that is a file, the whole is sent."""
        with self._lock:
            for _ in range(_REDIRECTS_MAX):
                response, answer = self._ask(method, path, body, headers or {})
                if response.status != 307:
                    break
                self._leader = _location(response)
                self._drop()
            if response.status == 503:
                raise UnreachableError(str(_error(response, answer)))
            if response.status >= 300:
                raise _error(response, answer)
            return answer

    def _ask(
        self, method: str, path: str, body: Body, headers: Dict[str, str]
    ) -> Tuple[http.client.HTTPResponse, bytes]:
        if self._kept is not None and time.monotonic() - self._used > IDLE_MAX:
            self._drop()
        while True:
            is_new = self._kept is None
            if self._kept is None:
                self._kept = Connection(self._leader, self._context, TIMEOUT)
            try:
                if body is not None and hasattr(body, "seek"):
                    body.seek(0)
                self._kept.request(method, path, body, headers)
                response = self._kept.getresponse()
                answer = response.read()
            except (OSError, http.client.HTTPException) as error:
                self._drop()
                # A connection that was idle may have been hung up on before it was used.
                idle = isinstance(error, (http.client.RemoteDisconnected, ConnectionError))
                if idle and not is_new:
                    continue
                message = f"{shown(self._leader)}: {error or type(error).__name__}"
                raise UnreachableError(message) from error
            self._used = time.monotonic()
            if response.will_close:
                self._drop()
            return response, answer

    def _drop(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def close(self) -> None:
        """Hangs up."""
        with self._lock:
            self._drop()


def _location(response: http.client.HTTPResponse) -> Address:
    parts = urlsplit(response.getheader("Location") or "")
    if parts.scheme != "https" or not parts.hostname:
        raise UnreachableError("a master sends us to where nothing can be reached")
    return parts.hostname, parts.port or PORT


def _error(response: http.client.HTTPResponse, answer: Optional[bytes] = None) -> SkepError:
    body = response.read() if answer is None else answer
    try:
        error = json.loads(body)["error"]
        words = [str(error[key]) for key in ("kind", "field", "why", "hint")]
    except (ValueError, KeyError, TypeError):
        words = ["unknown", "", f"HTTP status {response.status} {response.reason}", ""]
    return CallError(response.status, *words)
