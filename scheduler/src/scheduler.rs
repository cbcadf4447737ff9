//! The trait that a framework implements. Every callback may give orders through the driver;
//! they are sent when it returns.

use crate::driver::{Driver, Question};
use skep_protocol::{
    Attempt, FrameworkId, OfferId, Rejection, StatusUpdate, TaskId,
    framework::{Answer, Event, InverseOffer, Offer, State},
    outcome::Progress,
};

/// Decides what runs on offered resources. The words are those of Mesos's scheduler.
///
/// Callbacks come one at a time, in the order in which the master sent what caused them. Only
/// [`resource_offers`](Self::resource_offers) has no default: an offer that is neither used nor
/// declined is kept from everybody until it expires.
pub trait Scheduler {
    /// What an earlier instance kept by [`Driver::save`], if there was one that kept something:
    /// once, before [`registered`](Self::registered), and before the updates that tell what
    /// became of its tasks.
    fn restored(&mut self, driver: &mut Driver, state: &State) {
        let _ = (driver, state);
    }

    /// The master knows the framework under this id: at the first subscription, and again after
    /// each reconnection or change of master. Offers from before are void.
    fn registered(&mut self, driver: &mut Driver, framework: &FrameworkId) {
        let _ = (driver, framework);
    }

    /// All that the master says, as it says it and before any other callback is called for it:
    /// also what is repeated, and which tasks their agents have recorded. For schedulers that keep
    /// a protocol.
    fn heard(&mut self, event: &Event) {
        let _ = event;
    }

    /// Resources are offered. Answer each offer with [`Driver::launch`] or [`Driver::decline`].
    fn resource_offers(&mut self, driver: &mut Driver, offers: Vec<Offer>);

    /// An offer is void. Orders that already use it are answered as refused.
    fn offer_rescinded(&mut self, driver: &mut Driver, offer: OfferId) {
        let _ = (driver, offer);
    }

    /// Agents are asked back on which the framework has tasks, for maintenance or because they are
    /// drained. Move the tasks, and say by [`Driver::answer_inverse`] whether that will be done in
    /// time; when the window begins those that are left end in any case.
    fn inverse_offers(&mut self, driver: &mut Driver, offers: Vec<InverseOffer>) {
        let _ = (driver, offers);
    }

    /// An agent is not asked back any more.
    fn inverse_offer_rescinded(&mut self, driver: &mut Driver, offer: OfferId) {
        let _ = (driver, offer);
    }

    /// The master has answered an operation of [`Driver::operate`] that launches nothing: it is
    /// done, or was rejected.
    fn operation_answered(
        &mut self,
        driver: &mut Driver,
        offer: Option<OfferId>,
        operation: u32,
        answer: &Answer,
    ) {
        let _ = (driver, offer, operation, answer);
    }

    /// The master has answered a launch: with the allocation that its tasks run under, which takes
    /// more tasks by [`Driver::enqueue`], or with a refusal. Refused tasks get a status update each
    /// besides.
    fn launch_answered(&mut self, driver: &mut Driver, offer: Option<OfferId>, answer: &Answer) {
        let _ = (driver, offer, answer);
    }

    /// A task's state has changed. The update is acknowledged when this returns, unless it is an
    /// end that [`Driver::keep_end`] keeps: then the agent also keeps what the task wrote until
    /// [`Driver::acknowledge`]. An update may come again if the framework itself is restarted
    /// before it is acknowledged.
    fn status_update(&mut self, driver: &mut Driver, update: &StatusUpdate) {
        let _ = (driver, update);
    }

    /// A running guest has told how far it is.
    fn task_progress(&mut self, driver: &mut Driver, progress: &Progress) {
        let _ = (driver, progress);
    }

    /// A running task has sent bytes, at most 64 KiB. They come in its order and may be lost.
    fn message(&mut self, driver: &mut Driver, task: &TaskId, attempt: Attempt, message: &[u8]) {
        let _ = (driver, task, attempt, message);
    }

    /// The connection broke; the driver reconnects by itself. Tasks go on.
    fn disconnected(&mut self, driver: &mut Driver) {
        let _ = driver;
    }

    /// The time that [`Driver::wake_at`] named has come, or somebody outside the conversation woke
    /// the driver.
    fn woken(&mut self, driver: &mut Driver) {
        let _ = driver;
    }

    /// Somebody has a question or an order for the framework: a person at the command line, another
    /// framework. To be answered by [`Driver::reply`], now or within half a minute.
    fn asked(&mut self, driver: &mut Driver, question: Question) {
        driver.refuse(question.id, "this framework answers no questions");
    }

    /// The master refused a call as a whole. If it refuses the framework itself, the driver stops
    /// after this.
    fn error(&mut self, driver: &mut Driver, rejection: &Rejection) {
        let _ = (driver, rejection);
    }
}
