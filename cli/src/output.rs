//! How views are printed: tables for people, one JSON document for programs.

use crate::{
    args::Format,
    stdout::{Stream, WriteError, print},
};
use comfy_table::{Table, presets};
use serde::Serialize;
use skep_protocol::operator::view::{
    AgentView, FrameworkView, ModuleView, OfferView, RoleView, StatusView, TaskView, TokenView,
    VolumeView,
};
use std::{collections::BTreeMap, io, time::Duration};

/// What printing comes to.
pub(crate) type Printed = Result<(), WriteError>;

/// A kind of thing that is listed in rows.
pub(crate) trait Row: Serialize {
    /// The headings.
    const HEADINGS: &'static [&'static str];
    /// The cells, one for each heading.
    fn cells(&self) -> Vec<String>;
}

/// Prints a list.
pub(crate) fn list<R: Row>(format: Format, rows: &[R]) -> Printed {
    match format {
        Format::Json => json(rows),
        Format::Table => {
            let mut table = Table::new();
            table.load_style(presets::NOTHING).set_header(R::HEADINGS.to_vec());
            for row in rows {
                table.add_row(row.cells());
            }
            for column in table.column_iter_mut() {
                column.set_padding((0, 2));
            }
            print(&table.trim_fmt())
        }
    }
}

/// Prints one JSON document.
pub(crate) fn json(document: &(impl Serialize + ?Sized)) -> Printed {
    let failed = |error| WriteError::Failed(Stream::Out, io::Error::other(error));
    let text = serde_json::to_string_pretty(document).map_err(failed)?;
    print(&text)
}

/// Resources in the order in which people think of them.
fn amounts(resources: &BTreeMap<String, f64>) -> String {
    if resources.is_empty() {
        return "-".into();
    }
    let mut named: Vec<_> = resources.iter().collect();
    let place = |name: &str| ["cpus", "mem", "disk"].iter().position(|n| *n == name).unwrap_or(3);
    named.sort_by_key(|(name, _)| (place(name), name.as_str()));
    let show = |(name, amount): &(&String, &f64)| match name.as_str() {
        "mem" | "disk" => format!("{name} {}", mib(**amount)),
        _ => format!("{name} {amount}"),
    };
    named.iter().map(show).collect::<Vec<_>>().join(", ")
}

fn mib(amount: f64) -> String {
    if amount >= 1_024.0 {
        return format!("{:.1} GiB", amount / 1_024.0);
    }
    format!("{amount} MiB")
}

fn age(micros: u64) -> String {
    let time = Duration::from_micros(micros);
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        seconds => humantime::format_duration(Duration::from_secs(seconds)).to_string(),
    }
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".into() } else { text.into() }
}

impl Row for TaskView {
    const HEADINGS: &'static [&'static str] =
        &["TASK", "NAME", "STATE", "AGENT", "RESOURCES", "EXIT", "FRAMEWORK", "REASON"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.task.clone(),
            self.name.clone(),
            self.state.clone(),
            or_dash(&self.agent),
            amounts(&self.resources),
            self.exit_code.map_or("-".into(), |code| code.to_string()),
            self.framework.clone(),
            or_dash(&self.reason),
        ]
    }
}

impl Row for AgentView {
    const HEADINGS: &'static [&'static str] =
        &["AGENT", "HOST", "STATE", "DUTY", "ARCH", "RESOURCES", "ALLOCATED", "OFFERED", "TASKS"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.agent.clone(),
            self.hostname.clone(),
            self.state.clone(),
            self.duty.clone(),
            self.architecture.clone(),
            with_lent(&self.resources, &self.revocable),
            amounts(&self.allocated),
            amounts(&self.offered),
            self.tasks.to_string(),
        ]
    }
}

/// What an agent has, and what it lends on top.
fn with_lent(has: &BTreeMap<String, f64>, lends: &BTreeMap<String, f64>) -> String {
    match lends.is_empty() {
        true => amounts(has),
        false => format!("{} + lent {}", amounts(has), amounts(lends)),
    }
}

impl Row for FrameworkView {
    const HEADINGS: &'static [&'static str] =
        &["FRAMEWORK", "NAME", "ROLE", "STATE", "ALLOCATED", "OFFERED", "TASKS", "PRINCIPAL"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.framework.clone(),
            self.name.clone(),
            self.role.clone(),
            self.state.clone(),
            amounts(&self.allocated),
            amounts(&self.offered),
            self.tasks.to_string(),
            self.principal.clone(),
        ]
    }
}

impl Row for RoleView {
    const HEADINGS: &'static [&'static str] =
        &["ROLE", "WEIGHT", "SHARE", "DOMINANT", "ALLOCATED", "FRAMEWORKS"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.role.clone(),
            self.weight.to_string(),
            format!("{:.1}%", self.share * 100.0),
            or_dash(&self.dominant),
            amounts(&self.allocated),
            self.frameworks.to_string(),
        ]
    }
}

impl Row for OfferView {
    const HEADINGS: &'static [&'static str] =
        &["OFFER", "FRAMEWORK", "NAME", "ROLE", "AGENT", "RESOURCES", "AGE", "EXPIRES IN"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.offer.clone(),
            self.framework.clone(),
            self.framework_name.clone(),
            self.role.clone(),
            self.agent.clone(),
            amounts(&self.resources),
            age(self.age_micros),
            age(self.expires_in_micros),
        ]
    }
}

impl Row for TokenView {
    const HEADINGS: &'static [&'static str] = &["TOKEN", "ADMITS", "USES LEFT", "EXPIRES"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.clone(),
            self.kind.clone(),
            self.uses_left.to_string(),
            time(self.expires_micros),
        ]
    }
}

impl Row for ModuleView {
    const HEADINGS: &'static [&'static str] = &["MODULE", "KIND", "SIZE", "STORED"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.digest.clone(),
            self.kind.clone(),
            bytesize::ByteSize(self.bytes).to_string(),
            time(self.stored_micros),
        ]
    }
}

impl Row for VolumeView {
    const HEADINGS: &'static [&'static str] = &["VOLUME", "AGENT", "ROLE", "SIZE", "MADE"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.agent.clone(),
            self.role.clone(),
            mib(self.disk),
            time(self.made_micros),
        ]
    }
}

/// Prints all that is known of an agent.
pub(crate) fn agent(format: Format, agent: &AgentView) -> Printed {
    if format == Format::Json {
        return json(agent);
    }
    let maintenance = agent.maintenance.as_ref().map_or("-".into(), |window| {
        let (from, until) = (time(window.from_micros), time(window.until_micros));
        format!("{} from {from} until {until}", window.manner)
    });
    let joined = |lines: Vec<String>| or_dash(&lines.join("\n             "));
    let reservations = agent.reservations.iter().map(|reservation| {
        let fixed = if reservation.fixed.is_empty() {
            String::new()
        } else {
            format!(" (by the agent: {})", amounts(&reservation.fixed))
        };
        format!("{} {}{fixed}", reservation.role, amounts(&reservation.resources))
    });
    let volumes = agent.volumes.iter().map(|v| format!("{} {} of {}", v.name, mib(v.disk), v.role));
    let asked = agent.asked.iter().map(|asked| format!("{} {}", asked.framework, asked.answer));
    let attributes = agent.attributes.iter().map(|(name, value)| format!("{name}:{value}"));
    print(&format!(
        "agent        {}\n\
         host         {} ({}, skep {})\n\
         state        {}\n\
         duty         {}\n\
         resources    {}\n\
         allocated    {}\n\
         offered      {}\n\
         tasks        {}\n\
         attributes   {}\n\
         reserved     {}\n\
         volumes      {}\n\
         maintenance  {maintenance}\n\
         asked        {}",
        agent.agent,
        agent.hostname,
        or_dash(&agent.architecture),
        or_dash(&agent.build),
        agent.state,
        agent.duty,
        amounts(&agent.resources),
        amounts(&agent.allocated),
        amounts(&agent.offered),
        agent.tasks,
        or_dash(&attributes.collect::<Vec<_>>().join(" ")),
        joined(reservations.collect()),
        joined(volumes.collect()),
        joined(asked.collect()),
    ))
}

/// A moment, to the second.
fn time(micros: u64) -> String {
    let micros = i64::try_from(micros).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_microsecond(micros);
    time.map_or("never".into(), |time| format!("{time:.0}"))
}

/// Prints all that is known of a role.
pub(crate) fn role(format: Format, role: &RoleView) -> Printed {
    if format == Format::Json {
        return json(role);
    }
    print(&format!(
        "role        {}\n\
         weight      {}\n\
         share       {:.1}% of the cluster{}, {:.1}% over its weight\n\
         allocated   {}\n\
         offered     {}\n\
         guarantee   {}\n\
         limit       {}\n\
         consumed    {}\n\
         frameworks  {}",
        role.role,
        role.weight,
        role.share * 100.0,
        if role.dominant.is_empty() { String::new() } else { format!(" in {}", role.dominant) },
        role.weighted_share * 100.0,
        amounts(&role.allocated),
        amounts(&role.offered),
        amounts(&role.guarantee),
        amounts(&role.limit),
        amounts(&role.consumed),
        role.frameworks,
    ))
}

/// Prints the state of the cluster.
pub(crate) fn status(format: Format, status: &StatusView) -> Printed {
    if format == Format::Json {
        return json(status);
    }
    print(&format!(
        "cluster     {} (skep {})\n\
         agents      {} connected of {}\n\
         frameworks  {} connected of {}\n\
         tasks       {} running, {} staging, {} unreachable\n\
         offers      {} out\n\
         resources   {}\n\
         allocated   {}\n\
         {}",
        status.cluster,
        status.build,
        status.agents_connected,
        status.agents_known,
        status.frameworks_connected,
        status.frameworks_known,
        status.tasks_running,
        status.tasks_staging,
        status.tasks_unreachable,
        status.offers,
        amounts(&status.resources),
        amounts(&status.allocated),
        status.summary,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_read_as_people_think_of_them() {
        let resources = [("mem", 2_048.0), ("gpus", 1.0), ("cpus", 0.5), ("disk", 100.0)];
        let resources = resources.into_iter().map(|(name, amount)| (name.into(), amount)).collect();
        assert_eq!(amounts(&resources), "cpus 0.5, mem 2.0 GiB, disk 100 MiB, gpus 1");
        assert_eq!(amounts(&BTreeMap::new()), "-");
    }

    #[test]
    fn ages_are_short() {
        assert_eq!([age(1_500), age(61_000_000)], ["1 ms", "1m 1s"]);
    }
}
