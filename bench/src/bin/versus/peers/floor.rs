//! The floor: `shardpoll-floor`'s loops, which are no engines.
//!
//! Never: has TLS.

use crate::failure::Failure;
use crate::peer::Peer;
use crate::serve::{Patience, listen, ready};
use shardpoll_floor::{edge, level};
use std::io;

pub(crate) fn serve(peer: Peer, patience: Patience) -> Result<(), Failure> {
    let (listener, addr) = listen()?;
    // Without a thread that waits for the end: the C library's calls are dearer in a process that
    // has ever had two.
    let stop = io::stdin();
    ready(addr);
    let served = if peer == Peer::FloorEt {
        edge::serve(&listener, &stop, patience.read)
    } else {
        level::serve(&listener, &stop)
    };
    served.map_err(Failure::io("the floor's epoll"))
}
