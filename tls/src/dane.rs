//! TLSA records: what they say, whether they can be used, and what matches them (RFC 6698, 7671).
//!
//! Never: asks the DNS; knows whether an answer was secure. Only records that DNSSEC has secured
//! belong here: others can be forged by whoever forges the connection.

use std::fmt;
use std::str::FromStr;

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

use crate::der::{self, BIT_STRING, Reader, SEQUENCE};
use crate::digest::{self, Hash};

/// PKIX-TA: an authority on the path, which must lead to a trusted root.
pub(crate) const PKIX_TA: u8 = 0;
/// PKIX-EE: the server's certificate, whose path must lead to a trusted root.
pub(crate) const PKIX_EE: u8 = 1;
/// DANE-TA: an authority, which is itself the root.
pub(crate) const DANE_TA: u8 = 2;
/// DANE-EE: the server's certificate, whatever its names and dates.
pub(crate) const DANE_EE: u8 = 3;

/// One TLSA record (RFC 6698, section 2), as the DNS has it and DNSSEC has secured it.
///
/// Any values may stand in it, since any may come from the DNS; [`check`](Self::check) says
/// whether they can be used. `FromStr` and `Display` speak the presentation format (RFC 6698,
/// section 2.2), and `FromStr` takes the names of RFC 7218 as well:
///
/// ```
/// # use shardpoll_tls::Tlsa;
/// # fn main() -> Result<(), shardpoll_tls::TlsaError> {
/// let digest = "ab".repeat(32);
/// let record: Tlsa = format!("3 1 1 {digest}").parse()?;
/// assert_eq!((record.usage, record.selector, record.matching), (3, 1, 1));
/// assert_eq!(record, format!("DANE-EE SPKI SHA2-256 {digest}").parse()?);
/// assert_eq!(record.to_string(), format!("3 1 1 {digest}"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Tlsa {
    /// Certificate usage: 0 PKIX-TA, 1 PKIX-EE, 2 DANE-TA, 3 DANE-EE.
    pub usage: u8,
    /// Selector: 0 the whole certificate, 1 its public key (SubjectPublicKeyInfo).
    pub selector: u8,
    /// Matching type: 0 all of it, 1 its SHA-256, 2 its SHA-512.
    pub matching: u8,
    /// Certificate association data: what must match.
    pub data: Vec<u8>,
}

/// Why a TLSA record cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TlsaError {
    /// There is no record.
    None,
    /// The usage is none of 0 to 3.
    Usage(u8),
    /// The selector is neither 0 nor 1.
    Selector(u8),
    /// The matching type is none of 0 to 2.
    Matching(u8),
    /// The digest has not the length that its kind has.
    Length {
        /// Bytes it has.
        found: usize,
        /// Bytes it should have.
        wanted: usize,
    },
    /// The data is not the certificate that selector 0 announces (X.509 version 3).
    Certificate,
    /// The data is not the public key that selector 1 announces (SubjectPublicKeyInfo).
    PublicKey,
    /// The text is not in the presentation format.
    Text,
}

impl fmt::Display for TlsaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("no TLSA record"),
            Self::Usage(usage) => write!(f, "TLSA usage {usage} is unknown"),
            Self::Selector(selector) => write!(f, "TLSA selector {selector} is unknown"),
            Self::Matching(matching) => write!(f, "TLSA matching type {matching} is unknown"),
            Self::Length { found, wanted } => {
                write!(f, "the digest of a TLSA record has {found} bytes instead of {wanted}")
            }
            Self::Certificate => f.write_str("the data of a TLSA record is no certificate"),
            Self::PublicKey => f.write_str("the data of a TLSA record is no public key"),
            Self::Text => f.write_str("a TLSA record is three numbers and a hexadecimal string"),
        }
    }
}

impl std::error::Error for TlsaError {}

/// What follows from TLSA records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DaneMode {
    /// The handshake fails unless a record matches; without one that can be used there is no
    /// context at all.
    Require,
    /// As `Require`, but where none of the records can be used (or there is none), the server is
    /// verified by trusted roots and by name, as without DANE.
    ///
    /// That is: only when [`Tlsa::check`] refuses every record (RFC 7671, section 4; RFC 7672,
    /// section 2.2). A record that can be used and does not match is never passed over, nor is
    /// one of usage 0 or 1 that matches while the trusted roots say no.
    FallbackToPkix,
    /// The handshake passes, whatever the records say, and [`Verdict`](crate::Verdict) says it.
    /// Without a record that can be used the verdict is
    /// [`NoUsableTlsa`](crate::Problem::NoUsableTlsa), followed by what speaks against the
    /// server without DANE: nothing, if trusted roots vouch for it.
    Record,
}

impl Tlsa {
    /// Reads the presentation format: "3 1 1 \<hexadecimal\>", where the digits may be in groups.
    ///
    /// # Errors
    ///
    /// [`TlsaError::Text`]. The values are not judged: see [`check`](Self::check).
    pub fn parse(text: &str) -> Result<Self, TlsaError> {
        let mut words = text.split_ascii_whitespace();
        let mut field = |names: [(&str, u8); 4]| {
            let word = words.next().ok_or(TlsaError::Text)?;
            let named = names.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
            named.map_or_else(|| word.parse().map_err(|_| TlsaError::Text), |found| Ok(found.1))
        };
        let usages = [
            ("PKIX-TA", PKIX_TA),
            ("PKIX-EE", PKIX_EE),
            ("DANE-TA", DANE_TA),
            ("DANE-EE", DANE_EE),
        ];
        let private = ("PrivCert", 255);
        let usage = field(usages)?;
        let selector = field([("Cert", 0), ("SPKI", 1), ("PrivSel", 255), private])?;
        let matching = field([("Full", 0), ("SHA2-256", 1), ("SHA2-512", 2), ("PrivMatch", 255)])?;
        let digits: Vec<u8> = words.flat_map(str::bytes).collect();
        let nibble =
            |digit: u8| char::from(digit).to_digit(16).and_then(|it| u8::try_from(it).ok());
        let byte = |pair: &[u8]| Some(nibble(pair[0])? << 4 | nibble(pair[1])?);
        let pairs = digits.chunks_exact(2);
        if digits.is_empty() || !pairs.remainder().is_empty() {
            return Err(TlsaError::Text);
        }
        let data = pairs.map(byte).collect::<Option<_>>().ok_or(TlsaError::Text)?;
        Ok(Self { usage, selector, matching, data })
    }

    /// Whether the record can be used (RFC 6698, section 4.1; RFC 7671, section 4).
    ///
    /// # Errors
    ///
    /// Why not: an unknown usage, selector or matching type, a digest of a wrong length, or data
    /// that is not what the selector announces.
    pub fn check(&self) -> Result<(), TlsaError> {
        if self.usage > DANE_EE {
            return Err(TlsaError::Usage(self.usage));
        }
        if self.selector > 1 {
            return Err(TlsaError::Selector(self.selector));
        }
        let found = self.data.len();
        match (self.hash(), self.matching, self.selector) {
            (Some(hash), ..) if found != hash.len() => {
                Err(TlsaError::Length { found, wanted: hash.len() })
            }
            (Some(_), ..) => Ok(()),
            (None, 0, 0) => {
                let certificate = CertificateDer::from(self.data.as_slice());
                let read = EndEntityCert::try_from(&certificate).map(drop);
                read.map_err(|_| TlsaError::Certificate)
            }
            (None, 0, _) => is_public_key(&self.data).ok_or(TlsaError::PublicKey),
            (None, unknown, _) => Err(TlsaError::Matching(unknown)),
        }
    }

    fn hash(&self) -> Option<Hash> {
        match self.matching {
            1 if Hash::AVAILABLE => Some(Hash::Sha256),
            2 if Hash::AVAILABLE => Some(Hash::Sha512),
            _ => None,
        }
    }

    /// Whether it matches this certificate, which has this public key.
    pub(crate) fn matches(&self, certificate: &[u8], spki: &[u8]) -> bool {
        let selected = if self.selector == 0 { certificate } else { spki };
        match self.hash() {
            Some(hash) => digest::same(hash.of(selected).as_ref(), &self.data),
            None => digest::same(selected, &self.data),
        }
    }

    pub(crate) fn matches_certificate(&self, certificate: &CertificateDer<'_>) -> bool {
        der::parts(certificate).is_some_and(|parts| self.matches(certificate, parts.spki))
    }
}

impl FromStr for Tlsa {
    type Err = TlsaError;

    fn from_str(text: &str) -> Result<Self, TlsaError> {
        Self::parse(text)
    }
}

impl fmt::Display for Tlsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} ", self.usage, self.selector, self.matching)?;
        self.data.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A sequence of an algorithm and a bit string (RFC 5280, section 4.1), and nothing behind it.
fn is_public_key(spki: &[u8]) -> Option<()> {
    let mut outer = Reader::new(spki);
    let mut fields = Reader::new(outer.expect(SEQUENCE)?);
    fields.expect(SEQUENCE)?;
    fields.expect(BIT_STRING)?;
    (outer.is_empty() && fields.is_empty()).then_some(())
}

/// The records that count: those that can be used, without the digests that RFC 7671, section 9
/// passes over since there are stronger ones for the same usage and selector.
///
/// The other value is why the first of the unusable ones is so.
pub(crate) fn usable(records: impl IntoIterator<Item = Tlsa>) -> (Vec<Tlsa>, TlsaError) {
    let (mut usable, mut why) = (Vec::new(), TlsaError::None);
    for record in records {
        match record.check() {
            Ok(()) => usable.push(record),
            Err(error) if why == TlsaError::None => why = error,
            Err(_) => {}
        }
    }
    let stronger: Vec<_> = usable.iter().filter(|it| it.matching == 2).map(kind).collect();
    usable.retain(|record| record.matching != 1 || !stronger.contains(&kind(record)));
    (usable, why)
}

fn kind(record: &Tlsa) -> (u8, u8) {
    (record.usage, record.selector)
}
