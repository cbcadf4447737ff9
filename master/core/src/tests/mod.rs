//! The core told as stories: inputs go in, and exactly these effects come out.

mod kit;
mod show;

mod accepting;
mod agents_come_and_go;
mod checkpoints;
mod duty;
mod fairness;
mod frameworks_come_and_go;
mod histories;
mod hosting;
mod keeping;
mod killing_and_asking;
mod lending;
mod maintenance;
mod messages;
mod offering;
mod people;
mod queued_launch;
mod removal;
mod reporting;
mod restart;
mod sharing;
mod tokens;
