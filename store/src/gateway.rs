//! Calls to etcd: JSON over HTTP, to whichever member answers.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::{
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// How long one member has to answer before the next is asked: above what a commit takes on a slow
/// disk, below what a lease can wait.
const MEMBER_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a call may take that nobody waits for with a lease: members that elect their own leader
/// answer within this.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// Between two rounds over all members that none has answered.
const ROUND_PAUSE: Duration = Duration::from_millis(100);
/// The longest answer: a page of rows, each as large as etcd takes them, in base64.
const ANSWER_BYTES_MAX: u64 = 512 << 20;
/// What a cluster is called in etcd if the operator gives no name.
const NAME: &str = "skep";

/// An etcd, and the part of its keys that one cluster of ours uses.
#[derive(Clone, Debug)]
pub struct Etcd {
    agent: ureq::Agent,
    members: Arc<[String]>,
    name: String,
    /// The member that answered last.
    current: Arc<AtomicUsize>,
}

/// An address of etcd that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no etcd: write etcd://HOST:PORT[,HOST:PORT]...[/NAME]")]
pub struct AddressError {
    text: String,
}

/// Why etcd did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum EtcdError {
    /// No member answered in time.
    #[error("no etcd member answers; {member} last: {why}")]
    Silent {
        /// The last that was asked.
        member: String,
        /// What happened there.
        why: String,
    },
    /// It answered, and refused.
    #[error("etcd at {member} refuses: {why}")]
    Refused {
        /// Who refused.
        member: String,
        /// Its words.
        why: String,
    },
    /// It answered with something else than what an etcd 3.4 or later says.
    #[error("etcd's answer lacks {what:?}: is it version 3.4 or later?")]
    Answer {
        /// What was looked for.
        what: &'static str,
    },
}

impl FromStr for Etcd {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let error = || AddressError { text: text.into() };
        let rest = text.strip_prefix("etcd://").ok_or_else(error)?;
        let (members, name) = rest.split_once('/').unwrap_or((rest, NAME));
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || !name.chars().all(plain) {
            return Err(error());
        }
        let member = |member: &str| match member.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
                Ok(format!("http://{member}"))
            }
            _ => Err(error()),
        };
        let members = members.split(',').map(member).collect::<Result<_, _>>()?;
        let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None);
        Ok(Self {
            agent: config.build().new_agent(),
            members,
            name: name.into(),
            current: Arc::default(),
        })
    }
}

impl Etcd {
    /// For people: the members, and the cluster's name.
    pub fn place(&self) -> String {
        format!("etcd {} under {:?}", self.members.join(", "), self.name)
    }

    /// What is kept once for all masters under a key: what stands there, or else `value`, which
    /// stands there from now on.
    ///
    /// # Errors
    /// [`EtcdError`] if it does not answer.
    pub fn keep(&self, key: &str, value: &[u8]) -> Result<Vec<u8>, EtcdError> {
        let key = self.key(&format!("kept/{key}"));
        let put = json!({"request_put": {"key": key, "value": encode(value)}});
        let txn = json!({
            "compare": [absent(&key)], "success": [put],
            "failure": [{"request_range": {"key": key}}],
        });
        let answer = self.call("kv/txn", &txn, PATIENCE)?;
        if succeeded(&answer) {
            return Ok(value.into());
        }
        let kept = &answer["responses"][0]["response_range"]["kvs"][0]["value"];
        decode(kept, "a kept value")
    }

    /// What is kept under a key, if anything is.
    ///
    /// # Errors
    /// [`EtcdError`] if it does not answer.
    pub fn kept(&self, key: &str) -> Result<Option<Vec<u8>>, EtcdError> {
        let range = json!({"key": self.key(&format!("kept/{key}"))});
        let answer = self.call("kv/range", &range, PATIENCE)?;
        match answer["kvs"].get(0) {
            Some(row) => decode(&row["value"], "a kept value").map(Some),
            None => Ok(None),
        }
    }

    /// A key of this cluster, as etcd's JSON has it.
    pub(crate) fn key(&self, key: &str) -> String {
        encode(self.plain_key(key).as_bytes())
    }

    pub(crate) fn plain_key(&self, key: &str) -> String {
        format!("{}/{key}", self.name)
    }

    /// Asks one member after the other until one answers, for as long as `patience`. What is asked
    /// may be done more than once, so it must bear that.
    pub(crate) fn call(
        &self,
        path: &str,
        body: &Value,
        patience: Duration,
    ) -> Result<Value, EtcdError> {
        let deadline = Instant::now() + patience;
        let body = body.to_string();
        let mut round = 0;
        loop {
            let at = self.current.load(Ordering::Relaxed) % self.members.len();
            let member = &self.members[at];
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = left.min(MEMBER_TIMEOUT).max(Duration::from_millis(1));
            let why = match self.ask(member, path, &body, timeout) {
                Ok((200, answer)) => return Ok(answer),
                Ok((status, answer)) if is_final(&answer) => {
                    let why = format!("{} ({status})", words(&answer));
                    return Err(EtcdError::Refused { member: member.clone(), why });
                }
                Ok((status, answer)) => format!("{} ({status})", words(&answer)),
                Err(error) => error.to_string(),
            };
            self.current.store(at + 1, Ordering::Relaxed);
            round += 1;
            if Instant::now() >= deadline {
                return Err(EtcdError::Silent { member: member.clone(), why });
            }
            if round % self.members.len() == 0 {
                pause(ROUND_PAUSE);
            }
        }
    }

    fn ask(
        &self,
        member: &str,
        path: &str,
        body: &str,
        timeout: Duration,
    ) -> Result<(u16, Value), ureq::Error> {
        let request = self.agent.post(format!("{member}/v3/{path}"));
        let request = request.content_type("application/json");
        let request = request.config().timeout_global(Some(timeout)).build();
        let mut response = request.send(body)?;
        let text = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string()?;
        let answer = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok((response.status().as_u16(), answer))
    }
}

/// Whether the refusal is of what was asked, so that no other member would do it. The numbers are
/// gRPC's: not of this time are Cancelled, DeadlineExceeded, ResourceExhausted (too many requests),
/// Aborted, Internal and Unavailable.
fn is_final(answer: &Value) -> bool {
    let code = answer["code"].as_u64().or_else(|| answer["error"]["grpc_code"].as_u64());
    code.is_some_and(|code| ![1, 4, 8, 10, 13, 14].contains(&code))
}

fn words(answer: &Value) -> String {
    let said = [&answer["message"], &answer["error"]].into_iter().find_map(Value::as_str);
    said.map_or_else(|| answer.to_string(), str::to_owned)
}

#[expect(clippy::disallowed_methods, reason = "nobody tells us when etcd answers again")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// A comparison that holds if nothing stands under the key.
pub(crate) fn absent(key: &str) -> Value {
    created(key, 0)
}

/// A comparison that holds if the key was made in this revision.
pub(crate) fn created(key: &str, revision: i64) -> Value {
    json!({"key": key, "target": "CREATE", "result": "EQUAL",
           "create_revision": revision.to_string()})
}

pub(crate) fn succeeded(answer: &Value) -> bool {
    answer["succeeded"].as_bool().unwrap_or(false)
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Bytes in an answer; none are left out, as JSON of protobuf does.
pub(crate) fn decode(value: &Value, what: &'static str) -> Result<Vec<u8>, EtcdError> {
    match value {
        Value::Null => Ok(Vec::new()),
        value => value
            .as_str()
            .and_then(|text| STANDARD.decode(text).ok())
            .ok_or(EtcdError::Answer { what }),
    }
}

/// A 64-bit number in an answer: JSON of protobuf writes them as text, and leaves zero out.
pub(crate) fn number(value: &Value, what: &'static str) -> Result<i64, EtcdError> {
    match value {
        Value::Null => Ok(0),
        value => value
            .as_str()
            .and_then(|text| text.parse().ok())
            .or_else(|| value.as_i64())
            .ok_or(EtcdError::Answer { what }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_members_and_the_cluster() {
        let etcd: Etcd = "etcd://a:2379,10.0.0.2:2379/hive".parse().expect("an etcd");
        assert_eq!(etcd.place(), "etcd http://a:2379, http://10.0.0.2:2379 under \"hive\"");
        assert_eq!(etcd.plain_key("leader"), "hive/leader");
        let unnamed: Etcd = "etcd://a:1".parse().expect("an etcd");
        assert_eq!(unnamed.plain_key("leader"), "skep/leader");
        for wrong in ["a:1", "etcd://", "etcd://a", "etcd://a:x", "etcd://a:1/", "etcd://a:1/b/c"] {
            wrong.parse::<Etcd>().expect_err("no etcd");
        }
    }
}
