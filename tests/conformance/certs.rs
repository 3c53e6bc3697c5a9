//! Certificates made at run time, one per name, and the TLS contexts made from them.
//!
//! Never: keeps a key in a file.

use crate::fields::Outcome;
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConnection, ServerConfig, ServerConnection, SupportedProtocolVersion};
use shardpoll::tls::{
    Certificate, Certificates, ClientContext, Roots, ServerContext, provider, rustls,
};
use std::sync::{Arc, LazyLock};

/// The names that certificates are made for.
const NAMES: [&str; 3] = ["default", "a.test", "b.test"];

static CERTS: LazyLock<Vec<Cert>> =
    LazyLock::new(|| NAMES.iter().map(|name| Cert::make(name)).collect());

struct Cert {
    name: &'static str,
    cert: Certificate,
    /// As DER, for a configuration of rustls' own.
    key: PrivateKeyDer<'static>,
}

impl Cert {
    /// Self-signed, EC P-256; common name and alternative name are the name.
    fn make(name: &'static str) -> Self {
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name of letters");
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("the provider knows P-256");
        let pem = params.self_signed(&key).expect("a key of its own").pem();
        let cert = Certificate::from_pem(pem.as_bytes(), key.serialize_pem().as_bytes());
        let cert = cert.expect("made a moment ago");
        Self { name, cert, key: PrivateKeyDer::Pkcs8(key.serialize_der().into()) }
    }
}

fn cert(name: &str) -> Outcome<&'static Cert> {
    let found = CERTS.iter().find(|cert| cert.name == name);
    found.ok_or_else(|| format!("there is no certificate {name:?}"))
}

/// Makes the keys before time counts.
pub(crate) fn prepare() {
    LazyLock::force(&CERTS);
}

/// The name of a certificate that was shown; `""` for none.
pub(crate) fn name_of(shown: Option<&[CertificateDer<'_>]>) -> String {
    let Some(shown) = shown.and_then(<[_]>::first) else { return String::new() };
    let found = CERTS.iter().find(|cert| cert.cert.chain().contains(shown));
    found.map_or_else(|| "unknown".into(), |cert| cert.name.into())
}

/// What the engine serves with: one certificate for those who name no host, and, where hosts are
/// listed, theirs; nobody else is served then.
pub(crate) fn server_context(name: &str, sni: &[(String, String)]) -> Outcome<ServerContext> {
    let nameless = cert(name)?.cert.clone();
    let mut set = if sni.is_empty() {
        Certificates::single(nameless)
    } else {
        Certificates::new().nameless(nameless)
    };
    for (host, name) in sni {
        set = set.name(host, cert(name)?.cert.clone()).map_err(|error| error.to_string())?;
    }
    ServerContext::builder(set).build().map_err(|error| error.to_string())
}

/// What the engine connects with: no verification, no certificate of its own.
pub(crate) fn client_context(name: &str) -> Outcome<ClientContext> {
    cert(name)?;
    Ok(ClientContext::insecure())
}

/// The server name that is sent; without one an address, for which TLS sends none.
pub(crate) fn server_name(name: Option<&str>) -> Outcome<ServerName<'static>> {
    let name = name.unwrap_or("127.0.0.1").to_owned();
    ServerName::try_from(name).map_err(|error| error.to_string())
}

type Versions = &'static [&'static SupportedProtocolVersion];

static ONLY_TLS12: Versions = &[&rustls::version::TLS12];
static ONLY_TLS13: Versions = &[&rustls::version::TLS13];

fn versions(only: Option<&str>) -> Versions {
    match only {
        Some("TLSv1.2") => ONLY_TLS12,
        Some("TLSv1.3") => ONLY_TLS13,
        _ => rustls::ALL_VERSIONS,
    }
}

/// The client's side of a script's handshake.
pub(crate) fn script_client(sni: Option<&str>, version: Option<&str>) -> Outcome<ClientConnection> {
    let builder = ClientContext::builder(Roots::none()).insecure().versions(versions(version));
    let context = builder.build().map_err(|error| error.to_string())?;
    let made = ClientConnection::new(Arc::clone(context.config()), server_name(sni)?);
    made.map_err(|error| error.to_string())
}

/// The server's side of a script's handshake.
pub(crate) fn script_server(name: &str, version: Option<&str>) -> Outcome<ServerConnection> {
    let cert = cert(name)?;
    let config = ServerConfig::builder_with_provider(provider::default())
        .with_protocol_versions(versions(version))
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(cert.cert.chain().to_vec(), cert.key.clone_key())
        .map_err(|error| error.to_string())?;
    ServerConnection::new(Arc::new(config)).map_err(|error| error.to_string())
}
