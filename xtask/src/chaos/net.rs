//! The network of the cluster: each machine in a network namespace of its own, joined by a bridge
//! in another one, or all of them on loopback where that is not allowed.
//!
//! Always holds: the network of the machine that this runs on is not touched, and what was made is
//! gone when this is dropped.

use anyhow::{Context, Result, bail};
use rustix::process::geteuid;
use std::{
    net::Ipv4Addr,
    process::{Command, Stdio, id},
};

/// Addresses of the machines: in the namespaces, and on loopback.
const NETWORK: [u8; 3] = [10, 213, 0];
const LOOPBACK: [u8; 3] = [127, 213, 0];

/// See the module.
#[derive(Debug)]
pub(crate) struct Net {
    machines: Vec<String>,
    kind: Links,
}

/// Whether machines have links that can be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Links {
    /// Each has its own.
    Own,
    /// All are on loopback.
    Loopback,
}

impl Net {
    /// Makes it for these machines, in whatever way is possible.
    pub(crate) fn make(machines: &[&str]) -> Result<Self> {
        let machines = machines.iter().map(|name| (*name).to_owned()).collect();
        let mut net = Self { machines, kind: Links::Loopback };
        if !geteuid().is_root() || ip(&["-V"]).is_err() {
            return Ok(net);
        }
        net.kind = Links::Own;
        let hub = net.space("hub");
        ip(&["netns", "add", &hub])?;
        ip(&["-n", &hub, "link", "add", "br0", "type", "bridge"])?;
        ip(&["-n", &hub, "link", "set", "br0", "up"])?;
        for machine in &net.machines {
            net.join(machine, &hub)?;
        }
        Ok(net)
    }

    fn join(&self, machine: &str, hub: &str) -> Result<()> {
        let space = self.space(machine);
        let address = format!("{}/24", self.address(machine));
        ip(&["netns", "add", &space])?;
        let link = ["link", "add", "eth0", "type", "veth", "peer", "name", machine, "netns", hub];
        ip(&[&["-n", &space][..], &link].concat())?;
        ip(&["-n", &space, "address", "add", &address, "dev", "eth0"])?;
        ip(&["-n", &space, "link", "set", "lo", "up"])?;
        ip(&["-n", &space, "link", "set", "eth0", "up"])?;
        ip(&["-n", hub, "link", "set", machine, "master", "br0"])?;
        ip(&["-n", hub, "link", "set", machine, "up"])
    }

    /// Whether links can be cut.
    pub(crate) const fn links(&self) -> Links {
        self.kind
    }

    /// The address of a machine.
    pub(crate) fn address(&self, machine: &str) -> Ipv4Addr {
        let place = self.machines.iter().position(|name| name == machine).unwrap_or_default();
        let last = u8::try_from(place + 1).unwrap_or(u8::MAX);
        let [a, b, c] = if self.kind == Links::Own { NETWORK } else { LOOPBACK };
        Ipv4Addr::new(a, b, c, last)
    }

    /// A program that will run on a machine. Its process is the program's own, no shell around it.
    pub(crate) fn command(&self, machine: &str, program: &str) -> Command {
        if self.kind == Links::Loopback {
            return Command::new(program);
        }
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.space(machine))).arg(program);
        command
    }

    /// Cuts the link of a machine: nothing comes or goes, and nobody is told.
    pub(crate) fn cut(&self, machine: &str) -> Result<()> {
        ip(&["-n", &self.space("hub"), "link", "set", machine, "down"])
    }

    /// Heals it.
    pub(crate) fn heal(&self, machine: &str) -> Result<()> {
        ip(&["-n", &self.space("hub"), "link", "set", machine, "up"])
    }

    fn space(&self, machine: &str) -> String {
        format!("skep-{}-{machine}", id())
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        if self.kind == Links::Own {
            for machine in self.machines.iter().map(String::as_str).chain(["hub"]) {
                // One that was never made is not there to be removed.
                let _ = ip(&["netns", "delete", &self.space(machine)]);
            }
        }
    }
}

fn ip(words: &[&str]) -> Result<()> {
    run("ip", words)
}

/// Runs a program of the system to its end.
pub(crate) fn run(program: &str, words: &[&str]) -> Result<()> {
    let line = || format!("{program} {}", words.join(" "));
    let output = Command::new(program).args(words).stdin(Stdio::null()).output();
    let output = output.with_context(line)?;
    if !output.status.success() {
        bail!("{}: {}", line(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
