//! The same TLS configuration for every server: a P-256 certificate of its own, TLS 1.3 or 1.2, two
//! stateless tickets after each handshake (rustls' default). And the client's.
//!
//! Never: checks a certificate; that would be the client's work.

use crate::candidate::Provider;
use crate::failure::Failure;
use shardpoll::tls::ClientContext;
use shardpoll::tls::rustls::client::Resumption;
use shardpoll::tls::rustls::crypto::{self, CryptoProvider};
use shardpoll::tls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use shardpoll::tls::rustls::server::ProducesTickets;
use shardpoll::tls::rustls::{Error, ServerConfig};
use std::sync::Arc;

/// What the certificate is made for, and asked for.
pub(crate) const NAME: &str = "localhost";

pub(crate) fn server(provider: Provider) -> Result<Arc<ServerConfig>, Failure> {
    let (provider, ticketer) = parts(provider)?;
    let made =
        rcgen::generate_simple_self_signed([NAME.to_owned()]).map_err(Failure::SelfSigned)?;
    let chain = vec![made.cert.der().clone()];
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.ticketer = ticketer;
    Ok(Arc::new(config))
}

fn parts(provider: Provider) -> Result<(CryptoProvider, Arc<dyn ProducesTickets>), Error> {
    match provider {
        Provider::Ring => Ok((crypto::ring::default_provider(), crypto::ring::Ticketer::new()?)),
        #[cfg(feature = "aws-lc-rs")]
        Provider::AwsLcRs => {
            Ok((crypto::aws_lc_rs::default_provider(), crypto::aws_lc_rs::Ticketer::new()?))
        }
        #[cfg(not(feature = "aws-lc-rs"))]
        Provider::AwsLcRs => Err(Error::General("built without aws-lc-rs".into())),
    }
}

/// A client that accepts any certificate; one for each server, since a ticket is good with the
/// server that gave it.
pub(crate) fn client(resumed: bool) -> ClientContext {
    let context = ClientContext::insecure();
    if resumed {
        return context;
    }
    let mut config = Arc::unwrap_or_clone(Arc::clone(context.config()));
    config.resumption = Resumption::disabled();
    ClientContext::new(Arc::new(config))
}
