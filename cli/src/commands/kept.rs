//! `skep service` and `skep cron`: what the frameworks of these names keep going.

use super::frameworks::host_builtin;
use crate::{
    args::{ApplyFile, Client, CronCommand, OneNamed, ServiceCommand},
    client::{connect, question, question_when_there},
    failure::Result,
    files::{self, Modules},
    output::{self, Row},
};
use serde::{Serialize, de::DeserializeOwned};
use skep_frameworks::{cron, service};

const SERVICE: &str = "service";
const CRON: &str = "cron";

impl Row for service::Report {
    const HEADINGS: &'static [&'static str] =
        &["SERVICE", "VERSION", "HEALTHY", "WANTED", "COPY", "OF", "STATE", "AGENT"];

    fn cells(&self) -> Vec<String> {
        let column = |cell: &dyn Fn(&service::CopyReport) -> String| {
            self.copies.iter().map(cell).collect::<Vec<_>>().join("\n")
        };
        vec![
            self.spec.name.clone(),
            self.version.to_string(),
            self.healthy.to_string(),
            self.spec.copies.to_string(),
            column(&|copy| copy.task.clone()),
            column(&|copy| copy.version.to_string()),
            column(&|copy| copy.state.clone()),
            column(&|copy| copy.agent.clone().unwrap_or_else(|| "-".into())),
        ]
    }
}

impl Row for cron::Report {
    const HEADINGS: &'static [&'static str] =
        &["SCHEDULE", "WHEN", "NEXT", "RUNNING", "BEGUN", "SKIPPED", "MISSED", "LAST END"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.spec.name.clone(),
            format!("{} {}", self.spec.schedule, self.spec.zone),
            if self.error.is_empty() { self.next.clone() } else { self.error.clone() },
            self.running.join("\n"),
            self.begun.to_string(),
            self.skipped.to_string(),
            self.missed.to_string(),
            if self.ended.is_empty() { "-".into() } else { self.ended.clone() },
        ]
    }
}

pub(super) async fn service(command: ServiceCommand) -> Result {
    use service::Order;
    match command {
        ServiceCommand::Apply(ApplyFile { client, file }) => {
            let (spec, modules) = files::service(&file)?;
            let order = Order::Apply { spec: Box::new(spec) };
            apply::<_, service::Report>(client, SERVICE, modules, order).await
        }
        ServiceCommand::Scale { client, name, copies } => {
            ask::<_, service::Report>(client, SERVICE, Order::Scale { name, copies }).await
        }
        ServiceCommand::List(client) => {
            ask::<_, service::Report>(client, SERVICE, Order::List).await
        }
        ServiceCommand::Remove(OneNamed { client, name }) => {
            ask::<_, service::Report>(client, SERVICE, Order::Remove { name }).await
        }
    }
}

pub(super) async fn cron(command: CronCommand) -> Result {
    use cron::Order;
    match command {
        CronCommand::Apply(ApplyFile { client, file }) => {
            let (spec, modules) = files::schedule(&file)?;
            let order = Order::Apply { spec: Box::new(spec) };
            apply::<_, cron::Report>(client, CRON, modules, order).await
        }
        CronCommand::List(client) => ask::<_, cron::Report>(client, CRON, Order::List).await,
        CronCommand::Remove(OneNamed { client, name }) => {
            ask::<_, cron::Report>(client, CRON, Order::Remove { name }).await
        }
    }
}

/// Stores the modules, sees to it that the framework is there, and orders.
async fn apply<O: Serialize, R: Row + DeserializeOwned>(
    client: Client,
    framework: &str,
    modules: Modules,
    order: O,
) -> Result {
    let cluster = connect(&client).await?;
    for bytes in modules.values() {
        cluster.push(bytes).await?;
    }
    host_builtin(&cluster, framework).await?;
    let reports: Vec<R> = question_when_there(&cluster, framework, &order).await?;
    cluster.close().await;
    Ok(output::list(client.output, &reports)?)
}

async fn ask<O: Serialize, R: Row + DeserializeOwned>(
    client: Client,
    framework: &str,
    order: O,
) -> Result {
    let cluster = connect(&client).await?;
    let reports: Vec<R> = question(&cluster, framework, &order).await?;
    cluster.close().await;
    Ok(output::list(client.output, &reports)?)
}
