"""For a scheduler that is a component and runs in the cluster: ``skep framework run``.

The same scheduler as outside; what differs is the driver. Compile with componentize-py, with the
world ``framework`` of ``wit/skep.wit``::

    class Run(exports.Run):
        def run(self):
            skep.hosted.HostedDriver(MyScheduler(), skep.FrameworkInfo(name="mine")).run()

Modules are those that were bundled (``--file``), by their names.
"""

from __future__ import annotations

import json
import os
from typing import Any, Dict, Optional, Union

# There within a component only, and only while it is being made.
try:
    from wit_world.imports import conversation, guest  # type: ignore[import-not-found]
except ImportError:
    conversation = guest = None

from .driver import SchedulerDriver, Status
from .errors import SkepError
from .messages import FrameworkInfo
from .scheduler import Scheduler

#: How long to wait before subscribing again, doubled each time, up to the latter.
_PAUSE, _PAUSE_MAX = 0.2, 5.0
#: How long to wait for an event before looking whether this task is told to end.
_LOOK_MILLIS = 60_000


class HostedDriver(SchedulerDriver):
    """A :class:`SchedulerDriver` that speaks through its task's host."""

    def __init__(
        self,
        scheduler: Scheduler,
        framework_info: FrameworkInfo,
        *,
        implicit_acknowledgements: bool = True,
    ) -> None:
        if guest is None:
            raise SkepError("this is for a component: see examples/python-component")
        self._host, self._guest = conversation, guest
        named = os.environ.get("FRAMEWORK_NAME")
        role = os.environ.get("FRAMEWORK_ROLE")
        if named:
            framework_info.name = named
        if role:
            framework_info.role = role
        self._set_up(scheduler, framework_info, implicit_acknowledgements)
        lines = os.environ.get("FRAMEWORK_BUNDLE", "").splitlines()
        self._bundle = {name: digest for digest, name in (line.split(" ", 1) for line in lines)}

    def run(self) -> Status:
        """Runs until it is stopped or aborted, or its task is told to end."""
        pause = _PAUSE
        while self._status is None and not self._guest.cancelled(0):
            if self._talk():
                pause = _PAUSE
            if self._status is None:
                self._guest.cancelled(int(pause * 1000))
                pause = min(pause * 2, _PAUSE_MAX)
        return self._status or Status.STOPPED

    def push_module(self, path: Union[str, "os.PathLike[str]"]) -> str:
        """The digest of a module that was bundled, by its file's name."""
        name = os.path.basename(os.fspath(path))
        if name not in self._bundle:
            raise SkepError(f"{name} was not bundled: skep framework run --file {name} ...")
        return self._bundle[name]

    def _talk(self) -> bool:
        """One conversation; whether the master said anything."""
        self._connections += 1
        heard = False
        self._stream = "hosted"
        info = self._info.to_json()
        subscribe = {"run": self._run_number, "connection": self._connections, "info": info}
        self._call("SUBSCRIBE", subscribe)
        while self._stream is not None and self._status is None:
            event = self._next_event()
            if event is not None:
                heard = True
                self._handle(event)
            elif self._guest.cancelled(0):
                return heard
        if self._status is None:
            self._scheduler.disconnected(self)
        return heard

    def _next_event(self) -> Optional[Dict[str, Any]]:
        try:
            text = self._host.event_json(_LOOK_MILLIS)
        except Exception as error:  # The exception's class is made by componentize-py.
            if getattr(error, "value", None) == self._guest.Refusal.NOT_GRANTED:
                raise SkepError("start this with skep framework run") from error
            self._stream = None
            return None
        return json.loads(text) if text else None

    def _call(self, kind: str, body: Dict[str, Any]) -> None:
        if self._stream is None or self._status is not None:
            return
        try:
            self._host.call_json(json.dumps({"type": kind, kind.lower(): body}))
        except Exception as error:  # As above: the value is why, in words.
            why = str(getattr(error, "value", error))
            if "subscribe" not in why:
                raise SkepError(why) from error
            self._stream = None

    def _hang_up(self) -> None:
        self._stream = None
