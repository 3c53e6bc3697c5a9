//! Blocking clients of an engine, and addresses that do not answer.
//!
//! Never: waits longer than [`PATIENCE`] for anything.

use crate::{PATIENCE, Stream, lab};
use socket2::{Domain, SockRef, Socket, Type};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// A plain client.
#[derive(Debug)]
pub struct Peer {
    pub(crate) stream: Stream,
}

impl Peer {
    /// Connects.
    #[must_use]
    pub fn connect(to: SocketAddr) -> Self {
        Self::try_connect(to).expect("the engine listens")
    }

    /// Connects, or says why not.
    ///
    /// # Errors
    /// The kernel's.
    pub fn try_connect(to: SocketAddr) -> io::Result<Self> {
        if lab::is_on() {
            return Ok(Self { stream: Stream::dial(to, None)? });
        }
        Self::from_stream(TcpStream::connect_timeout(&to, PATIENCE)?)
    }

    /// Connects with a receive buffer of this size, so that the engine soon cannot send.
    #[must_use]
    pub fn connect_with_buffer(to: SocketAddr, bytes: usize) -> Self {
        if lab::is_on() {
            return Self { stream: Stream::dial(to, Some(bytes)).expect("the engine listens") };
        }
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).expect("a socket");
        socket.set_recv_buffer_size(bytes).expect("a size the kernel may round");
        socket.connect_timeout(&to.into(), PATIENCE).expect("the engine listens");
        Self::from_stream(socket.into()).expect("a socket that stands")
    }

    /// Connects from this address, such as 127.0.0.2.
    #[must_use]
    pub fn connect_from(to: SocketAddr, from: IpAddr) -> Self {
        if lab::is_on() {
            return Self { stream: Stream::dial_from(to, from).expect("the engine listens") };
        }
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::new(from, 0).into()).expect("an address of this machine");
        socket.connect_timeout(&to.into(), PATIENCE).expect("the engine listens");
        Self::from_stream(socket.into()).expect("a socket that stands")
    }

    fn from_stream(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream: Stream::Tcp(stream) })
    }

    /// The client's own address, as the engine sees it.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.stream.local_addr()
    }

    /// Sends all of it.
    pub fn send(&mut self, data: &[u8]) {
        self.stream.write_all(data).expect("the engine reads");
    }

    /// Sends one byte of urgent data (tcp(7)).
    pub fn send_urgent(&mut self, byte: u8) {
        let sent = SockRef::from(self.stream.tcp()).send_out_of_band(&[byte]);
        assert_eq!(sent.expect("connected"), 1);
    }

    /// Sends as much as can be sent; the engine may end it.
    pub fn send_some(&mut self, data: &[u8]) {
        let _refused = self.stream.write_all(data);
    }

    /// Reads exactly these bytes.
    pub fn expect(&mut self, want: &[u8]) {
        let mut got = vec![0; want.len()];
        self.stream.read_exact(&mut got).expect("an answer in time");
        assert!(got == want, "got other bytes than those {} expected", want.len());
    }

    /// Reads until this has come, and passes over what is before it.
    pub fn expect_at_last(&mut self, want: &[u8]) {
        read_until(&mut self.stream, want);
    }

    /// Reads so much, or less if it ends before.
    pub fn drain(&mut self, bytes: usize) {
        drain(&mut self.stream, bytes);
    }

    /// Reads so many bytes.
    pub fn receive(&mut self, count: usize) -> Vec<u8> {
        let mut got = vec![0; count];
        self.stream.read_exact(&mut got).expect("an answer in time");
        got
    }

    /// Sends, and reads the same bytes back.
    pub fn echo(&mut self, data: &[u8]) {
        self.send(data);
        self.expect(data);
    }

    /// As [`echo`](Self::echo), with an engine that may end the connection: whether it did not.
    pub fn try_echo(&mut self, data: &[u8]) -> bool {
        self.send_some(data);
        let mut got = vec![0; data.len()];
        self.stream.read_exact(&mut got).is_ok() && got == data
    }

    /// Reads to the end, which must be an orderly one.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let mut got = Vec::new();
        self.stream.read_to_end(&mut got).expect("an orderly end in time");
        got
    }

    /// Reads to the end or an error; true for an orderly end.
    pub fn read_all(&mut self) -> (Vec<u8>, bool) {
        let mut got = Vec::new();
        let end = self.stream.read_to_end(&mut got);
        let late = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
        assert!(!end.as_ref().is_err_and(late), "neither an end nor a reset in time");
        (got, end.is_ok())
    }

    /// Reads the end, and nothing before it.
    pub fn expect_end(&mut self) {
        let rest = self.read_to_end();
        assert!(rest.is_empty(), "{} bytes before the end", rest.len());
    }

    /// Waits so long, in which nothing may come. Also a way to let time pass.
    pub fn expect_silence(&mut self, time: Duration) {
        match self.read_for(time) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            other => panic!("not silent: {other:?}"),
        }
    }

    /// Waits so long for the end; whether it has come.
    pub fn is_over_after(&mut self, time: Duration) -> bool {
        !self.read_for(time).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// One read that gives up after this time.
    fn read_for(&mut self, time: Duration) -> io::Result<usize> {
        self.stream.set_patience(time);
        let result = loop {
            match self.stream.read(&mut [0; 64]) {
                // A read with a time limit is not taken up again by the kernel when the process was
                // stopped (signal(7)).
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        self.stream.set_patience(PATIENCE);
        result
    }

    /// Ends our side; the other may go on.
    pub fn finish(&mut self) {
        self.stream.finish().expect("connected");
    }

    /// Ends our side, unless the engine has ended the connection already.
    pub fn try_finish(&mut self) {
        let _ended = self.stream.finish();
    }

    /// Closes with a reset.
    pub fn reset(self) {
        match &self.stream {
            Stream::Tcp(stream) => {
                SockRef::from(stream).set_linger(Some(Duration::ZERO)).expect("a socket");
            }
            Stream::Sim(stream) => stream.reset(),
        }
    }
}

pub(crate) fn read_until(stream: &mut impl Read, want: &[u8]) {
    let (mut got, mut piece) = (Vec::new(), [0; 4096]);
    while !got.ends_with(want) {
        let count = match stream.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result.expect("an answer in time"),
        };
        assert!(count > 0, "the end, after {} bytes", got.len());
        got.extend_from_slice(&piece[..count]);
    }
}

pub(crate) fn drain(stream: &mut impl Read, bytes: usize) {
    let (mut left, mut piece) = (bytes, vec![0; 64 * 1024]);
    while left > 0 {
        let most = left.min(piece.len());
        match stream.read(&mut piece[..most]) {
            Ok(count @ 1..) => left -= count,
            Ok(0) => return,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("neither in time"),
            Err(_ended) => return,
        }
    }
}

/// What keeps an address as it is.
pub type Held = Vec<Socket>;

/// An address that refuses connections for as long as it is held.
#[must_use]
pub fn refused_addr() -> (Held, SocketAddr) {
    if lab::is_on() {
        return (Held::new(), lab::nowhere());
    }
    let socket = bound();
    let addr = addr_of(&socket);
    (vec![socket], addr)
}

/// An address that does not answer for as long as it is held: a listener whose queue is full.
#[must_use]
pub fn blackhole() -> (Held, SocketAddr) {
    if lab::is_on() {
        return (Held::new(), lab::full_listener());
    }
    let listener = bound();
    listener.listen(0).expect("a bound socket");
    let addr = addr_of(&listener);
    let mut sockets = vec![listener];
    // A backlog of 0 holds one; the others are there to be sure.
    for _ in 0..4 {
        let filler = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        filler.set_nonblocking(true).expect("a socket");
        let _pending = filler.connect(&addr.into());
        sockets.push(filler);
    }
    (sockets, addr)
}

fn bound() -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a free port");
    socket
}

fn addr_of(socket: &Socket) -> SocketAddr {
    socket.local_addr().ok().and_then(|addr| addr.as_socket()).expect("an internet socket")
}
