//! Values of a type and a length, which the second version carries beside addresses (section 2.2).
//!
//! Never: judges what a value says, but for the checksum.

use super::{ProxyError, ProxyHeader};
use std::str::from_utf8;

/// A type and a length.
pub(super) const FIXED_BYTES: usize = 3;

/// The value that checks, whole.
pub(super) const CHECKSUM_BYTES: usize = FIXED_BYTES + 4;

/// Something a sender says beside addresses: a type and a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProxyTlv<'a> {
    /// Its type; 0xE0 to 0xEF are free for everybody's own use (section 2.2.7).
    pub kind: u8,
    /// Its value.
    pub value: &'a [u8],
}

/// The types of the specification.
impl ProxyTlv<'_> {
    /// The protocol that was negotiated above TLS, as ALPN names it.
    pub const ALPN: u8 = 0x01;
    /// The host name that the client has asked for (SNI), in UTF-8.
    pub const AUTHORITY: u8 = 0x02;
    pub(super) const CRC32C: u8 = 0x03;
    pub(super) const NOOP: u8 = 0x04;
    /// The sender's own name of the connection, up to 128 bytes.
    pub const UNIQUE_ID: u8 = 0x05;
    /// What is known of the client's TLS ([`ProxySsl`]).
    pub const SSL: u8 = 0x20;
    /// The network namespace of the sender.
    pub const NETNS: u8 = 0x30;
    const SSL_VERSION: u8 = 0x21;
    const SSL_CN: u8 = 0x22;
    const SSL_CIPHER: u8 = 0x23;
    const SSL_SIG_ALG: u8 = 0x24;
    const SSL_KEY_ALG: u8 = 0x25;
}

/// The values a header carries; none but in the second version.
impl ProxyHeader {
    /// All of them, in their order, but for those that pad or check.
    pub fn tlvs(&self) -> impl Iterator<Item = ProxyTlv<'_>> {
        Walk { rest: &self.tlvs }.flatten()
    }

    /// The first of this type.
    #[must_use]
    pub fn tlv(&self, kind: u8) -> Option<&[u8]> {
        self.tlvs().find(|tlv| tlv.kind == kind).map(|tlv| tlv.value)
    }

    /// The protocol above the client's TLS, as ALPN names it, such as `h2`.
    #[must_use]
    pub fn alpn(&self) -> Option<&[u8]> {
        self.tlv(ProxyTlv::ALPN)
    }

    /// The host name that the client has asked for (SNI); `None` also when it is no UTF-8.
    #[must_use]
    pub fn authority(&self) -> Option<&str> {
        self.tlv(ProxyTlv::AUTHORITY).and_then(|name| from_utf8(name).ok())
    }

    /// The sender's own name of the connection, as in its log.
    #[must_use]
    pub fn unique_id(&self) -> Option<&[u8]> {
        self.tlv(ProxyTlv::UNIQUE_ID)
    }

    /// The network namespace of the sender; `None` also when it is no UTF-8.
    #[must_use]
    pub fn netns(&self) -> Option<&str> {
        self.tlv(ProxyTlv::NETNS).and_then(|name| from_utf8(name).ok())
    }

    /// What is known of the client's TLS; `None` also when it is too short to say it.
    #[must_use]
    pub fn ssl(&self) -> Option<ProxySsl<'_>> {
        let (fixed, tlvs) = self.tlv(ProxyTlv::SSL)?.split_first_chunk::<5>()?;
        let [client, verify @ ..] = *fixed;
        Some(ProxySsl { client, verify: u32::from_be_bytes(verify), tlvs })
    }
}

/// What a sender knows of the TLS between the client and itself (section 2.2.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProxySsl<'a> {
    client: u8,
    verify: u32,
    tlvs: &'a [u8],
}

impl<'a> ProxySsl<'a> {
    /// Whether the client came over TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.client & 1 != 0
    }

    /// Whether it has shown a certificate on this connection.
    #[must_use]
    pub fn has_certificate(&self) -> bool {
        self.client & 2 != 0
    }

    /// Whether it has shown a certificate at least once in its TLS session.
    #[must_use]
    pub fn session_has_certificate(&self) -> bool {
        self.client & 4 != 0
    }

    /// Whether the certificate it has shown was found good: 0 is what the sender's verification
    /// gives then, and only then. Says nothing where there is none.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        self.verify == 0
    }

    /// The values inside, in their order; what lies behind a broken one is left out.
    pub fn tlvs(&self) -> impl Iterator<Item = ProxyTlv<'a>> + use<'a> {
        Walk { rest: self.tlvs }.flatten()
    }

    fn text(&self, kind: u8) -> Option<&'a str> {
        let found = self.tlvs().find(|tlv| tlv.kind == kind);
        found.and_then(|tlv| from_utf8(tlv.value).ok())
    }

    /// The version, such as `TLSv1.3`.
    #[must_use]
    pub fn version(&self) -> Option<&'a str> {
        self.text(ProxyTlv::SSL_VERSION)
    }

    /// The common name of the client's certificate.
    #[must_use]
    pub fn common_name(&self) -> Option<&'a str> {
        self.text(ProxyTlv::SSL_CN)
    }

    /// The cipher suite, such as `TLS_AES_256_GCM_SHA384`.
    #[must_use]
    pub fn cipher(&self) -> Option<&'a str> {
        self.text(ProxyTlv::SSL_CIPHER)
    }

    /// The algorithm with which the sender's certificate is signed, such as `SHA256`.
    #[must_use]
    pub fn signature_algorithm(&self) -> Option<&'a str> {
        self.text(ProxyTlv::SSL_SIG_ALG)
    }

    /// The algorithm of the sender's key, such as `RSA2048`.
    #[must_use]
    pub fn key_algorithm(&self) -> Option<&'a str> {
        self.text(ProxyTlv::SSL_KEY_ALG)
    }
}

/// Value after value; one that does not end is given as its type, and is the last.
struct Walk<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Walk<'a> {
    type Item = Result<ProxyTlv<'a>, u8>;

    fn next(&mut self) -> Option<Self::Item> {
        let kind = *self.rest.first()?;
        let whole = self.rest.split_first_chunk::<FIXED_BYTES>().and_then(|(fixed, rest)| {
            let length = u16::from_be_bytes([fixed[1], fixed[2]]);
            rest.split_at_checked(usize::from(length))
        });
        let Some((value, rest)) = whole else {
            self.rest = &[];
            return Some(Err(kind));
        };
        self.rest = rest;
        Some(Ok(ProxyTlv { kind, value }))
    }
}

/// Values without those that pad and check; and the checksum, with the place where it lies.
pub(super) type Parsed = (Vec<u8>, Option<(usize, u32)>);

/// Reads the values of a header.
pub(super) fn parse(values: &[u8]) -> Result<Parsed, ProxyError> {
    let (mut kept, mut checksum) = (Vec::new(), None);
    let mut at = 0;
    for tlv in (Walk { rest: values }) {
        let ProxyTlv { kind, value } = tlv.map_err(ProxyError::Value)?;
        at += FIXED_BYTES;
        match kind {
            ProxyTlv::NOOP => {}
            ProxyTlv::CRC32C => {
                let sum: [u8; 4] = value.try_into().map_err(|_| ProxyError::Value(kind))?;
                // Of two, neither could be right: each counts in the other.
                if checksum.replace((at, u32::from_be_bytes(sum))).is_some() {
                    return Err(ProxyError::Value(kind));
                }
            }
            _ => append(&mut kept, kind, value),
        }
        at += value.len();
    }
    Ok((kept, checksum))
}

/// Adds a value of at most 65,535 bytes.
pub(super) fn append(tlvs: &mut Vec<u8>, kind: u8, value: &[u8]) {
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    tlvs.push(kind);
    tlvs.extend_from_slice(&length.to_be_bytes());
    tlvs.extend_from_slice(value);
}

/// The checksum of these bytes as if the four at this place were zeros: CRC-32C (RFC 3720 appendix
/// B.4).
pub(super) fn checksum_without(bytes: &[u8], at: usize) -> u32 {
    let mut crc = u32::MAX;
    for (place, byte) in bytes.iter().enumerate() {
        let byte = if (at..at + 4).contains(&place) { 0 } else { *byte };
        let index = (crc ^ u32::from(byte)) & 0xFF;
        crc = crc >> 8 ^ CRC32C[index as usize];
    }
    !crc
}

const CRC32C: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256_u32 {
        let (mut crc, mut bit) = (byte, 0);
        while bit < 8 {
            // The polynomial of Castagnoli, reflected.
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82F6_3B78 } else { crc >> 1 };
            bit += 1;
        }
        table[byte as usize] = crc;
        byte += 1;
    }
    table
};
