//! Keying material for other protocols, derived from the secrets of a session (RFC 5705).
//!
//! rustls' unbuffered connections cannot export. But rustls shows the secrets to the key log of the
//! configuration, which it calls on the same thread, inside the call that reads the handshake. So
//! while such a call runs, the exporter of its session lies on the thread, and the key log, and
//! what overhears the resolver, fill it.
//!
//! Never: shows a secret; keeps one for a session that nobody asked to.
//!
//! Invariants:
//! 1. An exporter is on the thread only while a call of its session runs.
//! 2. A secret is wiped when its session is dropped.

use std::cell::Cell;
use std::sync::Arc;

use rustls::crypto::tls13::{HkdfExpander, OkmBlock};
use rustls::sign::CertifiedKey;
use rustls::{KeyLog, SupportedCipherSuite, Tls12CipherSuite, Tls13CipherSuite};
use zeroize::Zeroize;

use crate::BindingError;
use crate::hello::{RANDOM, ServerHello};

/// The exporter secret of TLS 1.3, as the key log calls it.
const EXPORTER_SECRET: &str = "EXPORTER_SECRET";

/// The master secret of TLS 1.2, as the key log calls it: by the other thing on its line.
const MASTER_SECRET: &str = "CLIENT_RANDOM";

/// What TLS 1.2 derives by the master secret itself (RFC 5246, RFC 7627): no label of an export may
/// begin like that (RFC 5705, section 4).
const RESERVED: [&[u8]; 5] = [
    b"client finished",
    b"server finished",
    b"master secret",
    b"extended master secret",
    b"key expansion",
];

/// The longest label of TLS 1.3: 255 bytes, less those of "tls13 " (RFC 8446, section 7.1).
const LABEL_MAX: usize = 255 - TLS13.len();

const TLS13: &[u8] = b"tls13 ";

thread_local! {
    static LISTENING: Cell<Option<Box<Exporter>>> = const { Cell::new(None) };
}

/// What a session that may be asked to export keeps of its handshake.
pub(crate) struct Exporter {
    /// The exporter secret of TLS 1.3, or the master secret of TLS 1.2.
    secret: [u8; OkmBlock::MAX_LEN],
    secret_len: usize,
    client_random: [u8; RANDOM],
    /// Read as it passes, by both sides.
    pub(crate) hello: ServerHello,
    /// What the server's resolver chose, on the server's side.
    pub(crate) certified: Option<Arc<CertifiedKey>>,
}

impl Exporter {
    pub(crate) fn new() -> Box<Self> {
        Box::new(Self {
            secret: [0; OkmBlock::MAX_LEN],
            secret_len: 0,
            client_random: [0; RANDOM],
            hello: ServerHello::new(),
            certified: None,
        })
    }

    fn hear(&mut self, client_random: &[u8], secret: &[u8]) {
        let known = client_random.first_chunk().zip(self.secret.get_mut(..secret.len()));
        if let Some((random, place)) = known {
            self.client_random = *random;
            place.copy_from_slice(secret);
            self.secret_len = secret.len();
        }
    }

    /// Derives keying material, for a session that is established.
    pub(crate) fn export(
        &self,
        suite: SupportedCipherSuite,
        output: &mut [u8],
        label: &[u8],
        context: Option<&[u8]>,
    ) -> Result<(), BindingError> {
        if self.secret_len == 0 {
            return Err(BindingError::NotKept);
        }
        if output.is_empty() {
            return Err(BindingError::OutputLength { len: 0 });
        }
        if label.is_empty() {
            return Err(BindingError::LabelLength { len: 0 });
        }
        match suite {
            SupportedCipherSuite::Tls13(suite) => self.export_tls13(suite, output, label, context),
            SupportedCipherSuite::Tls12(suite) => self.export_tls12(suite, output, label, context),
        }
    }

    /// RFC 8446, section 7.5.
    fn export_tls13(
        &self,
        suite: &Tls13CipherSuite,
        output: &mut [u8],
        label: &[u8],
        context: Option<&[u8]>,
    ) -> Result<(), BindingError> {
        if label.len() > LABEL_MAX {
            return Err(BindingError::LabelLength { len: label.len() });
        }
        let hash = suite.common.hash_provider;
        let secret = OkmBlock::new(&self.secret[..self.secret_len]);
        let expander = suite.hkdf_provider.expander_for_okm(&secret);
        let mut derived = [0; OkmBlock::MAX_LEN];
        let place = &mut derived[..expander.hash_len()];
        let mut done = expand_label(&*expander, label, hash.hash(&[]).as_ref(), place);
        if done.is_ok() {
            let expander = suite.hkdf_provider.expander_for_okm(&OkmBlock::new(place));
            let context = hash.hash(context.unwrap_or_default());
            done = expand_label(&*expander, b"exporter", context.as_ref(), output);
        }
        derived.zeroize();
        done
    }

    /// RFC 5705, section 4; only with the extended master secret, since another can be made the
    /// same for two sessions (RFC 7627, section 1).
    fn export_tls12(
        &self,
        suite: &Tls12CipherSuite,
        output: &mut [u8],
        label: &[u8],
        context: Option<&[u8]>,
    ) -> Result<(), BindingError> {
        if !self.hello.extended_master_secret {
            return Err(BindingError::NoExtendedMasterSecret);
        }
        if RESERVED.iter().any(|reserved| label.starts_with(reserved)) {
            return Err(BindingError::LabelReserved);
        }
        let mut seed = [self.client_random, self.hello.random].concat();
        if let Some(context) = context {
            let len = context.len();
            let len = u16::try_from(len).map_err(|_| BindingError::ContextLength { len })?;
            seed.extend(len.to_be_bytes());
            seed.extend(context);
        }
        let secret = &self.secret[..self.secret_len];
        suite.prf_provider.for_secret(output, secret, label, &seed);
        Ok(())
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

/// HKDF-Expand-Label (RFC 8446, section 7.1); the label is known to fit.
fn expand_label(
    expander: &dyn HkdfExpander,
    label: &[u8],
    context: &[u8],
    output: &mut [u8],
) -> Result<(), BindingError> {
    let too_long = BindingError::OutputLength { len: output.len() };
    let Ok(len) = u16::try_from(output.len()) else { return Err(too_long) };
    let byte = |len: usize| [u8::try_from(len).expect("checked, or that of a hash")];
    let (label_len, context_len) = (byte(TLS13.len() + label.len()), byte(context.len()));
    let info = [&len.to_be_bytes()[..], &label_len, TLS13, label, &context_len, context];
    expander.expand_slice(&info, output).map_err(|_| too_long)
}

/// Runs what may run a handshake on; what it shows on this thread goes to `exporter`.
pub(crate) fn overhear<R>(exporter: &mut Option<Box<Exporter>>, run: impl FnOnce() -> R) -> R {
    LISTENING.set(exporter.take());
    let result = run();
    *exporter = LISTENING.take();
    result
}

fn tell(what: impl FnOnce(&mut Exporter)) {
    if let Some(mut exporter) = LISTENING.take() {
        what(&mut exporter);
        LISTENING.set(Some(exporter));
    }
}

/// Tells the session on this thread which certificate its client is shown.
pub(crate) fn chosen(certified: Option<&Arc<CertifiedKey>>) {
    tell(|exporter| exporter.certified = certified.cloned());
}

/// The configuration's own key log, overheard.
#[derive(Debug)]
pub(crate) struct Overheard(pub(crate) Arc<dyn KeyLog>);

impl KeyLog for Overheard {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        if [EXPORTER_SECRET, MASTER_SECRET].contains(&label) {
            tell(|exporter| exporter.hear(client_random, secret));
        }
        if self.0.will_log(label) {
            self.0.log(label, client_random, secret);
        }
    }

    fn will_log(&self, label: &str) -> bool {
        [EXPORTER_SECRET, MASTER_SECRET].contains(&label) || self.0.will_log(label)
    }
}

#[cfg(all(test, any(feature = "ring", feature = "aws-lc-rs")))]
mod tests {
    use super::*;
    use crate::ClientContext;

    #[test]
    fn a_master_secret_that_is_not_the_extended_one_exports_nothing() {
        // RFC 9266, section 2
        let insecure = ClientContext::insecure();
        let suites = &insecure.config().crypto_provider().cipher_suites;
        let suite = suites.iter().find(|suite| suite.tls13().is_none()).expect("one of TLS 1.2");
        let mut exporter = Exporter::new();
        exporter.hear(&[1; RANDOM], &[2; 48]);
        let mut output = [0; 32];
        let refused = exporter.export(*suite, &mut output, b"EXPERIMENTAL", None);
        assert_eq!(refused, Err(BindingError::NoExtendedMasterSecret));
        exporter.hello.extended_master_secret = true;
        assert_eq!(exporter.export(*suite, &mut output, b"EXPERIMENTAL", None), Ok(()));
    }
}
