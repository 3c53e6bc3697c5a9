//! One server, in a process of its own: says where it listens, and ends with its standard input.
//!
//! Never: prints anything else on standard output.

use crate::cli;
use crate::credentials;
use crate::failure::Failure;
use crate::peer::Peer;
#[cfg(feature = "glommio")]
use crate::peers::glommio;
use crate::peers::{fanout, floor, link, mio, monoio, proxies, shardpoll, tokio};
use crate::specs::TLS;
use ::shardpoll::raise_descriptor_limit;
use core_affinity::CoreId;
use shardpoll_bench::tools;
use socket2::SockRef;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

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
    if let Some(why) = asked.peer.missing() {
        return Err(Failure::NotHere { peer: asked.peer.name(), why });
    }
    if tls.is_some() && !TLS.contains(&asked.peer) {
        return Err(Failure::Usage(format!("{} has no TLS here", asked.peer.name())));
    }
    match asked.peer {
        Peer::Haproxy | Peer::HaproxySplice | Peer::Nginx => {
            proxies::serve(asked.peer, asked.behind, patience)
        }
        Peer::Shardpoll if asked.behind.is_some() => link::serve(asked.behind, patience),
        _ if asked.behind.is_some() => {
            Err(Failure::Usage(format!("{} is no proxy here", asked.peer.name())))
        }
        Peer::Shardpoll if asked.fanout => fanout::serve_ours(patience),
        Peer::Tokio if asked.fanout => fanout::serve_tokio(patience),
        _ if asked.fanout => {
            Err(Failure::Usage(format!("{} tells nobody here", asked.peer.name())))
        }
        Peer::Shardpoll | Peer::OneShard => shardpoll::serve(tls, patience, asked.shards),
        Peer::Floor | Peer::FloorEt | Peer::FloorEt64 => floor::serve(asked.peer, tls, patience),
        Peer::Mio => mio::serve(patience),
        Peer::Tokio | Peer::TokioMulti => tokio::serve(asked.peer, tls, patience),
        Peer::Monoio | Peer::MonoioUring => monoio::serve(asked.peer, patience),
        #[cfg(feature = "glommio")]
        Peer::Glommio => glommio::serve(patience),
        #[cfg(not(feature = "glommio"))]
        Peer::Glommio => unreachable!("it is missing"),
        Peer::Libuv | Peer::Libevent => exec(asked),
        Peer::Bare | Peer::DelayQueue => unreachable!("the command line does not know it"),
    }
}

/// Without anyone who reads it the server serves all the same.
pub(crate) fn ready(addr: SocketAddr) {
    ready_as(addr, std::process::id());
}

/// As [`ready`], for a child of this process that serves in its place.
pub(crate) fn ready_as(addr: SocketAddr, pid: u32) {
    let line = format!("listening {addr} pid {pid}\n");
    let mut stdout = io::stdout();
    let _unread = stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush());
}

/// Ends this process when whoever started it has gone.
pub(crate) fn exit_with_input() -> Result<(), Failure> {
    let wait = || {
        until_input_ends();
        std::process::exit(0);
    };
    tools::thread("input", wait).map_err(Failure::io("cannot start a thread"))
}

/// A port of the kernel's choice. The standard library lets 128 wait, fewer than come at times, and
/// who finds no room tries again after a second; so there is more room, as libraries make it.
pub(crate) fn listen() -> Result<(TcpListener, SocketAddr), Failure> {
    let listen = || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        SockRef::from(&listener).listen(BACKLOG)?;
        listener.local_addr().map(|addr| (listener, addr))
    };
    listen().map_err(Failure::io("cannot listen"))
}

/// Becomes the peer's own program.
fn exec(asked: &cli::Serve) -> Result<(), Failure> {
    let program = asked.peer.program().expect("it has one");
    let seconds = asked.read_timeout.to_string();
    let error = Command::new(program).args(["--read-timeout", &seconds]).exec();
    Err(Failure::Io { what: "the peer's program", source: error })
}

/// Returns when whoever started this process has gone.
pub(crate) fn until_input_ends() {
    let mut ignored = [0; 64];
    while io::stdin().read(&mut ignored).is_ok_and(|count| count > 0) {}
}
