"""The smallest framework in Python: a task on every offer, until there were enough.

    skep dev -- python3 examples/python/hello.py
    python3 examples/python/hello.py https://HOST:5050

Runs hello.wasm of the folder it is started in, or the one of the examples.
"""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
try:
    import skep
except ImportError:
    sys.path.insert(0, str(HERE / "../../python/skep/src"))
    import skep

MODULE = next(p for p in (Path("hello.wasm"), HERE / "../hello/hello.wasm") if p.exists())


class HelloScheduler(skep.Scheduler):
    def __init__(self, tasks):
        self.to_launch = self.to_end = tasks

    def resource_offers(self, driver, offers):
        for offer in offers:
            if self.to_launch == 0:
                driver.decline_offer(offer.id, filters=60)
                continue
            self.to_launch -= 1
            task = skep.TaskInfo(name="hello", module=MODULE, resources={"cpus": 1})
            driver.launch_tasks(offer.id, [task])

    def status_update(self, driver, status):
        print(status.task_id, status.state, status.message, flush=True)
        if status.terminal:
            if status.state not in ("DROPPED", "ERROR"):
                print(driver.read_output(status).decode(errors="replace"), end="")
            self.to_end -= 1
            if self.to_end == 0:
                driver.stop()


tasks = int(os.environ.get("HELLO_TASKS", "3"))
master = sys.argv[1] if len(sys.argv) > 1 else None
skep.SchedulerDriver(HelloScheduler(tasks), skep.FrameworkInfo(name="hello"), master).run()
