//! The first version: a line of text (section 2.1 of the specification).
//!
//! Never: takes an address or a number in a form that the specification does not allow.

use super::{Decoded, ProxyError, ProxyHeader, ProxyVersion};
use crate::api::Addr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::{FromStr, from_utf8};

/// The longest line, its CRLF included.
pub(super) const MAX_BYTES: usize = 107;

/// The shortest: `PROXY UNKNOWN` and CRLF.
pub(super) const MIN_BYTES: usize = 15;

const PREFIX: &[u8] = b"PROXY ";

pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, ProxyError> {
    let begun = bytes.len().min(PREFIX.len());
    if bytes[..begun] != PREFIX[..begun] {
        return Err(ProxyError::NoHeader);
    }
    if bytes.len() < MIN_BYTES {
        return Ok(Decoded::Needs(MIN_BYTES - bytes.len()));
    }
    let line = &bytes[..bytes.len().min(MAX_BYTES)];
    let Some(at) = line.iter().position(|byte| *byte == b'\r') else {
        // Two bytes more are its least end.
        if line.len() + 2 > MAX_BYTES {
            return Err(ProxyError::LineTooLong);
        }
        return missing(&line[PREFIX.len()..]).map(Decoded::Needs);
    };
    if at + 2 > MAX_BYTES {
        return Err(ProxyError::LineTooLong);
    }
    match line.get(at + 1) {
        None => Ok(Decoded::Needs(1)),
        Some(b'\n') => Ok(Decoded::Header(parse(&line[PREFIX.len()..at])?, at + 2)),
        Some(_) => Err(ProxyError::LineEnd),
    }
}

/// What stands behind the protocol's name; `None` when the sender does not know.
fn fields(text: &[u8]) -> Result<Option<(&[u8], bool)>, ProxyError> {
    if let Some(rest) = text.strip_prefix(b"TCP4 ") {
        return Ok(Some((rest, false)));
    }
    if let Some(rest) = text.strip_prefix(b"TCP6 ") {
        return Ok(Some((rest, true)));
    }
    // Whatever follows is to be ignored.
    match text.strip_prefix(b"UNKNOWN") {
        Some([] | [b' ', ..]) => Ok(None),
        _ => Err(ProxyError::Protocol),
    }
}

/// How many bytes a line that has no CR yet lacks at the least.
fn missing(text: &[u8]) -> Result<usize, ProxyError> {
    let Some((rest, is_v6)) = fields(text)? else { return Ok(2) };
    // `0.0.0.0` and `::` are the shortest addresses.
    let shortest: [usize; 4] = if is_v6 { [2, 2, 1, 1] } else { [7, 7, 1, 1] };
    let begun = rest.split(|byte| *byte == b' ').count();
    let last = rest.iter().rev().take_while(|byte| **byte != b' ').count();
    let (Some(own), Some(later)) = (shortest.get(begun - 1), shortest.get(begun..)) else {
        return Err(ProxyError::LineEnd);
    };
    let spaces = later.len();
    Ok(own.saturating_sub(last) + later.iter().sum::<usize>() + spaces + 2)
}

/// A whole line, without its prefix and its end.
fn parse(text: &[u8]) -> Result<ProxyHeader, ProxyError> {
    let Some((rest, is_v6)) = fields(text)? else {
        return Ok(ProxyHeader::new(ProxyVersion::V1, None));
    };
    let mut fields = rest.split(|byte| *byte == b' ');
    let mut ip = || {
        let field = fields.next();
        if is_v6 {
            number::<Ipv6Addr>(field).map(IpAddr::V6)
        } else {
            number::<Ipv4Addr>(field).map(IpAddr::V4)
        }
    };
    let (source, destination) = (ip()?, ip()?);
    let (source_port, destination_port) = (port(fields.next())?, port(fields.next())?);
    if fields.next().is_some() {
        return Err(ProxyError::LineEnd);
    }
    let source = Addr::Ip(SocketAddr::new(source, source_port));
    let destination = Addr::Ip(SocketAddr::new(destination, destination_port));
    Ok(ProxyHeader::new(ProxyVersion::V1, Some((source, destination))))
}

fn number<T: FromStr>(field: Option<&[u8]>) -> Result<T, ProxyError> {
    let text = field.and_then(|field| from_utf8(field).ok());
    text.and_then(|text| text.parse().ok()).ok_or(ProxyError::Address)
}

/// Digits only, and no zero before others.
fn port(field: Option<&[u8]>) -> Result<u16, ProxyError> {
    let digits = field.filter(|field| field.iter().all(u8::is_ascii_digit));
    let digits = digits.filter(|field| field.len() == 1 || !field.starts_with(b"0"));
    let text = digits.and_then(|digits| from_utf8(digits).ok());
    text.and_then(|text| text.parse().ok()).ok_or(ProxyError::Port)
}

/// What has no address of TCP is unknown.
pub(super) fn encode(header: &ProxyHeader) -> Vec<u8> {
    let line = match header.ends.as_deref() {
        Some((Addr::Ip(source), Addr::Ip(destination))) if !header.is_datagram => {
            let protocol = if source.is_ipv4() { "TCP4" } else { "TCP6" };
            let (from, to) = (source.ip(), destination.ip());
            let (from_port, to_port) = (source.port(), destination.port());
            format!("PROXY {protocol} {from} {to} {from_port} {to_port}\r\n")
        }
        _ => "PROXY UNKNOWN\r\n".to_owned(),
    };
    line.into_bytes()
}
