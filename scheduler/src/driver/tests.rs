//! Exact effects: what the driver is told, and the calls it makes of it.

mod asking;

use super::*;
use skep_protocol::{
    AgentId, Amount, Digest, Resources, Role,
    bounds::MESSAGE_BYTES_MAX,
    framework::{Acknowledgement, InverseOffer, Window},
    outcome::{LostBy, TaskMessage},
};

/// Writes down what it is told.
#[derive(Default)]
struct Told(Vec<String>);

impl Scheduler for Told {
    fn registered(&mut self, _: &mut Driver, framework: &FrameworkId) {
        self.0.push(format!("registered {framework}"));
    }

    fn resource_offers(&mut self, _: &mut Driver, offers: Vec<Offer>) {
        self.0.push(format!("{} offers", offers.len()));
    }

    fn status_update(&mut self, _: &mut Driver, update: &StatusUpdate) {
        self.0.push(format!("{} {} {}", update.key.task, update.key.attempt, update.state.name()));
    }

    fn inverse_offers(&mut self, driver: &mut Driver, offers: Vec<InverseOffer>) {
        let ids: Vec<OfferId> = offers.iter().map(|offer| offer.id).collect();
        self.0.push(format!("{} asked back", offers[0].agent));
        driver.answer_inverse(&ids, Consent::Accepted);
    }

    fn inverse_offer_rescinded(&mut self, _: &mut Driver, offer: OfferId) {
        self.0.push(format!("{} not asked back", offer.0));
    }

    fn operation_answered(
        &mut self,
        _: &mut Driver,
        _: Option<OfferId>,
        operation: u32,
        answer: &Answer,
    ) {
        self.0.push(match answer {
            Answer::Applied => format!("{operation} applied"),
            other => format!("{operation} {other:?}"),
        });
    }

    fn message(&mut self, driver: &mut Driver, task: &TaskId, attempt: Attempt, message: &[u8]) {
        self.0.push(format!("{task} {attempt} sent {}", String::from_utf8_lossy(message)));
        driver.send_message(task, message).expect("it is short");
    }

    fn error(&mut self, _: &mut Driver, rejection: &Rejection) {
        self.0.push(format!("error: {rejection}"));
    }
}

fn framework() -> FrameworkId {
    FrameworkId::new("f-1").expect("an id")
}

fn info() -> FrameworkInfo {
    FrameworkInfo {
        name: "test".into(),
        failover_timeout: Duration::ZERO,
        ..FrameworkInfo::default()
    }
}

fn subscribe(framework: Option<FrameworkId>, connection: u64) -> Call {
    Call::Subscribe { framework, run: 9, connection, info: info() }
}

fn subscribed() -> (Driver, Told) {
    let (mut driver, mut told) = (Driver::new(info(), None).with_run(9), Told::default());
    assert_eq!(driver.connected(), subscribe(None, 1));
    driver.handle(
        Time::ZERO,
        Event::Subscribed { framework: framework(), state: State::new() },
        &mut told,
    );
    assert_eq!(told.0.drain(..).collect::<Vec<_>>(), ["registered f-1"]);
    (driver, told)
}

fn spec(task: &str) -> TaskSpec {
    let resources = Resources::new(Amount::units(1), Amount::units(64));
    TaskSpec::new(TaskId::new(task).expect("an id"), Digest::of(b"m"), resources)
}

fn key(task: &str, attempt: u32) -> TaskKey {
    let task = TaskId::new(task).expect("an id");
    TaskKey { framework: framework(), task, attempt: Attempt(attempt) }
}

fn update(task: &str, attempt: u32, seq: u64, state: TaskState) -> StatusUpdate {
    StatusUpdate {
        key: key(task, attempt),
        seq,
        agent: None,
        state,
        source: Source::Agent,
        at: Time::ZERO,
        usage: None,
        result: Vec::new(),
        last_words: String::new(),
        outputs: Vec::new(),
        missing: Vec::new(),
    }
}

fn finished() -> TaskState {
    TaskState::Ended(Outcome::Exited { code: 0 })
}

fn deliver(driver: &mut Driver, told: &mut Told, updates: Vec<StatusUpdate>) -> Vec<Call> {
    driver.handle(Time::ZERO, Event::StatusUpdates { updates }, told);
    driver.take_calls()
}

fn acknowledge(task: &str, attempt: u32, seq: u64) -> Vec<Call> {
    let acknowledgements = vec![Acknowledgement { key: key(task, attempt), seq }];
    vec![Call::Acknowledge { acknowledgements }]
}

#[test]
fn an_instance_that_takes_over_asks_what_became_of_the_tasks_of_the_one_before() {
    let live = ["a", "b"].map(|task| (TaskId::new(task).expect("an id"), Attempt(2)));
    let driver = Driver::new(info(), Some(framework())).with_run(9);
    let (mut driver, mut told) = (driver.with_live(live.clone()), Told::default());
    assert_eq!(driver.connected(), subscribe(Some(framework()), 1));
    driver.handle(
        Time::ZERO,
        Event::Subscribed { framework: framework(), state: State::new() },
        &mut told,
    );
    assert_eq!(driver.take_calls(), [Call::Reconcile { tasks: live.to_vec() }]);
    let updates = vec![update("a", 1, 3, finished()), update("a", 2, 3, finished())];
    assert_eq!(deliver(&mut driver, &mut told, updates), acknowledge_both());
    assert_eq!(told.0, ["registered f-1", "a 2 FINISHED"], "an older attempt is no news");
}

fn acknowledge_both() -> Vec<Call> {
    let acknowledgements = [1, 2].map(|attempt| Acknowledgement { key: key("a", attempt), seq: 3 });
    vec![Call::Acknowledge { acknowledgements: acknowledgements.to_vec() }]
}

#[test]
fn a_batch_of_updates_is_acknowledged_by_its_newest_number() {
    let (mut driver, mut told) = subscribed();
    let updates = vec![update("a", 1, 1, TaskState::Running), update("a", 1, 2, finished())];
    assert_eq!(deliver(&mut driver, &mut told, updates), acknowledge("a", 1, 2));
    assert_eq!(told.0, ["a 1 RUNNING", "a 1 FINISHED"]);
}

#[test]
fn a_repeated_update_is_acknowledged_again_and_not_told_again() {
    let (mut driver, mut told) = subscribed();
    let running = update("a", 1, 1, TaskState::Running);
    let end = update("a", 1, 2, finished());
    deliver(&mut driver, &mut told, vec![running.clone()]);
    assert_eq!(deliver(&mut driver, &mut told, vec![running]), acknowledge("a", 1, 1));
    deliver(&mut driver, &mut told, vec![end.clone()]);
    assert_eq!(deliver(&mut driver, &mut told, vec![end]), acknowledge("a", 1, 2));
    assert_eq!(told.0, ["a 1 RUNNING", "a 1 FINISHED"]);
}

#[test]
fn an_update_of_a_replaced_attempt_is_not_told() {
    let (mut driver, mut told) = subscribed();
    deliver(&mut driver, &mut told, vec![update("a", 2, 1, TaskState::Running)]);
    deliver(&mut driver, &mut told, vec![update("a", 1, 5, finished())]);
    assert_eq!(told.0, ["a 2 RUNNING"]);
}

#[test]
fn what_the_master_itself_says_is_not_acknowledged() {
    let (mut driver, mut told) = subscribed();
    let calls = deliver(&mut driver, &mut told, vec![update("a", 1, 0, TaskState::Unreachable)]);
    assert_eq!((calls, told.0), (vec![], vec!["a 1 UNREACHABLE".to_owned()]));
}

#[test]
fn a_refused_launch_ends_each_of_its_tasks() {
    let (mut driver, mut told) = subscribed();
    let offer = OfferId(7);
    driver.accept(&[offer], [spec("a"), spec("b")], Filters::default());
    driver.take_calls();
    let rejection = Rejection::InvalidOffer { offer };
    let tasks = vec![(spec("a").task, Attempt::FIRST), (spec("b").task, Attempt::FIRST)];
    let answer = Answer::Rejected { rejection, tasks };
    let event = Event::Answered { offer: Some(offer), operation: 0, answer };
    driver.handle(Time::ZERO, event, &mut told);
    assert_eq!(told.0, ["a 1 DROPPED", "b 1 DROPPED"]);
}

#[test]
fn a_launch_above_the_frame_bound_goes_on_as_an_enqueue() {
    let (mut driver, mut told) = subscribed();
    let offer = OfferId(7);
    let tasks = (0..LAUNCH_TASKS_MAX + 1).map(|i| spec(&format!("t{i}")));
    driver.accept(&[offer], tasks, Filters::default());
    let calls = driver.take_calls();
    let [Call::Accept { operations, .. }] = &calls[..] else { panic!("{calls:?}") };
    let Operation::Launch { tasks } = &operations[0] else { panic!("{operations:?}") };
    assert_eq!(tasks.len(), LAUNCH_TASKS_MAX);

    let allocation = AllocationId(1);
    let agent = AgentId::new("a-1").expect("an id");
    let answer = Answer::Launched { allocation, agent, refused: vec![] };
    let event = Event::Answered { offer: Some(offer), operation: 0, answer };
    driver.handle(Time::ZERO, event, &mut told);
    let tasks = vec![Ok(spec("t1000"))];
    assert_eq!(driver.take_calls(), [Call::Enqueue { allocation, tasks }]);
}

#[test]
fn operations_go_before_the_launch_and_each_is_answered() {
    let (mut driver, mut told) = subscribed();
    let offer = OfferId(7);
    let (role, resources) = (Role::default(), Resources::new(Amount::units(1), Amount::ZERO));
    let reserve = Operation::Reserve { role, resources, from: None };
    driver.operate(&[offer], [reserve.clone()], [spec("a")], Filters::default());
    let launch = Operation::Launch { tasks: vec![Ok(spec("a"))] };
    let operations = vec![reserve, launch];
    let accept = Call::Accept { offers: vec![offer], operations, filters: Filters::default() };
    assert_eq!(driver.take_calls(), [accept]);
    let answered = |operation, answer| Event::Answered { offer: Some(offer), operation, answer };
    driver.handle(Time::ZERO, answered(0, Answer::Applied), &mut told);
    let rejection = Rejection::OffersDoNotMatch;
    let rejected = Answer::Rejected { rejection, tasks: vec![(spec("a").task, Attempt::FIRST)] };
    driver.handle(Time::ZERO, answered(1, rejected), &mut told);
    assert_eq!(told.0, ["0 applied", "a 1 DROPPED"]);
}

#[test]
fn a_scheduler_that_is_asked_to_leave_an_agent_can_agree() {
    let (mut driver, mut told) = subscribed();
    let (id, agent) = (OfferId(9), AgentId::new("a-1").expect("an id"));
    let window = Window { from: Time::ZERO, lasts: None };
    let offers = vec![InverseOffer { id, agent, hostname: "node".into(), window }];
    driver.handle(Time::ZERO, Event::InverseOffers { offers }, &mut told);
    let answer = Call::AnswerInverse { offers: vec![id], consent: Consent::Accepted };
    assert_eq!(driver.take_calls(), [answer]);
    driver.handle(Time::ZERO, Event::InverseRescinded { offer: id }, &mut told);
    assert_eq!(told.0, ["a-1 asked back", "9 not asked back"]);
}

#[test]
fn after_a_reconnection_the_driver_asks_what_became_of_its_tasks() {
    let (mut driver, mut told) = subscribed();
    driver.accept(&[OfferId(7)], [spec("a"), spec("b")], Filters::default());
    deliver(&mut driver, &mut told, vec![update("b", 1, 1, finished())]);
    let again = driver.connected();
    assert_eq!(again, subscribe(Some(framework()), 2));
    driver.handle(
        Time::ZERO,
        Event::Subscribed { framework: framework(), state: State::new() },
        &mut told,
    );
    let tasks = vec![(spec("a").task, Attempt::FIRST)];
    assert_eq!(driver.take_calls(), [Call::Reconcile { tasks }]);
}

#[test]
fn a_driver_whose_framework_was_taken_over_stops() {
    let (mut driver, mut told) = subscribed();
    let rejection = Rejection::FailedOver { framework: framework() };
    driver.handle(Time::ZERO, Event::Refused { rejection: rejection.clone() }, &mut told);
    assert_eq!(driver.ending(), Some(&Ending::Refused(rejection)));
}

#[test]
fn an_attempt_that_was_called_lost_is_killed_when_it_turns_up_unless_a_later_one_lives() {
    let (mut driver, mut told) = subscribed();
    let lost = TaskState::Ended(Outcome::Lost { why: LostBy::Unknown });
    assert_eq!(deliver(&mut driver, &mut told, vec![update("a", 1, 0, lost)]), []);
    let back = || vec![update("a", 1, 0, TaskState::Running)];
    let task = key("a", 1).task;
    assert_eq!(deliver(&mut driver, &mut told, back()), [Call::Kill { task: task.clone() }]);
    // Its agent says so itself where the scheduler was away when it came back.
    let own = || vec![update("a", 1, 1, TaskState::Running)];
    let [acknowledged] = acknowledge("a", 1, 1).try_into().expect("one call");
    let calls = deliver(&mut driver, &mut told, own());
    assert_eq!(calls, [Call::Kill { task: task.clone() }, acknowledged]);
    driver.adopt(task, Attempt(2));
    assert_eq!(deliver(&mut driver, &mut told, back()), []);
    assert_eq!(deliver(&mut driver, &mut told, own()), acknowledge("a", 1, 1));
    assert_eq!(told.0, ["a 1 LOST"]);
}

#[test]
fn what_an_agent_repeats_of_an_attempt_that_has_ended_there_kills_nothing() {
    let (mut driver, mut told) = subscribed();
    let ended = vec![update("a", 1, 2, finished())];
    assert_eq!(deliver(&mut driver, &mut told, ended), acknowledge("a", 1, 2));
    let late = vec![update("a", 1, 1, TaskState::Running)];
    assert_eq!(deliver(&mut driver, &mut told, late), acknowledge("a", 1, 1));
}

#[test]
fn a_message_is_told_and_one_goes_to_the_attempt_that_lives() {
    let (mut driver, mut told) = subscribed();
    let from = |task, attempt| {
        Event::Message(TaskMessage { key: key(task, attempt), bytes: b"ready".to_vec() })
    };
    let to = |task: &str, attempt| Call::Message {
        task: TaskId::new(task).expect("an id"),
        attempt,
        bytes: b"ready".to_vec(),
    };
    deliver(&mut driver, &mut told, vec![update("a", 2, 1, TaskState::Running)]);
    driver.handle(Time::ZERO, from("a", 2), &mut told);
    // Of an earlier run of the framework, which this one has not heard of yet.
    driver.handle(Time::ZERO, from("b", 1), &mut told);
    assert_eq!(driver.take_calls(), [to("a", Some(Attempt(2))), to("b", None)]);
    assert_eq!(told.0, ["a 2 RUNNING", "a 2 sent ready", "b 1 sent ready"]);
}

#[test]
fn a_message_that_is_too_long_is_not_sent_and_one_that_was_dropped_ends_nothing() {
    let (mut driver, mut told) = subscribed();
    let task = TaskId::new("a").expect("an id");
    let bytes = MESSAGE_BYTES_MAX + 1;
    assert_eq!(driver.send_message(&task, vec![0; bytes]), Err(MessageTooLong { bytes }));
    assert_eq!(driver.take_calls(), []);
    assert_eq!(driver.send_message(&task, vec![0; MESSAGE_BYTES_MAX]), Ok(()));
    let rejection = Rejection::Undelivered { task, why: "it has ended".into() };
    driver.handle(Time::ZERO, Event::Refused { rejection }, &mut told);
    assert_eq!(told.0, ["error: the message to task a was dropped: it has ended"]);
    assert_eq!(driver.ending(), None);
}

/// Keeps the ends of tasks.
#[derive(Default)]
struct Keeper(Vec<TaskKey>);

impl Scheduler for Keeper {
    fn resource_offers(&mut self, _: &mut Driver, _: Vec<Offer>) {}

    fn status_update(&mut self, driver: &mut Driver, update: &StatusUpdate) {
        self.0.push(update.key.clone());
        driver.keep_end(update);
    }
}

#[test]
fn an_end_that_is_kept_is_acknowledged_when_it_is_collected_and_told_once() {
    let (mut driver, _) = subscribed();
    let mut keeper = Keeper::default();
    let mut deliver = |driver: &mut Driver, updates: Vec<StatusUpdate>| {
        driver.handle(Time::ZERO, Event::StatusUpdates { updates }, &mut keeper);
        driver.take_calls()
    };
    let all = vec![update("a", 1, 1, TaskState::Running), update("a", 1, 2, finished())];
    assert_eq!(deliver(&mut driver, all.clone()), acknowledge("a", 1, 1));
    assert_eq!(deliver(&mut driver, all.clone()), [], "a repetition acknowledges nothing");
    assert_eq!(driver.kept_ends(), 1);

    driver.acknowledge([&key("a", 1), &key("b", 1)]);
    assert_eq!(driver.take_calls(), acknowledge("a", 1, 2));
    driver.acknowledge([&key("a", 1)]);
    assert_eq!((driver.take_calls(), driver.kept_ends()), (vec![], 0));
    // The acknowledgement was lost: the agent says it again.
    assert_eq!(deliver(&mut driver, all[1..].to_vec()), acknowledge("a", 1, 2));
    assert_eq!(keeper.0, [key("a", 1), key("a", 1)], "running, and its end");
}

#[test]
fn an_end_that_no_agent_has_recorded_is_not_kept() {
    let (mut driver, _) = subscribed();
    let mut keeper = Keeper::default();
    let lost = TaskState::Ended(Outcome::Lost { why: LostBy::AgentLost });
    let updates = vec![update("a", 1, 0, lost)];
    driver.handle(Time::ZERO, Event::StatusUpdates { updates }, &mut keeper);
    assert_eq!((keeper.0.len(), driver.kept_ends(), driver.take_calls()), (1, 0, vec![]));
}

#[test]
fn what_is_kept_stays_so_over_a_new_connection() {
    let (mut driver, _) = subscribed();
    let mut keeper = Keeper::default();
    let event = || Event::StatusUpdates { updates: vec![update("a", 1, 1, finished())] };
    driver.handle(Time::ZERO, event(), &mut keeper);
    driver.disconnected(Time::ZERO, &mut keeper);
    driver.connected();
    let subscribed = Event::Subscribed { framework: framework(), state: State::new() };
    driver.handle(Time::ZERO, subscribed, &mut keeper);
    driver.handle(Time::ZERO, event(), &mut keeper);
    assert_eq!((driver.take_calls(), driver.kept_ends(), keeper.0.len()), (vec![], 1, 1));
    driver.acknowledge([&key("a", 1)]);
    assert_eq!(driver.take_calls(), acknowledge("a", 1, 1));
}
