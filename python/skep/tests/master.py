"""A master that does what a test says, over HTTP without TLS."""

from __future__ import annotations

import hashlib
import json
import queue
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest import mock

import skep
from skep import client, driver, identity

PATIENCE = 20

END = object()


class Master:
    """Keeps the calls that come, and streams the events that it is given."""

    def __init__(self):
        self.calls = queue.Queue()
        self.streams = queue.Queue()
        self.blobs = {}
        self.puts = 0
        #: Where everybody is sent instead, if somewhere.
        self.leader = None
        #: The answer to every call but SUBSCRIBE.
        self.answer = (202, None)
        self._events = {}
        handler = type("Handler", (_Handler,), {"master": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"https://127.0.0.1:{self.server.server_port}"

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def subscription(self):
        """The next subscription, and where to put the events of its stream."""
        return self.streams.get(timeout=PATIENCE)

    def call(self, kind):
        """What the next call holds, which is of this type."""
        call = self.calls.get(timeout=PATIENCE)
        assert call["type"] == kind, call
        return call[kind.lower()]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    master: Master

    def log_message(self, *_):
        pass

    def setup(self):
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def reply(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_HEAD(self):
        self.reply(200 if self.path.rsplit("/", 1)[1] in self.master.blobs else 404)

    def do_PUT(self):
        body = self.body()
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        self.master.blobs[digest] = body
        self.master.puts += 1
        self.reply(200, json.dumps({"digest": digest}).encode())

    def do_POST(self):
        body = self.body()
        if self.master.leader:
            return self.reply(307, Location=self.master.leader + self.path)
        call = json.loads(body)
        if call["type"] == "SUBSCRIBE":
            return self.stream(call["subscribe"])
        status, error = self.master.answer
        self.reply(status, json.dumps(error).encode() if error else b"")
        call["stream"] = self.headers["Skep-Stream-Id"]
        self.master.calls.put(call)

    def stream(self, subscribe):
        events = queue.Queue()
        self.send_response(200)
        self.send_header("Skep-Stream-Id", f"s-{subscribe['connection']}")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.master.streams.put((subscribe, events))
        try:
            for event in iter(events.get, END):
                line = (json.dumps(event) + "\n").encode()
                # Chunks are not lines.
                for piece in (line[:5], line[5:]):
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            pass
        self.close_connection = True


def event(kind, **body):
    return {"type": kind, kind.lower(): body}


def subscribed():
    return event("SUBSCRIBED", framework="f-1", heartbeat_seconds=15.0)


def offers(*ids):
    keys = {"agent": "a", "hostname": "h", "role": "default", "resources": {"cpus": 4.0}}
    more = {"attributes": {}, "architecture": "x86_64", "enforces": [], "expires": 2_000_000}
    return event("OFFERS", offers=[{"id": id, **keys, **more} for id in ids])


def update(task, seq, state, terminal=False):
    raw = {"key": {"framework": "f-1", "task": task, "attempt": 1}, "seq": seq, "state": state}
    raw.update(terminal=terminal, source="executor", at=1_500_000)
    if terminal:
        raw["outcome"] = {"kind": "exited", "message": "exited with code 0", "code": 0}
        raw["result"] = "3432"
    return raw


def updates(*raw):
    return event("STATUS_UPDATES", updates=list(raw))


class Recorder(skep.Scheduler):
    """Keeps what it is told, and does what a test says."""

    def __init__(self):
        self.told = queue.Queue()
        self.on_offers = lambda driver, offers: None
        self.on_update = lambda driver, status: None

    def next(self):
        return self.told.get(timeout=PATIENCE)

    def registered(self, driver, framework_id):
        self.told.put(("registered", framework_id))

    def resource_offers(self, driver, offers):
        self.on_offers(driver, offers)

    def offer_rescinded(self, driver, offer_id):
        self.told.put(("rescinded", offer_id))

    def status_update(self, driver, status):
        self.told.put(("update", status.task_id, status.state))
        self.on_update(driver, status)

    def task_progress(self, driver, progress):
        self.told.put(("progress", progress.done, progress.total))

    def framework_message(self, driver, task_id, data):
        self.told.put(("message", task_id, data))

    def inverse_offers(self, driver, offers):
        self.told.put(("inverse", offers[0].start, offers[0].duration))

    def disconnected(self, driver):
        self.told.put(("disconnected",))

    def error(self, driver, message):
        self.told.put(("error", message))


def plain():
    """No TLS, no credentials, and no waiting."""
    patches = [
        mock.patch.object(client.Connection, "connect", client.http.client.HTTPConnection.connect),
        mock.patch.object(identity, "find", lambda *_: None),
        mock.patch.object(identity, "tls", lambda *_: None),
        mock.patch.object(driver, "_PAUSE", 0.01),
    ]
    return patches
