//! Seeds that once found a fault, each with what it was. They stay, though the histories that they
//! tell change with the simulation; the fault itself has a test of its own beside the code.

use crate::run::{self, About};

fn holds(seed: u64) {
    assert!(run::judge(About::Tasks, seed).is_ok(), "{seed:#x} finds a fault again");
}

/// A subscription that was late on a connection given up long ago was taken for an instance that
/// takes over, and the rightful one was told to stop.
#[test]
fn a_late_subscription_takes_nothing_over() {
    holds(0x22);
    holds(0x1a2);
}

/// The last subscription of an instance that was replaced came after the first of its successor,
/// which is told to stop then: among processes the newest is the one that was heard last. That is
/// no fault of the master, and whoever starts instances starts another.
#[test]
fn a_successor_that_is_told_to_stop_has_a_successor() {
    holds(0x5ee0f5e);
}

/// An attempt was given up as lost and killed for it; the master died before its framework was
/// back, and the next one told that it was killed for a later attempt, which nobody had launched.
#[test]
fn what_was_given_up_is_lost_whoever_is_left_to_say_so() {
    holds(0x5ee089e);
}

/// An agent that was started anew registered before its executors had answered, and said of a task
/// that it was starting; that it runs was acknowledged, and so nobody said it again.
#[test]
fn what_runs_is_not_said_to_start() {
    holds(0x01a2_24c5_8874_200f);
}

/// A master that was started anew said that nobody knew a task; its framework went on without it,
/// and when the agent came after all nobody ended the task.
#[test]
fn what_was_called_lost_is_ended_when_it_turns_up() {
    holds(0x01a2_24c5_8874_179d);
}

/// An end that was ordered for a later attempt, which nobody had launched, was told as a loss; when
/// the agent repeated it, it was told as it was.
#[test]
fn an_end_that_is_repeated_is_told_in_the_same_words() {
    holds(0x01a2_24cc_7270_46fc);
}

/// That a task runs was acknowledged, but its agent did not hear so and said it again; its
/// framework had heard meanwhile that the agent was out of reach, asked, and was answered by what
/// it had had.
#[test]
fn who_asks_is_not_answered_by_what_it_has_had() {
    holds(0x01a2_2602_6748_1ace);
}

/// A task that said for itself when it counts as lost was told so; when many others had ended
/// since, its agent came back and told how it had ended.
#[test]
fn what_was_told_lost_is_no_news_later() {
    holds(0x01a2_26e1_b5f3_006c);
}

/// An agent died before it had written down that an end was acknowledged, and was away again
/// before it had told that end once more: after many others had ended the task was called lost.
#[test]
fn what_was_acknowledged_is_not_lost_later() {
    holds(0x01a2_26ea_e8dc_19ac);
}
