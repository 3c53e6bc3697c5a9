//! What a header says and how it is said, at every split.
//!
//! Never: opens a connection; `tests/semantics/proxy` does.

use super::*;
use std::path::Path;

/// A header of the second version, with this block behind its first bytes.
fn block(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    bytes.extend_from_slice(&[command, family]);
    bytes.extend_from_slice(&u16::try_from(block.len()).expect("short").to_be_bytes());
    bytes.extend_from_slice(block);
    bytes
}

fn value(kind: u8, value: &[u8]) -> Vec<u8> {
    let mut tlv = Vec::new();
    tlv::append(&mut tlv, kind, value);
    tlv
}

const V4: [u8; 12] = [192, 0, 2, 7, 198, 51, 100, 1, 0x9C, 0x40, 0x14, 0x66];

fn whole(bytes: &[u8]) -> ProxyHeader {
    match ProxyHeader::decode(bytes) {
        Ok(Decoded::Header(header, len)) => {
            assert_eq!(len, bytes.len());
            header
        }
        other => panic!("{other:?} of {bytes:?}"),
    }
}

fn error(bytes: &[u8]) -> ProxyError {
    ProxyHeader::decode(bytes).expect_err("no header")
}

fn ip(text: &str) -> Addr {
    Addr::Ip(text.parse().expect("an address"))
}

/// Reads what is asked for and no more, like a connection.
fn read_exactly(bytes: &[u8]) -> (ProxyHeader, usize) {
    let mut got = 0;
    for _ in 0..=bytes.len() {
        match ProxyHeader::decode(&bytes[..got]).expect("a header") {
            Decoded::Header(header, len) => {
                assert_eq!(len, got, "no byte behind the header was taken");
                return (header, got);
            }
            Decoded::Needs(more) => {
                assert!(more > 0, "it would wait for ever");
                got += more;
                assert!(got <= bytes.len(), "{got} bytes were asked for");
            }
        }
    }
    panic!("{bytes:?} has no end");
}

fn examples() -> Vec<Vec<u8>> {
    let lines = [
        "PROXY UNKNOWN\r\n",
        "PROXY UNKNOWN ffff::1 what \n ever 1 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 0 65535\r\n",
        "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
        "PROXY TCP6 :: :: 1 1\r\n",
        "PROXY TCP6 ::ffff:1.2.3.4 2001:DB8::f 10 2\r\n",
        "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff \
         ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
    ];
    let mut all: Vec<_> = lines.iter().map(|line| line.as_bytes().to_vec()).collect();
    all.push(block(0x20, 0, &[]));
    all.push(block(0x20, 0x99, &[1, 2, 3]));
    all.push(block(0x21, 0, &[]));
    all.push(block(0x21, 0x11, &V4));
    all.push(block(0x21, 0x12, &[&V4[..], &value(2, b"a.example")].concat()));
    all.push(block(0x21, 0x21, &[7; 36]));
    all.push(block(0x21, 0x31, &[b'/'; 216]));
    let checked = ProxyHeader::proxied(ip("1.2.3.4:5"), ip("6.7.8.9:10"));
    all.push(checked.with_checksum(true).encode());
    all
}

#[test]
fn a_header_is_the_same_at_every_split_and_nothing_behind_it_is_taken() {
    for bytes in examples() {
        let header = whole(&bytes);
        assert_eq!(read_exactly(&bytes), (header.clone(), bytes.len()));
        for split in 0..bytes.len() {
            let Ok(Decoded::Needs(more)) = ProxyHeader::decode(&bytes[..split]) else {
                panic!("{split} bytes of {bytes:?} are no header");
            };
            assert!(more > 0 && split + more <= bytes.len(), "{split} bytes need {more}");
        }
        let mut behind = bytes.clone();
        behind.extend_from_slice(b"\x16\x03\x01PROXY \r\n");
        let decoded = ProxyHeader::decode(&behind).expect("a header");
        assert_eq!(decoded, Decoded::Header(header, bytes.len()));
    }
}

#[test]
fn a_line_says_two_addresses_and_two_ports() {
    let header = whole(b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 5222\r\n");
    assert_eq!(header.source(), Some(&ip("192.0.2.7:40000")));
    assert_eq!(header.destination(), Some(&ip("198.51.100.1:5222")));
    assert_eq!((header.version(), header.is_local()), (ProxyVersion::V1, false));
    let header = whole(b"PROXY TCP6 2001:db8::7 ::1 40000 0\r\n");
    assert_eq!(header.source(), Some(&ip("[2001:db8::7]:40000")));
    assert_eq!(whole(b"PROXY UNKNOWN 1 2 3\r\n").source(), None);
}

#[test]
fn a_line_in_any_other_form_is_refused() {
    let cases: [(&[u8], ProxyError); 19] = [
        (b"GET / HTTP/1.1\r\n", ProxyError::NoHeader),
        (b"PROXX", ProxyError::NoHeader),
        (b"PROXY\tTCP4 1.2.3.4 5.6.7.8 1 2\r\n", ProxyError::NoHeader),
        (b"PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n", ProxyError::Protocol),
        (b"PROXY TCP4\t1.2.3.4 5.6.7.8 1 2\r\n", ProxyError::Protocol),
        (b"PROXY UNKNOWNS\r\n", ProxyError::Protocol),
        (b"PROXY TCP4 ::1 ::1 1 2\r\n", ProxyError::Address),
        (b"PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n", ProxyError::Address),
        (b"PROXY TCP4 1.2.3.04 5.6.7.8 1 2\r\n", ProxyError::Address),
        (b"PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n", ProxyError::Address),
        (b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", ProxyError::Address),
        (b"PROXY TCP4 1.2.3.4\r\n", ProxyError::Address),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", ProxyError::Port),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n", ProxyError::Port),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n", ProxyError::Port),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n", ProxyError::Port),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n", ProxyError::LineEnd),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\r\n", ProxyError::LineEnd),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3 4", ProxyError::LineEnd),
    ];
    for (line, wanted) in cases {
        assert_eq!(error(line), wanted, "{}", String::from_utf8_lossy(line));
    }
}

#[test]
fn a_line_ends_within_107_bytes() {
    let line = |len: usize| {
        let mut line = b"PROXY UNKNOWN ".to_vec();
        line.resize(len - 2, b'x');
        [&line[..], b"\r\n"].concat()
    };
    assert_eq!(read_exactly(&line(107)).1, 107);
    assert_eq!(error(&line(108)), ProxyError::LineTooLong);
    assert_eq!(error(&line(108)[..106]), ProxyError::LineTooLong);
    assert!(matches!(ProxyHeader::decode(&line(108)[..105]), Ok(Decoded::Needs(2))));
}

#[test]
fn a_block_says_addresses_of_every_family() {
    let header = whole(&block(0x21, 0x11, &V4));
    assert_eq!(header.source(), Some(&ip("192.0.2.7:40000")));
    assert_eq!(header.destination(), Some(&ip("198.51.100.1:5222")));
    assert!(!header.is_datagram() && whole(&block(0x21, 0x12, &V4)).is_datagram());
    let v6 = [[0x20; 16].as_slice(), &[0x30; 16], &[0, 1, 0, 2]].concat();
    let header = whole(&block(0x21, 0x21, &v6));
    assert_eq!(header.source(), Some(&ip("[2020:2020:2020:2020:2020:2020:2020:2020]:1")));
    let mut paths = [0; 216];
    paths[108..114].copy_from_slice(b"/run/a");
    let header = whole(&block(0x21, 0x31, &paths));
    assert_eq!(header.source(), Some(&Addr::Unix(None)));
    assert_eq!(header.destination(), Some(&Addr::Unix(Some(Path::new("/run/a").into()))));
    assert_eq!(whole(&block(0x21, 0, &value(5, b"id"))).unique_id(), Some(&b"id"[..]));
}

#[test]
fn what_a_local_header_holds_is_discarded() {
    let header = whole(&block(0x20, 0x11, &V4));
    assert!(header.is_local() && header.source().is_none());
    assert_eq!(whole(&block(0x20, 0xFF, b"no values")), ProxyHeader::local());
}

#[test]
fn a_block_in_any_other_form_is_refused() {
    let cases = [
        (block(0x22, 0x11, &V4), ProxyError::Command(0x22)),
        (block(0x11, 0x11, &V4), ProxyError::Command(0x11)),
        (block(0x21, 0x10, &V4), ProxyError::Family(0x10)),
        (block(0x21, 0x01, &V4), ProxyError::Family(0x01)),
        (block(0x21, 0x41, &V4), ProxyError::Family(0x41)),
        (block(0x21, 0x11, &V4[..11]), ProxyError::TooShort { bytes: 11, family: 0x11 }),
        (block(0x21, 0x21, &V4), ProxyError::TooShort { bytes: 12, family: 0x21 }),
        (block(0x21, 0x31, &[0; 215]), ProxyError::TooShort { bytes: 215, family: 0x31 }),
        (block(0x21, 0x11, &[&V4[..], &[9]].concat()), ProxyError::Value(9)),
        (block(0x21, 0x11, &[&V4[..], &[9, 0, 1]].concat()), ProxyError::Value(9)),
        (block(0x21, 0, &value(3, b"five!")), ProxyError::Value(3)),
        (block(0x21, 0, &value(3, b"four")), ProxyError::Checksum),
    ];
    for (bytes, wanted) in cases {
        assert_eq!(error(&bytes), wanted, "{bytes:?}");
    }
    let large = block(0x21, 0x11, &[0; 100]);
    let most = |most| ProxyHeader::decode_at_most(&large[..16], most);
    assert_eq!(most(115), Err(ProxyError::TooLarge { bytes: 116 }));
    assert_eq!(most(116), Ok(Decoded::Needs(100)));
}

#[test]
fn values_are_found_by_their_type() -> Result<(), ProxyTlvError> {
    let inner = [value(0x21, b"TLSv1.3"), value(0x22, b"a client"), value(0x23, b"AES")].concat();
    let ssl = [&[7, 0, 0, 0, 0][..], &inner].concat();
    let header = ProxyHeader::proxied(ip("1.2.3.4:5"), ip("6.7.8.9:10"))
        .with_tlv(ProxyTlv::ALPN, b"h2")?
        .with_tlv(ProxyTlv::AUTHORITY, b"a.example")?
        .with_tlv(ProxyTlv::UNIQUE_ID, b"one")?
        .with_tlv(ProxyTlv::SSL, &ssl)?
        .with_tlv(ProxyTlv::NETNS, b"blue")?
        .with_tlv(0xE0, &[1, 2])?
        .with_checksum(true);
    let header = whole(&header.encode());
    assert_eq!((header.alpn(), header.authority()), (Some(&b"h2"[..]), Some("a.example")));
    assert_eq!((header.unique_id(), header.netns()), (Some(&b"one"[..]), Some("blue")));
    assert_eq!((header.tlv(0xE0), header.tlv(0xE1)), (Some(&[1, 2][..]), None));
    assert!(header.is_checked() && header.tlvs().count() == 6);
    let ssl = header.ssl().expect("it is there");
    assert!(ssl.is_tls() && ssl.has_certificate() && ssl.session_has_certificate());
    assert!(ssl.is_verified());
    let texts = (ssl.version(), ssl.common_name(), ssl.cipher(), ssl.key_algorithm());
    assert_eq!(texts, (Some("TLSv1.3"), Some("a client"), Some("AES"), None));
    Ok(())
}

#[test]
fn the_checksum_is_that_of_the_specification() {
    // RFC 3720 appendix B.4: 32 bytes of zeros, of ones, and counting up.
    let sum = |bytes: &[u8]| tlv::checksum_without(bytes, bytes.len());
    assert_eq!(sum(&[0; 32]), 0x8A91_36AA);
    assert_eq!(sum(&[0xFF; 32]), 0x62A8_AB43);
    assert_eq!(sum(&(0..32).collect::<Vec<u8>>()), 0x46DD_794E);
    let header = ProxyHeader::proxied(ip("1.2.3.4:5"), ip("6.7.8.9:10")).with_checksum(true);
    let right = header.encode();
    assert_eq!(whole(&right), header);
    for at in 16..right.len() {
        let mut wrong = right.clone();
        wrong[at] ^= 1;
        assert!(ProxyHeader::decode(&wrong).is_err() || !whole(&wrong).is_checked(), "{at}");
    }
}

#[test]
fn what_is_encoded_is_decoded_as_it_was() -> Result<(), ProxyTlvError> {
    let unix = |path: &str| Addr::Unix(Some(Path::new(path).into()));
    let headers = [
        ProxyHeader::local(),
        ProxyHeader::proxied(ip("1.2.3.4:5"), ip("6.7.8.9:10")),
        ProxyHeader::proxied(ip("[::1]:5"), ip("[::2]:10")).with_tlv(0xEF, &[0; 60_000])?,
        ProxyHeader::proxied(unix("/a"), Addr::Unix(None)).with_checksum(true),
        ProxyHeader::proxied(unix("/a"), ip("1.2.3.4:5")),
        ProxyHeader::proxied(ip("1.2.3.4:5"), ip("6.7.8.9:10")).with_version(ProxyVersion::V1),
        ProxyHeader::proxied(ip("[::1]:5"), ip("[::2]:10")).with_version(ProxyVersion::V1),
    ];
    for header in headers {
        assert_eq!(whole(&header.encode()), header);
    }
    let unknown = ProxyHeader::proxied(unix("/a"), unix("/b")).with_version(ProxyVersion::V1);
    assert_eq!(unknown.encode(), b"PROXY UNKNOWN\r\n");
    Ok(())
}

#[test]
fn addresses_are_said_in_one_family() {
    let header = ProxyHeader::proxied(ip("[::ffff:1.2.3.4]:5"), ip("6.7.8.9:10"));
    assert_eq!(header.source(), Some(&ip("1.2.3.4:5")));
    let header = ProxyHeader::proxied(ip("1.2.3.4:5"), ip("[2001:db8::1]:10"));
    assert_eq!(header.source(), Some(&ip("[::ffff:1.2.3.4]:5")));
    assert_eq!(header.destination(), Some(&ip("[2001:db8::1]:10")));
}

#[test]
fn a_value_that_no_header_can_have_is_refused() {
    let header = ProxyHeader::local();
    let largest = usize::from(u16::MAX) - 3 - 216 - 7;
    assert!(header.clone().with_tlv(0xE0, &vec![0; largest]).is_ok());
    let error = header.clone().with_tlv(0xE0, &vec![0; largest + 1]).expect_err("too large");
    assert_eq!(error, ProxyTlvError::TooLarge { kind: 0xE0, bytes: largest + 1 });
    assert_eq!(header.with_tlv(3, b"four").expect_err("its own"), ProxyTlvError::Reserved(3));
}
