//! Questions and orders that others have for a framework: they go to it, and its answer back.
//!
//! Always holds: each is answered once, if not by the framework then by the master, when its time
//! is over or the framework is not there any more.

use crate::{effect::Answer, input::RequestId, master::Master, timers::Timer};
use skep_protocol::{
    FrameworkId, Rejection,
    bounds::{ANSWER_TIME_MAX, QUESTIONS_MAX},
    framework::Event,
    operator::Response,
};

/// A question that its framework has not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inquiry {
    pub(crate) framework: FrameworkId,
    /// Where to answer.
    pub(crate) request: RequestId,
}

impl Master {
    pub(crate) fn inquire(
        &mut self,
        request: RequestId,
        by: String,
        framework: &str,
        message: Vec<u8>,
    ) {
        let framework = match self.addressee(framework) {
            Ok(framework) => framework,
            Err(rejection) => return self.answer(request, Err(rejection)),
        };
        let waiting = self.inquiries.values().filter(|known| known.framework == framework);
        if waiting.count() >= QUESTIONS_MAX {
            let what = format!("questions that {framework} has not answered: ask again later");
            let max = QUESTIONS_MAX as u64;
            return self.answer(request, Err(Rejection::TooMany { what, max }));
        }
        self.last_inquiry += 1;
        let question = self.last_inquiry;
        self.timers.set(Timer::Inquiry(question), self.now + ANSWER_TIME_MAX);
        self.inquiries.insert(question, Inquiry { framework: framework.clone(), request });
        self.tell(&framework, Event::Asked { question, by, message });
    }

    /// The framework of this id or, if it is the only one that is connected, of this name.
    fn addressee(&self, named: &str) -> Result<FrameworkId, Rejection> {
        let is_connected = |id: &FrameworkId| {
            self.frameworks.get(id).is_some_and(|known| known.connection().is_some())
        };
        let known = self.durable.frameworks.iter();
        let is_meant = |(id, known): &(&FrameworkId, &crate::record::KnownFramework)| {
            id.as_str() == named || known.info.name == named
        };
        let meant: Vec<FrameworkId> = known.filter(is_meant).map(|(id, _)| id.clone()).collect();
        let connected: Vec<&FrameworkId> = meant.iter().filter(|id| is_connected(id)).collect();
        match (connected.as_slice(), meant.is_empty()) {
            ([one], _) => Ok((*one).clone()),
            ([_, _, ..], _) => {
                let why = format!("several frameworks are called {named}: give the id of one");
                Err(Rejection::invalid("framework", why))
            }
            ([], false) => {
                let why = format!("framework {named} is not connected at present: ask again later");
                Err(Rejection::invalid("framework", why))
            }
            ([], true) => {
                let why = format!("there is no framework {named}: see `skep framework list`");
                Err(Rejection::invalid("framework", why))
            }
        }
    }

    /// A framework answers; what it was not asked, or what is answered already, is passed over.
    pub(crate) fn reply(
        &mut self,
        framework: &FrameworkId,
        question: u64,
        answer: Result<Vec<u8>, String>,
    ) {
        if self.inquiries.get(&question).is_some_and(|known| known.framework == *framework) {
            let answer = answer.map(|message| Answer::Operator(Response::Told { message }));
            self.close_inquiry(question, answer.map_err(|why| Rejection::invalid("ask", why)));
        }
    }

    pub(crate) fn inquiry_is_overdue(&mut self, question: u64) {
        let why = "the framework did not answer in time: ask again later";
        self.close_inquiry(question, Err(Rejection::invalid("framework", why)));
    }

    /// A framework is not there any more: nothing it was asked will be answered.
    pub(crate) fn refuse_inquiries_of(&mut self, framework: &FrameworkId) {
        let own = self.inquiries.iter().filter(|(_, known)| known.framework == *framework);
        for question in own.map(|(question, _)| *question).collect::<Vec<_>>() {
            let why = "the framework left before it answered: ask again later";
            self.close_inquiry(question, Err(Rejection::invalid("framework", why)));
        }
    }

    fn close_inquiry(&mut self, question: u64, answer: Result<Answer, Rejection>) {
        self.timers.clear(&Timer::Inquiry(question));
        if let Some(inquiry) = self.inquiries.remove(&question) {
            self.answer(inquiry.request, answer);
        }
    }
}
