"""The class that a framework extends."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Dict, List

if TYPE_CHECKING:
    from .driver import SchedulerDriver
    from .messages import InverseOffer, Offer, TaskProgress, TaskStatus

log = logging.getLogger("skep")


class Scheduler:
    """Decides what runs on offered resources.

    Callbacks come one at a time, in the order in which the master sent what caused them. Each may
    give orders through the driver.
    """

    def registered(self, driver: SchedulerDriver, framework_id: str) -> None:
        """The master knows the framework under this id: at first, and after each reconnection.

        Offers from before are void.
        """

    def restored(self, driver: SchedulerDriver, state: Dict[str, bytes]) -> None:
        """What an earlier instance kept by ``save``: once, before ``registered``."""

    def resource_offers(self, driver: SchedulerDriver, offers: List[Offer]) -> None:
        """Resources are offered: launch tasks on each offer, or decline it.

        An offer that is neither used nor declined is kept from everybody until it expires, so
        this declines them all.
        """
        driver.decline_offer([offer.id for offer in offers])

    def offer_rescinded(self, driver: SchedulerDriver, offer_id: str) -> None:
        """An offer is void."""

    def status_update(self, driver: SchedulerDriver, status: TaskStatus) -> None:
        """A task's state has changed. The update is acknowledged when this returns."""

    def inverse_offers(self, driver: SchedulerDriver, offers: List[InverseOffer]) -> None:
        """Agents are asked back on which the framework has tasks: move them in time."""

    def task_progress(self, driver: SchedulerDriver, progress: TaskProgress) -> None:
        """A running guest has told how far it is."""

    def framework_message(self, driver: SchedulerDriver, task_id: str, data: bytes) -> None:
        """A running task has sent bytes. They come in its order and may be lost."""

    def asked(self, driver: SchedulerDriver, question: int, message: bytes, by: str) -> None:
        """Somebody has a question or an order for the framework: answer by ``reply``."""
        driver.refuse(question, "this framework answers no questions")

    def disconnected(self, driver: SchedulerDriver) -> None:
        """The connection broke; the driver reconnects by itself. Tasks go on."""

    def error(self, driver: SchedulerDriver, message: str) -> None:
        """The master refused something. If it refuses the framework itself, the driver aborts."""
        log.error("%s", message)
