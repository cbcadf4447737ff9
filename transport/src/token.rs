//! Join tokens: what a newcomer is handed so that it can join, and the master know that it may.
//!
//! `skepj1.<authority's public key>.<secret>`, both parts 32 bytes in URL-safe base64. The key
//! pins the cluster: a newcomer speaks to no master that this authority did not vouch for. What
//! the token admits, how often and until when, only the master knows; it keeps the secret's digest
//! and never the secret.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use skep_protocol::Digest;
use std::{fmt, str::FromStr};

const PREFIX: &str = "skepj1";

/// A join token. Its `Debug` form hides the secret; its `Display` form is the token.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    authority_key: [u8; 32],
    secret: [u8; 32],
}

impl JoinToken {
    /// A token with a fresh secret for the cluster whose authority has this Ed25519 key.
    pub(crate) fn create(authority_key: [u8; 32]) -> Self {
        Self { authority_key, secret: crate::crypto::random() }
    }

    /// The Ed25519 public key of the cluster's authority.
    pub fn authority_key(&self) -> &[u8; 32] {
        &self.authority_key
    }

    /// The secret, as `Request::Join` carries it.
    pub fn secret(&self) -> &[u8] {
        &self.secret
    }

    /// What the master keeps of the secret.
    pub fn secret_digest(&self) -> Digest {
        Self::digest_of_secret(&self.secret)
    }

    /// The digest of a secret that arrived in a `Request::Join`, to be looked up.
    pub fn digest_of_secret(secret: &[u8]) -> Digest {
        Digest::of(secret)
    }
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [key, secret] = [&self.authority_key, &self.secret].map(|b| URL_SAFE_NO_PAD.encode(b));
        write!(f, "{PREFIX}.{key}.{secret}")
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}.{}.(secret)", URL_SAFE_NO_PAD.encode(self.authority_key))
    }
}

impl FromStr for JoinToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let mut parts = text.trim().split('.');
        match parts.next() {
            Some(PREFIX) => {}
            Some(other) if other.starts_with("skepj") => return Err(TokenError::OtherVersion),
            _ => return Err(TokenError::NoToken),
        }
        let (Some(key), Some(secret), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(TokenError::Parts);
        };
        let authority_key = decode(key).ok_or(TokenError::Damaged { part: "key" })?;
        let secret = decode(secret).ok_or(TokenError::Damaged { part: "secret" })?;
        Ok(Self { authority_key, secret })
    }
}

fn decode(part: &str) -> Option<[u8; 32]> {
    URL_SAFE_NO_PAD.decode(part).ok()?.try_into().ok()
}

/// Why a text is no join token. Never repeats the text, which may hold a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It does not begin like one.
    #[error("this is no join token: one begins with {PREFIX}. (`skep token create` prints it)")]
    NoToken,
    /// It is a token of another version of skep.
    #[error("this join token is of another version of skep: this one reads {PREFIX}.")]
    OtherVersion,
    /// It was cut or glued together.
    #[error("the join token has not three parts joined by '.': was it copied whole?")]
    Parts,
    /// One part is not 32 bytes of base64.
    #[error("the {part} of the join token is damaged: was it copied whole?")]
    Damaged {
        /// Which part.
        part: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(skep_properties::cases(256))]

        #[test]
        fn a_token_survives_its_text(authority_key: [u8; 32], secret: [u8; 32]) {
            let token = JoinToken { authority_key, secret };
            prop_assert_eq!(format!(" {token}\n").parse(), Ok(token));
        }

        #[test]
        fn a_token_that_lost_bytes_is_refused(secret: [u8; 32], cut in 0_usize..94) {
            let text = JoinToken { authority_key: [7; 32], secret }.to_string();
            prop_assert!(text[..cut].parse::<JoinToken>().is_err());
        }

        #[test]
        fn no_text_makes_the_parser_panic(text: String) {
            let _ = text.parse::<JoinToken>();
            let _ = format!("{PREFIX}.{text}").parse::<JoinToken>();
        }
    }

    #[test]
    fn a_refusal_says_what_is_wrong_with_the_token() {
        let token = JoinToken { authority_key: [1; 32], secret: [2; 32] }.to_string();
        let parse = |text: &str| text.parse::<JoinToken>();
        assert_eq!(parse("hello"), Err(TokenError::NoToken));
        assert_eq!(parse(&token.replace("skepj1", "skepj2")), Err(TokenError::OtherVersion));
        assert_eq!(parse("skepj1.AAAA"), Err(TokenError::Parts));
        assert_eq!(parse(&token[..90]), Err(TokenError::Damaged { part: "secret" }));
    }

    #[test]
    fn a_secret_is_not_shown_by_debug() {
        let token = JoinToken { authority_key: [1; 32], secret: [2; 32] };
        assert!(!format!("{token:?}").contains(&URL_SAFE_NO_PAD.encode([2; 32])));
    }
}
