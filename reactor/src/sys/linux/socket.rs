//! Sockets: listen, accept, connect. Addresses travel as bytes, so only system calls are unsafe.
//!
//! Never: blocks; waits for what it began.

use super::{check_int, own};
use crate::api::Addr;
use libc::{c_int, socklen_t};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;

/// Room for any socket address, as the kernel writes it (`struct sockaddr_storage`).
#[repr(C, align(8))]
struct RawAddr {
    bytes: [u8; 128],
    len: socklen_t,
}

const _: () = assert!(size_of::<libc::sockaddr_storage>() == 128);

const C_INT_LEN: socklen_t = 4;

const _: () = assert!(size_of::<c_int>() == C_INT_LEN as usize);

const IPV4_LEN: socklen_t = 16;
const IPV6_LEN: socklen_t = 28;

impl RawAddr {
    fn empty() -> Self {
        Self { bytes: [0; 128], len: 128 }
    }

    /// Field by field as in ip(7) and ipv6(7): family in host order, port and address in network
    /// order, scope in host order.
    fn new(addr: SocketAddr) -> Self {
        let mut raw = Self::empty();
        let family = if addr.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        let family = u16::try_from(family).expect("the families of IP are small numbers");
        raw.bytes[..2].copy_from_slice(&family.to_ne_bytes());
        raw.bytes[2..4].copy_from_slice(&addr.port().to_be_bytes());
        match addr {
            SocketAddr::V4(addr) => {
                raw.bytes[4..8].copy_from_slice(&addr.ip().octets());
                raw.len = IPV4_LEN;
            }
            SocketAddr::V6(addr) => {
                raw.bytes[4..8].copy_from_slice(&addr.flowinfo().to_be_bytes());
                raw.bytes[8..24].copy_from_slice(&addr.ip().octets());
                raw.bytes[24..28].copy_from_slice(&addr.scope_id().to_ne_bytes());
                raw.len = IPV6_LEN;
            }
        }
        raw
    }

    fn parse(&self) -> io::Result<SocketAddr> {
        fn part<const N: usize>(bytes: &[u8; 128], at: usize) -> [u8; N] {
            std::array::from_fn(|i| bytes[at + i])
        }
        let family = c_int::from(u16::from_ne_bytes(part(&self.bytes, 0)));
        let port = u16::from_be_bytes(part(&self.bytes, 2));
        match family {
            libc::AF_INET => Ok((Ipv4Addr::from(part::<4>(&self.bytes, 4)), port).into()),
            libc::AF_INET6 => {
                let flow = u32::from_be_bytes(part(&self.bytes, 4));
                let ip = Ipv6Addr::from(part::<16>(&self.bytes, 8));
                let scope = u32::from_ne_bytes(part(&self.bytes, 24));
                Ok(SocketAddrV6::new(ip, port, flow, scope).into())
            }
            other => {
                let text = format!("an address of family {other}, which is not IP");
                Err(io::Error::new(io::ErrorKind::InvalidData, text))
            }
        }
    }

    fn as_ptr(&self) -> *const libc::sockaddr {
        self.bytes.as_ptr().cast()
    }
}

fn stream_socket(addr: &SocketAddr) -> io::Result<OwnedFd> {
    let family = if addr.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: takes no pointer.
    own(unsafe { libc::socket(family, kind, 0) })
}

fn set_option(fd: &OwnedFd, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    let (value, len) = (ptr::from_ref(&value).cast(), C_INT_LEN);
    // SAFETY: `value` points to `len` bytes that live through the call.
    check_int(unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, value, len) }).map(drop)
}

fn bind(fd: &OwnedFd, addr: &RawAddr) -> io::Result<()> {
    // SAFETY: `addr` holds `len` bytes and lives through the call.
    check_int(unsafe { libc::bind(fd.as_raw_fd(), addr.as_ptr(), addr.len) }).map(drop)
}

fn local_addr(fd: &OwnedFd) -> io::Result<SocketAddr> {
    let mut addr = RawAddr::empty();
    let (bytes, len) = (addr.bytes.as_mut_ptr().cast(), &raw mut addr.len);
    // SAFETY: `bytes` has room for the 128 bytes that `len` says; both live through the call.
    check_int(unsafe { libc::getsockname(fd.as_raw_fd(), bytes, len) })?;
    addr.parse()
}

/// Opens `count` listening sockets on one address, over which the kernel spreads connections, and
/// gives the address they have: a port 0 is resolved once for all of them.
///
/// The first socket is bound without `SO_REUSEPORT`, so that an address somebody else listens on is
/// "address already in use" (S124) and not silently shared. IPv6 sockets take IPv6 only (S123).
///
/// # Errors
/// The kernel's: the address is in use, not ours, or needs a privilege.
pub fn bind_group(
    addr: SocketAddr,
    count: usize,
    backlog: u32,
) -> io::Result<(Vec<OwnedFd>, SocketAddr)> {
    let mut bound = addr;
    let mut group = Vec::with_capacity(count);
    for index in 0..count {
        let fd = stream_socket(&addr)?;
        set_option(&fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
        // Inherited by what is accepted: one call less for each connection.
        set_option(&fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
        if addr.is_ipv6() {
            set_option(&fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
        }
        if index > 0 {
            set_option(&fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
        }
        bind(&fd, &RawAddr::new(bound))?;
        if index == 0 {
            set_option(&fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
            bound = local_addr(&fd)?;
        }
        group.push(fd);
    }
    let backlog = c_int::try_from(backlog).unwrap_or(c_int::MAX);
    for fd in &group {
        // SAFETY: takes no pointer.
        check_int(unsafe { libc::listen(fd.as_raw_fd(), backlog) })?;
    }
    Ok((group, bound))
}

pub(super) fn accept(listener: &OwnedFd) -> io::Result<(OwnedFd, Addr)> {
    let mut addr = RawAddr::empty();
    let (bytes, len) = (addr.bytes.as_mut_ptr().cast(), &raw mut addr.len);
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: `bytes` has room for the 128 bytes that `len` says; both live through the call.
    let fd = own(unsafe { libc::accept4(listener.as_raw_fd(), bytes, len, flags) })?;
    Ok((fd, Addr::Ip(addr.parse()?)))
}

pub(super) fn connect(to: SocketAddr) -> io::Result<OwnedFd> {
    let fd = stream_socket(&to)?;
    set_option(&fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
    let addr = RawAddr::new(to);
    // SAFETY: `addr` holds `len` bytes and lives through the call.
    match check_int(unsafe { libc::connect(fd.as_raw_fd(), addr.as_ptr(), addr.len) }) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(fd),
    }
}

/// Whether a socket that was told to connect is connected; `WouldBlock` while it is pending.
pub(super) fn connected(fd: &OwnedFd) -> io::Result<()> {
    pending_error(fd)?;
    // No error is no success: an event may be about nothing, or not have come at all.
    let mut addr = RawAddr::empty();
    let (bytes, len) = (addr.bytes.as_mut_ptr().cast(), &raw mut addr.len);
    // SAFETY: `bytes` has room for the 128 bytes that `len` says; both live through the call.
    match check_int(unsafe { libc::getpeername(fd.as_raw_fd(), bytes, len) }) {
        Err(error) if error.raw_os_error() == Some(libc::ENOTCONN) => match pending_error(fd) {
            Ok(()) => Err(io::ErrorKind::WouldBlock.into()),
            failed => failed,
        },
        other => other.map(drop),
    }
}

/// The error that waits at a socket (SO_ERROR in socket(7)), taken from it.
fn pending_error(fd: &OwnedFd) -> io::Result<()> {
    let (mut error, mut len): (c_int, _) = (0, C_INT_LEN);
    let value = ptr::from_mut(&mut error).cast();
    let (level, name) = (libc::SOL_SOCKET, libc::SO_ERROR);
    // SAFETY: `value` has room for the bytes that `len` says; both live through the call.
    check_int(unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, value, &raw mut len) })?;
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_survives_the_kernels_form() {
        let texts = ["127.0.0.1:80", "255.1.2.3:65535", "[::1]:0", "[fe80::1%7]:443"];
        for text in texts {
            let addr: SocketAddr = text.parse().expect("an address");
            assert_eq!(RawAddr::new(addr).parse().expect("IP"), addr);
        }
        assert!(RawAddr::empty().parse().is_err(), "no family is no address");
    }

    #[test]
    fn a_group_shares_one_port_and_strangers_are_told_it_is_taken() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (group, addr) = bind_group(any, 3, 16).expect("loopback");
        assert_eq!(group.len(), 3);
        assert_ne!(addr.port(), 0);
        for fd in &group {
            assert_eq!(local_addr(fd).expect("bound"), addr);
        }
        let error = bind_group(addr, 2, 16).expect_err("taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
