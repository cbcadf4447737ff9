//! The masters that live, and the blobs that most of them have: names only, in etcd.
//!
//! Nothing here is bound to a reign: a name that is written late is true all the same.

use crate::gateway::{Etcd, EtcdError, PATIENCE, decode, encode, number};
use serde_json::json;
use std::time::Duration;

impl Etcd {
    /// Says that a master is reached at `address`, for `time` from now on. To be repeated.
    ///
    /// # Errors
    /// [`EtcdError`] if etcd does not answer.
    pub fn attend(&self, address: &str, time: Duration) -> Result<(), EtcdError> {
        // A lease each time: the one before ends by itself.
        let wish = json!({"TTL": time.as_secs().max(1).to_string()});
        let granted = self.call("lease/grant", &wish, PATIENCE)?;
        let lease = number(&granted["ID"], "ID")?.to_string();
        let put = json!({"key": self.key(&format!("master/{address}")), "lease": lease});
        self.call("kv/put", &put, PATIENCE).map(drop)
    }

    /// Where masters that live are reached.
    ///
    /// # Errors
    /// [`EtcdError`] if etcd does not answer.
    pub fn masters(&self) -> Result<Vec<String>, EtcdError> {
        self.names_under("master/")
    }

    /// Notes that most masters have a blob.
    ///
    /// # Errors
    /// [`EtcdError`] if etcd does not answer.
    pub fn note_blob(&self, name: &str) -> Result<(), EtcdError> {
        let put = json!({"key": self.key(&format!("blob/{name}"))});
        self.call("kv/put", &put, PATIENCE).map(drop)
    }

    /// The blobs that most masters have.
    ///
    /// # Errors
    /// [`EtcdError`] if etcd does not answer.
    pub fn blobs(&self) -> Result<Vec<String>, EtcdError> {
        self.names_under("blob/")
    }

    fn names_under(&self, prefix: &str) -> Result<Vec<String>, EtcdError> {
        let prefix = self.plain_key(prefix);
        let mut end = prefix.as_bytes().to_vec();
        *end.last_mut().expect("a prefix") += 1;
        let range = json!({
            "key": encode(prefix.as_bytes()), "range_end": encode(&end), "keys_only": true,
        });
        let answer = self.call("kv/range", &range, PATIENCE)?;
        let rows = answer["kvs"].as_array().map(Vec::as_slice).unwrap_or_default();
        let name = |row: &serde_json::Value| {
            let key = decode(&row["key"], "a key")?;
            Ok(String::from_utf8_lossy(&key[prefix.len()..]).into_owned())
        };
        rows.iter().map(name).collect()
    }
}
