"""Schedulers for skep, a cluster for WebAssembly tasks, in the manner of Mesos."""

from .driver import SchedulerDriver, Status
from .errors import CallError, IdentityError, SkepError, UnreachableError
from .messages import (
    FrameworkInfo,
    InverseOffer,
    Offer,
    TaskInfo,
    TaskProgress,
    TaskStatus,
)
from .scheduler import Scheduler

__all__ = [
    "CallError",
    "FrameworkInfo",
    "IdentityError",
    "InverseOffer",
    "Offer",
    "Scheduler",
    "SchedulerDriver",
    "SkepError",
    "Status",
    "TaskInfo",
    "TaskProgress",
    "TaskStatus",
    "UnreachableError",
]
