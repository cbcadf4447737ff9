//! The network of one component: the peers that its task was granted, and no other.
//!
//! Always holds: without a grant there is no socket; with one, a guest connects and sends only to
//! addresses that a granted name leads to, on its port; it never listens, and it looks up granted
//! names only. A name that is an address leads to itself. Names are looked up when they are first
//! used, and again when an address is not among the answers, which name servers give in turns.
//! Deliberately absent: a judgement of addresses: whoever grants a name trusts whoever owns it not
//! to point it into the agent's own network.

use crate::guest::GuestState;
use skep_protocol::task::NetGrant;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr, ToSocketAddrs as _},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::task::spawn_blocking;
use wasmtime::component::Resource;
use wasmtime_wasi::{
    WasiCtxBuilder,
    p2::{
        DynPollable, SocketError,
        bindings::sockets::{
            ip_name_lookup::{Host, HostResolveAddressStream, ResolveAddressStream},
            network::{self, ErrorCode, IpAddress, Network},
        },
    },
    sockets::{SocketAddrUse, WasiSocketsView as _},
};

/// How long an answer is good enough for a no: a guest that tries other peers must not make the
/// executor ask for each try.
const LOOK_UP_EVERY: Duration = Duration::from_secs(5);
/// Addresses kept for one name; the largest services answer with some dozens in turns.
const ADDRESSES_MAX: usize = 256;

/// Opens the network of a guest as far as it is granted.
pub(crate) fn grant(builder: &mut WasiCtxBuilder, peers: &BTreeSet<NetGrant>) {
    if peers.is_empty() {
        return;
    }
    let peers = Arc::new(Peers { granted: peers.clone(), known: Mutex::default() });
    builder.allow_tcp(true).allow_udp(true).allow_ip_name_lookup(true).socket_addr_check(
        move |address, usage| {
            let peers = Arc::clone(&peers);
            Box::pin(async move {
                match usage {
                    SocketAddrUse::TcpConnect
                    | SocketAddrUse::UdpSend
                    | SocketAddrUse::UdpReceive => peers.allow(address).await,
                    // Connecting binds a socket to whatever is free, and asks for it here.
                    SocketAddrUse::TcpBind | SocketAddrUse::UdpBind => {
                        address.ip().is_unspecified() && address.port() == 0
                    }
                    SocketAddrUse::TcpListen | SocketAddrUse::TcpAccept => false,
                }
            })
        },
    );
}

struct Peers {
    granted: BTreeSet<NetGrant>,
    known: Mutex<BTreeMap<String, Known>>,
}

struct Known {
    addresses: BTreeSet<IpAddr>,
    at: Instant,
}

impl Peers {
    async fn allow(&self, address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        for peer in self.granted.iter().filter(|peer| peer.port == address.port()) {
            let found = match peer.host.parse::<IpAddr>() {
                Ok(granted) => granted.to_canonical() == ip,
                Err(_) => self.leads_to(&peer.host, ip).await,
            };
            if found {
                return true;
            }
        }
        false
    }

    async fn leads_to(&self, name: &str, ip: IpAddr) -> bool {
        if let Some(answer) = self.remember(name, ip) {
            return answer;
        }
        let asked = name.to_owned();
        let look_up = spawn_blocking(move || {
            let found = (asked.as_str(), 0).to_socket_addrs();
            found.map(|all| all.map(|address| address.ip().to_canonical()).collect::<Vec<_>>())
        });
        let found = match look_up.await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                tracing::debug!(name, %error, "a granted name leads nowhere");
                Vec::new()
            }
            Err(_) => Vec::new(),
        };
        self.learn(name, &found);
        found.contains(&ip)
    }

    /// What the last answer says. None: ask again.
    fn remember(&self, name: &str, ip: IpAddr) -> Option<bool> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get(name)?;
        if known.addresses.contains(&ip) {
            return Some(true);
        }
        (known.at.elapsed() < LOOK_UP_EVERY).then_some(false)
    }

    fn learn(&self, name: &str, found: &[IpAddr]) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Known { addresses: BTreeSet::new(), at: Instant::now() };
        let known = known.entry(name.to_owned()).or_insert_with(new);
        known.at = Instant::now();
        let room = ADDRESSES_MAX.saturating_sub(known.addresses.len());
        known.addresses.extend(found.iter().take(room));
    }
}

impl network::Host for GuestState {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        self.wasi.sockets().convert_error_code(error)
    }

    fn network_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        self.wasi.sockets().network_error_code(error)
    }
}

impl network::HostNetwork for GuestState {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        network::HostNetwork::drop(&mut self.wasi.sockets(), network)
    }
}

impl Host for GuestState {
    fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> Result<Resource<ResolveAddressStream>, SocketError> {
        let granted = |peer: &NetGrant| peer.host.eq_ignore_ascii_case(&name);
        if !self.peers.iter().any(granted) {
            return Err(ErrorCode::AccessDenied.into());
        }
        self.wasi.sockets().resolve_addresses(network, name)
    }
}

impl HostResolveAddressStream for GuestState {
    fn resolve_next_address(
        &mut self,
        stream: Resource<ResolveAddressStream>,
    ) -> Result<Option<IpAddress>, SocketError> {
        self.wasi.sockets().resolve_next_address(stream)
    }

    fn subscribe(
        &mut self,
        stream: Resource<ResolveAddressStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        self.wasi.sockets().subscribe(stream)
    }

    fn drop(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<()> {
        HostResolveAddressStream::drop(&mut self.wasi.sockets(), stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers(granted: &[&str]) -> Peers {
        let granted = granted.iter().map(|peer| peer.parse().expect("a peer")).collect();
        Peers { granted, known: Mutex::default() }
    }

    async fn allows(peers: &Peers, address: &str) -> bool {
        peers.allow(address.parse().expect("an address")).await
    }

    #[tokio::test]
    async fn an_address_and_a_port_are_granted_together() {
        let peers = peers(&["127.0.0.1:80", "[::1]:443"]);
        assert!(allows(&peers, "127.0.0.1:80").await);
        assert!(allows(&peers, "[::ffff:127.0.0.1]:80").await);
        assert!(allows(&peers, "[::1]:443").await);
        for other in ["127.0.0.1:443", "127.0.0.2:80", "[::1]:80", "0.0.0.0:80"] {
            assert!(!allows(&peers, other).await, "{other}");
        }
    }

    #[tokio::test]
    async fn a_name_leads_to_what_it_was_last_known_as() {
        let peers = peers(&["peer.test:80"]);
        peers.learn("peer.test", &["10.0.0.1".parse().expect("an address")]);
        assert!(allows(&peers, "10.0.0.1:80").await);
        assert!(!allows(&peers, "10.0.0.1:81").await);
        assert!(!allows(&peers, "10.0.0.2:80").await);
    }
}
