//! The first message on every connection, from both sides.

/// The oldest protocol this build speaks.
pub const PROTOCOL_MIN: u32 = 1;
/// The newest protocol this build speaks.
pub const PROTOCOL_MAX: u32 = 1;

/// What each side says first, so that both know whether and how they can talk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The oldest protocol the sender speaks.
    pub protocol_min: u32,
    /// The newest protocol the sender speaks.
    pub protocol_max: u32,
    /// The sender's build, for people: `0.1.0`.
    pub build: String,
    /// Names of optional parts of the protocol that the sender speaks.
    pub features: Vec<String>,
}

impl Hello {
    /// What this build says.
    pub fn ours() -> Self {
        Self {
            protocol_min: PROTOCOL_MIN,
            protocol_max: PROTOCOL_MAX,
            build: env!("CARGO_PKG_VERSION").into(),
            features: Vec::new(),
        }
    }

    /// The protocol that both sides speak: the newest common one.
    ///
    /// # Errors
    /// [`NoCommonProtocol`] if the ranges do not meet.
    pub fn agree(&self, peer: &Self) -> Result<u32, NoCommonProtocol> {
        let newest = self.protocol_max.min(peer.protocol_max);
        if newest < self.protocol_min.max(peer.protocol_min) {
            return Err(NoCommonProtocol {
                ours: (self.protocol_min, self.protocol_max),
                theirs: (peer.protocol_min, peer.protocol_max),
                build: peer.build.clone(),
            });
        }
        Ok(newest)
    }
}

/// The two sides share no protocol version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no common protocol: this build speaks {}-{}, the peer (skep {build}) {}-{}; update the older",
    ours.0, ours.1, theirs.0, theirs.1
)]
pub struct NoCommonProtocol {
    /// The range that this build speaks.
    pub ours: (u32, u32),
    /// The range that the peer speaks.
    pub theirs: (u32, u32),
    /// The peer's build.
    pub build: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speaks(protocol_min: u32, protocol_max: u32) -> Hello {
        Hello { protocol_min, protocol_max, ..Hello::ours() }
    }

    #[test]
    fn two_sides_take_the_newest_protocol_they_share() {
        assert_eq!(speaks(1, 3).agree(&speaks(2, 5)), Ok(3));
        assert_eq!(speaks(4, 4).agree(&speaks(4, 5)), Ok(4));
        assert!(speaks(1, 2).agree(&speaks(3, 4)).is_err());
    }
}
