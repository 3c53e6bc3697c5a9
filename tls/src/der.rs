//! A strict reader of DER, and what is read with it from a certificate (RFC 5280, section 4.1).
//!
//! Never: judges a certificate; allocates for what it has not found; panics, whatever the bytes.
//!
//! Invariants:
//! 1. Every step consumes at least two bytes, so that reading ends; nothing recurses.
//! 2. Lengths are definite and minimal, and tags of one byte; else there is no value.

use std::net::IpAddr;
use std::time::SystemTime;

use rustls::pki_types::CertificateDer;

use crate::date;

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OID: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;

/// A constructed, context-specific tag: `[n] EXPLICIT`, or `IMPLICIT` of something constructed.
const fn context(n: u8) -> u8 {
    0xa0 | n
}

/// id-ce-subjectAltName, 2.5.29.17.
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
/// id-ce-basicConstraints, 2.5.29.19.
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
/// id-at-commonName, 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// dNSName, `[2] IMPLICIT IA5String` of a GeneralName.
const DNS_NAME: u8 = 0x82;
/// iPAddress, `[7] IMPLICIT OCTET STRING` of a GeneralName.
const IP_ADDRESS: u8 = 0x87;

/// Reads values one behind the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(der: &'a [u8]) -> Self {
        Self { rest: der }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next value: its tag, its contents, and all of it with tag and length.
    pub(crate) fn any(&mut self) -> Option<(u8, &'a [u8], &'a [u8])> {
        let (&[tag, first], behind) = self.rest.split_first_chunk()?;
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (len, behind) = match first {
            0..=0x7f => (usize::from(first), behind),
            // No certificate has 16 MiB, and no length of 0x80 (indefinite) is DER.
            0x81..=0x83 => {
                let (bytes, behind) = behind.split_at_checked(usize::from(first & 0x7f))?;
                let len = bytes.iter().fold(0, |len, &byte| len << 8 | usize::from(byte));
                let least = if bytes.len() == 1 { 0x80 } else { 1 << (8 * (bytes.len() - 1)) };
                (Some(len).filter(|&len| len >= least)?, behind)
            }
            _ => return None,
        };
        let (contents, behind) = behind.split_at_checked(len)?;
        let whole = &self.rest[..self.rest.len() - behind.len()];
        self.rest = behind;
        Some((tag, contents, whole))
    }

    /// The contents of the next value, which must have this tag.
    pub(crate) fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.any().filter(|found| found.0 == tag).map(|found| found.1)
    }

    /// The contents of the next value if it has this tag, else nothing is read.
    pub(crate) fn optional(&mut self, tag: u8) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let contents = ahead.expect(tag)?;
        *self = ahead;
        Some(contents)
    }

    fn nested(&mut self, tag: u8) -> Option<Self> {
        self.expect(tag).map(Self::new)
    }

    fn end(&self) -> Option<()> {
        self.is_empty().then_some(())
    }
}

/// The parts of a certificate that are looked at, each with tag and length unless said otherwise.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts<'a> {
    /// What is signed.
    pub(crate) tbs: &'a [u8],
    pub(crate) issuer: &'a [u8],
    pub(crate) subject: &'a [u8],
    pub(crate) spki: &'a [u8],
    /// The algorithm of the issuer's signature.
    pub(crate) algorithm: Algorithm<'a>,
    /// The issuer's signature, without the count of unused bits.
    pub(crate) signature: &'a [u8],
    validity: &'a [u8],
    /// Contents of the list of extensions; empty when there is none.
    extensions: &'a [u8],
}

/// An AlgorithmIdentifier (RFC 5280, section 4.1.1.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Algorithm<'a> {
    /// Contents of the object identifier.
    pub(crate) oid: &'a [u8],
    /// The parameters with tag and length, where there are any.
    pub(crate) parameters: Option<&'a [u8]>,
}

impl<'a> Algorithm<'a> {
    /// Reads the contents of the sequence.
    fn read(contents: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(contents);
        let oid = reader.expect(OID)?;
        let parameters = if reader.is_empty() { None } else { Some(reader.any()?.2) };
        reader.end()?;
        Some(Self { oid, parameters })
    }

    /// The hash function named by parameters of RSASSA-PSS (RFC 4055, section 3.1): the contents
    /// of its object identifier, or `None` where it is the default, SHA-1.
    ///
    /// The outer `None` is for parameters that are none of RSASSA-PSS.
    pub(crate) fn pss_hash(&self) -> Option<Option<&'a [u8]>> {
        let Some(parameters) = self.parameters else { return Some(None) };
        let mut outer = Reader::new(parameters);
        let mut fields = outer.nested(SEQUENCE)?;
        outer.end()?;
        let Some(explicit) = fields.optional(context(0)) else {
            // Nothing but the other three fields may stand there.
            return matches!(fields.rest.first(), None | Some(0xa1..=0xa3)).then_some(None);
        };
        let mut explicit = Reader::new(explicit);
        let hash = Self::read(explicit.expect(SEQUENCE)?)?;
        explicit.end()?;
        Some(Some(hash.oid))
    }
}

/// Takes a certificate apart; `None` when it is not one of X.509 (versions 1 to 3).
pub(crate) fn parts<'a>(certificate: &'a CertificateDer<'_>) -> Option<Parts<'a>> {
    let mut outer = Reader::new(certificate.as_ref());
    let mut fields = outer.nested(SEQUENCE)?;
    outer.end()?;
    let (tag, body, tbs) = fields.any()?;
    let algorithm = Algorithm::read(fields.expect(SEQUENCE)?)?;
    let (&unused, signature) = fields.expect(BIT_STRING)?.split_first()?;
    fields.end()?;
    if tag != SEQUENCE || unused != 0 {
        return None;
    }
    let mut body = Reader::new(body);
    body.optional(context(0));
    body.expect(INTEGER)?;
    body.expect(SEQUENCE)?;
    let issuer = sequence(&mut body)?;
    let validity = body.expect(SEQUENCE)?;
    let subject = sequence(&mut body)?;
    let spki = sequence(&mut body)?;
    let mut extensions: &[u8] = &[];
    while !body.is_empty() {
        let (tag, contents, _) = body.any()?;
        if tag == context(3) {
            let mut list = Reader::new(contents);
            extensions = list.expect(SEQUENCE)?;
            list.end()?;
        }
    }
    Some(Parts { tbs, issuer, subject, spki, algorithm, signature, validity, extensions })
}

fn sequence<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    reader.any().filter(|found| found.0 == SEQUENCE).map(|found| found.2)
}

/// From when to when a certificate is valid; both moments belong to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Validity {
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
}

/// The dates of a certificate (RFC 5280, section 4.1.2.5); `None` when they cannot be read.
pub(crate) fn validity(certificate: &CertificateDer<'_>) -> Option<Validity> {
    let mut dates = Reader::new(parts(certificate)?.validity);
    let (not_before, not_after) = (time(&mut dates)?, time(&mut dates)?);
    dates.end()?;
    Some(Validity { not_before, not_after })
}

/// The algorithm that the issuer signed with; `None` when the certificate cannot be read.
pub(crate) fn signature_algorithm<'a>(
    certificate: &'a CertificateDer<'_>,
) -> Option<Algorithm<'a>> {
    Some(parts(certificate)?.algorithm)
}

/// The host names a certificate is for, wildcards as they stand (RFC 5280, section 4.2.1.6).
///
/// Names that are not ASCII are left out, as is everything behind a broken one.
pub(crate) fn dns_names<'a>(certificate: &'a CertificateDer<'_>) -> Vec<&'a str> {
    alternative_names(certificate)
        .filter(|(tag, name)| *tag == DNS_NAME && name.is_ascii())
        .filter_map(|(_, name)| std::str::from_utf8(name).ok())
        .collect()
}

/// The addresses a certificate is for; everything behind a broken name is left out.
pub(crate) fn addresses(certificate: &CertificateDer<'_>) -> Vec<IpAddr> {
    let address = |bytes: &[u8]| {
        let v4 = <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
        v4.or_else(|| <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from))
    };
    alternative_names(certificate)
        .filter_map(|(tag, name)| address(name).filter(|_| tag == IP_ADDRESS))
        .collect()
}

/// The alternative names of a certificate, each with its tag.
fn alternative_names<'a>(
    certificate: &'a CertificateDer<'_>,
) -> impl Iterator<Item = (u8, &'a [u8])> {
    let names = parts(certificate).and_then(|parts| parts.extension(SUBJECT_ALT_NAME));
    let mut names = names.and_then(|names| Reader::new(names).nested(SEQUENCE));
    std::iter::from_fn(move || names.as_mut()?.any()).map(|(tag, name, _)| (tag, name))
}

/// The last common name in a Name, such as [`Parts::subject`], where it has one that is text.
pub(crate) fn common_name(name: &[u8]) -> Option<&str> {
    let mut names = Reader::new(name).nested(SEQUENCE)?;
    let mut found = None;
    while let Some(mut set) = names.nested(SET) {
        while let Some(mut attribute) = set.nested(SEQUENCE) {
            let is_common = attribute.expect(OID) == Some(COMMON_NAME);
            let text = attribute.any().filter(|(tag, ..)| {
                is_common && [UTF8_STRING, PRINTABLE_STRING, IA5_STRING].contains(tag)
            });
            found = text.and_then(|(_, text, _)| std::str::from_utf8(text).ok()).or(found);
        }
    }
    found
}

impl<'a> Parts<'a> {
    /// Whether it may issue certificates (RFC 5280, section 4.2.1.9).
    pub(crate) fn is_authority(&self) -> bool {
        let constraints = self.extension(BASIC_CONSTRAINTS);
        let fields = constraints.and_then(|contents| Reader::new(contents).nested(SEQUENCE));
        fields.and_then(|mut fields| fields.optional(BOOLEAN)) == Some(&[0xff])
    }

    /// What an extension holds.
    fn extension(&self, oid: &[u8]) -> Option<&'a [u8]> {
        let mut extensions = Reader::new(self.extensions);
        loop {
            let mut extension = extensions.nested(SEQUENCE)?;
            let found = extension.expect(OID)? == oid;
            extension.optional(BOOLEAN);
            let contents = extension.expect(OCTET_STRING)?;
            if found {
                return Some(contents);
            }
        }
    }
}

/// A UTCTime or a GeneralizedTime as a certificate must write them: in UTC, to the second.
fn time(reader: &mut Reader<'_>) -> Option<SystemTime> {
    let (tag, text, _) = reader.any()?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = digits(text, 2)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => digits(text, 4)?,
        _ => return None,
    };
    let (month, rest) = digits(rest, 2)?;
    let (day, rest) = digits(rest, 2)?;
    let (hour, rest) = digits(rest, 2)?;
    let (minute, rest) = digits(rest, 2)?;
    let (second, rest) = digits(rest, 2)?;
    let whole = (rest == b"Z").then_some([year, month, day, hour, minute, second])?;
    date::from_civil(whole)
}

fn digits(text: &[u8], count: usize) -> Option<(i64, &[u8])> {
    let (digits, rest) = text.split_at_checked(count)?;
    let all = digits.iter().all(u8::is_ascii_digit);
    let number = digits.iter().fold(0, |number, &digit| number * 10 + i64::from(digit) - 48);
    all.then_some((number, rest))
}

#[cfg(all(test, any(feature = "ring", feature = "aws-lc-rs")))]
mod tests;
