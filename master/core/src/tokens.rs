//! Join tokens: who holds one becomes a peer of the cluster.
//!
//! Always holds: a use is recorded before the peer hears that it is admitted, so no token admits
//! more peers than it should, also over a crash. Only a token's hash is known here.

use crate::{
    effect::Answer,
    input::RequestId,
    master::Master,
    record::{Record, Token},
};
use skep_protocol::{
    Digest, Rejection, Time,
    bounds::ID_BYTES_MAX,
    operator::{PeerKind, Response},
};
use std::time::Duration;

impl Master {
    pub(crate) fn join(&mut self, request: RequestId, secret: &Digest, name: &str) {
        let answer = self.admit(secret, name);
        self.answer(request, answer);
    }

    fn admit(&mut self, secret: &Digest, name: &str) -> Result<Answer, Rejection> {
        let mut tokens = self.durable.tokens.iter();
        let found = tokens.find(|(_, token)| token.secret == *secret);
        let Some((id, token)) = found else { return Err(Rejection::UnknownToken) };
        token.check(self.now)?;
        let (kind, max) = (token.kind, self.policy.agents_max);
        if kind == PeerKind::Agent && self.durable.agents.len() >= max {
            return Err(Rejection::TooMany { what: "agents".into(), max: max as u64 });
        }
        let (id, mut token) = (id.clone(), token.clone());
        token.uses_left -= 1;
        self.persist(Record::TokenUsed { id, token });
        let id = match kind {
            PeerKind::Agent => self.new_agent(name),
            // Whoever has this name owns what is subscribed under it, so no two get the same.
            _ => format!("{}-{}", cleaned(name, kind), self.mint.hex()),
        };
        Ok(Answer::Admitted { kind, id })
    }

    fn new_agent(&mut self, name: &str) -> String {
        let known = &self.durable.agents;
        let agent = self.mint.agent(|id| known.contains_key(id));
        let id = agent.to_string();
        let name = name.chars().take(ID_BYTES_MAX).collect();
        self.persist(Record::AgentAdmitted { agent, name, at: self.now });
        id
    }

    pub(crate) fn create_token(
        &mut self,
        request: RequestId,
        id: String,
        secret: Digest,
        kind: PeerKind,
        uses: u32,
        ttl: Duration,
    ) {
        let token = Token { secret, kind, uses_left: uses, expires: self.now + ttl };
        let made = self.check_new_token(&id, &token).map(|()| {
            self.persist(Record::TokenCreated { id, token });
            Answer::Operator(Response::Done)
        });
        self.answer(request, made);
    }

    fn check_new_token(&mut self, id: &str, token: &Token) -> Result<(), Rejection> {
        if token.kind == PeerKind::Master {
            return Err(Rejection::invalid("kind", "use agent, framework or operator"));
        }
        if token.uses_left == 0 {
            return Err(Rejection::invalid("uses", "a token that admits nobody is of no use"));
        }
        if self.durable.tokens.contains_key(id) {
            return Err(Rejection::invalid("id", format!("there is a token {id} already")));
        }
        let max = self.policy.tokens_max;
        if self.durable.tokens.len() >= max {
            self.drop_useless_tokens();
        }
        if self.durable.tokens.len() >= max {
            return Err(Rejection::TooMany { what: "join tokens".into(), max: max as u64 });
        }
        Ok(())
    }

    /// They were kept so that whoever still shows one is told what is wrong with it.
    fn drop_useless_tokens(&mut self) {
        let tokens = self.durable.tokens.iter();
        let useless = tokens.filter(|(_, token)| token.check(self.now).is_err());
        for id in useless.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            self.persist(Record::TokenRevoked { id });
        }
    }

    pub(crate) fn revoke_token(&mut self, id: String) -> Result<(), Rejection> {
        if !self.durable.tokens.contains_key(&id) {
            return Err(Rejection::UnknownToken);
        }
        self.persist(Record::TokenRevoked { id });
        Ok(())
    }
}

impl Token {
    /// Whether it still admits somebody.
    pub(crate) fn check(&self, now: Time) -> Result<(), Rejection> {
        if self.expires <= now {
            return Err(Rejection::TokenExpired);
        }
        if self.uses_left == 0 {
            return Err(Rejection::TokenUsedUp);
        }
        Ok(())
    }
}

/// What of a name fits an id, with room for a suffix; the kind's own name if nothing does.
fn cleaned(name: &str, kind: PeerKind) -> String {
    let fits = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let cleaned: String = name.chars().filter(fits).take(ID_BYTES_MAX / 2).collect();
    let cleaned = cleaned.trim_start_matches(['.', '-']);
    if cleaned.is_empty() { kind.name().into() } else { cleaned.into() }
}
