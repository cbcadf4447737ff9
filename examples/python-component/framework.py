"""A framework in Python that the cluster hosts: a task on every offer, until there were enough.

The class is the one of ``examples/python/hello.py``; only the driver differs. README.md says how it
becomes a component.
"""

import sys

import skep
import skep.hosted
from wit_world import exports

TASKS = 3


class MyScheduler(skep.Scheduler):
    def __init__(self):
        self.launched = 0
        self.ended = 0

    def resource_offers(self, driver, offers):
        for offer in offers:
            if self.launched == TASKS or offer.resources.get("cpus", 0) < 1:
                driver.decline_offer(offer.id)
                continue
            self.launched += 1
            task = skep.TaskInfo(name="hello", module="hello.wasm", resources={"cpus": 1})
            driver.launch_tasks(offer.id, [task])

    def status_update(self, driver, status):
        print(status.task_id, status.state)
        sys.stdout.flush()
        self.ended += status.terminal
        if self.ended == TASKS:
            driver.stop()


class Run(exports.Run):
    def run(self):
        skep.hosted.HostedDriver(MyScheduler(), skep.FrameworkInfo(name="python")).run()
