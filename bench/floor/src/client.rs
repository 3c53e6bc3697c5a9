//! The least that a load generator can be: connections that each have one message in flight, and
//! send the next when one is back.
//!
//! It is what `figures generator` compares `shardload` with. It times nothing, and nobody would
//! know from it what the server has sent.
//!
//! Never: looks at what comes back; as many bytes as were sent are an echo.

use crate::READ_BYTES;
use crate::sys::{self, Epoll, Moved};
use libc::EPOLLIN;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;

/// Bytes of a message.
pub const SIZE: usize = 64;

const MESSAGE: [u8; SIZE] = [b'm'; SIZE];

/// Connections that stand.
#[derive(Debug)]
pub struct Clients {
    epoll: Epoll,
    conns: Vec<Conn>,
}

#[derive(Debug)]
struct Conn {
    stream: TcpStream,
    /// Bytes of its message that are not back.
    due: usize,
}

impl Clients {
    /// Opens so many connections.
    ///
    /// # Errors
    /// When one of them cannot be opened.
    pub fn connect(addr: SocketAddr, connections: usize) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        let mut conns = Vec::with_capacity(connections);
        for number in 0..connections {
            let stream = TcpStream::connect(addr)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            epoll.add(stream.as_fd(), EPOLLIN, number as u64)?;
            conns.push(Conn { stream, due: 0 });
        }
        Ok(Self { epoll, conns })
    }

    /// Sends messages until `enough` says so of how many are back, which it is asked once a wait;
    /// then waits for those in flight. Gives how many came back.
    ///
    /// # Errors
    /// When a connection ends, or takes no message whole.
    pub fn run(&mut self, mut enough: impl FnMut(u64) -> bool) -> io::Result<u64> {
        let mut events = sys::no_events();
        let mut buffer = [0; READ_BYTES];
        let (mut back, mut in_flight) = (0, 0);
        for conn in &mut self.conns {
            conn.send()?;
            in_flight += 1;
        }
        while in_flight > 0 {
            let count = self.epoll.wait(&mut events, -1)?;
            let over = enough(back);
            for event in &events[..count] {
                let conn = usize::try_from(event.u64).ok().and_then(|at| self.conns.get_mut(at));
                let conn = conn.expect("the kernel gives back what it was given");
                if conn.receive(&mut buffer)? {
                    back += 1;
                    in_flight -= 1;
                    if !over {
                        conn.send()?;
                        in_flight += 1;
                    }
                }
            }
        }
        Ok(back)
    }
}

impl Conn {
    #[inline]
    fn send(&mut self) -> io::Result<()> {
        // A buffer of the kernel that holds nothing else has room for it.
        if sys::send(self.stream.as_fd(), &MESSAGE) != Moved::Bytes(SIZE) {
            return Err(io::Error::other("a message was not taken whole"));
        }
        self.due = SIZE;
        Ok(())
    }

    /// Whether a message is back whole.
    #[inline]
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        match sys::recv(self.stream.as_fd(), buffer) {
            Moved::Bytes(count) if count > 0 && count <= self.due => {
                self.due -= count;
                Ok(self.due == 0)
            }
            Moved::Blocked => Ok(false),
            Moved::Bytes(0) | Moved::Broken => Err(io::ErrorKind::UnexpectedEof.into()),
            Moved::Bytes(count) => {
                Err(io::Error::other(format!("{count} bytes, and {} were due", self.due)))
            }
        }
    }
}
