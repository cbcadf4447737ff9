//! `skep bench compute`: what the sandbox costs a program that only computes.
//!
//! The same kernels run natively, as plain wasmtime would run them, and metered in each way, one
//! after the other in one process, several times around; the least processor time of each counts.
//! Ratios of one run can be compared where absolute times cannot.

use crate::{
    args,
    failure::{Result, Sentence},
    output, stdout,
};
use compute_kernels::{KERNELS, Kernel};
use serde::Serialize;
use skep_executor::bench::{Metering, Nan, Program, thread_cpu};
use std::{collections::BTreeMap, fmt::Write as _, hint::black_box, time::Duration};

/// The kernels' module, of the same source as those that this binary contains.
const MODULE: &[u8] = include_bytes!("../../../../guests/modules/compute.wasm");

/// A way to run a module, and what it is called.
type Way = (&'static str, Metering, Nan);

/// Plain wasmtime is what the others are compared with; the last one is what guests get.
const WAYS: [Way; 6] = [
    ("plain", Metering::None, Nan::Processor),
    ("nan", Metering::None, Nan::Canonical),
    ("fuel", Metering::Fuel, Nan::Processor),
    ("epoch", Metering::Epoch, Nan::Processor),
    ("both", Metering::Both, Nan::Processor),
    ("deterministic", Metering::Fuel, Nan::Canonical),
];

/// What was measured.
#[derive(Debug, Serialize)]
struct Figures {
    kernels: Vec<Row>,
    /// Of all kernels, by way: the geometric mean of times over plain wasmtime's.
    over_plain: BTreeMap<&'static str, f64>,
    /// The geometric mean of plain wasmtime's times over native ones.
    plain_over_native: f64,
}

#[derive(Debug, Serialize)]
struct Row {
    kernel: &'static str,
    native_seconds: f64,
    plain_seconds: f64,
    over_plain: BTreeMap<&'static str, f64>,
}

pub(in crate::commands) fn compute(args: &args::BenchCompute) -> Result {
    let programs = WAYS.iter().map(|(name, metering, nan)| {
        Ok((*name, Program::new(MODULE, *metering, *nan).map_err(Sentence)?))
    });
    let programs = programs.collect::<Result<Vec<_>>>()?;
    let mut rows = Vec::new();
    for kernel in &KERNELS {
        rows.push(row(kernel, &programs, args.repeat.get())?);
    }
    let of = |way| geometric_mean(rows.iter().map(|row: &Row| row.over_plain[way]));
    let over_plain = WAYS.iter().map(|(name, ..)| (*name, of(*name))).collect();
    let plain_over_native =
        geometric_mean(rows.iter().map(|row| row.plain_seconds / row.native_seconds));
    let figures = Figures { over_plain, plain_over_native, kernels: rows };
    match args.output {
        args::Format::Json => output::json(&figures)?,
        args::Format::Table => stdout::print(&figures.words())?,
    }
    Ok(())
}

/// Runs a kernel in every way, `repeat` times around.
fn row(kernel: &Kernel, programs: &[(&'static str, Program)], repeat: usize) -> Result<Row> {
    let rounds = kernel.rounds.to_string();
    let mut native = Duration::MAX;
    let mut least: BTreeMap<&str, Duration> = BTreeMap::new();
    for _ in 0..repeat {
        let before = thread_cpu();
        let expected = (kernel.run)(black_box(kernel.rounds));
        native = native.min(thread_cpu().saturating_sub(before));
        for (name, program) in programs {
            let run = program.run(&[kernel.name, &rounds]).map_err(Sentence)?;
            if run.stdout.trim() != expected.to_string() {
                let why = format!("{} gives {}, not {expected}", kernel.name, run.stdout.trim());
                return Err(Sentence(why).into());
            }
            let entry = least.entry(*name).or_insert(Duration::MAX);
            *entry = run.cpu.min(*entry);
        }
    }
    let plain_seconds = least["plain"].as_secs_f64();
    let over_plain =
        least.into_iter().map(|(name, cpu)| (name, cpu.as_secs_f64() / plain_seconds)).collect();
    let native_seconds = native.as_secs_f64();
    Ok(Row { kernel: kernel.name, native_seconds, plain_seconds, over_plain })
}

fn geometric_mean(ratios: impl Iterator<Item = f64>) -> f64 {
    let (count, sum) = ratios.fold((0.0, 0.0), |(n, sum), ratio| (n + 1.0, sum + ratio.ln()));
    f64::exp(sum / count)
}

impl Figures {
    fn words(&self) -> String {
        let mut text = format!("{:<12}{:>10}{:>10}", "", "native", "plain");
        for (name, ..) in WAYS.iter().skip(1) {
            write!(text, "{name:>14}").expect("a string takes all");
        }
        for row in &self.kernels {
            let (native, plain) = (row.native_seconds * 1e3, row.plain_seconds * 1e3);
            write!(text, "\n{:<12}{native:>7.1} ms{plain:>7.1} ms", row.kernel)
                .expect("a string takes all");
            for (name, ..) in WAYS.iter().skip(1) {
                write!(text, "{:>14.2}", row.over_plain[name]).expect("a string takes all");
            }
        }
        write!(text, "\n{:<12}{:>10}{:>10.2}", "geom. mean", "1", self.plain_over_native)
            .expect("a string takes all");
        for (name, ..) in WAYS.iter().skip(1) {
            write!(text, "{:>14.2}", self.over_plain[name]).expect("a string takes all");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_of_ratios_is_geometric() {
        let mean = geometric_mean([0.5, 2.0, 1.0].into_iter());
        assert!((mean - 1.0).abs() < 1e-9, "{mean}");
    }
}
