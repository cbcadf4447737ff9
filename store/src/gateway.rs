//! Calls to etcd: JSON over HTTP, to whichever member answers.

use crate::access::{self, Access, AccessError, Session};
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
use ureq::tls::TlsConfig;

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
    /// Who we are to it.
    session: Arc<Session>,
}

/// An address of etcd that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no etcd: write etcd:// or https://, and HOST:PORT[,HOST:PORT]...[/NAME]")]
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
    /// Its certificate is of nobody whom we trust.
    #[error(
        "the certificate of etcd at {member} is not one that --etcd-ca vouches for ({why}): \
         give the file of the authority that etcd's certificates are by"
    )]
    Untrusted {
        /// Who showed it.
        member: String,
        /// What is wrong with it.
        why: String,
    },
    /// It does not take our certificate, or wants one.
    #[error(
        "etcd at {member} does not take our certificate ({why}): give one that it trusts with \
         --etcd-cert and --etcd-key"
    )]
    Unwelcome {
        /// Who did not.
        member: String,
        /// What it said.
        why: String,
    },
    /// It wants to know who we are.
    #[error("etcd at {member} wants a user: --etcd-user, with its password in SKEP_ETCD_PASSWORD")]
    NoUser {
        /// Who wants it.
        member: String,
    },
    /// There is no such user, or its password is another.
    #[error("etcd at {member} knows no user {user:?} with this password (SKEP_ETCD_PASSWORD)")]
    WrongPassword {
        /// Who was asked.
        member: String,
        /// The user.
        user: String,
    },
    /// The user may not.
    #[error(
        "etcd at {member} does not let user {user:?} do this: grant it a role that reads and \
         writes the keys of the cluster"
    )]
    Denied {
        /// Who refused.
        member: String,
        /// The user.
        user: String,
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
        let (scheme, rest) = text.split_once("://").ok_or_else(error)?;
        let scheme = match scheme {
            "etcd" | "http" => "http",
            "https" => "https",
            _ => return Err(error()),
        };
        // What is copied from elsewhere says it before each member.
        let rest = rest.replace(&format!(",{scheme}://"), ",");
        let (members, name) = rest.split_once('/').unwrap_or((&rest, NAME));
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || !name.chars().all(plain) {
            return Err(error());
        }
        let member = |member: &str| match member.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
                Ok(format!("{scheme}://{member}"))
            }
            _ => Err(error()),
        };
        Ok(Self {
            agent: agent(access::no_trust()),
            members: members.split(',').map(member).collect::<Result<_, _>>()?,
            name: name.into(),
            current: Arc::default(),
            session: Arc::default(),
        })
    }
}

fn agent(tls: TlsConfig) -> ureq::Agent {
    let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None);
    config.tls_config(tls).build().new_agent()
}

impl Etcd {
    /// The same etcd, with certificates, and as a user.
    ///
    /// # Errors
    /// [`AccessError`] if they are not there, or do not go with its address.
    pub fn with(self, access: &Access) -> Result<Self, AccessError> {
        let is_tls = self.members.iter().any(|member| member.starts_with("https://"));
        if !is_tls && (access.ca.is_some() || access.identity.is_some()) {
            return Err(AccessError::NoTls);
        }
        let tls = if is_tls { access::tls(access)? } else { access::no_trust() };
        let session = Arc::new(Session::new(access.user.clone()));
        Ok(Self { agent: agent(tls), session, ..self })
    }

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

    /// Keeps this under a key from now on, whatever stood there. For who leads.
    ///
    /// # Errors
    /// [`EtcdError`] if it does not answer.
    pub fn keep_instead(&self, key: &str, value: &[u8]) -> Result<(), EtcdError> {
        let put = json!({"key": self.key(&format!("kept/{key}")), "value": encode(value)});
        self.call("kv/put", &put, PATIENCE).map(|_| ())
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
        // Members asked in all, and since one last failed for the moment only.
        let (mut asked, mut barred) = (0, 0);
        loop {
            let at = self.current.load(Ordering::Relaxed) % self.members.len();
            let member = &self.members[at];
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = left.min(MEMBER_TIMEOUT).max(Duration::from_millis(1));
            let failure = match self.ask(member, path, &body, timeout) {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            self.current.store(at + 1, Ordering::Relaxed);
            asked += 1;
            barred = if matches!(failure, Failure::Member(_)) { barred + 1 } else { 0 };
            match failure {
                Failure::Final(error) => return Err(error),
                Failure::Member(error) if barred >= self.members.len() => return Err(error),
                Failure::Member(error) if Instant::now() >= deadline => {
                    let why = error.to_string();
                    return Err(EtcdError::Silent { member: member.clone(), why });
                }
                Failure::Moment(why) if Instant::now() >= deadline => {
                    return Err(EtcdError::Silent { member: member.clone(), why });
                }
                Failure::Member(_) | Failure::Moment(_) => {}
            }
            if asked % self.members.len() == 0 {
                pause(ROUND_PAUSE);
            }
        }
    }

    /// Asks as the user that we are, and once more if etcd has forgotten that.
    fn ask(
        &self,
        member: &str,
        path: &str,
        body: &str,
        timeout: Duration,
    ) -> Result<Value, Failure> {
        let token = self.token(member, timeout)?;
        let (mut status, mut answer) = self.post(member, path, body, token.as_deref(), timeout)?;
        if status != 200 && token.is_some() && is_stale(&answer) {
            self.session.drop_token(token.as_deref());
            let token = self.token(member, timeout)?;
            (status, answer) = self.post(member, path, body, token.as_deref(), timeout)?;
        }
        if status == 200 { Ok(answer) } else { Err(self.failure(member, status, &answer)) }
    }

    /// The token of the moment, had now if there is none; none if we are nobody.
    fn token(&self, member: &str, timeout: Duration) -> Result<Option<String>, Failure> {
        let Some(user) = &self.session.user else { return Ok(None) };
        if let Some(token) = self.session.token() {
            return Ok(Some(token));
        }
        let body = json!({"name": user.name, "password": user.password}).to_string();
        let (status, answer) = self.post(member, "auth/authenticate", &body, None, timeout)?;
        if status != 200 {
            return Err(self.failure(member, status, &answer));
        }
        let token = answer["token"].as_str().map(str::to_owned);
        let token = token.ok_or(Failure::Final(EtcdError::Answer { what: "token" }))?;
        self.session.take_up(token.clone());
        Ok(Some(token))
    }

    fn post(
        &self,
        member: &str,
        path: &str,
        body: &str,
        token: Option<&str>,
        timeout: Duration,
    ) -> Result<(u16, Value), Failure> {
        let post = || {
            let mut request = self.agent.post(format!("{member}/v3/{path}"));
            if let Some(token) = token {
                request = request.header("Authorization", token);
            }
            let request = request.content_type("application/json");
            let request = request.config().timeout_global(Some(timeout)).build();
            let mut response = request.send(body)?;
            let status = response.status().as_u16();
            let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX);
            Ok((status, body.read_to_string()?))
        };
        let (status, text) = post().map_err(|error| unreached(member, &error))?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }

    /// What an answer means that is none.
    fn failure(&self, member: &str, status: u16, answer: &Value) -> Failure {
        let (member, said) = (member.to_owned(), words(answer));
        let user = || self.session.user.as_ref().map_or("nobody", |user| &user.name).to_owned();
        if said.contains("user name is empty") {
            Failure::Final(EtcdError::NoUser { member })
        } else if said.contains("authentication failed") {
            Failure::Final(EtcdError::WrongPassword { member, user: user() })
        } else if code(answer) == Some(PERMISSION_DENIED) {
            Failure::Final(EtcdError::Denied { member, user: user() })
        } else if is_final(answer) {
            Failure::Final(EtcdError::Refused { member, why: format!("{said} ({status})") })
        } else {
            Failure::Moment(format!("{said} ({status})"))
        }
    }
}

/// Why a member did not do what was asked.
enum Failure {
    /// No other would do it.
    Final(EtcdError),
    /// It will not until somebody changes something there; others may.
    Member(EtcdError),
    /// It may at once.
    Moment(String),
}

/// A call that got no answer; a certificate that is not taken will not be taken later.
fn unreached(member: &str, error: &ureq::Error) -> Failure {
    let tls = match error {
        ureq::Error::Rustls(error) => Some(error),
        ureq::Error::Io(error) => error.get_ref().and_then(|inner| inner.downcast_ref()),
        _ => None,
    };
    let member = member.to_owned();
    match tls {
        Some(rustls::Error::InvalidCertificate(why)) => {
            Failure::Member(EtcdError::Untrusted { member, why: why.to_string() })
        }
        Some(rustls::Error::AlertReceived(why)) => {
            Failure::Member(EtcdError::Unwelcome { member, why: format!("{why:?}") })
        }
        _ => Failure::Moment(error.to_string()),
    }
}

/// Whether the refusal is of what was asked, so that no other member would do it. The numbers are
/// gRPC's: not of this time are Cancelled, DeadlineExceeded, ResourceExhausted (too many requests),
/// Aborted, Internal and Unavailable.
fn is_final(answer: &Value) -> bool {
    code(answer).is_some_and(|code| ![1, 4, 8, 10, 13, 14].contains(&code))
}

/// Whether etcd does not take our token any more.
fn is_stale(answer: &Value) -> bool {
    code(answer) == Some(UNAUTHENTICATED) || words(answer).contains("auth store is old")
}

const PERMISSION_DENIED: u64 = 7;
const UNAUTHENTICATED: u64 = 16;

fn code(answer: &Value) -> Option<u64> {
    answer["code"].as_u64().or_else(|| answer["error"]["grpc_code"].as_u64())
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
        let tls: Etcd = "https://a:1,https://b:2,c:3/hive".parse().expect("an etcd");
        let members = "https://a:1, https://b:2, https://c:3";
        assert_eq!(tls.place(), format!("etcd {members} under \"hive\""));
        for wrong in [
            "https://a:1,http://b:1",
            "ftp://a:1",
            "a:1",
            "etcd://",
            "etcd://a",
            "etcd://a:x",
            "etcd://a:1/",
            "etcd://a:1/b/c",
        ] {
            wrong.parse::<Etcd>().expect_err("no etcd");
        }
    }
}
