//! Which of this machine's addresses connections come from.
//!
//! Never: sends a packet.

use crate::failure::Failure;
use crate::target::Target;
use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Whether each source is an address of this machine, named once, for a target that has a use for
/// it.
pub(super) fn check(sources: &[IpAddr], targets: &[Target]) -> Result<(), Failure> {
    let mut seen = HashSet::new();
    for source in sources {
        let wrong = |why: &str| Err(Failure::Usage(format!("--source {source}: {why}")));
        if source.is_unspecified() || source.is_multicast() {
            return wrong("nothing comes from such an address");
        }
        if !seen.insert(source) {
            return wrong("it is named twice");
        }
        if let Err(error) = UdpSocket::bind((*source, 0)) {
            return wrong(&format!("no address of this machine: {error}"));
        }
    }
    let unix = targets.iter().find(|target| matches!(target, Target::Unix(_)));
    match (sources.first(), unix) {
        (Some(source), Some(target)) => Err(Failure::Usage(format!(
            "--source {source}: {target} is a unix socket, and is not reached from an address"
        ))),
        _ => Ok(()),
    }
}

/// Those that an address can be reached from.
pub(super) fn fitting(sources: &[IpAddr], to: SocketAddr) -> impl Iterator<Item = IpAddr> {
    sources.iter().copied().filter(move |source| source.is_ipv4() == to.is_ipv4())
}

pub(super) fn no_family_in_common(target: &Target, sources: &[IpAddr]) -> Failure {
    let (is, wanted) = match sources.first() {
        Some(IpAddr::V4(_)) => ("IPv4", "IPv6"),
        _ => ("IPv6", "IPv4"),
    };
    let sources: Vec<_> = sources.iter().map(IpAddr::to_string).collect();
    let sources = sources.join(",");
    Failure::Usage(format!(
        "--source {sources}: {is} only, and {target} is reached by {wanted} only"
    ))
}

/// The address from which the kernel would reach this one.
pub(super) fn towards(addr: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = match addr {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(addr)?;
    Ok(socket.local_addr()?.ip())
}
