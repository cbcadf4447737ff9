//! Where a master listens, as people write it: `HOST` or `HOST:PORT`.

use std::{fmt, io, net::SocketAddr, str::FromStr};

/// The UDP port of a master, unless another is given.
pub const MASTER_PORT: u16 = 5050;

/// A host, by name or number, and a port. Resolved anew at each dial.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What the name means now; never empty.
    pub(crate) async fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await?;
        let found: Vec<_> = found.collect();
        if found.is_empty() {
            return Err(io::Error::other("the name has no address"));
        }
        Ok(found)
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.ip().to_string(), port: address.port() }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let fail = || AddressError { text: text.chars().take(256).collect() };
        // A bare IPv6 number has colons that separate no port.
        let bare_v6 = text.parse::<std::net::Ipv6Addr>().is_ok();
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !bare_v6 && !text.ends_with(']') => {
                (host, port.parse().map_err(|_| fail())?)
            }
            _ => (text, MASTER_PORT),
        };
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let allowed = |c: char| !c.is_whitespace() && !c.is_control() && !"/[]@".contains(c);
        if host.is_empty() || !host.chars().all(allowed) {
            return Err(fail());
        }
        Ok(Self { host: host.into(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            return write!(f, "[{}]:{}", self.host, self.port);
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A text that is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no address: write HOST or HOST:PORT, such as master.lab:{MASTER_PORT}")]
pub struct AddressError {
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_with_or_without_a_port() {
        for (text, shown) in [
            ("master.lab", "master.lab:5050"),
            ("master.lab:7", "master.lab:7"),
            ("10.0.0.1:7", "10.0.0.1:7"),
            ("::1", "[::1]:5050"),
            ("[::1]", "[::1]:5050"),
            ("[fe80::1]:7", "[fe80::1]:7"),
        ] {
            let address: Address = text.parse().expect(text);
            assert_eq!(address.to_string(), shown);
            assert_eq!(shown.parse(), Ok(address));
        }
        for bad in ["", ":5050", "host:", "host:port", "host:70000", "http://host", "a b"] {
            assert!(bad.parse::<Address>().is_err(), "{bad:?} was taken");
        }
    }
}
