//! PROXY headers by the seed, most of them bad, decoded by us and by a published crate
//! (`proxy-header`), and what the two must agree on.
//!
//! ```text
//!   seed ──► a header, and what becomes of it on its way
//!        ──► ours: decoded whole, and in pieces as a connection reads it
//!        ──► theirs: the oracle; where it is known to be laxer or stricter, `judge` says why
//! ```
//!
//! Never: opens a connection, or uses randomness that the seed does not give.

use fastrand::Rng;
use proxy_header::{ParseConfig, Protocol, ProxyHeader as Theirs, Tlv};
use shardpoll::{Addr, Decoded, ProxyError, ProxyHeader, ProxyTlv, ProxyVersion};
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::panic::catch_unwind;

/// Where the signature of the second version ends: its command, and behind it the family.
const COMMAND: usize = 12;

/// What has been seen.
#[derive(Clone, Default, Debug)]
pub struct Tally {
    /// Inputs that were decoded.
    pub cases: u64,
    /// Headers among them, which both have taken.
    pub headers: u64,
    /// Beginnings of headers.
    pub incomplete: u64,
    /// What was refused, by why.
    pub refused: BTreeMap<String, u64>,
    /// Refused by one of the two only, for a reason that is known.
    pub known_differences: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "inputs       {}", self.cases)?;
        writeln!(f, "headers      {}", self.headers)?;
        writeln!(f, "incomplete   {}", self.incomplete)?;
        writeln!(f, "differences  {}, all of them known", self.known_differences)?;
        for (why, count) in &self.refused {
            writeln!(f, "{count:>12}  {why}")?;
        }
        Ok(())
    }
}

/// Plays the cases of so many seeds.
///
/// # Errors
/// The first seed whose case broke a promise, and how.
pub fn hunt(first: u64, seeds: u64, tally: &mut Tally) -> Result<(), (u64, String)> {
    for seed in (0..seeds).map(|count| first.wrapping_add(count)) {
        let bytes = bytes(&mut Rng::with_seed(seed));
        let judged = catch_unwind(|| judge(&bytes, &mut Rng::with_seed(!seed)));
        let outcome = judged.unwrap_or_else(|_| Err("it panics".into()));
        let (ours, differs) = outcome.map_err(|how| (seed, format!("{how}: {bytes:?}")))?;
        tally.cases += 1;
        tally.known_differences += u64::from(differs);
        match ours {
            Ok(Decoded::Header(..)) => tally.headers += 1,
            Ok(_) => tally.incomplete += 1,
            Err(error) => {
                let text = format!("{error:?}");
                let kind = text.split(['(', ' ']).next().unwrap_or_default();
                *tally.refused.entry(kind.to_owned()).or_default() += 1;
            }
        }
    }
    Ok(())
}

fn addr(rng: &mut Rng, is_v6: bool) -> SocketAddr {
    let ip = match (is_v6, rng.bool()) {
        (false, _) => rng.u32(..).to_be_bytes().into(),
        (true, true) => rng.u128(..).to_be_bytes().into(),
        (true, false) => (rng.u128(..) & 0xFFFF).to_be_bytes().into(),
    };
    SocketAddr::new(ip, rng.u16(..))
}

/// A header, as somebody would send it.
fn header(rng: &mut Rng) -> Vec<u8> {
    let is_v6 = rng.bool();
    let (source, destination) = (addr(rng, is_v6), addr(rng, is_v6));
    let mut header = match rng.u8(..10) {
        0 => ProxyHeader::local(),
        1 => ProxyHeader::proxied(Addr::Unix(None), Addr::Unix(None)),
        2 => return b"PROXY UNKNOWN ffff:f...f:ffff 65535 65535\r\n".to_vec(),
        _ => ProxyHeader::proxied(source, destination),
    };
    for _ in 0..rng.usize(..4) {
        let kind = [1, 2, 5, 0x20, 0x30, 0xE0, rng.u8(5..)][rng.usize(..7)];
        let value: Vec<u8> = (0..rng.usize(..20)).map(|_| rng.u8(b'0'..b'z')).collect();
        header = header.with_tlv(kind, &value).expect("it fits");
    }
    let version = if rng.bool() { ProxyVersion::V1 } else { ProxyVersion::V2 };
    header.with_checksum(rng.u8(..4) == 0).with_version(version).encode()
}

/// What arrives: most often no header any more.
fn bytes(rng: &mut Rng) -> Vec<u8> {
    let mut bytes = header(rng);
    for _ in 0..rng.usize(..4) {
        change(rng, &mut bytes);
    }
    if rng.u8(..8) == 0 {
        let text = b"\x16\x03\x01\x02\x00PROXY TCP4 \r\n\0";
        bytes.extend_from_slice(&text[..rng.usize(..text.len())]);
    }
    bytes
}

fn change(rng: &mut Rng, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    let at = rng.usize(..bytes.len());
    match rng.u8(..9) {
        0 => bytes[at] ^= 1 << rng.u8(..8),
        1 => bytes[at] = rng.u8(..),
        2 => bytes[at] = rng.choice(b" \r\n0123456789abf:.+-PROXY".iter()).copied().expect("some"),
        3 => bytes.truncate(at),
        4 => drop(bytes.remove(at)),
        5 => bytes.insert(at, rng.choice(b" \r\n0:.+9".iter()).copied().expect("some")),
        6 if bytes.len() > COMMAND + 3 => {
            // Its length, its family or its command.
            let field = COMMAND + rng.usize(..4);
            bytes[field] =
                rng.choice([0, 1, 2, 0x11, 0x20, 0x21, 0x31, 12, 36, 216, 0xFF]).expect("");
        }
        7 => {
            // A value of some kind and length, with the header's length raised or not.
            let value = [&[rng.u8(..6), 0, rng.u8(..9)][..], b"four"].concat();
            bytes.extend_from_slice(&value);
            if rng.bool() && bytes.len() > COMMAND + 3 {
                bytes[COMMAND + 3] = bytes[COMMAND + 3].wrapping_add(7);
            }
        }
        _ => {
            let piece = bytes[at..(at + rng.usize(1..12)).min(bytes.len())].to_vec();
            bytes.splice(at..at, piece);
        }
    }
}

type Ours = Result<Decoded, ProxyError>;

/// Whether both come to the same; gives what ours is, and whether they differ for a known reason.
fn judge(bytes: &[u8], rng: &mut Rng) -> Result<(Ours, bool), String> {
    let ours = ProxyHeader::decode(bytes);
    in_pieces(bytes, &ours, rng)?;
    let theirs = Theirs::parse(bytes, ParseConfig::default());
    let differs = match (&ours, &theirs) {
        (Ok(Decoded::Header(header, len)), Ok((oracle, their_len))) => {
            if len != their_len {
                return Err(format!("{len} bytes are taken, not {their_len}"));
            }
            agree(header, oracle)?;
            false
        }
        // The family of a LOCAL header is to be ignored (section 2.2): theirs asks for addresses.
        (Ok(Decoded::Header(header, _)), Err(_)) if header.is_local() => true,
        (Ok(Decoded::Header(..)), Err(error)) => return Err(format!("taken, and theirs: {error}")),
        (Ok(_), Ok(_)) => return Err("more is waited for, and theirs has a header".into()),
        (Err(error), Ok((oracle, len))) => {
            let known = is_lax(&bytes[..*len], *error, oracle);
            known.then_some(true).ok_or_else(|| format!("{error}, and theirs has a header"))?
        }
        // Theirs knows a bad line before its end, ours a long one and a bad name.
        (Ok(_), Err(_)) | (Err(_), Err(_)) => false,
    };
    Ok((ours, differs))
}

/// What theirs takes and the specification does not.
fn is_lax(header: &[u8], error: ProxyError, oracle: &Theirs<'_>) -> bool {
    let text = String::from_utf8_lossy(header);
    match error {
        ProxyError::LineTooLong => header.len() > 107,
        // The sixth byte is not looked at, nor what follows UNKNOWN.
        ProxyError::NoHeader => header.starts_with(b"PROXY") && header[5] != b' ',
        ProxyError::Protocol => text.starts_with("PROXY UNKNOWN"),
        ProxyError::Port => text
            .trim_end()
            .rsplit(' ')
            .take(2)
            .any(|port| port.starts_with('+') || port.len() > 1 && port.starts_with('0')),
        // Read when they are asked for; a checksum is not computed.
        ProxyError::Value(_) => {
            let sums = oracle.tlvs().filter(|tlv| matches!(tlv, Ok(Tlv::Crc32c(_)))).count();
            sums > 1 || oracle.tlvs().any(|tlv| tlv.is_err())
        }
        ProxyError::Checksum => oracle.tlvs().any(|tlv| matches!(tlv, Ok(Tlv::Crc32c(_)))),
        _ => false,
    }
}

/// Both have the same addresses and values.
fn agree(ours: &ProxyHeader, theirs: &Theirs<'_>) -> Result<(), String> {
    let ip = |addr: Option<&Addr>| addr.and_then(Addr::ip);
    let known = (ip(ours.source()), ip(ours.destination()));
    let wanted = theirs.proxied_address().map(|addr| (addr.source, addr.destination));
    if known != (wanted.map(|(source, _)| source), wanted.map(|(_, to)| to)) {
        return Err(format!("{known:?} are said, and theirs are {wanted:?}"));
    }
    let datagram = theirs.proxied_address().map(|addr| addr.protocol == Protocol::Datagram);
    if datagram.is_some_and(|datagram| datagram != ours.is_datagram()) {
        return Err("they are streams to one and datagrams to the other".into());
    }
    // What theirs makes of a value is its own affair; what it has not understood it leaves out.
    let kept = |tlv: &Tlv<'_>| !matches!(tlv, Tlv::Noop(_) | Tlv::Crc32c(_));
    let theirs: Vec<u8> = theirs.tlvs().flatten().filter(kept).map(|tlv| tlv.kind()).collect();
    let mut left = ours.tlvs().map(|tlv: ProxyTlv<'_>| tlv.kind);
    if ours.is_local() || theirs.iter().all(|kind| left.any(|known| known == *kind)) {
        return Ok(());
    }
    Err(format!("values {theirs:?} are missing"))
}

/// Reads the header in pieces, as a connection does: it comes to the same, and takes no byte of
/// what lies behind.
fn in_pieces(bytes: &[u8], whole: &Ours, rng: &mut Rng) -> Result<(), String> {
    let mut got = 0;
    loop {
        match ProxyHeader::decode(&bytes[..got]) {
            Ok(Decoded::Needs(0)) => return Err("nothing is needed, and it is no header".into()),
            Ok(Decoded::Needs(more)) if got < bytes.len() => {
                got = (got + rng.usize(1..=more)).min(bytes.len());
            }
            last => {
                // Bad ones may be known before their end.
                let is_header = matches!(whole, Ok(Decoded::Header(..)));
                let same = last == *whole || last.is_err() && !is_header;
                let exact = !matches!(last, Ok(Decoded::Header(_, len)) if len != got);
                if same && exact {
                    return Ok(());
                }
                return Err(format!("{got} bytes in pieces are {last:?}, not {whole:?}"));
            }
        }
    }
}
