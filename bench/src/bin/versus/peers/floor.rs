//! The floor: `shardpoll-floor`'s loops, which are no engines.
//!
//! Never: has TLS.

use crate::failure::Failure;
use crate::peer::Peer;
use crate::serve::{Patience, input_end, ready};
use shardpoll_floor::{edge, level};
use std::net::{Ipv4Addr, TcpListener};

pub(crate) fn serve(peer: Peer, patience: Patience) -> Result<(), Failure> {
    let listen = || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.local_addr().map(|addr| (listener, addr))
    };
    let (listener, addr) = listen().map_err(Failure::io("the floor's listener"))?;
    let stop = input_end()?;
    ready(addr);
    let served = if peer == Peer::FloorEt {
        edge::serve(&listener, &stop, patience.read)
    } else {
        level::serve(&listener, &stop)
    };
    served.map_err(Failure::io("the floor's epoll"))
}
