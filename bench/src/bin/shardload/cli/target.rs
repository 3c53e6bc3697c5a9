//! Whom to drive, and how to reach him.
//!
//! Never: looks a name up, or reads a file.

use crate::target::Target;
use crate::units::{Addresses, addresses, duration};
use clap::{Args, ValueEnum};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Whom to drive, and how to reach him.
#[derive(Args, Clone, Debug)]
pub(crate) struct Reach {
    /// The server; of several, each gets its share of the connections:
    /// tcp://HOST:PORT, tls://HOST:PORT, starttls+smtp://HOST:PORT, starttls+xmpp://HOST:PORT,
    /// unix:PATH
    #[arg(value_name = "TARGET", required = true)]
    pub(crate) targets: Vec<Target>,
    /// Local addresses to connect from, by turns, such as 127.0.0.2-127.0.0.9; each has ports of
    /// its own
    #[arg(long, value_name = "IP", value_delimiter = ',', value_parser = addresses)]
    #[arg(help_heading = "Reaching the target")]
    pub(crate) source: Vec<Addresses>,
    /// Begin each connection with a PROXY header of this version
    #[arg(long, value_name = "VERSION", help_heading = "Reaching the target")]
    pub(crate) proxy: Option<ProxyVersion>,
    /// How long a connect, a TLS handshake or an answer may take
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    #[arg(allow_hyphen_values = true)]
    #[arg(help_heading = "Reaching the target")]
    pub(crate) timeout: Duration,
    /// The name to ask for by SNI and to check in the certificate, instead of the target's host;
    /// for XMPP also the domain of the stream
    #[arg(long, value_name = "NAME", help_heading = "TLS")]
    pub(crate) sni: Option<String>,
    /// Protocols to offer by ALPN, in order
    #[arg(long, value_name = "NAMES", value_delimiter = ',', help_heading = "TLS")]
    pub(crate) alpn: Vec<String>,
    /// The certificates to trust; none are built in
    #[arg(long, value_name = "PEM", help_heading = "TLS")]
    pub(crate) ca: Option<PathBuf>,
    /// Accept any certificate from anyone
    #[arg(long, conflicts_with = "ca", help_heading = "TLS")]
    pub(crate) insecure: bool,
    /// A client certificate and its chain, to be shown when the server asks
    #[arg(long, value_name = "PEM", requires = "key", help_heading = "TLS")]
    pub(crate) cert: Option<PathBuf>,
    /// The private key of --cert
    #[arg(long, value_name = "PEM", requires = "cert", help_heading = "TLS")]
    pub(crate) key: Option<PathBuf>,
    /// Who does the cryptography
    #[arg(long, value_name = "NAME", help_heading = "TLS")]
    pub(crate) provider: Option<ProviderName>,
    /// The one version of TLS to offer, instead of both
    #[arg(long, value_name = "VERSION", help_heading = "TLS")]
    pub(crate) tls_version: Option<TlsVersion>,
    /// Do every handshake in full, instead of resuming the sessions of earlier connections
    #[arg(long, help_heading = "TLS")]
    pub(crate) no_resumption: bool,
}

impl Reach {
    /// All sources, one by one.
    pub(crate) fn sources(&self) -> Vec<IpAddr> {
        self.source.iter().flat_map(|addresses| addresses.0.iter().copied()).collect()
    }

    /// One target, reached without ado.
    pub(crate) fn to(target: Target, insecure: bool) -> Self {
        Self {
            targets: vec![target],
            source: Vec::new(),
            proxy: None,
            timeout: Duration::from_secs(10),
            sni: None,
            alpn: Vec::new(),
            ca: None,
            insecure,
            cert: None,
            key: None,
            provider: None,
            tls_version: None,
            no_resumption: false,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum ProxyVersion {
    V1,
    V2,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum ProviderName {
    Ring,
    /// Only in a build with the feature `aws-lc-rs`
    #[cfg(feature = "aws-lc-rs")]
    AwsLcRs,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum TlsVersion {
    #[value(name = "1.2")]
    V12,
    #[value(name = "1.3")]
    V13,
}
