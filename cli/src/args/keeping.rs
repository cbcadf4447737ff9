//! Agents under their operator's hand, and what is kept on them.

use super::{AgentStart, Client};
use crate::units::{Begin, Bytes, Span};
use clap::{Args, Subcommand};
use skep_protocol::{Resources, Role};
use std::str::FromStr;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct AgentArgs {
    #[command(subcommand)]
    pub(crate) command: Option<AgentCommand>,
    #[command(flatten)]
    pub(crate) start: AgentStart,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AgentCommand {
    /// List agents
    #[command(visible_alias = "ls")]
    List(Client),
    /// Show all that is known of one agent
    Show(OneAgent),
    /// Offer nothing of an agent any more and end its tasks; it is drained when they have ended
    Drain {
        #[command(flatten)]
        agent: OneAgent,
        /// Let tasks that run end by themselves for so long; their frameworks are told
        #[arg(long, value_name = "TIME")]
        grace: Option<Span>,
    },
    /// Offer nothing of an agent any more; its tasks go on
    Deactivate(OneAgent),
    /// Offer an agent again that was drained or deactivated
    Activate(OneAgent),
    /// Give an agent up for good: its tasks are lost, and it is refused if it comes back
    Gone(OneAgent),
    /// Say when an agent will not be there: who has tasks on it is asked to leave before
    Maintenance(MaintenanceArgs),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct OneAgent {
    #[command(flatten)]
    pub(crate) client: Client,
    /// The agent: its id as `skep agent list` shows it, or its host, if no other has that name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct MaintenanceArgs {
    #[command(flatten)]
    pub(crate) agent: OneAgent,
    /// When it begins: a moment as in 2026-01-01T00:00:00Z, or a time from now as in 2h
    #[arg(long, value_name = "WHEN", required_unless_present = "cancel")]
    pub(crate) from: Option<Begin>,
    /// How long it lasts
    #[arg(long = "for", value_name = "TIME", required_unless_present = "cancel")]
    pub(crate) lasts: Option<Span>,
    /// Let its tasks go on; only offers stop
    #[arg(long)]
    pub(crate) keep_tasks: bool,
    /// Call it off
    #[arg(long, conflicts_with_all = ["from", "lasts", "keep_tasks"])]
    pub(crate) cancel: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum VolumeCommand {
    /// List the volumes that were made on agents
    #[command(visible_alias = "ls")]
    List(Client),
    /// Make a volume out of free disk that is reserved for a role
    Create {
        #[command(flatten)]
        agent: OneAgent,
        /// Whose tasks may use it; those of the roles below it may, too
        #[arg(value_name = "ROLE")]
        role: Role,
        /// What it is called, unique on the agent
        #[arg(value_name = "VOLUME")]
        volume: String,
        /// How much of the reserved disk is set aside for it
        #[arg(long, value_name = "SIZE")]
        size: Bytes,
    },
    /// Remove a volume with all that is in it; its disk stays reserved
    Destroy {
        #[command(flatten)]
        agent: OneAgent,
        /// Which
        #[arg(value_name = "VOLUME")]
        volume: String,
    },
}

/// What an agent's operator reserves on it for a role: `eng=cpus:1;mem:256`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FixedReservation {
    pub(crate) role: Role,
    pub(crate) resources: Resources,
}

impl FromStr for FixedReservation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((role, list)) = text.split_once('=') else {
            return Err(format!("{text:?} is no reservation: write it as in eng=cpus:1;mem:256"));
        };
        let role = role.parse().map_err(|why| format!("{text:?}: {why}"))?;
        // Shells take the semicolon for their own.
        let resources: Resources =
            list.replace(',', ";").parse().map_err(|why| format!("{text:?}: {why}"))?;
        if resources.is_empty() {
            return Err(format!("{text:?} reserves nothing"));
        }
        Ok(Self { role, resources })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reservation_names_a_role_and_amounts() {
        let read = |text: &str| text.parse::<FixedReservation>();
        let known = read("eng/web=cpus:1,mem:256").expect("a reservation");
        assert_eq!(known.role.as_str(), "eng/web");
        assert_eq!(Ok(known), read("eng/web=cpus:1;mem:256"));
        for wrong in ["", "eng", "eng=", "=cpus:1", "eng=cpus"] {
            read(wrong).expect_err(wrong);
        }
    }
}
