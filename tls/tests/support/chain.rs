//! A root, an authority below it and a server below that; and what is not related to them.
//!
//! Never: keeps a key on disk.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

#[cfg(not(feature = "ring"))]
use ::aws_lc_rs::digest;
#[cfg(feature = "ring")]
use ::ring::digest;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
    date_time_ymd as ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::TimeProvider;
use shardpoll_tls::{ClientContext, Error, Progress, ServerContext, Session, Tlsa};
use webpki::EndEntityCert;

use super::NAME;

/// A server or a client, with the certificates it shows by default: its own and the authority's.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) der: CertificateDer<'static>,
    pub(crate) key: KeyPair,
}

/// 1 January of this year, as seconds.
pub(crate) fn new_year(year: i32) -> u64 {
    u64::try_from(ymd(year, 1, 1).unix_timestamp()).expect("after 1970")
}

pub(crate) fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new([name.to_string()]).expect("a name");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// Parameters of an authority, valid from 2020 to the end of 2039.
pub(crate) fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = (ymd(2020, 1, 1), ymd(2040, 1, 1));
    params
}

pub(crate) fn key() -> KeyPair {
    KeyPair::generate().expect("the provider knows P-256")
}

pub(crate) fn issue(params: &CertificateParams, issuer: &Issuer<'_, KeyPair>) -> Peer {
    let key = key();
    let der = params.signed_by(&key, issuer).expect("signed").der().clone();
    Peer { der, key }
}

impl Peer {
    /// Serves with this certificate and these behind it.
    pub(crate) fn serves(&self, others: &[&CertificateDer<'static>]) -> ServerContext {
        ServerContext::new(Arc::new(self.config(others)))
    }

    /// As rustls makes it: with tickets, and without a question for the client's certificate.
    pub(crate) fn config(&self, others: &[&CertificateDer<'static>]) -> ServerConfig {
        self.config_with(others, &self.key)
    }

    /// With a key that may be another's.
    pub(crate) fn config_with(
        &self,
        others: &[&CertificateDer<'static>],
        key: &KeyPair,
    ) -> ServerConfig {
        let resolver = SingleCertAndKey::from(self.certified(others, key));
        ServerConfig::builder_with_provider(super::provider())
            .with_protocol_versions(&super::VERSIONS)
            .expect("the provider knows both")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(resolver))
    }

    pub(crate) fn certified(
        &self,
        others: &[&CertificateDer<'static>],
        key: &KeyPair,
    ) -> CertifiedKey {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let key = super::provider().key_provider.load_private_key(key).expect("a good key");
        let others = others.iter().copied().cloned();
        CertifiedKey::new(std::iter::once(self.der.clone()).chain(others).collect(), key)
    }
}

/// The three, and a root that has nothing to do with them.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) root: CertifiedIssuer<'static, KeyPair>,
    pub(crate) inter: CertifiedIssuer<'static, KeyPair>,
    /// For [`NAME`], valid in the years 2025 to 2034.
    pub(crate) leaf: Peer,
    pub(crate) stranger: CertifiedIssuer<'static, KeyPair>,
}

pub(crate) static FAMILY: LazyLock<Family> = LazyLock::new(|| {
    let root = CertifiedIssuer::self_signed(authority("Root"), key()).expect("signed");
    let inter = CertifiedIssuer::signed_by(authority("Inter"), key(), &root).expect("signed");
    let stranger = CertifiedIssuer::self_signed(authority("Stranger"), key()).expect("signed");
    let leaf = issue(&leaf_params(), &inter);
    Family { root, inter, leaf, stranger }
});

pub(crate) fn leaf_params() -> CertificateParams {
    let mut params = params(NAME);
    (params.not_before, params.not_after) = (ymd(2025, 1, 1), ymd(2035, 1, 1));
    params
}

/// A list of this issuer that revokes these serial numbers, in PEM.
pub(crate) fn crl(issuer: &Issuer<'_, KeyPair>, serials: &[SerialNumber]) -> String {
    let revoked = |serial: &SerialNumber| RevokedCertParams {
        serial_number: serial.clone(),
        revocation_time: ymd(2025, 2, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: ymd(2025, 2, 1),
        next_update: ymd(2025, 3, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: serials.iter().map(revoked).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(issuer).expect("signed").pem().expect("text")
}

/// A clock that stands, at a time that can be set.
#[derive(Debug)]
pub(crate) struct Clock(std::sync::atomic::AtomicU64);

impl Clock {
    pub(crate) fn at(seconds: u64) -> Arc<Self> {
        Arc::new(Self(seconds.into()))
    }

    pub(crate) fn set(&self, seconds: u64) {
        self.0.store(seconds, std::sync::atomic::Ordering::SeqCst);
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = self.0.load(std::sync::atomic::Ordering::SeqCst);
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// 1 June 2026 or so: when all of the family are valid.
pub(crate) fn today() -> Arc<Clock> {
    Clock::at(new_year(2026) + 150 * 86_400)
}

/// Two sessions after their handshake, or the client's error.
pub(crate) struct Ends {
    pub(crate) client: Session,
    pub(crate) server: Session,
    pub(crate) error: Option<Error>,
}

impl Ends {
    /// Whether the server showed no certificate.
    pub(crate) fn resumed(&self) -> bool {
        self.error.is_none() && self.client.info().resumed() == Some(true)
    }
}

/// Shakes hands until both are silent, or the client refuses; the server must go along.
pub(crate) fn shake(client: &ClientContext, server: &ServerContext, name: &str) -> Ends {
    let name = name.to_owned().try_into().expect("a name");
    let mut client = Session::client(client, name).expect("a good context");
    let mut server = Session::server(server).expect("a good context");
    let (mut plain, mut up, mut down) = (Vec::new(), Vec::new(), Vec::new());
    client.start(&mut up).expect("a client begins");
    let mut error = None;
    while error.is_none() && !(up.is_empty() && down.is_empty()) {
        let progress = server.receive(&mut std::mem::take(&mut up), &mut plain, &mut down);
        assert_ne!(progress.expect("the server goes along"), Progress::PeerClosed);
        error = client.receive(&mut std::mem::take(&mut down), &mut plain, &mut up).err();
    }
    Ends { client, server, error }
}

/// The record that says this of a certificate.
pub(crate) fn tlsa(
    usage: u8,
    selector: u8,
    matching: u8,
    certificate: &CertificateDer<'_>,
) -> Tlsa {
    let read = EndEntityCert::try_from(certificate).expect("X.509 version 3");
    let spki = read.subject_public_key_info();
    let selected = if selector == 0 { certificate.as_ref() } else { spki.as_ref() };
    let data = match matching {
        0 => selected.to_vec(),
        1 => digest::digest(&digest::SHA256, selected).as_ref().to_vec(),
        _ => digest::digest(&digest::SHA512, selected).as_ref().to_vec(),
    };
    Tlsa { usage, selector, matching, data }
}
