//! What a certificate says is read as it was written, and nothing else is read from any bytes.
//!
//! Never: uses a certificate from a file.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::Ipv6Addr;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, SanType, date_time_ymd as ymd,
};

use super::*;

const LOOPBACK_V6: Ipv6Addr = Ipv6Addr::LOCALHOST;

fn certificate() -> CertificateDer<'static> {
    let mut params =
        CertificateParams::new(["a.example".to_string(), "*.b.example".to_string()]).unwrap();
    params.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 1].into()));
    params.subject_alt_names.push(SanType::IpAddress(LOOPBACK_V6.into()));
    params.distinguished_name.push(DnType::OrganizationName, "An organization");
    params.distinguished_name.push(DnType::CommonName, "A name");
    (params.not_before, params.not_after) = (ymd(1969, 12, 31), ymd(2100, 3, 1));
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// Everything there is to read, so that no reader is left out of a test of bad bytes.
fn read_all(der: &[u8]) -> bool {
    let cert = CertificateDer::from(der);
    let found = parts(&cert);
    if let Some(parts) = found {
        let _authority = (parts.is_authority(), parts.algorithm.pss_hash());
        let _names = (common_name(parts.subject), common_name(parts.issuer));
    }
    let _all = (validity(&cert), signature_algorithm(&cert), dns_names(&cert), addresses(&cert));
    found.is_some()
}

#[test]
fn dates_names_and_algorithm_are_read_as_written() {
    let cert = certificate();
    let validity = validity(&cert).unwrap();
    assert_eq!(validity.not_before, SystemTime::UNIX_EPOCH - Duration::from_secs(86_400));
    assert_eq!(validity.not_after, at(4_107_542_400));
    assert_eq!(dns_names(&cert), ["a.example", "*.b.example"]);
    assert_eq!(addresses(&cert), [IpAddr::from([127, 0, 0, 1]), LOOPBACK_V6.into()]);
    let parts = parts(&cert).unwrap();
    assert_eq!(common_name(parts.subject), Some("A name"));
    assert_eq!(parts.issuer, parts.subject);
    // ecdsa-with-SHA256, 1.2.840.10045.4.3.2 (RFC 5758, section 3.2), without parameters.
    let algorithm = signature_algorithm(&cert).unwrap();
    assert_eq!(algorithm.oid, [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02]);
    assert_eq!(algorithm.parameters, None);
    let leaf = webpki::EndEntityCert::try_from(&cert).unwrap();
    assert_eq!(parts.spki, leaf.subject_public_key_info().as_ref());
}

#[test]
fn authorities_are_told_from_others() {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    assert!(parts(params.self_signed(&key).unwrap().der()).unwrap().is_authority());
    assert!(!parts(&certificate()).unwrap().is_authority());
}

#[test]
fn a_certificate_cut_at_any_byte_or_with_a_byte_too_many_is_none() {
    let mut whole = certificate().to_vec();
    assert!(read_all(&whole));
    for len in 0..whole.len() {
        assert!(!read_all(&whole[..len]), "the first {len} bytes");
    }
    whole.push(0);
    assert!(!read_all(&whole));
}

#[test]
fn no_byte_changed_in_a_certificate_makes_the_reader_panic() {
    let whole = certificate().to_vec();
    let (mut read, mut tried) = (0, 0);
    for at in 0..whole.len() {
        for byte in [0, 1, 0x1f, 0x30, 0x7f, 0x80, 0x81, 0x83, 0x84, 0xff, whole[at] ^ 1] {
            let mut changed = whole.clone();
            changed[at] = byte;
            read += usize::from(read_all(&changed));
            tried += 1;
        }
    }
    // Most bytes are inside names, keys and signatures, where anything goes.
    assert!(read > 0 && read < tried, "{read} of {tried}");
}

#[test]
fn lengths_are_minimal_and_definite() {
    let read = |der: &[u8]| Reader::new(der).any().map(|found| found.1.len());
    assert_eq!(read(&[4, 1, 0]), Some(1));
    assert_eq!(read(&[&[4, 0x81, 0x80][..], &[0; 128]].concat()), Some(128));
    assert_eq!(read(&[&[4, 0x82, 1, 0][..], &[0; 256]].concat()), Some(256));
    for bad in [
        &[4, 0x80, 0, 0][..],
        &[4, 0x81, 1, 0],
        &[4, 0x82, 0, 1, 0],
        &[4, 0x83, 0, 0, 1, 0],
        &[4, 0x84, 0, 0, 0, 1, 0],
        &[4, 0xff, 0],
        &[0x1f, 1, 0],
        &[4, 2, 0],
        &[4],
        &[],
    ] {
        assert_eq!(read(bad), None, "{bad:x?}");
    }
}

#[test]
fn only_dates_that_exist_are_read() {
    let read = |tag: u8, text: &str| {
        let len = u8::try_from(text.len()).unwrap();
        time(&mut Reader::new(&[&[tag, len], text.as_bytes()].concat()))
    };
    assert_eq!(read(UTC_TIME, "700101000000Z"), Some(at(0)));
    assert_eq!(read(UTC_TIME, "491231235959Z"), Some(at(2_524_607_999)));
    assert_eq!(read(GENERALIZED_TIME, "20240229120102Z"), Some(at(1_709_208_062)));
    assert_eq!(read(GENERALIZED_TIME, "99991231235959Z"), Some(at(253_402_300_799)));
    assert!(read(UTC_TIME, "500101000000Z") < Some(at(0)));
    assert!(read(GENERALIZED_TIME, "00000101000000Z").is_some());
    for bad in ["20230229000000Z", "19000229000000Z", "20241301000000Z", "20240001000000Z"] {
        assert_eq!(read(GENERALIZED_TIME, bad), None, "{bad}");
    }
    for bad in ["700101000000", "700101000000+", "70010100000Z", "700101240000Z", "7001010000-1Z"] {
        assert_eq!(read(UTC_TIME, bad), None, "{bad}");
    }
}

/// Parameters as RFC 4055, section 3.1 has them.
#[test]
fn the_hash_of_rsassa_pss_is_found_in_its_parameters() {
    let sha384 = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02];
    let hash = [&[0x30, 11, OID, 9][..], &sha384].concat();
    let full = [&[0x30, 15, context(0), 13][..], &hash].concat();
    fn algorithm(parameters: Option<&[u8]>) -> Algorithm<'_> {
        Algorithm { oid: &[], parameters }
    }
    assert_eq!(algorithm(Some(&full)).pss_hash(), Some(Some(&sha384[..])));
    assert_eq!(algorithm(Some(&[0x30, 0])).pss_hash(), Some(None));
    assert_eq!(algorithm(None).pss_hash(), Some(None));
    assert_eq!(algorithm(Some(&[0x30, 5, context(2), 3, 2, 1, 48])).pss_hash(), Some(None));
    for bad in [&[0x05, 0][..], &[0x30, 2, 5, 0], &[0x30, 2, context(0), 0], &[0x30, 1]] {
        assert_eq!(algorithm(Some(bad)).pss_hash(), None, "{bad:x?}");
    }
}
