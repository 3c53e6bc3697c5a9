//! A root, an authority below it and a server for `localhost` below that, made at run time.
//!
//! Never: keeps a key in a file.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use shardpoll::tls::{Certificate, Certificates, Roots, ServerContext, Tlsa};
use std::sync::LazyLock;

/// A chain of three certificates.
#[derive(Debug)]
pub struct Family {
    root: CertifiedIssuer<'static, KeyPair>,
    inter: CertifiedIssuer<'static, KeyPair>,
    leaf: Certificate,
}

static FAMILY: LazyLock<Family> = LazyLock::new(Family::make);

impl Family {
    /// The one that all tests share.
    #[must_use]
    pub fn shared() -> &'static Self {
        &FAMILY
    }

    /// Another, with the same names and other keys.
    #[must_use]
    pub fn make() -> Self {
        let root = CertifiedIssuer::self_signed(authority("Root"), key()).expect("signed");
        let inter = CertifiedIssuer::signed_by(authority("Inter"), key(), &root).expect("signed");
        let leaf = issue("localhost", &inter);
        Self { root, inter, leaf }
    }

    /// The server's certificate, with the authority's.
    #[must_use]
    pub fn certificate(&self) -> Certificate {
        self.leaf.clone()
    }

    /// A certificate for this name, by the same authority.
    #[must_use]
    pub fn issue(&self, name: &str) -> Certificate {
        issue(name, &self.inter)
    }

    /// Serves with the server's certificate.
    #[must_use]
    pub fn server(&self) -> ServerContext {
        let set = Certificates::single(self.certificate());
        ServerContext::builder(set).build().expect("made a moment ago")
    }

    /// The root, to be trusted.
    #[must_use]
    pub fn roots(&self) -> Roots {
        Roots::from_pem(self.root.pem().as_bytes()).expect("made a moment ago")
    }

    /// The record of usage 3 for the server's certificate: all of it.
    #[must_use]
    pub fn names_server(&self) -> Tlsa {
        Tlsa { usage: 3, selector: 0, matching: 0, data: self.leaf.chain()[0].to_vec() }
    }

    /// The record of usage 2 for the authority: all of its certificate.
    #[must_use]
    pub fn names_authority(&self) -> Tlsa {
        Tlsa { usage: 2, selector: 0, matching: 0, data: self.inter.der().to_vec() }
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("the provider knows P-256")
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn issue(name: &str, issuer: &CertifiedIssuer<'static, KeyPair>) -> Certificate {
    let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
    params.distinguished_name.push(DnType::CommonName, name);
    let key = key();
    let own = params.signed_by(&key, issuer).expect("signed");
    let chain = own.pem() + &issuer.pem();
    let made = Certificate::from_pem(chain.as_bytes(), key.serialize_pem().as_bytes());
    made.expect("made a moment ago")
}
