//! Which ports are taken already: the kernel's table of TCP connections (`/proc/net/tcp`,
//! proc_pid_net(5)).
//!
//! Never: fails; what cannot be read is no connection.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A connection of this machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Taken {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    /// It is over, but its port still rests (`TCP_TIME_WAIT` of the kernel).
    pub(super) is_resting: bool,
}

/// How the table writes that.
const TIME_WAIT: &str = "06";

/// All connections there are.
pub(super) fn all() -> Vec<Taken> {
    let files = ["/proc/net/tcp", "/proc/net/tcp6"];
    let texts = files.iter().filter_map(|path| fs::read_to_string(path).ok());
    texts.flat_map(|text| text.lines().filter_map(parse).collect::<Vec<_>>()).collect()
}

fn parse(line: &str) -> Option<Taken> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (from, to) = (address(fields.next()?)?, address(fields.next()?)?);
    Some(Taken { from, to, is_resting: fields.next()? == TIME_WAIT })
}

/// Words of 32 bits as this machine has them in memory, and a port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let word = |at: usize| Some(u32::from_str_radix(ip.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let mut bytes = [0; 16];
            bytes.iter_mut().zip(words.as_flattened()).for_each(|(to, from)| *to = *from);
            Ipv6Addr::from(bytes).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

/// The most ports that one of these sources has in use for this address; without sources, that any
/// address has.
pub(super) fn most(all: &[Taken], to: SocketAddr, sources: &[IpAddr]) -> u64 {
    let mut counts: BTreeMap<IpAddr, u64> = BTreeMap::new();
    let to = SocketAddr::new(to.ip().to_canonical(), to.port());
    for taken in all
        .iter()
        .filter(|one| one.to == to)
        .filter(|one| sources.is_empty() || sources.contains(&one.from.ip()))
    {
        *counts.entry(taken.from.ip()).or_default() += 1;
    }
    counts.into_values().max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    const TABLE: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when\n   \
        0: 0100007F:A5E9 00000000:0000 0A 00000000:00000000 00:00000000 00000000\n   \
        1: 0200007F:A5E9 0100007F:1F90 06 00000000:00000000 03:000014B6 00000000\n   \
        2: 0200007F:A5EA 0100007F:1F90 01 00000000:00000000 03:000014B6 00000000\n   \
        3: 0300007F:A5EA 0100007F:1F90 01 00000000:00000000 03:000014B6 00000000\n   \
        4: 0300007F:A5EA 0100007F:1F91 01 00000000:00000000 03:000014B6 00000000\n";

    #[test]
    #[cfg(target_endian = "little")]
    fn ports_are_counted_by_source_and_server() {
        let all: Vec<_> = TABLE.lines().filter_map(parse).collect();
        assert_eq!(all.len(), 5, "{all:?}");
        assert!(all[1].is_resting && !all[2].is_resting);
        let to = |text: &str| text.parse::<SocketAddr>().expect(text);
        let one = [IpAddr::from([127, 0, 0, 3])];
        assert_eq!(most(&all, to("127.0.0.1:8080"), &[]), 2);
        assert_eq!(most(&all, to("127.0.0.1:8080"), &one), 1);
        assert_eq!(most(&all, to("127.0.0.1:8082"), &[]), 0);
        assert_eq!(address("00000000000000000000000001000000:0016"), Some(to("[::1]:22")));
        assert_eq!(address("0000000000000000FFFF00000100007F:0016"), Some(to("127.0.0.1:22")));
        for wrong in ["", "1:2", "0100007F", "0100007G:0016", "0100007F:10000", "é0000000:1"] {
            assert_eq!(address(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_kernels_table_has_our_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let to = listener.local_addr().expect("it is bound");
        assert_eq!(most(&all(), to, &[]), 0);
        let _client = TcpStream::connect(to).expect("it listens");
        // A table that changes while it is read may leave one out.
        assert!((0..10).any(|_| most(&all(), to, &[]) == 1));
    }
}
