//! A person who orders of the schedulers what they are for, by the questions that `skep job`,
//! `skep service`, `skep cron` and `skep framework` ask.
//!
//! Always holds: a scheduler is given one order after the other; each is repeated until it is
//! answered, as whoever wants it done would. That it was taken is known from its answer, or from
//! what the refusal of its repetition says.

use crate::{schedule::Event, sim::Sim, work::Wish};
use skep_frameworks::{batch, cron, service};
use skep_master_core::{Answer, Input, RequestId};
use skep_protocol::{Time, operator::Response};
use std::time::Duration;

/// How often it is looked for an answer, and how soon an order is given again.
const PAUSE: Duration = Duration::from_millis(500);
/// How long an answer is waited for: a little longer than the master waits for the framework.
const PATIENCE: Duration = Duration::from_secs(40);

/// What is ordered of a scheduler.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    Batch(batch::Order),
    Service(service::Order),
    Cron(cron::Order),
    Supervisor(skep_supervisor::Order),
}

#[derive(Debug, Default)]
pub(crate) struct Person {
    orders: Vec<Asked>,
}

#[derive(Debug)]
struct Asked {
    /// Of which scheduler.
    of: usize,
    order: Order,
    /// How often it was given.
    times: u64,
    /// The request that is open, since when, and to which run of the master.
    open: Option<(RequestId, Time, u64)>,
    is_done: bool,
}

impl Order {
    fn message(&self) -> Vec<u8> {
        let message = match self {
            Self::Batch(order) => serde_json::to_vec(order),
            Self::Service(order) => serde_json::to_vec(order),
            Self::Cron(order) => serde_json::to_vec(order),
            Self::Supervisor(order) => serde_json::to_vec(order),
        };
        message.expect("an order")
    }
}

impl Person {
    /// An order that was not taken yet, if there is one.
    pub(crate) fn waits_for(&self) -> Option<String> {
        let open = self.orders.iter().find(|asked| !asked.is_done)?;
        Some(format!("{:?} is not taken", open.order))
    }

    /// Whether a scheduler was given an order of which the person does not know what became.
    pub(crate) fn is_busy_with(&self, scheduler: usize) -> bool {
        let is_open = |asked: &&Asked| asked.times > 0 && !asked.is_done;
        self.orders.iter().filter(is_open).any(|asked| asked.of == scheduler)
    }

    /// Whether an earlier order of the same scheduler is not done.
    fn is_behind(&self, number: usize) -> bool {
        let of = self.orders[number].of;
        self.orders[..number].iter().any(|asked| asked.of == of && !asked.is_done)
    }
}

impl Sim {
    /// Has something ordered of a scheduler at a time.
    pub(crate) fn order_at(&mut self, at: Time, of: usize, order: Order) {
        let number = self.person.orders.len();
        self.person.orders.push(Asked { of, order, times: 0, open: None, is_done: false });
        self.schedule.arrange(at, Event::PersonActs { order: number });
    }

    /// The person gives an order, or looks for its answer.
    pub(crate) fn person_acts(&mut self, number: usize) {
        if !self.person.orders[number].is_done {
            match self.person.orders[number].open.take() {
                Some(open) => self.look_for_answer(number, open),
                None => self.give_order(number),
            }
        }
        if !self.person.orders[number].is_done {
            self.schedule.arrange(self.now + PAUSE, Event::PersonActs { order: number });
        }
    }

    fn give_order(&mut self, number: usize) {
        let Asked { of, order, .. } = &self.person.orders[number];
        let shipped = &self.shipped[*of];
        let Some(framework) = shipped.id.as_ref().map(ToString::to_string) else { return };
        if self.master.process.is_none() || self.person.is_behind(number) {
            return;
        }
        let (by, message) = ("operator/person".to_owned(), order.message());
        let (now, run) = (self.now, self.master.runs);
        if let Some(wish) = Wish::of(order) {
            self.work.gives(*of, now, &wish);
        }
        self.person.orders[number].times += 1;
        let request = self.ask(|request| Input::Inquiry { request, by, framework, message });
        self.person.orders[number].open = Some((request, now, run));
    }

    fn look_for_answer(&mut self, number: usize, open: (RequestId, Time, u64)) {
        let (request, since, run) = open;
        match self.answer(request) {
            Some(Ok(Answer::Operator(Response::Told { .. }))) => self.is_taken(number),
            Some(Err(rejection)) => {
                let why = rejection.to_string();
                // What was heard and not answered is refused when it is said again; and what is to
                // end may have ended.
                let is_repeated = self.person.orders[number].times > 1;
                let is_late = ["has ended already", "there is no", "no scheduler"];
                let asks_again = ["ask again later", "is being removed"];
                let says = |words: &[&str]| words.iter().any(|words| why.contains(words));
                if !says(&asks_again) {
                    let is_known = is_repeated || says(&is_late);
                    assert!(is_known, "a rightful order is refused: {why}");
                    self.is_taken(number);
                }
            }
            Some(Ok(other)) => panic!("an order is answered {other:?}"),
            None if self.master.runs == run && self.now.since(since) <= PATIENCE => {
                self.person.orders[number].open = Some(open);
            }
            None => {}
        }
    }

    fn is_taken(&mut self, number: usize) {
        let Asked { of, order, .. } = &self.person.orders[number];
        let (of, wish) = (*of, Wish::of(order));
        self.trace.fact(self.now, &format!("order {number} is taken: {wish:?}"));
        self.person.orders[number].is_done = true;
        if let Some(wish) = wish {
            self.work.wished(of, self.now, wish);
        }
    }
}
