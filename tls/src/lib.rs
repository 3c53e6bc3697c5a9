//! Ciphertext to plaintext and back, over rustls, without sockets.
//!
//! A [`Session`] is one side of one TLS connection (1.3 or 1.2) as plain data. It is lent bytes and
//! buffers, and answers at once; who owns the socket moves the bytes.
//!
//! ```text
//!              ┌─────────────── Session ───────────────┐
//!   socket ──► │ receive(&mut input)    appends plain  │ ──► application
//!              │    └─ appends wire: handshake, alerts │
//!   socket ◄── │ send(plain), close()   append wire    │ ◄── application
//!              └───────────────────────────────────────┘
//! ```
//!
//! Where bytes are between calls: nowhere in here, but for an incomplete record or handshake
//! message (82 KiB at most). `plain` and `wire` are the caller's, only ever appended to, so that
//! one pair serves a whole thread.
//!
//! What an `Err` still owes: the bytes it appended to `wire` are the alert that tells the peer why.
//! Send them, then close the transport. Plaintext in `plain` came before the error and is sound.
//!
//! Never: opens a socket, reads a clock of its own, waits, or uses a process-wide provider. rustls
//! is driven by its unbuffered interface only; no call can loop on what a peer sends.
//!
#![cfg_attr(any(feature = "ring", feature = "aws-lc-rs"), doc = "```")]
#![cfg_attr(not(any(feature = "ring", feature = "aws-lc-rs")), doc = "```ignore")]
//! use shardpoll_tls::{ClientContext, Error, Progress, ServerContext, Session};
//!
//! # fn main() -> Result<(), Error> {
//! # let rcgen::CertifiedKey { cert, signing_key } =
//! #     rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
//! # let (cert_pem, key_pem) = (cert.pem(), signing_key.serialize_pem());
//! let server_cx = ServerContext::from_pem(cert_pem.as_bytes(), key_pem.as_bytes())?;
//! let client_cx = ClientContext::from_roots_pem(cert_pem.as_bytes())?;
//! let mut server = Session::server(&server_cx)?;
//! let mut client = Session::client(&client_cx, "localhost".try_into().unwrap())?;
//!
//! let (mut plain, mut up, mut down) = (Vec::new(), Vec::new(), Vec::new());
//! client.start(&mut up)?;
//! while !server.is_established() {
//!     server.receive(&mut std::mem::take(&mut up), &mut plain, &mut down)?;
//!     client.receive(&mut std::mem::take(&mut down), &mut plain, &mut up)?;
//! }
//!
//! client.send(b"hello", &mut up)?;
//! assert_eq!(server.receive(&mut up, &mut plain, &mut down)?, Progress::Open);
//! assert_eq!(plain, b"hello");
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod agreed;
mod binding;
mod certificate;
mod certificates;
mod client;
#[doc(hidden)]
pub mod copy;
mod dane;
mod date;
mod der;
mod digest;
mod error;
mod exporter;
mod hello;
mod info;
mod judge;
mod pkix;
pub mod provider;
mod record;
mod roots;
mod server;
mod session;
mod sni;
mod traffic;
mod trust;
mod verdict;
mod walk;

pub use rustls;

pub use crate::binding::BindingError;
pub use crate::certificate::{Certificate, CertificatesError};
pub use crate::certificates::Certificates;
pub use crate::client::{ClientContext, ClientContextBuilder};
pub use crate::dane::{DaneMode, Tlsa, TlsaError};
pub use crate::error::Error;
pub use crate::info::Info;
pub use crate::roots::Roots;
pub use crate::server::{ClientAuth, ServerContext, ServerContextBuilder};
pub use crate::session::{Next, Progress, Session};
pub use crate::verdict::{Authority, Finding, Problem, Verdict};
