//! Who leads: whoever made the leader's key, for as long as the lease under it lives.
//!
//! ```text
//! stand by --the key is gone--> campaign --made it--> lead --lease over, or refused--> stand by
//! ```
//! A leader renews its lease three times within it. It trusts it from the moment it *sent* the
//! renewal, less a margin for clocks that run unlike: whenever another can lead, it has stopped.

use crate::{
    gateway::{Etcd, EtcdError, PATIENCE, absent, decode, encode, number, succeeded},
    records::EtcdStore,
};
use serde_json::json;
use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Renewals in the time of a lease: two may fail.
const RENEWALS: u32 = 3;
/// The part of a lease that a leader does not count on: clocks that run a tenth unlike are broken.
const MARGIN_PART: u32 = 10;

/// What became of an attempt to lead.
#[derive(Debug)]
pub enum Campaign {
    /// This process leads.
    Elected(Leadership),
    /// Another leads, and is reached at this address.
    Standby {
        /// The leader's address; empty if it changes right now.
        leader: String,
    },
}

/// A reign: the lease that it lasts, and where its records go.
#[derive(Debug)]
pub struct Leadership {
    etcd: Etcd,
    epoch: i64,
    id: i64,
    lease: Lease,
}

/// Until when a reign surely lasts; clones are handles of the same one.
#[derive(Clone, Debug)]
pub struct Lease(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    until: Mutex<Until>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug)]
struct Until {
    at: Instant,
    /// The reign is over, and nobody renews it.
    over: bool,
}

impl Etcd {
    /// Tries to lead, reachable at `address`, with a lease of `time` (whole seconds count).
    ///
    /// # Errors
    /// [`EtcdError`] if no member answers. Should this process have been elected all the same,
    /// that ends with the lease.
    pub fn campaign(&self, address: &str, time: Duration) -> Result<Campaign, EtcdError> {
        let key = self.key("leader");
        let range = json!({"key": key});
        let answer = self.call("kv/range", &range, PATIENCE)?;
        if let Some(leader) = answer["kvs"].get(0) {
            let leader = decode(&leader["value"], "the leader's address")?;
            let leader = String::from_utf8_lossy(&leader).into_owned();
            return Ok(Campaign::Standby { leader });
        }
        let asked_at = Instant::now();
        let wish = json!({"TTL": time.as_secs().max(1).to_string()});
        let granted = self.call("lease/grant", &wish, PATIENCE)?;
        let id = number(&granted["ID"], "ID")?;
        // Etcd has a shortest lease; what it grants is what counts.
        let time = Duration::from_secs(number(&granted["TTL"], "TTL")?.unsigned_abs());
        let put = json!({"key": key, "value": encode(address.as_bytes()), "lease": id.to_string()});
        let txn = json!({
            "compare": [absent(&key)], "success": [{"request_put": put}],
            "failure": [{"request_range": range}],
        });
        let answer = self.call("kv/txn", &txn, PATIENCE)?;
        let epoch = if succeeded(&answer) {
            number(&answer["header"]["revision"], "revision")?
        } else {
            let leader = &answer["responses"][0]["response_range"]["kvs"][0];
            if number(&leader["lease"], "lease")? != id {
                let _ = self.call("lease/revoke", &json!({"ID": id.to_string()}), PATIENCE);
                return Ok(Campaign::Standby { leader: String::new() });
            }
            // A first try did it, and its answer was lost.
            number(&leader["create_revision"], "create_revision")?
        };
        let lease = Lease::starting(asked_at + trusted(time));
        let renewing = (self.clone(), lease.clone());
        thread::spawn(move || renew(&renewing.0, &renewing.1, id, time));
        Ok(Campaign::Elected(Leadership { etcd: self.clone(), epoch, id, lease }))
    }
}

fn trusted(time: Duration) -> Duration {
    time - time / MARGIN_PART
}

/// Renews a lease until its reign is over.
fn renew(etcd: &Etcd, lease: &Lease, id: i64, time: Duration) {
    let wish = json!({"ID": id.to_string()});
    while lease.wait(time / RENEWALS) {
        let asked_at = Instant::now();
        match etcd.call("lease/keepalive", &wish, time / RENEWALS) {
            Ok(answer) if number(&answer["result"]["TTL"], "TTL").unwrap_or(0) > 0 => {
                lease.extend(asked_at + trusted(time));
            }
            Ok(_) => lease.end(),
            Err(error) => tracing::warn!(%error, "the lease of the leader was not renewed"),
        }
    }
}

impl Leadership {
    /// A number that grows with each reign: all writes of this one are bound to it.
    pub const fn epoch(&self) -> i64 {
        self.epoch
    }

    /// Until when this reign lasts.
    pub fn lease(&self) -> Lease {
        self.lease.clone()
    }

    /// The records, writable for as long as this reign lasts.
    pub fn store(&self) -> EtcdStore {
        EtcdStore::new(self.etcd.clone(), self.epoch, self.lease.clone())
    }

    /// Gives the lead to whoever wants it, at once. To be called when nothing more is done in it.
    pub fn resign(self) {
        self.lease.end();
        // If it fails the lease ends by itself.
        let wish = json!({"ID": self.id.to_string()});
        if let Err(error) = self.etcd.call("lease/revoke", &wish, PATIENCE) {
            tracing::info!(%error, "the lead ends with its lease");
        }
    }
}

impl Drop for Leadership {
    fn drop(&mut self) {
        self.lease.end();
    }
}

impl Lease {
    fn starting(at: Instant) -> Self {
        Self(Arc::new(Shared {
            until: Mutex::new(Until { at, over: false }),
            changed: Condvar::new(),
        }))
    }

    /// Whether the reign surely lasts still.
    pub fn is_held(&self) -> bool {
        let until = *self.until();
        !until.over && Instant::now() < until.at
    }

    /// Until when it surely lasts if it is not renewed.
    pub fn held_until(&self) -> Instant {
        self.until().at
    }

    fn extend(&self, at: Instant) {
        let mut until = self.until();
        // One that has run out stays so: who saw that has stepped down.
        if until.at <= Instant::now() {
            until.over = true;
        } else {
            until.at = until.at.max(at);
        }
    }

    pub(crate) fn end(&self) {
        let mut until = self.until();
        until.over = true;
        until.at = until.at.min(Instant::now());
        drop(until);
        self.0.changed.notify_all();
    }

    /// Waits; whether the lease is still to be renewed.
    fn wait(&self, time: Duration) -> bool {
        let until = self.until();
        let waited = self.0.changed.wait_timeout_while(until, time, |until| !until.over);
        !waited.unwrap_or_else(PoisonError::into_inner).0.over
    }

    fn until(&self) -> MutexGuard<'_, Until> {
        self.0.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_that_ran_out_stays_so() {
        let lease = Lease::starting(Instant::now());
        assert!(!lease.is_held());
        lease.extend(Instant::now() + Duration::from_secs(60));
        assert!(!lease.is_held(), "who saw that it ran out has stepped down");

        let lease = Lease::starting(Instant::now() + Duration::from_secs(60));
        assert!(lease.is_held());
        lease.end();
        assert!(!lease.is_held());
    }
}
