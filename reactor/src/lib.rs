//! One thread, one epoll loop, and the whole life of every connection on it.
//!
//! ```text
//!            ┌────────────────────────── one turn ──────────────────────────┐
//!  kernel ──►│ wait ─► dispatch ─► expire ─► outside ─► wishes ─► agenda     │──► kernel
//!            │            │           │         │                   │        │
//!            │         your Handler's callbacks, one at a time, never nested │
//!            └───────────────────────────────────────────────────────────────┘
//! ```
//!
//! The one rule: **callbacks only wish.** What they do through [`Conn`] and [`Local`] changes
//! state; the loop makes the kernel agree with it when the callback has returned.
//!
//! | a question | the place |
//! |---|---|
//! | what does a callback see? | `api`: wishes only, no system calls |
//! | what is one connection? | `conn`: pure data; its life is `conn/stage` |
//! | where would a new close reason go? | `api/reason` |
//! | who looks after a descriptor of somebody else? | `api/watch`: `Watcher`; `drive/watch` |
//! | who decides that a connection is too old? | `conn/deadlines`; `drive/expire` acts on it |
//! | where does a byte become plaintext? | `drive/read` gives it to the `tls` crate |
//! | who is behind a balancer? | `proxy` decodes what it says; `drive/preface` reads it |
//! | where does state meet the kernel? | `drive`: the loop |
//! | where is `unsafe`? | `sys/linux`, nowhere else |
//!
//! Layers: `conn` and `api` never name `sys`; `sys` never calls up; only `drive` sees both. Words:
//! a *turn* is one pass of the loop; to *serve* a line is to run what is due on it; the *agenda* is
//! the lines to serve before the turn ends; a *line* is the record of a connection; its *stage* is
//! where in life it is, its *gate* why it is not read, its *outbox* what it has yet to send; a
//! *watch* is the record of a descriptor that is not the loop's own; a *wish* is what needs the
//! kernel.
//!
//! Never: starts a thread, takes a lock, or knows that there are other loops (crate `shardpoll`
//! does).
//!
//! ```
//! use shardpoll_reactor::{
//!     BindOptions, Config, Handler, Linux, ListenerId, ListenerOptions, Peer, Place, Reactor,
//!     Turn, bind_group, incoming,
//! };
//! use std::time::Duration;
//!
//! let mut reactor = Reactor::new(Linux::new()?, Place::FIRST, Config::default())?;
//! let any = ([127, 0, 0, 1], 0).into();
//! let (mut sockets, addr) = bind_group(any, 1, &BindOptions::default())?;
//! let socket = sockets.pop().expect("asked for one");
//! let echo = |_: &Peer| -> Box<dyn Handler> {
//!     Box::new(incoming(|conn, data| { conn.write(data); }))
//! };
//! let options = ListenerOptions::default();
//! reactor.add_listener(ListenerId::new(0), socket, options, Box::new(echo))?;
//! println!("listening on {addr}");
//! reactor.quit(Duration::ZERO); // an embedder would turn until told to end
//! while reactor.turn(None)? == Turn::Live {}
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![deny(unsafe_code)]
#[cfg(not(target_os = "linux"))]
compile_error!("shardpoll speaks epoll: it runs on Linux only");

mod api;
mod callback;
mod census;
mod conn;
mod core;
mod counters;
mod drive;
mod handshakes;
mod histogram;
mod id;
mod ledger;
mod left_out;
mod links;
mod listener;
mod phase;
mod pressure;
mod proxy;
mod pulse;
mod router;
mod staging;
mod succession;
mod sys;
mod table;
mod watch;

pub use crate::census::{Census, Limits, PeerNet, TooMany};
pub use crate::counters::{Closes, Counters, ListenerCounters};
pub use crate::histogram::Histogram;
pub use crate::pulse::{Doing, Pulse};
pub use api::{
    Accept, Addr, BindOptions, CloseKind, CloseReason, Config, ConfigError, Conn, Connect, Credit,
    DrainPlan, EngineState, EventAnswer, EventMode, Handler, Input, Lifetime, LinkAcrossError,
    LinkError, LinkOptions, Local, MinRate, MoveError, NoAddress, Others, PanicPolicy,
    ParseConnectError, Peer, Pipelined, ProxyProtocol, Refused, ShardReport, Silence, SocketOption,
    StartTlsError, Status, TlsPlan, UnixPathError, Wait, Watch, WatchInterest, Watcher,
    WhenExhausted, WhenFull, Written, events, incoming,
};
#[cfg(feature = "sim")]
pub use conn::journey::{Step, Transitions};
#[cfg(feature = "sim")]
pub use drive::Simulation;
pub use drive::{Reactor, Turn};
pub use id::{ConnId, ListenerId, MAX_SHARDS, Place, TimerId, WatchId};
pub use listener::{Acceptor, ListenerOptions};
pub use proxy::{
    Decoded, ParseNetworkError, ProxyError, ProxyHeader, ProxySsl, ProxyTlv, ProxyTlvError,
    ProxyVersion,
};
pub use router::{Fresh, Parcel, Router};
pub use shardpoll_timers::Tick;
/// The TLS crate: contexts, sessions, errors, and the `rustls` they are made of.
pub use shardpoll_tls as tls;
#[cfg(feature = "sim")]
pub use sys::{Counts, Fault, Faults, Sim, SimFd, SimPeer, SimPipe, SimWaker};
pub use sys::{
    Event, Events, Interest, Linux, MAX_PASSED, Pipe, Signal, Signals, SocketFile, Sys, Wake,
    Waker, bind_group, bind_unix, is_group_member, monotonic_now, pass_descriptors, prefer_cpu,
    raise_descriptor_limit, receive_descriptors, same_user, send_descriptors, share_listener,
    steer, take_passed_descriptors,
};
