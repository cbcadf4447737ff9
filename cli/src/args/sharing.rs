//! How the cluster is shared: roles, quotas, reservations, and why somebody waits.

use super::Client;
use crate::units::Scalars;
use clap::{Args, Subcommand};
use skep_protocol::{AgentId, Amount, FrameworkId, Role, wishes::Constraint};

#[derive(Debug, Subcommand)]
pub(crate) enum RoleCommand {
    /// List roles with their shares
    #[command(visible_alias = "ls")]
    List(Client),
    /// Show all that is known of one role
    Show {
        #[command(flatten)]
        client: Client,
        /// The role
        role: Role,
    },
    /// Give a role a weight
    Set {
        #[command(flatten)]
        client: Client,
        /// The role
        role: Role,
        /// Its weight, 0.001 to 1000
        #[arg(long, value_name = "W")]
        weight: Amount,
    },
    /// Take a role's weight and quota away; its frameworks and tasks stay
    #[command(visible_alias = "rm")]
    Remove {
        #[command(flatten)]
        client: Client,
        /// The role
        role: Role,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum QuotaCommand {
    /// Give a role a quota, in place of the one it has
    Set {
        #[command(flatten)]
        client: Client,
        /// The role
        role: Role,
        #[command(flatten)]
        quota: QuotaArgs,
        /// Also below what the role has: offers to it are rescinded, its tasks go on
        #[arg(long)]
        force: bool,
    },
    /// Take a role's quota away
    #[command(visible_alias = "rm")]
    Remove {
        #[command(flatten)]
        client: Client,
        /// The role
        role: Role,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct QuotaArgs {
    /// What is held free for the role while it does not have it, such as "cpus:2;mem:1024"
    #[arg(long, value_name = "LIST")]
    pub(crate) guarantee: Option<Scalars>,
    /// The most that the role may have, of each kind that is named; 0 is nothing
    #[arg(long, value_name = "LIST")]
    pub(crate) limit: Option<LimitList>,
}

/// A list of amounts in which zero has a meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LimitList(pub(crate) std::collections::BTreeMap<String, Amount>);

impl std::str::FromStr for LimitList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut limits = std::collections::BTreeMap::new();
        for pair in text.split(';').map(str::trim).filter(|pair| !pair.is_empty()) {
            let Some((name, amount)) = pair.split_once(':') else {
                return Err(format!("{pair:?} is no limit: write name:amount, as in cpus:4"));
            };
            let amount = amount.trim().parse().map_err(|why| format!("{pair:?}: {why}"))?;
            if limits.insert(name.trim().to_owned(), amount).is_some() {
                return Err(format!("{:?} is limited twice", name.trim()));
            }
        }
        if limits.is_empty() { Err("no limit is named".into()) } else { Ok(Self(limits)) }
    }
}

/// Resources of an agent that are set aside for a role.
#[derive(Debug, Args)]
pub(crate) struct Reservation {
    #[command(flatten)]
    pub(crate) client: Client,
    /// The agent
    pub(crate) agent: AgentId,
    /// For whom; its descendants are offered it too
    pub(crate) role: Role,
    /// How much of what nobody uses there, such as "cpus:2;mem:1024"
    #[arg(value_name = "LIST")]
    pub(crate) resources: Scalars,
}

#[derive(Debug, Args)]
pub(crate) struct Reserve {
    #[command(flatten)]
    pub(crate) reservation: Reservation,
    /// Out of what is reserved for this role, which stands above the other
    #[arg(long, value_name = "ROLE")]
    pub(crate) from: Option<Role>,
}

#[derive(Debug, Args)]
pub(crate) struct Unreserve {
    #[command(flatten)]
    pub(crate) reservation: Reservation,
    /// To what is reserved for this role instead of to everybody
    #[arg(long, value_name = "ROLE")]
    pub(crate) to: Option<Role>,
}

#[derive(Debug, Args)]
pub(crate) struct Why {
    #[command(flatten)]
    pub(crate) client: Client,
    /// The framework that waits, as `skep framework list` shows it
    pub(crate) framework: FrameworkId,
    /// What a task of it needs that finds no place, such as "cpus:2;mem:1024"
    #[arg(long, value_name = "LIST")]
    pub(crate) needs: Option<Scalars>,
}

/// Where an agent is, and what it lends.
#[derive(Clone, Debug, Args)]
pub(crate) struct Place {
    /// What to lend on top of the resources, such as "cpus:2": tasks that hold it are paused or
    /// killed as soon as regular ones need it
    #[arg(long, env = "SKEP_REVOCABLE", value_name = "LIST")]
    pub(crate) revocable: Option<Scalars>,
    /// Region that this agent is in [default: the master's]
    #[arg(long, env = "SKEP_REGION", value_name = "NAME")]
    pub(crate) region: Option<String>,
    /// Zone of the region that this agent is in
    #[arg(long, env = "SKEP_ZONE", value_name = "NAME")]
    pub(crate) zone: Option<String>,
}

/// On which agents and terms tasks are to run.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Where the tasks run")]
pub(crate) struct Wanted {
    /// Only on agents of which this holds, such as "zone equals z1"; also exists, missing, differs,
    /// matches and mismatches; of several, all must hold
    #[arg(long = "constraint", value_name = "CONSTRAINT")]
    pub(crate) constraints: Vec<Constraint>,
    /// Also on agents in other regions than the master's
    #[arg(long)]
    pub(crate) any_region: bool,
    /// On resources that agents lend: the tasks are paused, or killed and started again, when
    /// regular ones need them
    #[arg(long)]
    pub(crate) revocable: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_may_be_nothing_and_names_each_kind_once() {
        let limits: LimitList = "cpus:4; gpus:0".parse().expect("limits");
        let pairs: Vec<_> =
            limits.0.iter().map(|(name, amount)| format!("{name} {amount}")).collect();
        assert_eq!(pairs, ["cpus 4", "gpus 0"]);
        for wrong in ["", "cpus", "cpus:4;cpus:5", "cpus:much"] {
            assert!(wrong.parse::<LimitList>().is_err(), "{wrong}");
        }
    }
}
