//! The servers: each sends back what comes, and closes when the client has finished.
//!
//! Every one has a read timeout that begins anew with each read, a limit of a minute for the
//! handshake, TCP_NODELAY, and a read buffer of 16 KiB.
//!
//! Never: shares a line of code between two of them that a message passes through.

pub(crate) mod fanout;
pub(crate) mod floor;
#[cfg(feature = "glommio")]
pub(crate) mod glommio;
pub(crate) mod link;
pub(crate) mod mio;
pub(crate) mod monoio;
pub(crate) mod proxies;
pub(crate) mod shardpoll;
pub(crate) mod tokio;
