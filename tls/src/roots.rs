//! Whom to trust: authorities, and the lists of what they have revoked.
//!
//! Never: reads a file or a system's store; fetches a list.
//!
//! Invariants:
//! 1. Cloning is a few reference counts, so that every context derived from another shares them.

use std::fmt;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{VerifierBuilderError, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use webpki::CertRevocationList;

use crate::Error;

/// Whom to trust: the certificates of authorities and, if given, their revocation lists.
///
/// It is cheap to clone. For a store of another crate (`webpki-roots`, `rustls-native-certs`) use
/// `From<RootCertStore>`.
#[derive(Clone)]
pub struct Roots {
    anchors: Arc<RootCertStore>,
    /// Those of `anchors` whose certificates are known whole.
    certificates: Arc<[CertificateDer<'static>]>,
    lists: Arc<[CertRevocationList<'static>]>,
    raw_lists: Arc<[CertificateRevocationListDer<'static>]>,
}

impl Roots {
    /// Nobody: for clients whose servers are vouched for by DANE alone.
    pub fn none() -> Self {
        RootCertStore::empty().into()
    }

    pub(crate) fn is_none(&self) -> bool {
        self.anchors.is_empty() && self.lists.is_empty()
    }

    pub(crate) fn anchors(&self) -> &RootCertStore {
        &self.anchors
    }

    pub(crate) fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    pub(crate) fn lists(&self) -> &[CertRevocationList<'static>] {
        &self.lists
    }

    /// rustls' own verifier of servers.
    pub(crate) fn server_verifier(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>, Error> {
        let (roots, provider) = (Arc::clone(&self.anchors), Arc::clone(provider));
        let builder = WebPkiServerVerifier::builder_with_provider(roots, provider)
            .with_crls(self.raw_lists.iter().cloned())
            .allow_unknown_revocation_status();
        Ok(builder.build().map_err(unbuilt)?)
    }

    /// rustls' own verifier of clients; `optional` lets clients pass that show no certificate.
    pub(crate) fn client_verifier(
        &self,
        provider: &Arc<CryptoProvider>,
        optional: bool,
    ) -> Result<Arc<dyn ClientCertVerifier>, Error> {
        let (roots, provider) = (Arc::clone(&self.anchors), Arc::clone(provider));
        let mut builder = WebPkiClientVerifier::builder_with_provider(roots, provider)
            .with_crls(self.raw_lists.iter().cloned())
            .allow_unknown_revocation_status();
        if optional {
            builder = builder.allow_unauthenticated();
        }
        builder.build().map_err(unbuilt)
    }
}

#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
impl Roots {
    /// The certificates of authorities, or self-signed ones of servers, in PEM.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when the PEM cannot be read, holds no certificate, or one that cannot be
    /// trusted (not X.509).
    pub fn from_pem(pem: &[u8]) -> Result<Self, Error> {
        use crate::provider;

        let certificates = provider::certificates("trusted roots", pem)?;
        let mut anchors = RootCertStore::empty();
        for root in &certificates {
            anchors.add(root.clone()).map_err(|error| Error::config("trusted roots", error))?;
        }
        Ok(Self { certificates: certificates.into(), ..anchors.into() })
    }

    /// Refuses what these certificate revocation lists name (RFC 5280, section 5), in PEM.
    ///
    /// Each certificate of a path is looked up in the list of its issuer. One whose issuer has no
    /// list here is not revoked, as far as is known. A list is used beyond its `nextUpdate`: make
    /// a new context when there is a newer one.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when the PEM cannot be read, holds no list, or one of a kind that is not
    /// supported (delta, indirect, or not of version 2).
    pub fn with_crls_pem(mut self, pem: &[u8]) -> Result<Self, Error> {
        use crate::provider::pem_error;
        use rustls::pki_types::pem::{self, PemObject};

        const WHAT: &str = "certificate revocation lists";
        let raw: Vec<_> = CertificateRevocationListDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(pem_error(WHAT))?;
        if raw.is_empty() {
            return Err(pem_error(WHAT)(pem::Error::NoItemsFound));
        }
        let mut lists = Vec::new();
        for list in &raw {
            let read = webpki::OwnedCertRevocationList::from_der(list);
            lists.push(read.map_err(|error| Error::config_other(WHAT, error))?.into());
        }
        (self.lists, self.raw_lists) = (lists.into(), raw.into());
        Ok(self)
    }
}

fn unbuilt(error: VerifierBuilderError) -> Error {
    Error::config_other("trusted roots and revocation lists", error)
}

impl From<RootCertStore> for Roots {
    fn from(anchors: RootCertStore) -> Self {
        Arc::new(anchors).into()
    }
}

impl From<Arc<RootCertStore>> for Roots {
    fn from(anchors: Arc<RootCertStore>) -> Self {
        let none = (Arc::default(), Arc::default(), Arc::default());
        let (certificates, lists, raw_lists) = none;
        Self { anchors, certificates, lists, raw_lists }
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roots")
            .field("anchors", &self.anchors.len())
            .field("revocation_lists", &self.lists.len())
            .finish()
    }
}
