//! Socket addresses as the kernel writes them: as bytes, so that only system calls are unsafe.
//!
//! Never: calls the kernel but to ask for an address.

use super::check_int;
use crate::api::{Addr, UnixPathError};
use libc::{c_int, socklen_t};
use std::ffi::OsStr;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

/// Room for any socket address, as the kernel writes it (`struct sockaddr_storage`).
#[repr(C, align(8))]
pub(super) struct RawAddr {
    bytes: [u8; 128],
    len: socklen_t,
}

const _: () = assert!(size_of::<libc::sockaddr_storage>() == 128);

const IPV4_LEN: socklen_t = 16;
const IPV6_LEN: socklen_t = 28;

/// What comes before a unix socket's path.
const FAMILY_LEN: usize = 2;

fn family_bytes(family: c_int) -> [u8; FAMILY_LEN] {
    u16::try_from(family).expect("families are small numbers").to_ne_bytes()
}

impl RawAddr {
    #[inline]
    pub(super) fn empty() -> Self {
        Self { bytes: [0; 128], len: 128 }
    }

    /// # Errors
    /// `InvalidInput` for a unix socket without a path, and for a path that does not fit.
    pub(super) fn new(addr: &Addr) -> io::Result<Self> {
        let refused = |text: String| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        match addr {
            Addr::Ip(addr) => Ok(Self::ip(*addr)),
            Addr::Unix(Some(path)) => match UnixPathError::check(path) {
                Ok(()) => Ok(Self::unix(path)),
                Err(error) => refused(error.to_string()),
            },
            Addr::Unix(None) => refused("a unix socket without a path is no address".into()),
        }
    }

    /// Field by field as in ip(7) and ipv6(7): family in host order, port and address in network
    /// order, scope in host order.
    fn ip(addr: SocketAddr) -> Self {
        let mut raw = Self::empty();
        raw.bytes[..2].copy_from_slice(&family_bytes(family(&Addr::Ip(addr))));
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

    /// The family, the path, and a 0 behind it (unix(7)); the path is one that fits.
    fn unix(path: &Path) -> Self {
        let mut raw = Self::empty();
        let path = path.as_os_str().as_bytes();
        raw.bytes[..FAMILY_LEN].copy_from_slice(&family_bytes(libc::AF_UNIX));
        raw.bytes[FAMILY_LEN..FAMILY_LEN + path.len()].copy_from_slice(path);
        let len = FAMILY_LEN + path.len() + 1;
        raw.len = socklen_t::try_from(len).expect("a path that fits is short");
        raw
    }

    #[inline]
    pub(super) fn parse(&self) -> io::Result<Addr> {
        fn part<const N: usize>(bytes: &[u8; 128], at: usize) -> [u8; N] {
            std::array::from_fn(|i| bytes[at + i])
        }
        let family = c_int::from(u16::from_ne_bytes(part(&self.bytes, 0)));
        let port = u16::from_be_bytes(part(&self.bytes, 2));
        match family {
            libc::AF_INET => {
                let ip = Ipv4Addr::from(part::<4>(&self.bytes, 4));
                Ok(Addr::Ip((ip, port).into()))
            }
            libc::AF_INET6 => {
                let flow = u32::from_be_bytes(part(&self.bytes, 4));
                let ip = Ipv6Addr::from(part::<16>(&self.bytes, 8));
                let scope = u32::from_ne_bytes(part(&self.bytes, 24));
                Ok(Addr::Ip(SocketAddrV6::new(ip, port, flow, scope).into()))
            }
            libc::AF_UNIX => Ok(Addr::Unix(self.path())),
            other => {
                let text = format!("an address of family {other}, neither IP nor unix");
                Err(io::Error::new(io::ErrorKind::InvalidData, text))
            }
        }
    }

    /// The path of a unix socket; `None` when it has none, or an abstract name (unix(7)).
    fn path(&self) -> Option<Arc<Path>> {
        let len = usize::try_from(self.len).map_or(0, |len| len.min(self.bytes.len()));
        let path = self.bytes.get(FAMILY_LEN..len)?.split(|&byte| byte == 0).next()?;
        (!path.is_empty()).then(|| Path::new(OsStr::from_bytes(path)).into())
    }

    pub(super) fn as_ptr(&self) -> *const libc::sockaddr {
        self.bytes.as_ptr().cast()
    }

    pub(super) fn len(&self) -> socklen_t {
        self.len
    }

    /// Where the kernel writes an address, and where how long it is: room for 128 bytes, as the
    /// second says before.
    pub(super) fn as_mut_ptrs(&mut self) -> (*mut libc::sockaddr, *mut socklen_t) {
        (self.bytes.as_mut_ptr().cast(), &raw mut self.len)
    }
}

pub(super) fn family(addr: &Addr) -> c_int {
    match addr {
        Addr::Ip(SocketAddr::V4(_)) => libc::AF_INET,
        Addr::Ip(SocketAddr::V6(_)) => libc::AF_INET6,
        Addr::Unix(_) => libc::AF_UNIX,
    }
}

pub(super) fn local_addr(fd: &OwnedFd) -> io::Result<Addr> {
    let mut addr = RawAddr::empty();
    let (bytes, len) = addr.as_mut_ptrs();
    // SAFETY: `bytes` has room for the 128 bytes that `len` says; both live through the call.
    check_int(unsafe { libc::getsockname(fd.as_raw_fd(), bytes, len) })?;
    addr.parse()
}

pub(super) fn peer_addr(fd: &OwnedFd) -> io::Result<Addr> {
    let mut addr = RawAddr::empty();
    let (bytes, len) = addr.as_mut_ptrs();
    // SAFETY: `bytes` has room for the 128 bytes that `len` says; both live through the call.
    check_int(unsafe { libc::getpeername(fd.as_raw_fd(), bytes, len) })?;
    addr.parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_survives_the_kernels_form() {
        let texts = ["127.0.0.1:80", "255.1.2.3:65535", "[::1]:0", "[fe80::1%7]:443"];
        let ips = texts.map(|text| Addr::Ip(text.parse().expect("an address")));
        let longest = "x".repeat(107);
        let paths =
            ["a", "/run/a b", &longest].map(|path| Addr::Unix(Some(Path::new(path).into())));
        for addr in ips.into_iter().chain(paths) {
            let raw = RawAddr::new(&addr).expect("an address");
            assert_eq!(raw.parse().expect("a family we know"), addr);
        }
        assert!(RawAddr::empty().parse().is_err(), "no family is no address");
    }

    #[test]
    fn a_unix_socket_without_a_path_has_no_name() {
        let mut raw = RawAddr::unix(Path::new("x"));
        raw.len = 2;
        assert_eq!(raw.parse().expect("unix"), Addr::Unix(None));
        // An abstract name begins with a 0.
        raw.bytes[2..5].copy_from_slice(b"\0ab");
        raw.len = 5;
        assert_eq!(raw.parse().expect("unix"), Addr::Unix(None));
        assert!(RawAddr::new(&Addr::Unix(None)).is_err());
    }
}
