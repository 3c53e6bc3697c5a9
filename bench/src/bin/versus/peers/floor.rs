//! The floor: `shardpoll-floor`'s loops, which are no engines.
//!
//! Never: has TLS.

use crate::failure::Failure;
use crate::peer::Peer;
use crate::serve::{Patience, input_end, listen, ready};
use shardpoll_floor::{edge, level};

pub(crate) fn serve(peer: Peer, patience: Patience) -> Result<(), Failure> {
    let (listener, addr) = listen()?;
    let stop = input_end()?;
    ready(addr);
    let served = if peer == Peer::FloorEt {
        edge::serve(&listener, &stop, patience.read)
    } else {
        level::serve(&listener, &stop)
    };
    served.map_err(Failure::io("the floor's epoll"))
}
