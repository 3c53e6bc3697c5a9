//! The host name a client asks for, seen while rustls resolves the certificate.
//!
//! rustls' unbuffered server connection does not tell the name, but it shows it to the certificate
//! resolver, which it calls on the same thread, inside the call that reads the ClientHello. So the
//! resolver leaves the name on the thread, and the session takes it when that call returns.
//!
//! Never: chooses a certificate; the resolver of the configuration does.
//!
//! Invariants:
//! 1. A name is taken by the session whose bytes brought it: every reading server session in a
//!    handshake takes before and after rustls runs.

use std::cell::Cell;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::certificates::canonical;
use crate::exporter;

thread_local! {
    static ASKED: Cell<Option<Box<str>>> = const { Cell::new(None) };
}

/// Takes the name left by the last ClientHello on this thread.
pub(crate) fn take() -> Option<Box<str>> {
    ASKED.take()
}

/// The configuration's own resolver, overheard.
#[derive(Debug)]
pub(crate) struct Overheard(pub(crate) Arc<dyn ResolvesServerCert>);

impl ResolvesServerCert for Overheard {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // Handlers compare names.
        ASKED.set(hello.server_name().map(|name| canonical(name).into()));
        let certified = self.0.resolve(hello);
        exporter::chosen(certified.as_ref());
        certified
    }

    fn only_raw_public_keys(&self) -> bool {
        self.0.only_raw_public_keys()
    }
}
