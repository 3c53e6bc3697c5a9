//! The second version: a binary block (section 2.2 of the specification).
//!
//! Never: looks at addresses or values of a LOCAL header, which are to be discarded.

use super::{Decoded, ProxyError, ProxyHeader, ProxyTlv, ProxyVersion, tlv};
use crate::api::Addr;
use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The signature, the command, the family and the length.
pub(super) const FIXED_BYTES: usize = 16;

/// Two paths.
pub(super) const UNIX_BYTES: usize = 2 * PATH_BYTES;
const PATH_BYTES: usize = 108;

const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
const STREAM: u8 = 1;
const DATAGRAM: u8 = 2;

/// A family of addresses, as the high half of a byte names it.
#[derive(Clone, Copy)]
enum Family {
    Unspecified = 0,
    V4 = 0x10,
    V6 = 0x20,
    Unix = 0x30,
}

impl Family {
    /// Of a byte that names a transport as well; one without the other is only that of nothing.
    fn of(byte: u8) -> Result<Self, ProxyError> {
        match (byte & 0xF0, byte & 0x0F) {
            (0, 0) => Ok(Self::Unspecified),
            (0x10, STREAM | DATAGRAM) => Ok(Self::V4),
            (0x20, STREAM | DATAGRAM) => Ok(Self::V6),
            (0x30, STREAM | DATAGRAM) => Ok(Self::Unix),
            _ => Err(ProxyError::Family(byte)),
        }
    }

    /// How long its two addresses are.
    fn bytes(self) -> usize {
        match self {
            Self::Unspecified => 0,
            Self::V4 => 2 * (4 + 2),
            Self::V6 => 2 * (16 + 2),
            Self::Unix => UNIX_BYTES,
        }
    }
}

pub(super) fn decode(bytes: &[u8], most: usize) -> Result<Decoded, ProxyError> {
    let begun = bytes.len().min(SIGNATURE.len());
    if bytes[..begun] != SIGNATURE[..begun] {
        return Err(ProxyError::NoHeader);
    }
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED_BYTES>() else {
        return Ok(Decoded::Needs(FIXED_BYTES - bytes.len()));
    };
    let [.., command, family, high, low] = *fixed;
    let length = u16::from_be_bytes([high, low]);
    let whole = FIXED_BYTES + usize::from(length);
    let proxied = match command {
        LOCAL => None,
        PROXY => Some(Family::of(family)?),
        other => return Err(ProxyError::Command(other)),
    };
    if whole > most {
        return Err(ProxyError::TooLarge { bytes: u32::try_from(whole).unwrap_or(u32::MAX) });
    }
    if proxied.is_some_and(|family| family.bytes() > usize::from(length)) {
        return Err(ProxyError::TooShort { bytes: length, family });
    }
    let Some(block) = rest.get(..usize::from(length)) else {
        return Ok(Decoded::Needs(whole - bytes.len()));
    };
    let Some(kind) = proxied else { return Ok(Decoded::Header(ProxyHeader::local(), whole)) };
    let (addresses, values) = block.split_at(kind.bytes());
    let mut header = ProxyHeader::new(ProxyVersion::V2, ends(kind, addresses));
    header.is_datagram = family & 0x0F == DATAGRAM;
    let (tlvs, checksum) = tlv::parse(values)?;
    header.tlvs = tlvs;
    if let Some((at, sum)) = checksum {
        let at = FIXED_BYTES + addresses.len() + at;
        if tlv::checksum_without(&bytes[..whole], at) != sum {
            return Err(ProxyError::Checksum);
        }
        header.is_checked = true;
    }
    Ok(Decoded::Header(header, whole))
}

/// The two addresses of a block that is as long as they are.
fn ends(family: Family, block: &[u8]) -> Option<(Addr, Addr)> {
    match family {
        Family::Unspecified => None,
        Family::V4 => ips(block, |octets: [u8; 4]| IpAddr::V4(Ipv4Addr::from(octets))),
        Family::V6 => ips(block, |octets: [u8; 16]| IpAddr::V6(Ipv6Addr::from(octets))),
        Family::Unix => {
            let (source, destination) = block.split_at_checked(PATH_BYTES)?;
            Some((path(source), path(destination)))
        }
    }
}

/// Two addresses, then their ports.
fn ips<const N: usize>(block: &[u8], ip: impl Fn([u8; N]) -> IpAddr) -> Option<(Addr, Addr)> {
    let (source, rest) = block.split_first_chunk::<N>()?;
    let (destination, ports) = rest.split_first_chunk::<N>()?;
    let [high, low, other_high, other_low] = *ports else { return None };
    let source = SocketAddr::new(ip(*source), u16::from_be_bytes([high, low]));
    let destination =
        SocketAddr::new(ip(*destination), u16::from_be_bytes([other_high, other_low]));
    Some((Addr::Ip(source), Addr::Ip(destination)))
}

/// A path up to its first zero; `None` stands for one that has none, as clients' sockets.
fn path(padded: &[u8]) -> Addr {
    let end = padded.iter().position(|byte| *byte == 0).unwrap_or(padded.len());
    let path = Path::new(OsStr::from_bytes(&padded[..end]));
    Addr::Unix((end > 0).then(|| Arc::from(path)))
}

pub(super) fn encode(header: &ProxyHeader) -> Vec<u8> {
    let mut bytes = SIGNATURE.to_vec();
    bytes.push(if header.is_local { LOCAL } else { PROXY });
    let transport = if header.is_datagram { DATAGRAM } else { STREAM };
    let mut block = Vec::new();
    let family = match header.ends.as_deref() {
        Some((Addr::Ip(source), Addr::Ip(destination))) => {
            let mut is_v4 = true;
            for end in [source, destination] {
                match end.ip() {
                    IpAddr::V4(ip) => block.extend_from_slice(&ip.octets()),
                    IpAddr::V6(ip) => {
                        is_v4 = false;
                        block.extend_from_slice(&ip.octets());
                    }
                }
            }
            block.extend_from_slice(&source.port().to_be_bytes());
            block.extend_from_slice(&destination.port().to_be_bytes());
            transport | if is_v4 { Family::V4 } else { Family::V6 } as u8
        }
        Some((Addr::Unix(source), Addr::Unix(destination))) => {
            for end in [source, destination] {
                let path = end.as_deref().map_or(&[][..], |path| path.as_os_str().as_bytes());
                let end = block.len() + PATH_BYTES;
                block.extend_from_slice(&path[..path.len().min(PATH_BYTES)]);
                block.resize(end, 0);
            }
            transport | Family::Unix as u8
        }
        _ => Family::Unspecified as u8,
    };
    block.extend_from_slice(&header.tlvs);
    let checksum_at = FIXED_BYTES + block.len() + tlv::FIXED_BYTES;
    if header.is_checked {
        tlv::append(&mut block, ProxyTlv::CRC32C, &[0; 4]);
    }
    bytes.push(family);
    // `with_tlv` has kept room for all that is not its own.
    let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&block);
    if header.is_checked {
        let sum = tlv::checksum_without(&bytes, checksum_at);
        bytes[checksum_at..].copy_from_slice(&sum.to_be_bytes());
    }
    bytes
}
