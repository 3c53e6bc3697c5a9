//! What TLS sessions are made from, out of the options.
//!
//! Never: trusts anybody who was not named.
//!
//! Invariants:
//! 1. Each target has sessions of its own to resume: what one server gave is not shown to another.

use super::host;
use super::sessions::Sessions;
use crate::cli::{ProviderName, Reach, TlsVersion};
use crate::failure::Failure;
use crate::serve::read;
use crate::target::{Security, Target};
use shardpoll::tls::rustls::client::Resumption;
use shardpoll::tls::rustls::crypto::CryptoProvider;
use shardpoll::tls::rustls::pki_types::ServerName;
use shardpoll::tls::rustls::version::{TLS12, TLS13};
use shardpoll::tls::{Certificate, ClientContext, Roots, provider};
use std::path::Path;
use std::sync::Arc;

/// What the contexts of all targets have in common.
pub(super) struct Contexts {
    base: ClientContext,
    resumes: bool,
}

impl Contexts {
    /// `None` where there is no TLS at all; then no option may be about it.
    pub(super) fn read(reach: &Reach, upgrades: bool) -> Result<Option<Self>, Failure> {
        let by_target = reach.targets.iter().find(|target| target.security() != Security::Never);
        let target = match by_target {
            Some(target) => target,
            None if upgrades => &reach.targets[0],
            None => return no_options(reach).map(|()| None),
        };
        let provider = provider_of(reach.provider);
        let roots = match (&reach.ca, reach.insecure) {
            (Some(path), _) => roots(path)?,
            (None, true) => Roots::none(),
            (None, false) => return Err(Failure::NoRoots { target: target.to_string() }),
        };
        let mut builder = ClientContext::builder(roots).provider(Arc::clone(&provider));
        if reach.insecure {
            builder = builder.insecure();
        }
        if let (Some(cert), Some(key)) = (&reach.cert, &reach.key) {
            builder = builder.client_certificate(certificate(cert, key, &provider)?);
        }
        match reach.tls_version {
            Some(TlsVersion::V12) => builder = builder.versions(&[&TLS12]),
            Some(TlsVersion::V13) => builder = builder.versions(&[&TLS13]),
            None => {}
        }
        let builder = builder.alpn(reach.alpn.iter().map(String::as_bytes));
        let base = builder.build().map_err(|error| {
            let alpn = reach.alpn.join(",");
            Failure::Usage(match reach.alpn.is_empty() {
                true => error.to_string(),
                false => format!("--alpn {alpn:?}: {error}"),
            })
        })?;
        Ok(Some(Self { base, resumes: !reach.no_resumption }))
    }

    /// The context for one target, and the name to ask it for.
    pub(super) fn of(
        &self,
        target: &Target,
        sni: Option<&str>,
    ) -> Result<(ClientContext, ServerName<'static>), Failure> {
        let name = ServerName::try_from(sni.unwrap_or_else(|| host(target)).to_owned());
        let name = name.map_err(|_| {
            let asked = sni.map_or_else(|| target.to_string(), |sni| format!("--sni {sni:?}"));
            Failure::Usage(format!("{asked}: no certificate can be for such a name"))
        })?;
        let mut config = self.base.config().as_ref().clone();
        config.resumption = match self.resumes {
            true => Resumption::store(Arc::new(Sessions::default())),
            false => Resumption::disabled(),
        };
        Ok((ClientContext::new(Arc::new(config)), name))
    }
}

fn no_options(reach: &Reach) -> Result<(), Failure> {
    let given = [
        ("--sni", reach.sni.is_some()),
        ("--alpn", !reach.alpn.is_empty()),
        ("--ca", reach.ca.is_some()),
        ("--insecure", reach.insecure),
        ("--cert", reach.cert.is_some()),
        ("--provider", reach.provider.is_some()),
        ("--tls-version", reach.tls_version.is_some()),
        ("--no-resumption", reach.no_resumption),
    ];
    match given.into_iter().find(|(_, is_given)| *is_given) {
        Some((option, _)) => Err(Failure::NotTls { option, target: reach.targets[0].to_string() }),
        None => Ok(()),
    }
}

fn provider_of(name: Option<ProviderName>) -> Arc<CryptoProvider> {
    match name {
        Some(ProviderName::Ring) => provider::ring(),
        #[cfg(feature = "aws-lc-rs")]
        Some(ProviderName::AwsLcRs) => provider::aws_lc_rs(),
        None => provider::default(),
    }
}

fn roots(path: &Path) -> Result<Roots, Failure> {
    let pem = read("--ca", path)?;
    let files = || format!("--ca {}", path.display());
    Roots::from_pem(&pem).map_err(|source| Failure::Pem { files: files(), source })
}

fn certificate(cert: &Path, key: &Path, by: &CryptoProvider) -> Result<Certificate, Failure> {
    let (chain, secret) = (read("--cert", cert)?, read("--key", key)?);
    let files = || format!("--cert {} --key {}", cert.display(), key.display());
    let read = Certificate::from_pem_with(&chain, &secret, by);
    read.map_err(|source| Failure::Pem { files: files(), source })
}
