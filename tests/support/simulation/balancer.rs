//! PROXY headers in simulated worlds: what a balancer says of its clients, in pieces, and what it
//! had better not say.
//!
//! Never: plays; a script sends what it makes, and a gatekeeper asks it who may come.

use super::history::{History, Shared};
use shardpoll_reactor::{Peer, ProxyHeader, ProxyProtocol, ProxyTlv, ProxyVersion};
use std::net::SocketAddr;
use std::time::Duration;

/// Whom the listener of a world believes, and until when: everybody, or now and then nobody.
pub fn protocol(shared: &Shared) -> ProxyProtocol {
    let rng = &mut shared.borrow_mut().rng;
    let senders = if rng.u32(0..6) == 0 { "203.0.113.0/24" } else { "0.0.0.0/0" };
    let proxy = ProxyProtocol::from_senders([senders]).expect("a network");
    let most = [300, 4096][rng.usize(0..2)];
    proxy.deadline(Duration::from_millis(rng.u64(50..2000))).max_header_bytes(most)
}

/// A header of a client that nobody else is, for a connection that is to be made.
pub fn client(shared: &Shared) -> ProxyHeader {
    let history = &mut *shared.borrow_mut();
    let port = u16::try_from(history.claims.len()).expect("few clients");
    let source = if history.rng.bool() {
        SocketAddr::from(([192, 0, 2, 1], port))
    } else {
        SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], port))
    };
    history.claims.push(source);
    let header = ProxyHeader::proxied(source, SocketAddr::from(([198, 51, 100, 1], 443)));
    if history.rng.bool() {
        return header.with_version(ProxyVersion::V1);
    }
    let name = vec![b'n'; history.rng.usize(0..200)];
    let header = header.with_tlv(ProxyTlv::UNIQUE_ID, &name).expect("it fits");
    header.with_checksum(history.rng.bool())
}

/// What a peer of this address sends first: most often a header.
pub fn preface(shared: &Shared, own: SocketAddr) -> Vec<u8> {
    let kind = shared.borrow_mut().rng.u32(0..10);
    if kind < 6 {
        return client(shared).encode();
    }
    if kind < 8 {
        shared.borrow_mut().claims.push(own);
        let unknown = b"PROXY UNKNOWN, and nobody needs to know\r\n".to_vec();
        return if kind == 6 { ProxyHeader::local().encode() } else { unknown };
    }
    let large = [&ProxyHeader::local().encode()[..14], &[0xFF, 0xFF]].concat();
    let cut = shared.borrow_mut().rng.usize(0..12);
    let bad = [
        b"PROXY TCP4 192.0.2.9 192.0.2.300 1 2\r\n".to_vec(),
        vec![b'P'; 200],
        large,
        ProxyHeader::local().encode()[..cut].to_vec(),
    ];
    shared.borrow_mut().rng.choice(bad).expect("some")
}

/// Whether somebody has come who had no header of his own, or is none of those who had one.
pub fn judge(history: &mut History, peer: &Peer, own: SocketAddr) {
    if peer.proxy.is_none() || !history.claims.contains(&own) {
        history.violation(format!("{own} was accepted, and no header has said so"));
    }
}
