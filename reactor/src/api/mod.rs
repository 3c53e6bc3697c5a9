//! What user code sees of the loop: wishes only, no system calls.
//!
//! Never: calls the kernel. Whatever is done through [`Conn`] and [`Local`] changes state, and the
//! loop makes the kernel agree with it after the callback has returned.

mod config;
mod conn;
mod emulation;
mod flow;
mod handler;
mod link;
mod listen;
mod local;
mod reason;
mod watch;

pub use config::{Addr, Config, ConfigError, Connect, PanicPolicy, Peer, WhenFull};
pub use conn::{Conn, Written};
pub use emulation::{EventAnswer, EventMode, events};
pub use flow::{Credit, Wait};
pub use handler::{Handler, Silence, Status, incoming};
pub use link::{LinkError, LinkOptions};
pub use listen::Accept;
pub use local::{Local, Refused};
pub use reason::CloseReason;
pub use watch::{Watch, WatchInterest, Watcher};
