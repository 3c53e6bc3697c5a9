//! Sockets: listen, accept, connect, adopt.
//!
//! Never: blocks; waits for what it began.

use super::address::{RawAddr, family, local_addr, peer_addr};
use super::option::{pending_error, set, set_listener_options, stream_socket, value};
use super::{call, check, check_int, own_new, word};
use crate::api::{Addr, BindOptions};
use libc::c_int;
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;

pub(super) fn bind(fd: &OwnedFd, addr: &RawAddr) -> io::Result<()> {
    // SAFETY: `addr` holds as many bytes as it says and lives through the call.
    check_int(unsafe { libc::bind(fd.as_raw_fd(), addr.as_ptr(), addr.len()) }).map(drop)
}

/// Whether the end of input is what a read would find.
pub(super) fn at_end(fd: &OwnedFd) -> io::Result<bool> {
    let (mut byte, peek) = (0_u8, libc::MSG_PEEK | libc::MSG_DONTWAIT);
    let room = ptr::from_mut(&mut byte).cast();
    // SAFETY: `room` points to one byte that lives through the call.
    match check(unsafe { libc::recv(fd.as_raw_fd(), room, 1, peek) }) {
        Ok(count) => Ok(count == 0),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

pub(super) fn listen(fd: &OwnedFd, backlog: u32) -> io::Result<()> {
    let backlog = c_int::try_from(backlog).unwrap_or(c_int::MAX);
    // SAFETY: takes no pointer.
    check_int(unsafe { libc::listen(fd.as_raw_fd(), backlog) }).map(drop)
}

/// Opens `count` listening sockets on one address, over which the kernel spreads connections, and
/// gives the address they have: a port 0 is resolved once for all of them.
///
/// The first socket is bound without `SO_REUSEPORT`, so that an address somebody else listens on is
/// "address already in use" (S124) and not silently shared, unless
/// [asked for](BindOptions::share). IPv6 sockets take IPv6 only (S123).
///
/// # Errors
/// The kernel's: the address is in use, not ours, or needs a privilege; an option it refuses is
/// named.
pub fn bind_group(
    addr: SocketAddr,
    count: usize,
    options: &BindOptions,
) -> io::Result<(Vec<OwnedFd>, SocketAddr)> {
    let mut bound = Addr::Ip(addr);
    let mut group = Vec::with_capacity(count);
    for index in 0..count {
        let fd = stream_socket(family(&bound))?;
        set(&fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
        set_listener_options(&fd, options)?;
        if addr.is_ipv6() {
            set(&fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
        }
        if index > 0 || options.share {
            set(&fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
        }
        bind(&fd, &RawAddr::new(&bound)?)?;
        if index == 0 {
            set(&fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
            bound = local_addr(&fd)?;
        }
        group.push(fd);
    }
    for fd in &group {
        listen(fd, options.backlog)?;
    }
    Ok((group, bound.ip().unwrap_or(addr)))
}

/// One listening socket that was opened elsewhere, as `count` descriptors of it, and its address.
///
/// The socket becomes non-blocking for all who share it. One of TCP is given the options, but for
/// `backlog`, which is what it was opened with. Each connection goes to whoever accepts it first.
///
/// # Errors
/// `InvalidInput` for what is no listening stream socket; else the kernel's.
pub fn share_listener(
    listener: OwnedFd,
    count: usize,
    options: &BindOptions,
) -> io::Result<(Vec<OwnedFd>, Addr)> {
    check_stream(&listener, true)?;
    set_non_blocking(&listener)?;
    let addr = local_addr(&listener)?;
    if addr.ip().is_some() {
        set_listener_options(&listener, options)?;
    }
    Ok((share(listener, count)?, addr))
}

pub(super) fn share(listener: OwnedFd, count: usize) -> io::Result<Vec<OwnedFd>> {
    let mut shared = Vec::with_capacity(count);
    for _ in 1..count {
        shared.push(listener.try_clone()?);
    }
    shared.push(listener);
    Ok(shared)
}

/// Whether a listening socket is one of a group, or may be: `SO_REUSEPORT` is set on it.
///
/// # Errors
/// The kernel's, such as that it is no socket.
pub fn is_group_member(listener: &OwnedFd) -> io::Result<bool> {
    let ip = local_addr(listener)?.ip().is_some();
    Ok(ip && value(listener, libc::SOL_SOCKET, libc::SO_REUSEPORT)? != 0)
}

/// Says whether a descriptor is a stream socket, and one that listens or not.
fn check_stream(fd: &OwnedFd, listens: bool) -> io::Result<()> {
    let invalid = |text| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    let kind = match value(fd, libc::SOL_SOCKET, libc::SO_TYPE) {
        Err(error) if error.raw_os_error() == Some(libc::ENOTSOCK) => {
            return invalid("not a socket");
        }
        other => other?,
    };
    if kind != libc::SOCK_STREAM {
        return invalid("not a stream socket");
    }
    match (value(fd, libc::SOL_SOCKET, libc::SO_ACCEPTCONN)? != 0, listens) {
        (false, true) => invalid("not a listening socket"),
        (true, false) => invalid("a listening socket, and no stream"),
        _ => Ok(()),
    }
}

fn set_non_blocking(fd: &OwnedFd) -> io::Result<()> {
    // SAFETY: takes no pointer.
    let flags = check_int(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
    let flags = flags | libc::O_NONBLOCK;
    // SAFETY: takes no pointer.
    check_int(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags) }).map(drop)
}

pub(super) fn adopt(stream: OwnedFd) -> io::Result<OwnedFd> {
    check_stream(&stream, false)?;
    set_non_blocking(&stream)?;
    Ok(stream)
}

#[inline(always)]
pub(super) fn accept_from(listener: &OwnedFd, peer: &mut RawAddr) -> io::Result<(OwnedFd, Addr)> {
    let (bytes, len) = peer.as_mut_ptrs();
    let [listener, flags] =
        [listener.as_raw_fd(), libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC].map(word);
    let arguments = [listener, bytes.expose_provenance(), len.expose_provenance(), flags];
    // SAFETY: `bytes` has room for the 128 bytes that `len` says; both live through the call.
    let fd = own_new(unsafe { call::four(libc::SYS_accept4, arguments) })?;
    Ok((fd, peer.parse()?))
}

#[cfg(test)]
pub(super) fn accept(listener: &OwnedFd) -> io::Result<(OwnedFd, Addr)> {
    accept_from(listener, &mut RawAddr::empty())
}

/// Gives a socket its address, but no port yet: that is chosen when it is known whom it connects
/// to, so that one port may serve for several peers (IP_BIND_ADDRESS_NO_PORT in ip(7)).
fn bind_source(fd: &OwnedFd, from: IpAddr, to: &Addr) -> io::Result<()> {
    set(fd, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)?;
    let source = match (from, to) {
        // An address of one link only is of the link that its peer is on (ipv6(7)).
        (IpAddr::V6(from), Addr::Ip(SocketAddr::V6(to))) => {
            SocketAddrV6::new(from, 0, 0, to.scope_id()).into()
        }
        _ => SocketAddr::new(from, 0),
    };
    bind(fd, &RawAddr::new(&Addr::Ip(source))?)
}

pub(super) fn connect(
    to: &Addr,
    from: Option<IpAddr>,
    first: Option<&[u8]>,
) -> io::Result<(OwnedFd, usize)> {
    let addr = RawAddr::new(to)?;
    let fd = stream_socket(family(to))?;
    if let Some(from) = from {
        bind_source(&fd, from, to)?;
    }
    if let (Some(first), Addr::Ip(_)) = (first, to) {
        match connect_with(&fd, &addr, first) {
            Ok(taken) => return Ok((fd, taken)),
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => return Ok((fd, 0)),
            // The system does not allow it (net.ipv4.tcp_fastopen).
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {}
            Err(error) => return Err(error),
        }
    }
    // SAFETY: `addr` holds as many bytes as it says and lives through the call.
    match check_int(unsafe { libc::connect(fd.as_raw_fd(), addr.as_ptr(), addr.len()) }) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok((fd, 0)),
    }
}

/// Connects by a first packet with data, if the server's cookie is known, else by one that asks for
/// it (RFC 7413).
fn connect_with(fd: &OwnedFd, addr: &RawAddr, first: &[u8]) -> io::Result<usize> {
    let flags = libc::MSG_FASTOPEN | libc::MSG_NOSIGNAL;
    let (fd, bytes, len) = (fd.as_raw_fd(), first.as_ptr().cast(), first.len());
    // SAFETY: `bytes` may be read for `len` bytes; `addr` holds as many bytes as it says; both live
    // through the call.
    check(unsafe { libc::sendto(fd, bytes, len, flags, addr.as_ptr(), addr.len()) })
}

/// Whether a socket that was told to connect is connected; `WouldBlock` while it is pending.
pub(super) fn connected(fd: &OwnedFd) -> io::Result<()> {
    pending_error(fd)?;
    // No error is no success: an event may be about nothing, or not have come at all.
    match peer_addr(fd) {
        Err(error) if error.raw_os_error() == Some(libc::ENOTCONN) => match pending_error(fd) {
            Ok(()) => Err(io::ErrorKind::WouldBlock.into()),
            failed => failed,
        },
        other => other.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::linux::option::value;
    use libc::{IPPROTO_TCP, SO_KEEPALIVE, SOL_SOCKET, TCP_KEEPIDLE, TCP_NODELAY};
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    fn any() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    #[test]
    fn a_group_shares_one_port_and_strangers_are_told_it_is_taken() {
        let options = BindOptions { backlog: 16, ..BindOptions::default() };
        let (group, addr) = bind_group(any(), 3, &options).expect("loopback");
        assert_eq!(group.len(), 3);
        assert_ne!(addr.port(), 0);
        for fd in &group {
            assert_eq!(local_addr(fd).expect("bound"), Addr::Ip(addr));
        }
        let error = bind_group(addr, 2, &options).expect_err("taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    fn accept_one(listener: &OwnedFd) -> OwnedFd {
        loop {
            match accept(listener) {
                Ok((fd, _)) => return fd,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
    }

    #[test]
    fn what_is_accepted_inherits_the_options_of_its_listener() {
        // S130: so no call is needed for each connection
        for no_delay in [true, false] {
            let keep_alive = no_delay.then_some(Duration::from_secs(99));
            let options = BindOptions { no_delay, keep_alive, ..BindOptions::default() };
            let (group, addr) = bind_group(any(), 1, &options).expect("loopback");
            let _client = TcpStream::connect(addr).expect("somebody listens");
            let fd = accept_one(&group[0]);
            let read = |level, name| value(&fd, level, name).expect("a TCP socket");
            assert_eq!(read(IPPROTO_TCP, TCP_NODELAY) != 0, no_delay);
            assert_eq!(read(SOL_SOCKET, SO_KEEPALIVE) != 0, no_delay);
            assert_eq!(read(IPPROTO_TCP, TCP_KEEPIDLE) == 99, no_delay);
        }
    }

    #[test]
    fn a_source_takes_no_port_before_it_connects() {
        // ip(7): else a port that is in use for one peer could not be used for another
        let listener = TcpListener::bind(any()).expect("loopback");
        let to = Addr::Ip(listener.local_addr().expect("bound"));
        let from = IpAddr::from([127, 0, 0, 42]);
        let fd = stream_socket(libc::AF_INET).expect("a socket");
        bind_source(&fd, from, &to).expect("loopback");
        assert_eq!(local_addr(&fd).expect("bound"), Addr::Ip(SocketAddr::new(from, 0)));
        let (fd, _) = connect(&to, Some(from), None).expect("loopback");
        let ours = local_addr(&fd).expect("connecting").ip().expect("an internet address");
        assert_eq!(ours.ip(), from);
        assert_ne!(ours.port(), 0);
    }

    #[test]
    fn a_listener_opened_elsewhere_is_shared() {
        // S123
        let listener = TcpListener::bind(any()).expect("loopback");
        let addr = listener.local_addr().expect("bound");
        let shared = share_listener(listener.into(), 3, &BindOptions::default());
        let (shared, bound) = shared.expect("it listens");
        assert_eq!((shared.len(), bound), (3, Addr::Ip(addr)));
        for fd in &shared {
            // Nobody waits, and nobody is waited for.
            let error = accept(fd).expect_err("nobody is there");
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            let _client = TcpStream::connect(addr).expect("somebody listens");
            accept_one(fd);
        }
    }

    #[test]
    fn what_is_no_listener_is_not_shared_and_what_is_no_stream_not_adopted() {
        let listener = || OwnedFd::from(TcpListener::bind(any()).expect("loopback"));
        let datagrams = || OwnedFd::from(UdpSocket::bind(any()).expect("loopback"));
        let file = || OwnedFd::from(std::fs::File::open("/dev/null").expect("there"));
        let (one, other) = UnixStream::pair().expect("a pair");
        let share = |fd| share_listener(fd, 2, &BindOptions::default()).map(drop);
        for (result, text) in [
            (share(one.into()), "not a listening socket"),
            (share(datagrams()), "not a stream socket"),
            (share(file()), "not a socket"),
            (adopt(listener()).map(drop), "a listening socket, and no stream"),
            (adopt(datagrams()).map(drop), "not a stream socket"),
            (adopt(file()).map(drop), "not a socket"),
        ] {
            let error = result.expect_err("the wrong kind");
            assert_eq!(
                (error.kind(), error.to_string()),
                (io::ErrorKind::InvalidInput, text.into())
            );
        }
        assert!(adopt(other.into()).is_ok());
    }
}
