//! How targets are reached: looked up once, before the load, and then dialed over and over.
//!
//! | file | what is in it |
//! |---|---|
//! | `mod` | endpoints: targets that can be connected to |
//! | `tls` | what their TLS sessions are made from, out of the options |
//! | `sessions` | the sessions that later connections resume |
//! | `source` | which of this machine's addresses connections come from |
//!
//! Never: connects for the load; the engine does.
//!
//! Invariants:
//! 1. Sources and targets take turns independently: each target is reached from each source.

mod sessions;
mod source;
mod tls;

use crate::cli::{ProxyVersion, Reach};
use crate::failure::Failure;
use crate::target::{Security, Target};
use shardpoll::tls::ClientContext;
use shardpoll::tls::rustls::pki_types::ServerName;
use shardpoll::{Addr, Connect, ProxyHeader};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A target that can be connected to. To clone it is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    /// As it was asked for, to name it by.
    pub(crate) target: Target,
    at: At,
    /// Those of the target's family; empty: the kernel chooses.
    sources: Arc<[IpAddr]>,
    /// Whom it shares the connections with, itself included.
    targets: u64,
    proxy: Option<Proxy>,
    tls: Option<(ClientContext, ServerName<'static>)>,
    preamble: Option<Preamble>,
    /// `--sni`, otherwise the target's host.
    domain: Arc<str>,
}

#[derive(Clone, Debug)]
enum At {
    Ip(SocketAddr),
    Unix(Arc<Path>),
}

#[derive(Clone, Copy, Debug)]
struct Proxy {
    version: shardpoll::ProxyVersion,
    /// Where its clients are if no source was named: where the kernel would connect from; `None`
    /// to a unix socket.
    local: Option<IpAddr>,
}

impl Proxy {
    fn new(version: ProxyVersion, target: &Target, at: &At) -> Result<Self, Failure> {
        let version = match version {
            ProxyVersion::V1 => shardpoll::ProxyVersion::V1,
            ProxyVersion::V2 => shardpoll::ProxyVersion::V2,
        };
        let At::Ip(addr) = at else { return Ok(Self { version, local: None }) };
        match source::towards(*addr) {
            Ok(local) => Ok(Self { version, local: Some(local) }),
            Err(error) => Err(unreachable(target, error.to_string())),
        }
    }
}

/// What is said in clear before TLS begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Preamble {
    Smtp,
    Xmpp,
}

/// How long each address of a name with several may take to answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// The ports that a PROXY header may say its client has.
const FIRST_CLIENT_PORT: u64 = 1024;

impl Endpoint {
    /// Looks all targets up, and reads what the options name. Connection `n` belongs to the
    /// endpoint `n % len`.
    ///
    /// `upgrades`: the load itself begins TLS somewhere, whatever the targets say, as scripts may.
    pub(crate) fn resolve(reach: &Reach, upgrades: bool) -> Result<Vec<Self>, Failure> {
        let sources = reach.sources();
        source::check(&sources, &reach.targets)?;
        let contexts = tls::Contexts::read(reach, upgrades)?;
        let all = reach.targets.iter();
        all.map(|target| {
            let at = locate(target, &sources)?;
            let is_tls = upgrades || target.security() != Security::Never;
            let tls = match &contexts {
                Some(contexts) if is_tls => Some(contexts.of(target, reach.sni.as_deref())?),
                _ => None,
            };
            Self::new(target, at, &sources, reach, tls)
        })
        .collect()
    }

    fn new(
        target: &Target,
        at: At,
        sources: &[IpAddr],
        reach: &Reach,
        tls: Option<(ClientContext, ServerName<'static>)>,
    ) -> Result<Self, Failure> {
        let sources = match &at {
            At::Ip(addr) => source::fitting(sources, *addr).collect(),
            At::Unix(_) => Arc::default(),
        };
        let proxy = match reach.proxy {
            Some(version) => Some(Proxy::new(version, target, &at)?),
            None => None,
        };
        let preamble = match target.security() {
            Security::Smtp => Some(Preamble::Smtp),
            Security::Xmpp => Some(Preamble::Xmpp),
            Security::Never | Security::AtOnce => None,
        };
        let targets = reach.targets.len() as u64;
        let domain = reach.sni.as_deref().unwrap_or_else(|| host(target)).into();
        Ok(Self { target: target.clone(), at, sources, targets, proxy, tls, preamble, domain })
    }

    /// How to dial connection `number`; TLS is not in it.
    pub(crate) fn connect(&self, number: u64) -> Connect {
        let source = self.source(number);
        let connect = match &self.at {
            At::Ip(addr) => Connect::to(*addr),
            At::Unix(path) => Connect::unix(path).expect("targets have paths that fit"),
        };
        let connect = match source {
            Some(source) => connect.source(source),
            None => connect,
        };
        match self.proxy {
            Some(proxy) => connect.proxy_header(self.header(proxy, source, number)),
            None => connect,
        }
    }

    /// What its TLS is made from, if the load comes to that.
    pub(crate) fn tls(&self) -> Option<(ClientContext, ServerName<'static>)> {
        self.tls.clone()
    }

    /// Whether a server is to choose a protocol (ALPN).
    pub(crate) fn offers_alpn(&self) -> bool {
        self.tls.as_ref().is_some_and(|(context, _)| !context.config().alpn_protocols.is_empty())
    }

    /// Whether TLS begins with the first byte, behind a PROXY header.
    pub(crate) fn begins_with_tls(&self) -> bool {
        self.target.security() == Security::AtOnce
    }

    /// What is said before TLS begins, where that is not at once.
    pub(crate) fn preamble(&self) -> Option<Preamble> {
        self.preamble
    }

    /// Gives it another domain.
    pub(crate) fn call(&mut self, domain: &str) {
        self.domain = domain.into();
    }

    /// Whom a conversation names as the one it is for.
    pub(crate) fn domain(&self) -> &Arc<str> {
        &self.domain
    }

    /// Where it is; `None` for a unix socket.
    pub(crate) fn addr(&self) -> Option<SocketAddr> {
        match self.at {
            At::Ip(addr) => Some(addr),
            At::Unix(_) => None,
        }
    }

    /// Which addresses its connections come from; empty where the kernel chooses.
    pub(crate) fn sources(&self) -> &[IpAddr] {
        &self.sources
    }

    fn source(&self, number: u64) -> Option<IpAddr> {
        // Connections of one target are so many numbers apart.
        let turn = number / self.targets;
        let index = turn.checked_rem(self.sources.len() as u64)?;
        usize::try_from(index).ok().and_then(|index| self.sources.get(index).copied())
    }

    /// A client that could be: at the address the connection comes from, on a port of its own.
    fn header(&self, proxy: Proxy, source: Option<IpAddr>, number: u64) -> ProxyHeader {
        let span = u64::from(u16::MAX) + 1 - FIRST_CLIENT_PORT;
        let port = FIRST_CLIENT_PORT + number % span;
        let port = u16::try_from(port).expect("it is in the range of ports");
        let header = match &self.at {
            At::Ip(addr) => {
                let ip = source.or(proxy.local).expect("looked up for every internet address");
                ProxyHeader::proxied(SocketAddr::new(ip, port), *addr)
            }
            At::Unix(path) => {
                let server = Addr::Unix(Some(Arc::clone(path)));
                ProxyHeader::proxied(Addr::Unix(None), server)
            }
        };
        header.with_version(proxy.version)
    }
}

/// The host of a target as it is written, for SNI and the like.
fn host(target: &Target) -> &str {
    match target {
        Target::Tcp { host, .. } => host,
        Target::Unix(_) => "localhost",
    }
}

/// Of a name with several addresses, the first one that answers is taken, of a family that there
/// is a source of.
fn locate(target: &Target, sources: &[IpAddr]) -> Result<At, Failure> {
    let (host, port) = match target {
        Target::Unix(path) => return Ok(At::Unix(path.as_path().into())),
        Target::Tcp { host, port, .. } => (host.as_str(), *port),
    };
    let found = (host, port).to_socket_addrs();
    let found = found.map_err(|error| unreachable(target, error.to_string()))?;
    let found: Vec<_> = found.collect();
    let fits =
        |addr: &SocketAddr| sources.is_empty() || source::fitting(sources, *addr).next().is_some();
    let addrs: Vec<_> = found.iter().copied().filter(fits).collect();
    match *addrs {
        [] if !found.is_empty() => Err(source::no_family_in_common(target, sources)),
        [only] => Ok(At::Ip(only)),
        _ => answering(&addrs).map(At::Ip).map_err(|why| unreachable(target, why)),
    }
}

fn unreachable(target: &Target, why: String) -> Failure {
    Failure::Unreachable { target: target.to_string(), why }
}

fn answering(addrs: &[SocketAddr]) -> Result<SocketAddr, String> {
    let mut why = String::from("the name has no address");
    for addr in addrs {
        match TcpStream::connect_timeout(addr, PROBE_TIMEOUT) {
            Ok(_) => return Ok(*addr),
            Err(error) => why = error.to_string(),
        }
    }
    Err(why)
}

#[cfg(test)]
mod tests;
