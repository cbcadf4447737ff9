//! The executor: the process that runs guests, and the only part of skep that knows wasmtime.
//!
//! The agent starts two kinds of processes of this crate and links none of it: `skep compile`,
//! which turns a module into machine code and ends, and `skep executor`, which runs guests and
//! never compiles. A guest's life, in the order of the files:
//!
//! | file | question |
//! |---|---|
//! | `engine` | with which settings is code compiled and run? |
//! | `precheck`, `compile` | which modules are taken, and how do they become artifacts? |
//! | `jail` | what does this process give up before it reads what others wrote? |
//! | `serve`, `wire` | how does the agent talk to this process? |
//! | `runner` | how do many guests run at once? |
//! | `cpu` | whose turn is it on the processors? |
//! | `lanes`, `modules`, `artifact` | where does a guest run, and how is its code found? |
//! | `guest` | what is one run, from seat to end? |
//! | `wasi`, `output`, `limiter` | what may it see, write and hold? |
//! | `component` | what may it call, if it is a component? |
//! | `host` | what may it call, and at what price? |
//! | `life`, `speech`, `mail` | what passes between it and those outside while it runs? |
//! | `bench` | what does a way of metering cost? |
//! | `outcome`, `lines` | of what did it die, and where in its source? |
//! | `coredump`, `outbox` | what is left of it, and how does the agent learn of it? |

mod describe;
mod engine;
mod feed;

mod compile;
mod lines;
mod precheck;

mod cpu;

pub mod jail;

mod runner;
mod serve;
mod speech;
mod wire;

mod artifact;
mod lanes;
mod modules;

mod attempt;
mod component;
mod guest;
mod host;
mod inputs;
mod life;
mod limiter;
mod mail;
mod output;
mod wasi;

mod coredump;
mod outbox;
mod outcome;

pub mod bench;

pub use compile::{CompileError, CompileOrder, CompileReport, compile, compile_unlimited};
pub use describe::{Description, Unsupported, describe};
pub use runner::Runner;
pub use serve::{ServeError, serve};
pub use wire::{FilesError, GuestFiles};
