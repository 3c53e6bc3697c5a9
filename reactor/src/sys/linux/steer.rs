//! The end of a listening socket: who takes what would come to it, and what is still under way.
//!
//! Two classic BPF programs, which need no privilege (socket(7)): one on the group of a
//! `SO_REUSEPORT` address says which of its sockets take new connections, one on a single socket
//! drops what would begin there, and lets handshakes that have begun come to their end.
//!
//! Never: closes a socket; attaches a second program to a group.

use super::address::{family, local_addr};
use super::option::set;
use super::{NO_ADDR, check, check_int, own};
use libc::{c_int, sock_filter, socklen_t};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;

/// Flags in a TCP header (RFC 9293, section 3.1), and where they are.
const FLAGS_AT: u32 = 13;
const SYN: u32 = 0x02;
const ACK: u32 = 0x10;

/// How much of a packet a socket's program lets through: none, or all.
const DROP: u32 = 0;
const PASS: u32 = u32::MAX;

/// What a step of a classic program does (linux/bpf_common.h, linux/filter.h).
const LOAD_BYTE: u16 = 0x30;
const LOAD_WORD: u16 = 0x20;
const AND: u16 = 0x54;
const MODULO: u16 = 0x94;
const JUMP_IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;
const RETURN_RESULT: u16 = 0x16;

/// Where the kernel has a random number, among what is not in the packet (linux/filter.h).
const RANDOM: u32 = 0xffff_f000 + 56;

const fn step(code: u16, k: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k }
}

/// Drops what begins a handshake. A socket's program sees a segment from its TCP header on.
const NO_NEW: [sock_filter; 5] = [
    step(LOAD_BYTE, FLAGS_AT),
    step(AND, SYN | ACK),
    sock_filter { code: JUMP_IF_EQUAL, jt: 0, jf: 1, k: SYN },
    step(RETURN, DROP),
    step(RETURN, PASS),
];

/// A random one of the first `sockets` of a group.
const fn any_of_first(sockets: u32) -> [sock_filter; 3] {
    [step(LOAD_WORD, RANDOM), step(MODULO, sockets), step(RETURN_RESULT, 0)]
}

fn attach(fd: &OwnedFd, name: c_int, program: &[sock_filter]) -> io::Result<()> {
    let len = u16::try_from(program.len()).expect("programs here have a few steps");
    let program = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    let (fd, value) = (fd.as_raw_fd(), ptr::from_ref(&program).cast());
    let len = socklen_t::try_from(size_of_val(&program)).expect("two words");
    // SAFETY: `value` points to a program that says its own length; both live through the call,
    // which copies the steps and writes to none.
    check_int(unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, name, value, len) }).map(drop)
}

/// Spreads what comes to a group of `SO_REUSEPORT` sockets over its first `sockets`, at random;
/// the others get nothing new, and may be emptied and closed without loss.
///
/// The order is that in which they began to listen. A socket that is closed leaves its place to the
/// last one, so only the last can leave with the order kept. When fewer than `sockets` are left,
/// what is meant for one that is gone is spread as without a program (`SO_ATTACH_REUSEPORT_CBPF` in
/// socket(7)).
///
/// **Once for each group**: on a kernel that frees a replaced program at once, another CPU may be
/// running it.
///
/// # Errors
/// `InvalidInput` for no sockets at all; else the kernel's, such as that the socket is in no group,
/// or that a sandbox does not allow it.
pub fn steer(group: &OwnedFd, sockets: usize) -> io::Result<()> {
    match u32::try_from(sockets) {
        Ok(sockets @ 1..) => attach(group, libc::SO_ATTACH_REUSEPORT_CBPF, &any_of_first(sockets)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "a group of no sockets")),
    }
}

/// Lets no further handshake begin at a socket: a client tries again after a second (RFC 6298,
/// section 2), when another socket has the address, or none.
pub(super) fn refuse_handshakes(listener: &OwnedFd) -> io::Result<()> {
    attach(listener, libc::SO_ATTACH_FILTER, &NO_NEW)
}

/// Frees a connection of what it inherited from a listener that [refuses](refuse_handshakes).
pub(super) fn allow_handshakes(fd: &OwnedFd) -> io::Result<()> {
    match set(fd, libc::SOL_SOCKET, libc::SO_DETACH_FILTER, 0) {
        // It was established before its listener refused anything.
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        other => other,
    }
}

/// What sock_diag(7) is asked, and answers with (linux/netlink.h, linux/sock_diag.h).
const REQUEST_DUMP: u16 = 0x301;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const DONE: u16 = 3;
const TCP_SYN_RECV: u32 = 3;
const TCP: u8 = 6;
const HEADER_LEN: usize = 16;

/// A header, and a `struct inet_diag_req_v2`: 8 bytes, and 48 that name a socket.
const REQUEST_LEN: u8 = 16 + 8 + 48;

/// All TCP sockets of this family and port that are in the midst of a handshake.
fn handshakes_request(family: c_int, port: u16) -> [u8; REQUEST_LEN as usize] {
    let mut bytes = [0; REQUEST_LEN as usize];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, &u32::from(REQUEST_LEN).to_ne_bytes());
    put(4, &SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    put(6, &REQUEST_DUMP.to_ne_bytes());
    put(16, &[u8::try_from(family).unwrap_or(0), TCP]);
    put(20, &(1_u32 << TCP_SYN_RECV).to_ne_bytes());
    put(24, &port.to_be_bytes());
    bytes
}

/// Whether a handshake is under way at the port of a listener, at whichever socket of it.
///
/// The kernel looks through its table of connections, which takes some 100 us.
///
/// # Errors
/// The kernel's; one without sock_diag(7) refuses the socket or the question.
pub(super) fn handshakes_pending(listener: &OwnedFd) -> io::Result<bool> {
    let addr = local_addr(listener)?;
    let Some(port) = addr.port() else { return Ok(false) };
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: takes no pointer.
    let diag = own(unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_SOCK_DIAG) })?;
    let request = handshakes_request(family(&addr), port);
    let (fd, bytes, len) = (diag.as_raw_fd(), request.as_ptr().cast(), request.len());
    // SAFETY: `bytes` may be read for `len` bytes; no address is given.
    check(unsafe { libc::sendto(fd, bytes, len, 0, NO_ADDR, 0) })?;
    let mut answer = [0_u8; 8192];
    let (room, len) = (answer.as_mut_ptr().cast(), answer.len());
    // SAFETY: `room` may be written for `len` bytes.
    let got = check(unsafe { libc::recv(fd, room, len, 0) })?;
    // The first message says enough: a socket, the end of the list, or an error.
    match answer.get(4..6).filter(|_| got >= HEADER_LEN + 4) {
        Some(kind) if kind == SOCK_DIAG_BY_FAMILY.to_ne_bytes() => Ok(true),
        Some(kind) if kind == DONE.to_ne_bytes() => Ok(false),
        Some(_) => {
            let [a, b, c, d] = [answer[16], answer[17], answer[18], answer[19]];
            let errno = i32::from_ne_bytes([a, b, c, d]);
            Err(io::Error::from_raw_os_error(errno.wrapping_neg()))
        }
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::BindOptions;
    use crate::sys::linux::socket::{accept, bind_group};
    use std::net::{SocketAddr, TcpStream};
    use std::time::Duration;

    fn group(sockets: usize, options: &BindOptions) -> (Vec<OwnedFd>, SocketAddr) {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        bind_group(any, sockets, options).expect("loopback")
    }

    /// How many of so many connections come to each socket of a group.
    fn spread(group: &[OwnedFd], addr: SocketAddr, connections: usize) -> Vec<usize> {
        let clients: Vec<_> =
            (0..connections).map(|_| TcpStream::connect(addr).expect("somebody listens")).collect();
        let mut counts = vec![0; group.len()];
        while counts.iter().sum::<usize>() < clients.len() {
            for (count, socket) in counts.iter_mut().zip(group) {
                *count += usize::from(accept(socket).is_ok());
            }
        }
        counts
    }

    #[test]
    fn a_group_that_is_steered_gives_its_last_socket_nothing_and_bears_its_end() {
        let (mut sockets, addr) = group(4, &BindOptions::default());
        steer(&sockets[1], 3).expect("it is in a group");
        let counts = spread(&sockets, addr, 120);
        assert_eq!(counts[3], 0);
        assert!(counts[..3].iter().all(|count| *count > 0), "{counts:?}");
        // What the program gives is a socket of the group still, or falls back to the hash.
        for left in [3, 2, 1] {
            sockets.truncate(left);
            let counts = spread(&sockets, addr, 120);
            assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
        }
        assert_eq!(steer(&sockets[0], 0).expect_err("none").kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_socket_that_refuses_lets_those_through_whose_handshake_has_begun() {
        // With TCP_DEFER_ACCEPT a handshake ends with the first data, though the client believes
        // that it is connected (tcp(7)).
        let defer_accept = Some(Duration::from_secs(5));
        let (sockets, addr) = group(1, &BindOptions { defer_accept, ..BindOptions::default() });
        let listener = &sockets[0];
        assert!(!handshakes_pending(listener).expect("sock_diag"));
        let mut client = TcpStream::connect(addr).expect("somebody listens");
        while !handshakes_pending(listener).expect("sock_diag") {}
        refuse_handshakes(listener).expect("a TCP socket");
        let late = TcpStream::connect_timeout(&addr, Duration::from_millis(100));
        assert_eq!(late.expect_err("nobody answers").kind(), io::ErrorKind::TimedOut);
        io::Write::write_all(&mut client, b"first").expect("it is connected");
        let served = loop {
            match accept(listener) {
                Ok((fd, _)) => break fd,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        };
        while handshakes_pending(listener).expect("sock_diag") {}
        // It has inherited the program, and is freed of it; a second time nothing is to be done.
        set(&served, libc::SOL_SOCKET, libc::SO_DETACH_FILTER, 0).expect("inherited");
        allow_handshakes(&served).expect("not there");
        allow_handshakes(listener).expect("there");
        TcpStream::connect(addr).expect("as before");
    }
}
