//! Networks, as an allow-list names them.
//!
//! Never: looks a name up.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// A network: an address whose first bits are those of all its hosts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Network {
    addr: IpAddr,
    prefix: u8,
}

/// The bits of an address, from the highest on, and how many there are.
fn bits(addr: IpAddr) -> (u128, u8) {
    match addr {
        IpAddr::V4(addr) => (u128::from(addr.to_bits()) << 96, 32),
        IpAddr::V6(addr) => (addr.to_bits(), 128),
    }
}

/// The first bits, so many.
fn first(bits: u128, count: u8) -> u128 {
    bits & !u128::MAX.checked_shr(count.into()).unwrap_or(0)
}

impl Network {
    /// Whether this address is in it; an IPv4 address is the same when a dual-stack socket gives it
    /// as an IPv6 one.
    pub(crate) fn contains(&self, addr: IpAddr) -> bool {
        let ((own, width), (other, other_width)) = (bits(self.addr), bits(addr.to_canonical()));
        width == other_width && first(own, self.prefix) == first(other, self.prefix)
    }
}

/// IPv4 addresses as IPv6 ones: `::ffff:0:0`, of which the first 96 bits count.
const MAPPED: Ipv6Addr = Ipv6Addr::new(0, 0, 0, 0, 0, 0xFFFF, 0, 0);
const MAPPED_BITS: u8 = 96;

impl FromStr for Network {
    type Err = ParseNetworkError;

    fn from_str(text: &str) -> Result<Self, ParseNetworkError> {
        let wrong = || ParseNetworkError { text: text.into() };
        let (addr, prefix) = match text.split_once('/') {
            Some((addr, prefix)) => (addr, Some(prefix)),
            None => (text, None),
        };
        let addr: IpAddr = addr.parse().map_err(|_| wrong())?;
        let (own, width) = bits(addr);
        let prefix = match prefix {
            None => width,
            Some(prefix) if prefix.bytes().all(|byte| byte.is_ascii_digit()) => {
                prefix.parse().map_err(|_| wrong())?
            }
            Some(_) => return Err(wrong()),
        };
        if prefix > width || first(own, prefix) != own {
            return Err(wrong());
        }
        // What is found in it is looked up as IPv4.
        let is_mapped = addr.is_ipv6() && first(own, MAPPED_BITS) == MAPPED.to_bits();
        if is_mapped && prefix >= MAPPED_BITS {
            return Ok(Self { addr: addr.to_canonical(), prefix: prefix - MAPPED_BITS });
        }
        Ok(Self { addr, prefix })
    }
}

/// A text that is no network.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParseNetworkError {
    text: String,
}

impl fmt::Display for ParseNetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no network, such as 10.0.0.0/8, 2001:db8::/32 or the one address 127.0.0.1: \
             bits behind the length must be zero",
            self.text
        )
    }
}

impl std::error::Error for ParseNetworkError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, addr: &str) -> bool {
        let network: Network = network.parse().expect("a network");
        network.contains(addr.parse().expect("an address"))
    }

    #[test]
    fn a_network_has_the_addresses_with_its_first_bits() {
        assert!(contains("10.0.0.0/8", "10.255.0.1") && !contains("10.0.0.0/8", "11.0.0.0"));
        assert!(contains("127.0.0.1", "127.0.0.1") && !contains("127.0.0.1", "127.0.0.2"));
        assert!(contains("192.0.2.128/25", "192.0.2.128"));
        assert!(!contains("192.0.2.128/25", "192.0.2.127"));
        assert!(contains("0.0.0.0/0", "203.0.113.9") && !contains("0.0.0.0/0", "::1"));
        assert!(contains("2001:db8::/32", "2001:db8:ffff::1") && !contains("::1/128", "::2"));
        assert!(contains("::/0", "fe80::1") && !contains("::/0", "127.0.0.1"));
    }

    #[test]
    fn an_ipv4_address_is_the_same_on_a_dual_stack_socket() {
        assert!(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(contains("::ffff:10.0.0.0/104", "10.1.2.3"));
        assert!(contains("::ffff:0.0.0.0/96", "192.0.2.1"));
        assert!(!contains("::/0", "::ffff:10.1.2.3"), "it is no IPv6 address");
    }

    #[test]
    fn what_is_no_network_is_named() {
        let bad = ["", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.1/8", "::/129", "10.0.0.0/+8"];
        for text in bad.into_iter().chain(["localhost", "10.0.0.0/8/8", "::1/64", "10.0.0/8"]) {
            let error = text.parse::<Network>().expect_err(text).to_string();
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
    }
}
