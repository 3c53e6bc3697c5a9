//! What of an X.509 certificate rustls does not tell: its dates, and the names it is good for.
//!
//! Never: judges a certificate, or panics on one; what cannot be read is `None`.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::SystemTime;

use crate::date;

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;

/// `[0]` of a certificate: its version; `[3]`: its extensions (RFC 5280, section 4.1).
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;

/// 2.5.29.17, the alternative names of a subject (RFC 5280, section 4.2.1.6).
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;

/// Elements one after another.
#[derive(Clone, Copy)]
pub(crate) struct Der<'a>(pub(crate) &'a [u8]);

impl<'a> Der<'a> {
    /// The next element: its tag and its contents.
    pub(crate) fn element(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        // Tags of several bytes do not occur in certificates.
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (&first, mut rest) = rest.split_first()?;
        let mut len = usize::from(first);
        if first >= 0x80 {
            let (bytes, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
            if !(1..=4).contains(&bytes.len()) {
                return None;
            }
            rest = after;
            len = bytes.iter().fold(0, |len, byte| len << 8 | usize::from(*byte));
        }
        let (contents, after) = rest.split_at_checked(len)?;
        self.0 = after;
        Some((tag, contents))
    }

    /// The contents of the next element, which must have this tag.
    pub(crate) fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.element().filter(|(found, _)| *found == tag).map(|(_, contents)| contents)
    }

    /// The contents of the next element, if it has this tag; else it stays.
    pub(crate) fn optional(&mut self, tag: u8) -> Option<&'a [u8]> {
        if self.0.first() == Some(&tag) { self.expect(tag) } else { None }
    }
}

/// When a certificate is good (RFC 5280, section 4.1.2.5): both ends are included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Validity {
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
}

/// The dates of a certificate.
pub(crate) fn validity(certificate: &[u8]) -> Option<Validity> {
    let mut dates = Der(to_validity(certificate)?.expect(SEQUENCE)?);
    Some(Validity { not_before: time(&mut dates)?, not_after: time(&mut dates)? })
}

/// The DNS names and addresses that a certificate is good for, as text.
pub(crate) fn alternative_names(certificate: &[u8]) -> Option<Vec<String>> {
    let mut fields = to_validity(certificate)?;
    let mut names = Vec::new();
    while let Some((tag, contents)) = fields.element() {
        if tag != EXTENSIONS {
            continue;
        }
        let mut extensions = Der(Der(contents).expect(SEQUENCE)?);
        while let Some(extension) = extensions.optional(SEQUENCE) {
            let mut extension = Der(extension);
            let is_names = extension.expect(OBJECT_IDENTIFIER)? == SUBJECT_ALT_NAME;
            extension.optional(BOOLEAN);
            if is_names {
                let value = extension.expect(OCTET_STRING)?;
                let mut general = Der(Der(value).expect(SEQUENCE)?);
                names.extend(std::iter::from_fn(|| general.element()).filter_map(name));
            }
        }
    }
    Some(names)
}

/// A general name as text, if it is one of a host.
fn name((tag, contents): (u8, &[u8])) -> Option<String> {
    match tag {
        DNS_NAME => std::str::from_utf8(contents).ok().map(str::to_owned),
        IP_ADDRESS => match contents.len() {
            4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(contents).ok()?).to_string()),
            16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(contents).ok()?).to_string()),
            _ => None,
        },
        _ => None,
    }
}

/// The fields of a certificate from its validity on.
fn to_validity(certificate: &[u8]) -> Option<Der<'_>> {
    let mut fields = Der(Der(Der(certificate).expect(SEQUENCE)?).expect(SEQUENCE)?);
    fields.optional(VERSION);
    fields.expect(INTEGER)?;
    // The algorithm of the signature, and the issuer.
    fields.expect(SEQUENCE)?;
    fields.expect(SEQUENCE)?;
    Some(fields)
}

fn time(dates: &mut Der<'_>) -> Option<SystemTime> {
    let (tag, text) = dates.element()?;
    let digits = std::str::from_utf8(text.strip_suffix(b"Z")?).ok()?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = digits.split_at_checked(2)?;
            let year: i64 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = digits.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    if rest.len() != 10 {
        return None;
    }
    let part = |at: usize| rest.get(at..at + 2).and_then(|digits| digits.parse::<i64>().ok());
    date::from_civil([year, part(0)?, part(2)?, part(4)?, part(6)?, part(8)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(change: impl FnOnce(&mut rcgen::CertificateParams)) -> Vec<u8> {
        let names = ["a.example".to_owned(), "*.b.example".to_owned(), "192.0.2.7".to_owned()];
        let mut params = rcgen::CertificateParams::new(names).expect("names");
        change(&mut params);
        let key = rcgen::KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("signed").der().to_vec()
    }

    #[test]
    fn names_and_addresses_are_read() {
        let names = alternative_names(&made(|_| {})).expect("a certificate");
        assert_eq!(names, ["a.example", "*.b.example", "192.0.2.7"]);
        let none = made(|params| params.subject_alt_names.clear());
        assert_eq!(alternative_names(&none), Some(Vec::new()));
    }

    #[test]
    fn dates_of_both_kinds_are_read() {
        // RFC 5280, section 4.1.2.5: two digits of the year until 2049, four from 2050 on.
        let cert = made(|params| {
            params.not_before = rcgen::date_time_ymd(1999, 12, 31);
            params.not_after = rcgen::date_time_ymd(2050, 2, 28);
        });
        let Validity { not_before, not_after } = validity(&cert).expect("a certificate");
        assert_eq!(date::Words(not_before).to_string(), "1999-12-31 00:00:00 UTC");
        assert_eq!(date::Words(not_after).to_string(), "2050-02-28 00:00:00 UTC");
    }

    #[test]
    fn whatever_is_cut_or_changed_is_read_or_refused() {
        let cert = made(|_| {});
        for len in 0..cert.len() {
            assert_eq!(validity(&cert[..len]), None, "cut at {len}");
        }
        for at in 0..cert.len() {
            for value in [0, 0x30, 0x7f, 0x80, 0x84, 0xff] {
                let mut bad = cert.clone();
                bad[at] = value;
                let (_dates, _names) = (validity(&bad), alternative_names(&bad));
            }
        }
    }

    #[test]
    fn impossible_dates_are_refused() {
        for bad in ["261301000000", "261100000000", "2611", "26112302435x", "261123244350"] {
            let text = [&[UTC_TIME, u8::try_from(bad.len() + 1).expect("short")], bad.as_bytes()];
            let mut text = text.concat();
            text.push(b'Z');
            assert_eq!(time(&mut Der(&text)), None, "{bad}");
        }
    }
}
