//! One server, in a process of its own: says where it listens, and ends with its standard input.
//!
//! Never: prints anything else on standard output.

use crate::candidate::Peer;
use crate::cli;
use crate::credentials;
use crate::failure::Failure;
use crate::peers::{shardpoll, tokio};
use ::shardpoll::raise_descriptor_limit;
use core_affinity::CoreId;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

/// What the client may do at most before it is cut off, on every server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Silence, counted anew from each read.
    pub(crate) read: Duration,
}

pub(crate) fn serve(asked: &cli::Serve) -> Result<(), Failure> {
    if let Some(id) = asked.cpu {
        // Before any thread starts, so that all inherit it.
        if !core_affinity::set_for_current(CoreId { id }) {
            let source = io::Error::other(format!("CPU {id} cannot be had"));
            return Err(Failure::Io { what: "pinning", source });
        }
    }
    raise_descriptor_limit().map_err(Failure::io("descriptor limit"))?;
    let tls = asked.provider.map(credentials::server).transpose()?;
    let patience = Patience { read: Duration::from_secs(asked.read_timeout) };
    match asked.peer {
        Peer::Shardpoll => shardpoll::serve(tls, patience),
        Peer::Tokio => tokio::serve(tls, patience),
        Peer::Bare => unreachable!("the command line does not know it"),
    }
}

/// Without anyone who reads it the server serves all the same.
pub(crate) fn ready(addr: SocketAddr) {
    let line = format!("listening {addr} pid {}\n", std::process::id());
    let mut stdout = io::stdout();
    let _unread = stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush());
}

/// Returns when whoever started this process has gone.
pub(crate) fn until_input_ends() {
    let mut ignored = [0; 64];
    while io::stdin().read(&mut ignored).is_ok_and(|count| count > 0) {}
}
