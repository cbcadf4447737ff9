"""The driver: a framework's side of the conversation with the master."""

from __future__ import annotations

import enum
import hashlib
import http.client
import json
import logging
import os
import random
import threading
import time
from collections import OrderedDict
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

from . import identity as identities
from .client import Client, Connection, addresses, shown
from .errors import CallError, SkepError, UnreachableError
from .messages import (
    FrameworkInfo,
    InverseOffer,
    Offer,
    TaskInfo,
    TaskProgress,
    TaskStatus,
)
from .scheduler import Scheduler

log = logging.getLogger("skep")

Offers = Union[str, Offer, Iterable[Union[str, Offer]]]
Filters = Optional[Union[float, Mapping[str, float]]]

_SCHEDULER = "/api/v1/scheduler"
_BLOBS = "/api/v1/blobs"
_STREAM_ID = "Skep-Stream-Id"
#: How long to wait before connecting again: doubled each time, up to the latter.
_PAUSE, _PAUSE_MAX = 0.2, 10.0
#: Heartbeats that may be missed before the stream counts as broken.
_HEARTBEATS_MISSED = 3
#: Tasks of one call, and bytes of them: the master takes 1000, and 4 MiB.
_TASKS_MAX, _BYTES_MAX = 1_000, 2 << 20
#: Ended attempts that are remembered, so that a repeated last update is not told twice.
_ENDED_MAX = 100_000
#: Refusals after which subscribing again does not help.
_FOR_GOOD = {"unknown_framework", "not_yours", "failed_over", "wrong_kind", "invalid"}


class Status(enum.Enum):
    """Why a driver has ended."""

    #: By :meth:`SchedulerDriver.stop`.
    STOPPED = "stopped"
    #: By :meth:`SchedulerDriver.abort`, or because the master does not take the framework.
    ABORTED = "aborted"


class _Live:
    """An attempt that has not ended, as far as the driver knows."""

    __slots__ = ("attempt", "seen")

    def __init__(self, attempt: int) -> None:
        self.attempt = attempt
        self.seen = 0


class SchedulerDriver:
    """Runs a scheduler: connects, calls it, passes its orders on, and reconnects.

    Orders may be given from any thread. One that is given while there is no connection, or that
    meets one that breaks, is dropped: it names offers that are void. The scheduler is told so by
    ``disconnected``, and of each task that got lost that way by its last update.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        framework_info: FrameworkInfo,
        master_url: Union[str, Sequence[str], None] = None,
        *,
        identity: Union[str, "os.PathLike[str]", None] = None,
        implicit_acknowledgements: bool = True,
    ) -> None:
        """``master_url``: one or several (or SKEP_MASTER); ``identity``: a folder of PEM files."""
        masters = addresses(master_url or os.environ.get("SKEP_MASTER") or "")
        folder = identities.find(identity, shown(masters[0]))
        self._client = Client(masters, identities.tls(folder))
        self._set_up(scheduler, framework_info, implicit_acknowledgements)

    def _set_up(
        self,
        scheduler: Scheduler,
        framework_info: FrameworkInfo,
        implicit_acknowledgements: bool,
    ) -> None:
        self._scheduler = scheduler
        self._info = framework_info
        self._implicit = implicit_acknowledgements
        self._framework: Optional[str] = framework_info.id
        self._restored = False
        self._run_number = random.SystemRandom().randrange(1, 1 << 53)
        self._connections = 0
        self._lock = threading.RLock()
        self._stream: Optional[str] = None
        self._connection: Optional[Connection] = None
        self._status: Optional[Status] = None
        self._woken = threading.Event()
        self._live: Dict[str, _Live] = {}
        self._ended: "OrderedDict[Tuple[str, int], bool]" = OrderedDict()
        self._overflow: Dict[str, List[Dict[str, Any]]] = {}
        self._modules: Dict[Tuple[str, int, int], str] = {}
        self._pushing = threading.Lock()

    @property
    def framework_id(self) -> Optional[str]:
        """The framework's id, once the master has given it one; to be kept by who resumes."""
        return self._framework

    # Running and ending.

    def run(self) -> Status:
        """Runs until it is stopped or aborted. An error of the scheduler's leaves it as it is."""
        pause = _PAUSE
        try:
            while self._status is None:
                try:
                    if self._converse():
                        pause = _PAUSE
                except UnreachableError as error:
                    log.warning("no master answers: %s", error)
                except SkepError as error:
                    self._refused(str(error))
                    break
                if self._status is None:
                    self._woken.wait(pause * random.uniform(0.5, 1.0))
                    pause = min(pause * 2, _PAUSE_MAX)
            return self._status or Status.ABORTED
        finally:
            self._status = self._status or Status.ABORTED
            self._hang_up()
            self._client.close()

    def stop(self, failover: bool = False) -> None:
        """Ends the driver; its framework is torn down, unless another instance is to take over."""
        if not failover:
            self._call("TEARDOWN", {})
        self._end(Status.STOPPED)

    def abort(self) -> None:
        """Ends the driver at once; no callback is called any more, and tasks go on."""
        self._end(Status.ABORTED)

    def _end(self, status: Status) -> None:
        with self._lock:
            if self._status is None:
                self._status = status
        self._woken.set()
        self._hang_up()

    def _hang_up(self) -> None:
        with self._lock:
            connection = self._connection
        if connection is not None:
            connection.cut()

    def _refused(self, message: str) -> None:
        self._scheduler.error(self, message)
        self._end(Status.ABORTED)

    # Orders.

    def launch_tasks(
        self, offer_id: Offers, tasks: Sequence[TaskInfo], filters: Filters = None
    ) -> None:
        """Launches tasks on one or several offers of one agent. What is left over goes back.

        More tasks than fit are queued at the agent. Each gets status updates, also one that is
        refused. ``filters``: for how many seconds not to offer what is left over again.
        """
        self.accept_offers(offer_id, [{"launch": {"tasks": list(tasks)}}], filters)

    def accept_offers(
        self, offer_ids: Offers, operations: Sequence[Mapping[str, Any]], filters: Filters = None
    ) -> None:
        """Does several things with offers of one agent, in order.

        Operations are those of docs/http-api.md, such as ``{"reserve": {"role": ..., "resources":
        ...}}``; tasks in ``{"launch": {"tasks": [...]}}`` may be :class:`TaskInfo`.
        """
        offers = _ids(offer_ids)
        prepared: List[Dict[str, Any]] = []
        launched: List[Dict[str, Any]] = []
        overflow: List[Dict[str, Any]] = []
        for operation in operations:
            operation = {key: value for key, value in operation.items() if key != "type"}
            if "launch" in operation:
                specs = self._specs(operation["launch"]["tasks"])
                if specs is None:
                    return
                first, *rest = list(_cut(specs)) or [[]]
                launched.extend(specs)
                overflow.extend(spec for part in rest for spec in part)
                operation = {"launch": {"tasks": first}}
            prepared.append(operation)
        if overflow and offers:
            with self._lock:
                self._overflow[offers[0]] = overflow
        body = {"offers": offers, "operations": prepared, "filters": _filters(filters)}
        self._launch("ACCEPT", body, launched)

    def decline_offer(self, offer_id: Offers, filters: Filters = None) -> None:
        """Gives offers back; ``filters``: for how many seconds not to offer the like (5)."""
        self._call("DECLINE", {"offers": _ids(offer_id), "filters": _filters(filters)})

    def enqueue_tasks(self, allocation_id: str, tasks: Sequence[TaskInfo]) -> None:
        """Launches more tasks under an allocation that has not ended."""
        self._enqueue(allocation_id, self._specs(tasks) or [])

    def _enqueue(self, allocation: str, specs: List[Dict[str, Any]]) -> None:
        for part in _cut(specs):
            self._launch("ENQUEUE", {"allocation": allocation, "tasks": part}, part)

    def _launch(self, kind: str, body: Dict[str, Any], specs: List[Dict[str, Any]]) -> None:
        try:
            self._call(kind, body)
        except CallError:
            # The caller is told at once that they do not live.
            with self._lock:
                for spec in specs:
                    self._live.pop(spec["task"], None)
            raise

    def kill_task(self, task_id: str) -> None:
        """Ends a task; its last update says so."""
        self._call("KILL", {"task": task_id})

    def send_framework_message(self, task_id: str, data: bytes) -> None:
        """Sends bytes to a running task, 64 KiB at most. They arrive at most once, in order.

        What the master cannot pass on, because the task does not run, is told by ``error``.
        """
        with self._lock:
            live = self._live.get(task_id)
        attempt = {"attempt": live.attempt} if live else {}
        self._call("MESSAGE", {"task": task_id, **attempt, "bytes": bytes(data).hex()})

    def suppress_offers(self, roles: Iterable[str] = ()) -> None:
        """No more offers, until they are revived."""
        self._call("SUPPRESS", {"roles": list(roles)})

    def revive_offers(self, roles: Iterable[str] = ()) -> None:
        """Offers again, and at once, also of what was declined: when there is new work.

        What the framework waits for is as much again as it said last.
        """
        self._call("REVIVE", {"roles": list(roles)})

    def reconcile_tasks(self, tasks: Iterable[Union[str, TaskStatus, TaskInfo]] = ()) -> None:
        """Asks where tasks stand: these, or all. The answers are status updates."""
        asked = []
        for task in tasks:
            if isinstance(task, str):
                live = self._live.get(task)
                asked.append({"task": task, "attempt": live.attempt if live else 1})
            else:
                asked.append({"task": task.task_id, "attempt": task.attempt})
        self._call("RECONCILE", {"tasks": asked})

    def acknowledge(self, status: TaskStatus) -> None:
        """Says that an update was dealt with. The driver does so by itself, unless told not to."""
        if status.seq > 0:
            self._acknowledge([(status.key, status.seq)])

    def _acknowledge(self, updates: Iterable[Tuple[Dict[str, Any], int]]) -> None:
        acknowledgements = [{"key": key, "seq": seq} for key, seq in updates]
        if acknowledgements:
            self._call("ACKNOWLEDGE", {"acknowledgements": acknowledgements})

    def answer_inverse_offer(self, offer_id: Offers, accepted: bool) -> None:
        """Says whether the framework will have left agents that are asked back."""
        self._call("ANSWER_INVERSE", {"offers": _ids(offer_id), "accepted": accepted})

    def save(self, entries: Mapping[str, Optional[bytes]]) -> None:
        """Keeps values at the master for the next instance; ``None`` forgets one.

        They are kept before anything that is ordered after this is carried out.
        """
        texts = {key: None if value is None else value.hex() for key, value in entries.items()}
        self._call("SAVE", {"entries": texts})

    def reply(self, question: int, message: bytes) -> None:
        """Answers a question of ``Scheduler.asked``."""
        self._call("REPLY", {"question": question, "message": message.hex()})

    def refuse(self, question: int, why: str) -> None:
        """Says why a question gets no answer."""
        self._call("REPLY", {"question": question, "refusal": why})

    def demand(
        self,
        least: Optional[Mapping[str, float]] = None,
        wants: Optional[Mapping[str, float]] = None,
        role: Optional[str] = None,
    ) -> None:
        """Says what the framework waits for; without ``least`` and ``wants``: whatever there is.

        Say it again when it has changed: what is launched on offers is waited for no more, and what
        was declined is offered again if it was for another ``least``.
        """
        body: Dict[str, Any] = {"role": role}
        if least is not None or wants is not None:
            body["demand"] = {"least": dict(least or {}), "wants": dict(wants or {})}
        self._call("DEMAND", body)

    def push_module(self, path: Union[str, "os.PathLike[str]"]) -> str:
        """Stores a file at the master, unless it has it, and names it by its digest."""
        path = os.path.realpath(path)
        with self._pushing, open(path, "rb") as file:
            stat = os.fstat(file.fileno())
            version = (path, stat.st_mtime_ns, stat.st_size)
            if version in self._modules:
                return self._modules[version]
            hasher = hashlib.sha256()
            for piece in iter(lambda: file.read(1 << 20), b""):
                hasher.update(piece)
            digest = f"sha256:{hasher.hexdigest()}"
            if not self._has_blob(digest):
                headers = {
                    "Content-Type": "application/octet-stream",
                    "Content-Length": str(stat.st_size),
                }
                answer = json.loads(self._client.request("PUT", _BLOBS, file, headers))
                if answer["digest"] != digest:
                    raise SkepError(f"{path} changed while it was pushed")
            self._modules[version] = digest
            return digest

    def _has_blob(self, digest: str) -> bool:
        try:
            self._client.request("HEAD", f"{_BLOBS}/{digest}")
            return True
        except CallError as error:
            if error.status == 404:
                return False
            raise

    def read_output(self, status: TaskStatus, stream: str = "stdout") -> bytes:
        """What a task wrote so far: its stdout, stderr, or core dump (``core``)."""
        key = status.key
        place = f"{key['framework']}/{key['task']}/{key['attempt']}/{stream}"
        return self._client.request("GET", f"/api/v1/tasks/{place}")

    def _specs(
        self, tasks: Sequence[Union[TaskInfo, Mapping[str, Any]]]
    ) -> Optional[List[Dict[str, Any]]]:
        """Tasks as a launch has them; None if the connection broke while a module was pushed."""
        specs: List[Dict[str, Any]] = []
        for task in tasks:
            if not isinstance(task, TaskInfo):
                specs.append(dict(task))
                continue
            digest = task.digest()
            try:
                digest = digest or self.push_module(task.module)
            except UnreachableError as error:
                log.info("a launch is dropped: %s", error)
                self._await(tasks)
                self._hang_up()
                return None
            specs.append(task.to_json(digest))
        self._await(tasks)
        # Named twice it is still one task, and has one end.
        once = {(spec["task"], spec.get("attempt", 1)): spec for spec in reversed(specs)}
        return list(reversed(list(once.values())))

    def _await(self, tasks: Iterable[Union[TaskInfo, Mapping[str, Any]]]) -> None:
        """From now on each ends in one last update."""
        with self._lock:
            for task in tasks:
                if isinstance(task, TaskInfo):
                    self._live[str(task.task_id)] = _Live(task.attempt)
                else:
                    self._live[task["task"]] = _Live(task.get("attempt", 1))

    def _call(self, kind: str, body: Dict[str, Any]) -> None:
        stream = self._stream
        if stream is None or self._status is not None:
            log.debug("%s is dropped: there is no connection", kind)
            return
        call = json.dumps({"type": kind, kind.lower(): body}).encode()
        headers = {"Content-Type": "application/json", _STREAM_ID: stream}
        try:
            self._client.request("POST", _SCHEDULER, call, headers)
        except CallError as error:
            # Streams that are not known, or have ended: the reader finds out, too.
            if error.status not in (404, 409):
                raise
            log.info("%s is dropped: %s", kind, error)
            self._hang_up()
        except UnreachableError as error:
            log.info("%s is dropped: %s", kind, error)
            self._hang_up()

    # Events.

    def _converse(self) -> bool:
        """One stream's worth of conversation; whether the master knew the framework."""
        self._connections += 1
        subscribe: Dict[str, Any] = {
            "run": self._run_number,
            "connection": self._connections,
            "info": self._info.to_json(),
        }
        if self._framework:
            subscribe["framework"] = self._framework
        call = {"type": "SUBSCRIBE", "subscribe": subscribe}
        connection, response = self._client.open(_SCHEDULER, call)
        with self._lock:
            self._overflow.clear()
            self._connection = connection
            self._stream = response.getheader(_STREAM_ID)
            # An end that came before there was something to hang up on.
            if self._status is not None:
                connection.cut()
        knew = False
        try:
            for event in self._events(connection, response):
                if self._status is not None:
                    return True
                knew = knew or event.get("type") == "SUBSCRIBED"
                self._handle(event)
        finally:
            with self._lock:
                self._stream = self._connection = None
            connection.close()
        if self._status is None:
            self._scheduler.disconnected(self)
        return knew

    def _events(
        self, connection: Connection, response: http.client.HTTPResponse
    ) -> Iterator[Dict[str, Any]]:
        """The events of a stream, until it breaks."""
        sock = connection.sock
        while True:
            try:
                line = response.readline()
            except (OSError, http.client.HTTPException, ValueError) as error:
                log.info("the stream broke: %s", error or type(error).__name__)
                return
            if not line.endswith(b"\n"):
                return
            event = json.loads(line)
            heartbeat = event.get("subscribed", {}).get("heartbeat_seconds")
            if heartbeat and sock is not None:
                sock.settimeout(heartbeat * _HEARTBEATS_MISSED)
            yield event

    def _handle(self, event: Dict[str, Any]) -> None:
        kind = event["type"]
        body = event.get(kind.lower(), {})
        scheduler = self._scheduler
        if kind == "SUBSCRIBED":
            self._subscribed(body["framework"], body.get("state", {}))
        elif kind == "OFFERS":
            scheduler.resource_offers(self, [Offer.from_json(raw) for raw in body["offers"]])
        elif kind == "RESCINDED":
            scheduler.offer_rescinded(self, body["offer"])
        elif kind == "ANSWERED":
            self._answered(body)
        elif kind == "STATUS_UPDATES":
            self._updated([TaskStatus.from_json(raw) for raw in body["updates"]])
        elif kind == "PROGRESSED":
            for raw in body["reports"]:
                scheduler.task_progress(self, TaskProgress.from_json(raw))
        elif kind == "INVERSE_OFFERS":
            offers = [InverseOffer.from_json(raw) for raw in body["offers"]]
            scheduler.inverse_offers(self, offers)
        elif kind == "ASKED":
            message = bytes.fromhex(body["message"])
            scheduler.asked(self, body["question"], message, body["by"])
        elif kind == "MESSAGE":
            data = bytes.fromhex(body["bytes"])
            scheduler.framework_message(self, body["key"]["task"], data)
        elif kind == "REFUSED":
            rejection = body["rejection"]
            if rejection["kind"] in _FOR_GOOD:
                self._refused(rejection["message"])
            else:
                scheduler.error(self, rejection["message"])

    def _subscribed(self, framework: str, state: Dict[str, str]) -> None:
        self._framework = framework
        if not self._restored:
            self._restored = True
            if state:
                kept = {key: bytes.fromhex(value) for key, value in state.items()}
                self._scheduler.restored(self, kept)
        with self._lock:
            live = [{"task": task, "attempt": of.attempt} for task, of in self._live.items()]
        # Launches may have been lost with the old connection: ask what became of them.
        if live:
            self._call("RECONCILE", {"tasks": live})
        self._scheduler.registered(self, framework)

    def _answered(self, body: Dict[str, Any]) -> None:
        answer = body["answer"]
        kind = answer["type"]
        detail = answer.get(kind.lower(), {})
        refused: List[Tuple[str, int, Dict[str, Any]]] = []
        if kind == "LAUNCHED":
            overflow = self._overflow.pop(body["offer"], []) if body["offer"] else []
            self._enqueue(detail["allocation"], overflow)
            refused = [(r["task"], r["attempt"], r["rejection"]) for r in detail["refused"]]
        elif kind == "REJECTED":
            rejection = detail["rejection"]
            refused = [(t["task"], t["attempt"], rejection) for t in detail["tasks"]]
            if refused and body["offer"]:
                overflow = self._overflow.pop(body["offer"], [])
                refused += [(s["task"], s.get("attempt", 1), rejection) for s in overflow]
            if not refused:
                self._scheduler.error(self, rejection["message"])
        self._updated([self._dropped(*task) for task in refused])

    def _dropped(self, task: str, attempt: int, rejection: Dict[str, Any]) -> TaskStatus:
        """What a scheduler is told of a task that was refused before any agent had it."""
        message = f"refused: {rejection['message']}"
        return TaskStatus(
            task_id=task,
            attempt=attempt,
            state="DROPPED",
            terminal=True,
            message=message,
            outcome={"kind": "refused", "message": message, "rejection": rejection},
            agent_id=None,
            source="master",
            timestamp=time.time(),
            usage={},
            result=b"",
            last_words="",
            seq=0,
            key={"framework": self._framework, "task": task, "attempt": attempt},
        )

    def _updated(self, updates: List[TaskStatus]) -> None:
        done: Dict[Tuple[str, int], Tuple[Dict[str, Any], int]] = {}
        try:
            for status in updates:
                if self._status is not None:
                    return
                if self._is_news(status):
                    self._scheduler.status_update(self, status)
                    self._note(status)
                elif self._is_back_unwanted(status):
                    self.kill_task(status.task_id)
                if status.seq > 0:
                    done[status.task_id, status.attempt] = (status.key, status.seq)
        finally:
            # Those before one that raised were dealt with.
            if self._implicit:
                self._acknowledge(done.values())

    def _is_news(self, status: TaskStatus) -> bool:
        """Whether the scheduler has not seen this yet."""
        with self._lock:
            if (status.task_id, status.attempt) in self._ended:
                return False
            live = self._live.get(status.task_id)
            if live is None or status.attempt > live.attempt:
                return True
            return status.attempt == live.attempt and not 0 < status.seq <= live.seen

    def _is_back_unwanted(self, status: TaskStatus) -> bool:
        """Whether an attempt that was called lost is back, after the scheduler has made up its
        mind: masters that were restarted cannot know that. Later attempts end it by themselves.

        Its agent's own updates say so too: the master has no word of its own for a framework that
        was away when the agent came back."""
        if status.terminal:
            return False
        with self._lock:
            by_master = self._ended.get((status.task_id, status.attempt))
            given_up = by_master is not None and (by_master or status.seq == 0)
            return given_up and status.task_id not in self._live

    def _note(self, status: TaskStatus) -> None:
        """Notes that the scheduler has seen it."""
        with self._lock:
            live = self._live.get(status.task_id)
            if status.terminal:
                self._ended[status.task_id, status.attempt] = status.seq == 0
                if len(self._ended) > _ENDED_MAX:
                    self._ended.popitem(last=False)
                # The scheduler may have launched the next attempt meanwhile.
                if live is not None and live.attempt <= status.attempt:
                    del self._live[status.task_id]
                return
            if live is None or live.attempt < status.attempt:
                live = self._live[status.task_id] = _Live(status.attempt)
            if live.attempt == status.attempt:
                live.seen = max(live.seen, status.seq)


def _ids(offers: Offers) -> List[str]:
    if isinstance(offers, (str, Offer)):
        offers = [offers]
    return [offer.id if isinstance(offer, Offer) else offer for offer in offers]


def _filters(filters: Filters) -> Dict[str, float]:
    if filters is None:
        return {}
    return dict(filters) if isinstance(filters, Mapping) else {"refuse_seconds": filters}


def _cut(specs: List[Dict[str, Any]]) -> Iterator[List[Dict[str, Any]]]:
    """The specs in as many lists as they need calls."""
    part: List[Dict[str, Any]] = []
    filled = 0
    for spec in specs:
        size = len(json.dumps(spec))
        if part and (len(part) == _TASKS_MAX or filled + size > _BYTES_MAX):
            yield part
            part, filled = [], 0
        part.append(spec)
        filled += size
    if part:
        yield part
