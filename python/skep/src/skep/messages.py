"""What schedulers and masters tell each other."""

from __future__ import annotations

import os
import re
import uuid
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Union

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")


@dataclass
class FrameworkInfo:
    """Who a framework is and where it stands in the sharing tree."""

    #: What people read in lists.
    name: str
    #: The role it asks in; "default" if none is given.
    role: Optional[str] = None
    #: Other roles it asks in.
    more_roles: Sequence[str] = ()
    #: What it can deal with: "revocable" resources, agents in other regions ("region_aware").
    capabilities: Sequence[str] = ()
    #: Which offers are of use to it, by role: see docs/http-api.md.
    wishes: Mapping[str, Any] = field(default_factory=dict)
    #: Seconds for which its tasks live on when its connection is broken; a week if none is given.
    failover_timeout: Optional[float] = None
    #: The id of an earlier instance, to take over from it.
    id: Optional[str] = None

    def to_json(self) -> Dict[str, Any]:
        """As a subscription has it."""
        info: Dict[str, Any] = {"name": self.name}
        if self.role is not None:
            info["role"] = self.role
        if self.more_roles:
            info["more_roles"] = list(self.more_roles)
        if self.capabilities:
            info["capabilities"] = list(self.capabilities)
        if self.wishes:
            info["wishes"] = dict(self.wishes)
        if self.failover_timeout is not None:
            info["failover_timeout"] = self.failover_timeout
        return info


@dataclass
class TaskInfo:
    """A task to launch."""

    #: What the guest is called: its argv[0], and what people read in lists.
    name: str
    #: The path of a module, which is pushed once, or the digest of one that the master has.
    module: Union[str, "os.PathLike[str]"]
    #: What it needs: cpus (1 if left out), mem in MiB (64 if left out; the hard limit), others.
    resources: Mapping[str, float] = field(default_factory=dict)
    #: The guest's arguments behind argv[0].
    args: Sequence[str] = ()
    #: The guest's environment.
    env: Mapping[str, str] = field(default_factory=dict)
    #: Unique within the framework; made up if it is left out.
    task_id: Optional[str] = None
    #: Which start of it.
    attempt: int = 1
    #: Its place in an array, if it has one.
    index: Optional[int] = None
    #: What it may use at most: see docs/http-api.md. Durations are seconds.
    limits: Mapping[str, Any] = field(default_factory=dict)
    #: What it may see of the world, besides ``env``: see docs/http-api.md.
    grants: Mapping[str, Any] = field(default_factory=dict)
    #: What is done about it in trouble: see docs/http-api.md.
    policies: Mapping[str, Any] = field(default_factory=dict)
    #: What lies in its own folder when it starts, by the path there: the digest of a blob, or a
    #: mapping with "digest" and "form" ("file", or "folder" for a tar). The folder is granted.
    inputs: Mapping[str, Union[str, Mapping[str, str]]] = field(default_factory=dict)
    #: The paths of files and folders there that are stored at the master when it has ended by
    #: itself; with ``*`` and ``?``, all that has such a name, as a folder. The folder is granted.
    outputs: Sequence[str] = ()
    #: Free text for people and tools.
    labels: Mapping[str, str] = field(default_factory=dict)
    #: Any other key of a task spec, such as "terms" or "checkpoint".
    more: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.task_id is None:
            plain = re.sub(r"[^A-Za-z0-9_.-]", "_", self.name).lstrip(".-")[:64] or "task"
            self.task_id = f"{plain}-{uuid.uuid4().hex[:16]}"

    def digest(self) -> Optional[str]:
        """The module's digest, if it was given as one."""
        module = self.module
        return module if isinstance(module, str) and _DIGEST.match(module) else None

    def to_json(self, digest: str) -> Dict[str, Any]:
        """As a launch has it, with the digest that the module has."""
        spec: Dict[str, Any] = dict(self.more)
        spec.update(task=self.task_id, attempt=self.attempt, module=digest, name=self.name)
        if self.index is not None:
            spec["index"] = self.index
        grants = dict(self.grants)
        if self.env:
            grants["env"] = {**grants.get("env", {}), **self.env}
        if self.inputs or self.outputs:
            dirs = list(grants.get("dirs", []))
            if not any(one.get("source") == "sandbox" for one in dirs):
                dirs.append({"source": "sandbox", "guest": "."})
            grants["dirs"] = dirs
        if self.inputs:
            spec["inputs"] = [_input(guest, blob) for guest, blob in self.inputs.items()]
        if self.outputs:
            spec["outputs"] = [{"guest": guest} for guest in self.outputs]
        for key, value in (
            ("resources", self.resources),
            ("limits", self.limits),
            ("grants", grants),
            ("policies", self.policies),
            ("labels", self.labels),
        ):
            if value:
                spec[key] = dict(value)
        if self.args:
            spec["args"] = list(self.args)
        return spec


def _input(guest: str, blob: Union[str, Mapping[str, str]]) -> Dict[str, str]:
    return {"digest": blob, "guest": guest} if isinstance(blob, str) else {**blob, "guest": guest}


@dataclass(frozen=True)
class Delivered:
    """An output of a task: a blob that the master has."""

    #: What the task's spec calls it.
    guest: str
    digest: str
    #: Its size in bytes.
    size: int
    #: "file", or "folder": its bytes are a tar.
    form: str


@dataclass(frozen=True)
class Offer:
    """Resources of one agent, offered in one role; usable once."""

    id: str
    agent_id: str
    hostname: str
    role: str
    #: How much, by name: cpus, mem and disk in MiB, others.
    resources: Dict[str, float]
    attributes: Dict[str, str]
    architecture: str
    #: The names of the limits and grants that the agent can enforce.
    enforces: List[str]
    #: When it is void if not answered, in seconds since 1970.
    expires: float
    #: All of it, as the master sent it.
    raw: Dict[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, raw: Dict[str, Any]) -> Offer:
        """Reads what a master sent."""
        return cls(
            id=raw["id"],
            agent_id=raw["agent"],
            hostname=raw["hostname"],
            role=raw["role"],
            resources=raw["resources"],
            attributes=raw["attributes"],
            architecture=raw["architecture"],
            enforces=raw["enforces"],
            expires=raw["expires"] / 1e6,
            raw=raw,
        )


@dataclass(frozen=True)
class InverseOffer:
    """An agent is asked back: who has tasks there should move them before the window begins."""

    id: str
    agent_id: str
    hostname: str
    #: When it will not be there, in seconds since 1970.
    start: float
    #: For how many seconds; None: until further notice.
    duration: Optional[float]

    @classmethod
    def from_json(cls, raw: Dict[str, Any]) -> InverseOffer:
        """Reads what a master sent."""
        window = raw["window"]
        start, duration = window["from"] / 1e6, window["lasts"]
        return cls(raw["id"], raw["agent"], raw["hostname"], start, duration)


@dataclass(frozen=True)
class TaskStatus:
    """A change of a task's state."""

    task_id: str
    attempt: int
    #: STAGING, STARTING, RUNNING, PAUSED, UNREACHABLE, or one that is terminal: FINISHED, FAILED,
    #: KILLED, ERROR, DROPPED, LOST.
    state: str
    #: Whether nothing can follow.
    terminal: bool
    #: One sentence about the end, if it has ended.
    message: str
    #: The end in detail, if it has ended: its ``kind`` and what that names.
    outcome: Optional[Dict[str, Any]]
    agent_id: Optional[str]
    #: Who says so: master, agent or executor.
    source: str
    #: When it happened, in seconds since 1970.
    timestamp: float
    #: What it used, if it has ended: fuel, cpu and wall in seconds, memory_bytes_peak, ...
    usage: Dict[str, Any]
    #: The value that the guest returned.
    result: bytes
    #: The end of its stderr, if it did not end well.
    last_words: str
    #: Its number within the attempt; 0: not to be acknowledged.
    seq: int
    #: What names the attempt in calls.
    key: Dict[str, Any]
    #: The outputs of its spec that it has left, however it has ended.
    outputs: List[Delivered] = field(default_factory=list)
    #: Those that it has not, or that could not be delivered: why, by their names.
    missing: Dict[str, str] = field(default_factory=dict)

    @property
    def succeeded(self) -> bool:
        """Whether the guest ended by itself with exit code 0."""
        return self.state == "FINISHED"

    @classmethod
    def from_json(cls, raw: Dict[str, Any]) -> TaskStatus:
        """Reads what a master sent."""
        outcome = raw.get("outcome")
        return cls(
            task_id=raw["key"]["task"],
            attempt=raw["key"]["attempt"],
            state=raw["state"],
            terminal=raw["terminal"],
            message=outcome["message"] if outcome else "",
            outcome=outcome,
            agent_id=raw.get("agent"),
            source=raw["source"],
            timestamp=raw["at"] / 1e6,
            usage=raw.get("usage") or {},
            result=bytes.fromhex(raw.get("result", "")),
            last_words=raw.get("last_words", ""),
            seq=raw["seq"],
            key=raw["key"],
            outputs=[
                Delivered(one["guest"], one["digest"], one["size"], one.get("form", "file"))
                for one in raw.get("outputs", [])
            ],
            missing={one["guest"]: one["why"] for one in raw.get("missing", [])},
        )


@dataclass(frozen=True)
class TaskProgress:
    """How far a running guest says it is."""

    task_id: str
    attempt: int
    done: int
    #: 0 if it is not known.
    total: int
    message: str

    @classmethod
    def from_json(cls, raw: Dict[str, Any]) -> TaskProgress:
        """Reads what a master sent."""
        key = raw["key"]
        return cls(key["task"], key["attempt"], raw["done"], raw["total"], raw["message"])
