//! A sharded epoll engine for protocol servers: your callbacks on N pinned threads.
//!
//! ```text
//!   SO_REUSEPORT listeners          Remote: any thread
//!      │        │        │             │ letters
//!   ┌──▼───┐ ┌──▼───┐ ┌──▼───┐   ┌─────▼────┐
//!   │shard0│ │shard1│ │shard2│ ◄─┤ mailboxes│    one thread, one epoll loop, one timer heap each;
//!   └──────┘ └──────┘ └──────┘   └──────────┘    a connection lives and dies on one of them
//! ```
//!
//! # Quick start
//!
//! ```no_run
//! use shardpoll::{Conn, Engine, Handler, Listen};
//!
//! struct Echo;
//!
//! impl Handler for Echo {
//!     fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
//!         conn.write(data);
//!     }
//! }
//!
//! fn main() -> Result<(), shardpoll::StartError> {
//!     let engine = Engine::builder().start()?; // one pinned shard per core
//!     engine.listen(Listen::on(([0, 0, 0, 0], 7000)), |_peer| Echo)?; // SO_REUSEPORT on each
//!     engine.join()?;
//!     Ok(())
//! }
//! ```
//!
//! # What runs where
//!
//! | on | what | where |
//! |---|---|---|
//! | each shard's thread | [`Handler`] callbacks, timers, [`Remote::run`] tasks | `reactor` |
//! | the same | ciphertext to plaintext and back, over `rustls` | `tls` |
//! | the same | deadlines in order | `timers` |
//! | any thread | [`Engine`], [`Remote`]: orders and letters to shards | here |
//!
//! All `unsafe` is in `reactor/src/sys/linux`.
//!
//! Inside: `builder` makes shards, `engine` is the handle of all, `accept` what decides on
//! connections, `census` how many there may be, `worker` is what runs on one, `mailbox` is how the
//! others reach it, `letter` what they say, `remote` who says it, `answer` what comes back, `hash`
//! whose a key is, `pin` which CPU, `latch` who waits for whom, `shortage` who waits for
//! descriptors. `listen` is what to listen on, `sockets` how it is opened, `listeners` what
//! listens, `activation` and `handover` what comes from a manager or a predecessor, `notify` what
//! the manager is told. `balance` says who has too many connections, `way` how they get from one
//! shard to another, `moves` who asks for it. Whatever concerns more than one thread is in this
//! crate, and only here.
//!
//! Never: touches a byte of a connection; takes a lock on the path of one.
//!
//! # Features
//!
//! `ring` (default) and `aws-lc-rs` choose the cryptography of the convenience constructors of
//! [`tls`]; contexts made from finished `rustls` configurations bring their own.
//!
//! `sim` adds `sim`, in which handlers are tested without sockets (`examples/simulated.rs`).

#![forbid(unsafe_code)]

mod accept;
mod activation;
mod answer;
mod balance;
mod builder;
mod census;
mod engine;
mod error;
mod handover;
mod hash;
mod latch;
mod letter;
mod listen;
mod listeners;
mod mailbox;
mod metrics;
mod moves;
pub mod notify;
mod pin;
pub mod prometheus;
mod remote;
mod report;
mod shortage;
#[cfg(feature = "sim")]
pub mod sim;
mod sockets;
mod supervise;
mod sync;
mod thread;
mod watchdog;
mod way;
mod worker;

pub use activation::{Activation, ActivationError};
pub use answer::{Answer, NoAnswer};
pub use balance::Balance;
pub use builder::EngineBuilder;
pub use engine::Engine;
pub use error::{StartError, Undelivered, Unreached};
pub use handover::{HandOverError, HandedOver, Inheritance};
pub use listen::{Listen, ParseListenError};
pub use listeners::tcp_migrate_req;
pub use metrics::{ListenerMetrics, ShardMetrics, Snapshot};
pub use pin::Pinning;
pub use remote::{Job, Remote};
pub use report::DrainReport;
pub use shardpoll_reactor::{
    Accept, Addr, CloseKind, CloseReason, Closes, Config, ConfigError, Conn, ConnId, Connect,
    Counters, Credit, DrainPlan, EngineState, EventAnswer, EventMode, Handler, Histogram, Input,
    Lifetime, LinkAcrossError, LinkError, LinkOptions, Linux, ListenerCounters, ListenerId, Local,
    MinRate, MoveError, NoAddress, PanicPolicy, ParseConnectError, Peer, PeerNet, Pipelined,
    Refused, ShardReport, Signal, Signals, Silence, SocketOption, StartTlsError, Status, Sys, Tick,
    TimerId, TlsPlan, Turn, UnixPathError, Wait, Watch, WatchId, WatchInterest, Watcher,
    WhenExhausted, WhenFull, Written, events, incoming, monotonic_now, raise_descriptor_limit, tls,
};
pub use shardpoll_reactor::{
    Decoded, Others, ParseNetworkError, ProxyError, ProxyHeader, ProxyProtocol, ProxySsl, ProxyTlv,
    ProxyTlvError, ProxyVersion,
};
pub use supervise::ShardFailure;
pub use watchdog::{Stall, Watchdog};
pub use worker::{Worker, WorkerStart};
