//! The floor: `shardpoll-floor`'s loops, which are no engines.
//!
//! Never: has a limit for a handshake.

use crate::failure::Failure;
use crate::peer::Peer;
use crate::serve::{Patience, listen, ready};
use shardpoll::tls::rustls::ServerConfig;
use shardpoll_floor::{READ_BYTES, edge, level, rustls};
use std::io;
use std::sync::Arc;

pub(crate) fn serve(
    peer: Peer,
    tls: Option<Arc<ServerConfig>>,
    patience: Patience,
) -> Result<(), Failure> {
    let (listener, addr) = listen()?;
    // Without a thread that waits for the end: the C library's calls are dearer in a process that
    // has ever had two.
    let stop = io::stdin();
    ready(addr);
    let served = match tls {
        Some(config) => rustls::serve(&listener, &stop, patience.read, &config),
        None => match peer {
            Peer::FloorEt64 => edge::serve::<{ 64 * 1024 }>(&listener, &stop, patience.read),
            Peer::FloorEt => edge::serve::<READ_BYTES>(&listener, &stop, patience.read),
            _ => level::serve(&listener, &stop),
        },
    };
    served.map_err(Failure::io("the floor's epoll"))
}
