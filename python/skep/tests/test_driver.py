"""What the driver says to a master, and what it tells a scheduler."""

import os
import tempfile
import threading
import unittest

import skep

from master import (
    END,
    Master,
    Recorder,
    event,
    offers,
    plain,
    subscribed,
    update,
    updates,
)

DIGEST = "sha256:" + "0" * 64


class DriverTest(unittest.TestCase):
    def setUp(self):
        for patch in plain():
            patch.start()
            self.addCleanup(patch.stop)
        self.master = Master()
        self.addCleanup(self.master.stop)
        self.scheduler = Recorder()
        self.start()

    def start(self):
        info = skep.FrameworkInfo(name="test", role="eng", failover_timeout=60)
        self.driver = skep.SchedulerDriver(self.scheduler, info, self.master.url)
        self.ended = []
        self.thread = threading.Thread(target=self.run_driver, daemon=True)
        self.thread.start()
        self.addCleanup(self.finish)

    def run_driver(self):
        try:
            self.ended.append(self.driver.run())
        except Exception as error:
            self.ended.append(error)

    def finish(self):
        self.driver.abort()
        self.thread.join(20)
        self.assertFalse(self.thread.is_alive())

    def subscribed(self):
        subscribe, events = self.master.subscription()
        events.put(subscribed())
        self.assertEqual(self.scheduler.next(), ("registered", "f-1"))
        return subscribe, events

    def test_a_subscription_says_who_it_is(self):
        subscribe, _ = self.subscribed()
        info = {"name": "test", "role": "eng", "failover_timeout": 60}
        self.assertEqual(subscribe["info"], info)
        self.assertNotIn("framework", subscribe)
        self.assertEqual(subscribe["connection"], 1)
        self.assertEqual(self.driver.framework_id, "f-1")

    def test_a_module_is_pushed_once_and_tasks_have_ids(self):
        file = tempfile.NamedTemporaryFile(suffix=".wasm", delete=False)
        self.addCleanup(os.unlink, file.name)
        file.write(b"\0asm")
        file.close()

        def launch(driver, offers):
            for offer in offers:
                task = skep.TaskInfo(name="hello", module=file.name, args=["a"], env={"K": "v"})
                driver.launch_tasks(offer.id, [task], filters=5)

        self.scheduler.on_offers = launch
        _, events = self.subscribed()
        events.put(offers("o-1", "o-2"))
        specs = []
        for offer in ("o-1", "o-2"):
            accept = self.master.call("ACCEPT")
            self.assertEqual(accept["offers"], [offer])
            self.assertEqual(accept["filters"], {"refuse_seconds": 5})
            specs += accept["operations"][0]["launch"]["tasks"]
        self.assertEqual(self.master.puts, 1)
        digest = next(iter(self.master.blobs))
        for spec in specs:
            self.assertEqual(spec["module"], digest)
            self.assertEqual((spec["name"], spec["args"]), ("hello", ["a"]))
            self.assertEqual(spec["grants"], {"env": {"K": "v"}})
            self.assertTrue(spec["task"].startswith("hello-"))
        self.assertNotEqual(specs[0]["task"], specs[1]["task"])

    def test_updates_are_told_once_and_acknowledged_together(self):
        _, events = self.subscribed()
        running, ended = update("t", 1, "RUNNING"), update("t", 2, "FINISHED", True)
        events.put(updates(running, running, ended))
        self.assertEqual(self.scheduler.next(), ("update", "t", "RUNNING"))
        self.assertEqual(self.scheduler.next(), ("update", "t", "FINISHED"))
        acknowledged = [{"key": ended["key"], "seq": 2}]
        self.assertEqual(self.master.call("ACKNOWLEDGE"), {"acknowledgements": acknowledged})
        events.put(updates(ended))
        self.assertEqual(self.master.call("ACKNOWLEDGE"), {"acknowledgements": acknowledged})
        events.put(event("RESCINDED", offer="o-1"))
        self.assertEqual(self.scheduler.next(), ("rescinded", "o-1"))

    def test_a_task_that_was_called_lost_is_killed_when_it_turns_up(self):
        _, events = self.subscribed()
        events.put(updates(update("t", 0, "LOST", True)))
        self.assertEqual(self.scheduler.next(), ("update", "t", "LOST"))
        for seq in (0, 1):
            events.put(updates(update("t", seq, "RUNNING")))
            self.assertEqual(self.master.call("KILL"), {"task": "t"})

    def test_a_task_and_the_scheduler_send_each_other_messages(self):
        _, events = self.subscribed()
        running = update("t", 1, "RUNNING")
        running["key"]["attempt"] = 2
        events.put(updates(running))
        self.assertEqual(self.scheduler.next(), ("update", "t", "RUNNING"))
        self.master.call("ACKNOWLEDGE")
        events.put(event("MESSAGE", key=running["key"], bytes="00ff"))
        self.assertEqual(self.scheduler.next(), ("message", "t", b"\x00\xff"))
        self.driver.send_framework_message("t", b"\xff\x00")
        sent = {"task": "t", "attempt": 2, "bytes": "ff00"}
        self.assertEqual(self.master.call("MESSAGE"), sent)
        self.driver.send_framework_message("unknown", b"")
        self.assertEqual(self.master.call("MESSAGE"), {"task": "unknown", "bytes": ""})
        rejection = {"kind": "undelivered", "message": "the message was dropped"}
        events.put(event("REFUSED", rejection=rejection))
        self.assertEqual(self.scheduler.next(), ("error", "the message was dropped"))
        events.put(event("RESCINDED", offer="o-1"))
        self.assertEqual(self.scheduler.next(), ("rescinded", "o-1"))

    def test_an_update_whose_callback_fails_is_not_acknowledged(self):
        def fail(_, status):
            if status.seq == 2:
                raise KeyError("a fault of the scheduler")

        self.scheduler.on_update = fail
        _, events = self.subscribed()
        events.put(updates(update("t", 1, "RUNNING"), update("t", 2, "FINISHED", True)))
        self.assertEqual(self.master.call("ACKNOWLEDGE")["acknowledgements"][0]["seq"], 1)
        self.thread.join(20)
        self.assertIsInstance(self.ended[0], KeyError)

    def test_a_status_has_what_the_master_said(self):
        seen = []
        self.scheduler.on_update = lambda _, status: seen.append(status)
        _, events = self.subscribed()
        events.put(updates(update("t", 1, "FINISHED", True)))
        self.master.call("ACKNOWLEDGE")
        status = seen[0]
        self.assertTrue(status.succeeded)
        self.assertEqual(status.result, b"42")
        self.assertEqual(status.message, "exited with code 0")
        self.assertEqual(status.timestamp, 1.5)

    def test_a_refused_task_ends_dropped(self):
        _, events = self.subscribed()
        self.driver.launch_tasks("o-1", [skep.TaskInfo("x", DIGEST, task_id="t")])
        self.master.call("ACCEPT")
        rejection = {"kind": "does_not_fit", "message": "too large"}
        refused = [{"task": "t", "attempt": 1, "rejection": rejection}]
        answer = event("LAUNCHED", allocation="l-1", agent="a", refused=refused)
        events.put(event("ANSWERED", offer="o-1", operation=0, answer=answer))
        self.assertEqual(self.scheduler.next(), ("update", "t", "DROPPED"))

    def test_more_tasks_than_a_call_takes_are_enqueued(self):
        _, events = self.subscribed()
        tasks = [skep.TaskInfo("x", DIGEST) for _ in range(1_500)]
        self.driver.launch_tasks("o-1", tasks)
        launched = self.master.call("ACCEPT")["operations"][0]["launch"]["tasks"]
        answer = event("LAUNCHED", allocation="l-1", agent="a", refused=[])
        events.put(event("ANSWERED", offer="o-1", operation=0, answer=answer))
        enqueue = self.master.call("ENQUEUE")
        self.assertEqual(enqueue["allocation"], "l-1")
        ids = [spec["task"] for spec in launched + enqueue["tasks"]]
        self.assertEqual(ids, [task.task_id for task in tasks])

    def test_a_broken_stream_is_subscribed_again_and_live_tasks_are_asked_for(self):
        first, events = self.subscribed()
        self.driver.launch_tasks("o-1", [skep.TaskInfo("x", DIGEST, task_id="t", attempt=3)])
        self.master.call("ACCEPT")
        events.put(END)
        self.assertEqual(self.scheduler.next(), ("disconnected",))
        second, events = self.master.subscription()
        self.assertEqual(second["framework"], "f-1")
        self.assertEqual((second["run"], second["connection"]), (first["run"], 2))
        events.put(subscribed())
        tasks = [{"task": "t", "attempt": 3}]
        self.assertEqual(self.master.call("RECONCILE"), {"tasks": tasks})
        self.assertEqual(self.scheduler.next(), ("registered", "f-1"))

    def test_a_stream_that_the_master_does_not_know_is_given_up(self):
        self.subscribed()
        error = {"kind": "ended_stream", "field": "", "why": "it ended", "hint": "subscribe"}
        self.master.answer = (409, {"error": error})
        self.driver.revive_offers()
        self.assertEqual(self.scheduler.next(), ("disconnected",))
        self.master.subscription()

    def test_a_bad_call_is_an_error_of_the_caller(self):
        self.subscribed()
        error = {"kind": "invalid", "field": "kill.task", "why": "no id", "hint": "letters"}
        self.master.answer = (400, {"error": error})
        with self.assertRaisesRegex(skep.CallError, r"kill\.task: no id \(letters\)"):
            self.driver.kill_task("../t")

    def test_a_standby_sends_us_on(self):
        self.subscribed()
        leader, self.master.leader = Master(), None
        self.addCleanup(leader.stop)
        standby = Master()
        self.addCleanup(standby.stop)
        standby.leader = leader.url
        scheduler = Recorder()
        info = skep.FrameworkInfo(name="test")
        driver = skep.SchedulerDriver(scheduler, info, standby.url)
        thread = threading.Thread(target=driver.run, daemon=True)
        thread.start()
        _, events = leader.subscription()
        events.put(subscribed())
        self.assertEqual(scheduler.next(), ("registered", "f-1"))
        driver.suppress_offers()
        leader.call("SUPPRESS")
        driver.abort()
        thread.join(20)

    def test_a_framework_that_was_taken_over_ends(self):
        _, events = self.subscribed()
        rejection = {"kind": "failed_over", "message": "another instance subscribed"}
        events.put(event("REFUSED", rejection=rejection))
        self.assertEqual(self.scheduler.next(), ("error", "another instance subscribed"))
        self.thread.join(20)
        self.assertEqual(self.ended, [skep.Status.ABORTED])

    def test_stopping_tears_the_framework_down(self):
        self.subscribed()
        self.driver.stop()
        self.assertEqual(self.master.call("TEARDOWN"), {})
        self.thread.join(20)
        self.assertEqual(self.ended, [skep.Status.STOPPED])

    def test_stopping_for_another_instance_does_not(self):
        self.subscribed()
        self.driver.stop(failover=True)
        self.thread.join(20)
        self.assertEqual(self.ended, [skep.Status.STOPPED])
        self.assertTrue(self.master.calls.empty())

    def test_every_other_event_and_call_has_its_form(self):
        _, events = self.subscribed()
        key = {"framework": "f-1", "task": "t", "attempt": 1}
        report = {"key": key, "done": 1, "total": 2, "message": ""}
        events.put(event("HEARTBEAT"))
        events.put(event("OF_LATER_VERSIONS", more=1))
        events.put(event("PROGRESSED", reports=[report]))
        self.assertEqual(self.scheduler.next(), ("progress", 1, 2))
        window = {"from": 1_000_000, "lasts": None}
        inverse = {"id": "o-7", "agent": "a", "hostname": "h", "window": window}
        events.put(event("INVERSE_OFFERS", offers=[inverse]))
        self.assertEqual(self.scheduler.next(), ("inverse", 1.0, None))
        driver = self.driver
        cases = [
            (lambda: driver.decline_offer("o-1"), "DECLINE", {"offers": ["o-1"], "filters": {}}),
            (lambda: driver.kill_task("t"), "KILL", {"task": "t"}),
            (lambda: driver.revive_offers(["eng"]), "REVIVE", {"roles": ["eng"]}),
            (lambda: driver.reconcile_tasks(), "RECONCILE", {"tasks": []}),
            (
                lambda: driver.answer_inverse_offer("o-7", True),
                "ANSWER_INVERSE",
                {"offers": ["o-7"], "accepted": True},
            ),
            (
                lambda: driver.demand(wants={"cpus": 2}),
                "DEMAND",
                {"role": None, "demand": {"least": {}, "wants": {"cpus": 2}}},
            ),
        ]
        for make, kind, body in cases:
            make()
            self.assertEqual(self.master.call(kind), body)
