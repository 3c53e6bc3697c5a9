//! TLSA records as text.
//!
//! Never: judges anything by them; that is `dane.rs`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use shardpoll_tls::{Tlsa, TlsaError};

#[test]
fn the_presentation_format_is_read_and_written() {
    // RFC 6698, section 2.2; RFC 7218
    let digits = "0123456789ABCDEFabcdef".repeat(2);
    let record = Tlsa::parse(&format!(" 2 0\t1 {} {}", &digits[..10], &digits[10..])).unwrap();
    assert_eq!((record.usage, record.selector, record.matching), (2, 0, 1));
    assert_eq!(record.data[..3], [0x01, 0x23, 0x45]);
    assert_eq!(record.to_string(), format!("2 0 1 {}", digits.to_lowercase()));
    assert_eq!(Tlsa::parse("pkix-ee cert full 00").unwrap(), Tlsa::parse("1 0 0 00").unwrap());
    assert_eq!(Tlsa::parse("255 7 9 ff").unwrap().usage, 255, "what it is worth is asked later");
    for bad in
        ["", "3", "3 1", "3 1 1", "3 1 1 a", "3 1 1 abc", "256 1 1 ab", "3 1 1 zz", "3 -1 1 ab"]
    {
        assert_eq!(Tlsa::parse(bad), Err(TlsaError::Text), "{bad:?}");
    }
}
