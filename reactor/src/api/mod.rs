//! What user code sees of the loop: wishes only, no system calls.
//!
//! Never: calls the kernel. Whatever is done through [`Conn`] and [`Local`] changes state, and the
//! loop makes the kernel agree with it after the callback has returned.

mod addr;
mod close_kind;
mod config;
mod conn;
mod connect;
mod drain;
mod emulation;
mod flow;
mod handler;
mod limits;
mod link;
mod listen;
mod local;
mod moving;
mod option;
mod proxy;
mod reason;
mod settings;
mod starttls;
mod watch;

pub use addr::{Addr, UnixPathError};
pub use close_kind::CloseKind;
pub use config::{Config, ConfigError, PanicPolicy, Peer, WhenExhausted, WhenFull};
pub use conn::{Conn, Written};
pub(crate) use connect::Target;
pub use connect::{Connect, NoAddress, ParseConnectError};
pub use drain::{DrainPlan, EngineState, ShardReport};
pub use emulation::{EventAnswer, EventMode, events};
pub use flow::{Credit, Input, Wait};
pub use handler::{Handler, Silence, Status, incoming};
pub use limits::{Lifetime, MinRate};
pub use link::{LinkError, LinkOptions};
pub use listen::Accept;
pub use local::{Local, Refused};
pub use moving::{LinkAcrossError, MoveError};
pub(crate) use option::Options;
pub use option::{BindOptions, SocketOption};
pub(crate) use proxy::Welcome;
pub use proxy::{Others, ProxyProtocol};
pub use reason::CloseReason;
pub use starttls::{Pipelined, StartTlsError, TlsPlan};
pub use watch::{Watch, WatchInterest, Watcher};
