//! The records of one reign in etcd.
//!
//! A commit is one transaction. One with more rows or bytes than etcd takes is first written in
//! parts, then made with one key, then carried out row by row and cleared away; a leader that finds
//! such a key carries it out again, which changes nothing that was done.

use crate::{
    election::Lease,
    gateway::{Etcd, EtcdError, PATIENCE, created, decode, encode, number, succeeded},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use skep_shell::{ClusterStore, Row, StoreError};
use std::time::Instant;

/// Rows of a transaction: etcd takes 128 operations, and one is the commit's number.
const ROWS_MAX: usize = 100;
/// Bytes of a transaction: etcd takes 1.5 MiB in all.
const BYTES_MAX: usize = 1 << 20;
/// Rows asked for at once: as many of ordinary size as fit into a fast answer.
const PAGE_ROWS: usize = 512;

/// The records, for one reign.
#[derive(Debug)]
pub struct EtcdStore {
    etcd: Etcd,
    epoch: i64,
    lease: Lease,
    /// The commit that stands: what the next one is compared with. None before the first reading.
    last: Option<String>,
    commits: u64,
}

/// A row in a part of a large commit.
#[derive(Serialize, Deserialize)]
struct PendingRow {
    key: String,
    value: Option<Vec<u8>>,
}

impl EtcdStore {
    pub(crate) const fn new(etcd: Etcd, epoch: i64, lease: Lease) -> Self {
        Self { etcd, epoch, lease, last: None, commits: 0 }
    }

    /// Carries out operations if this reign lasts and the last commit is what we think.
    fn commit(&mut self, mut operations: Vec<Value>) -> Result<(), StoreError> {
        let last = match &self.last {
            Some(last) => last.clone(),
            None => self.standing_commit()?,
        };
        self.commits += 1;
        let this = format!("{}/{}", self.epoch, self.commits);
        let (leader, commit) = (self.etcd.key("leader"), self.etcd.key("commit"));
        let before = if last.is_empty() {
            created(&commit, 0)
        } else {
            json!({"key": commit, "target": "VALUE", "result": "EQUAL",
                   "value": encode(last.as_bytes())})
        };
        operations.push(put(&commit, this.as_bytes()));
        let txn = json!({
            "compare": [created(&leader, self.epoch), before], "success": operations,
            "failure": [{"request_range": {"key": leader}}, {"request_range": {"key": commit}}],
        });
        let answer = self.call("kv/txn", &txn)?;
        if !succeeded(&answer) {
            let found = |at: usize| &answer["responses"][at]["response_range"]["kvs"][0];
            let epoch = number(&found(0)["create_revision"], "create_revision").map_err(failed)?;
            if epoch != self.epoch {
                self.lease.end();
                let why = "etcd refused its write, because another leads or may";
                return Err(StoreError::Deposed { why: why.into() });
            }
            let stands = decode(&found(1)["value"], "the last commit").map_err(failed)?;
            if stands != this.as_bytes() {
                // Not ours and not the one before: somebody else writes under our name.
                return Err(failed(EtcdError::Answer { what: "the last commit" }));
            }
            // A first try did it, and its answer was lost.
        }
        self.last = Some(this);
        Ok(())
    }

    fn standing_commit(&self) -> Result<String, StoreError> {
        let answer = self.call("kv/range", &json!({"key": self.etcd.key("commit")}))?;
        let value = decode(&answer["kvs"][0]["value"], "the last commit").map_err(failed)?;
        Ok(String::from_utf8_lossy(&value).into_owned())
    }

    /// Asks for as long as the reign lasts: a leader that cannot reach etcd for that long is none.
    fn call(&self, path: &str, body: &Value) -> Result<Value, StoreError> {
        while self.lease.is_held() {
            let left = self.lease.held_until().saturating_duration_since(Instant::now());
            match self.etcd.call(path, body, left.min(PATIENCE)) {
                Ok(answer) => return Ok(answer),
                Err(error @ EtcdError::Silent { .. }) => {
                    tracing::warn!(%error, "etcd is asked again");
                }
                Err(error) => return Err(failed(error)),
            }
        }
        let why = "its lease ran out before etcd answered";
        Err(StoreError::Deposed { why: why.into() })
    }

    /// All rows under a prefix, without it, as they were at one moment.
    fn rows_under(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let prefix = self.etcd.plain_key(prefix);
        let end = encode(&after(&prefix));
        let (mut from, mut revision) = (prefix.clone(), 0);
        let mut rows = Vec::new();
        loop {
            let range = json!({
                "key": encode(from.as_bytes()), "range_end": end,
                "limit": PAGE_ROWS.to_string(), "revision": revision.to_string(),
            });
            let answer = self.call("kv/range", &range)?;
            if revision == 0 {
                revision = number(&answer["header"]["revision"], "revision").map_err(failed)?;
            }
            for row in answer["kvs"].as_array().into_iter().flatten() {
                let key = decode(&row["key"], "a key").map_err(failed)?;
                from = String::from_utf8_lossy(&key).into_owned();
                let value = decode(&row["value"], "a value").map_err(failed)?;
                rows.push((from[prefix.len()..].to_owned(), value));
            }
            if answer["more"].as_bool() != Some(true) {
                return Ok(rows);
            }
            from.push('\0');
        }
    }

    fn write_in_parts(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        let pending: Vec<_> = rows
            .iter()
            .map(|row| PendingRow { key: row.key.clone(), value: row.value.clone() })
            .collect();
        let bytes =
            serde_json::to_vec(&pending).map_err(|error| StoreError::Failed(error.into()))?;
        let parts = bytes.chunks(BYTES_MAX);
        let count = parts.len();
        for (number, part) in parts.enumerate() {
            let key = self.etcd.key(&format!("pending/{number:08}"));
            self.commit(vec![put(&key, part)])?;
        }
        let made = self.etcd.key("pending-parts");
        self.commit(vec![put(&made, count.to_string().as_bytes())])?;
        self.carry_out(rows)
    }

    /// Carries out a large commit that is made, and clears it away.
    fn carry_out(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        let mut rest = rows;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = |row: &&Row| {
                bytes += size(row);
                bytes <= BYTES_MAX
            };
            let count = rest.iter().take(ROWS_MAX).take_while(fits).count().max(1);
            let (now, later) = rest.split_at(count);
            self.commit(now.iter().map(|row| self.operation(row)).collect())?;
            rest = later;
        }
        let parts = self.etcd.plain_key("pending/");
        let clear = vec![
            json!({"request_delete_range": {"key": self.etcd.key("pending-parts")}}),
            json!({"request_delete_range":
                   {"key": encode(parts.as_bytes()), "range_end": encode(&after(&parts))}}),
        ];
        self.commit(clear)
    }

    fn finish_pending(&mut self) -> Result<(), StoreError> {
        let answer = self.call("kv/range", &json!({"key": self.etcd.key("pending-parts")}))?;
        let count = decode(&answer["kvs"][0]["value"], "the number of parts").map_err(failed)?;
        let Ok(count) = String::from_utf8_lossy(&count).parse::<usize>() else { return Ok(()) };
        let parts = self.rows_under("pending/")?;
        let bytes: Vec<u8> = parts.into_iter().take(count).flat_map(|(_, part)| part).collect();
        let pending: Vec<PendingRow> =
            serde_json::from_slice(&bytes).map_err(|error| StoreError::Failed(error.into()))?;
        let rows: Vec<Row> =
            pending.into_iter().map(|PendingRow { key, value }| Row { key, value }).collect();
        self.carry_out(&rows)
    }

    fn operation(&self, row: &Row) -> Value {
        let key = self.etcd.key(&format!("record/{}", row.key));
        match &row.value {
            Some(value) => put(&key, value),
            None => json!({"request_delete_range": {"key": key}}),
        }
    }
}

impl ClusterStore for EtcdStore {
    fn place(&self) -> String {
        self.etcd.place()
    }

    fn read(&mut self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.last = None;
        // The first commit of a reign: from here on nothing of an earlier one can arrive.
        self.commit(Vec::new())?;
        self.finish_pending()?;
        self.rows_under("record/")
    }

    fn write(&mut self, rows: Vec<Row>) -> Result<(), StoreError> {
        // Etcd refuses a transaction that names a key twice, and the last row is what stands.
        let rows = last_of_each_key(rows);
        if rows.len() <= ROWS_MAX && rows.iter().map(size).sum::<usize>() <= BYTES_MAX {
            return self.commit(rows.iter().map(|row| self.operation(row)).collect());
        }
        if let Some(row) = rows.iter().find(|row| size(row) > BYTES_MAX) {
            let why = format!("the record {:?} is larger than etcd takes, {BYTES_MAX} B", row.key);
            return Err(StoreError::Failed(why.into()));
        }
        self.write_in_parts(&rows)
    }
}

fn last_of_each_key(rows: Vec<Row>) -> Vec<Row> {
    let mut seen = std::collections::BTreeSet::new();
    let mut kept: Vec<Row> =
        rows.into_iter().rev().filter(|row| seen.insert(row.key.clone())).collect();
    kept.reverse();
    kept
}

fn size(row: &Row) -> usize {
    row.key.len() + row.value.as_ref().map_or(0, Vec::len)
}

fn put(key: &str, value: &[u8]) -> Value {
    json!({"request_put": {"key": key, "value": encode(value)}})
}

/// The first key behind all that begin with `prefix`, which ends with a slash.
fn after(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

fn failed(error: EtcdError) -> StoreError {
    StoreError::Failed(Box::new(error))
}
