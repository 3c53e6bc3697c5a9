//! The plain client: blocking sockets, lockstep rounds, every byte checked.
//!
//! Lockstep: one message is sent on every connection, then all echoes are read, and so on. So the
//! server never has two messages of a connection, and nothing is sent while echoes are due.
//!
//! Never: waits for an echo without a limit.

use crate::failure::Failure;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// Bytes of a message.
pub(crate) const SIZE: usize = 64;

const PATIENCE: Duration = Duration::from_secs(60);

/// Connections, all of which are open.
#[derive(Debug)]
pub(crate) struct Driver {
    addr: SocketAddr,
    streams: Vec<TcpStream>,
    round: u64,
}

impl Driver {
    pub(crate) fn new(addr: SocketAddr) -> Self {
        Self { addr, streams: Vec::new(), round: 0 }
    }

    /// Opens connections until there are this many, with one echo on each new one.
    pub(crate) fn grow_to(&mut self, connections: usize) -> Result<(), Failure> {
        while self.streams.len() < connections {
            let mut stream = connect(self.addr).map_err(went_wrong)?;
            let message = message(self.streams.len() as u64, self.round);
            stream.write_all(&message).map_err(went_wrong)?;
            expect(&mut stream, &message)?;
            self.streams.push(stream);
        }
        Ok(())
    }

    /// One message on every connection, then its echo; so many times.
    pub(crate) fn rounds(&mut self, count: u64) -> Result<(), Failure> {
        for _ in 0..count {
            self.round += 1;
            for (number, stream) in (0..).zip(&mut self.streams) {
                stream.write_all(&message(number, self.round)).map_err(went_wrong)?;
            }
            for (number, stream) in (0..).zip(&mut self.streams) {
                expect(stream, &message(number, self.round))?;
            }
        }
        Ok(())
    }
}

/// Connects, has one message echoed, and closes; so many times, one after the other. Each ends when
/// the server has closed it, so that nothing of one is left for the next.
pub(crate) fn visits(addr: SocketAddr, count: u64) -> Result<(), Failure> {
    for number in 0..count {
        let mut stream = connect(addr).map_err(went_wrong)?;
        let message = message(number, 0);
        stream.write_all(&message).map_err(went_wrong)?;
        expect(&mut stream, &message)?;
        stream.shutdown(Shutdown::Write).map_err(went_wrong)?;
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).map_err(went_wrong)?;
        if !rest.is_empty() {
            return Err(Failure::Echo { why: format!("{} bytes too many", rest.len()) });
        }
    }
    Ok(())
}

fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// No two messages of a run are the same.
pub(crate) fn message(connection: u64, round: u64) -> [u8; SIZE] {
    let mut bytes = [b'.'; SIZE];
    bytes[..8].copy_from_slice(&connection.to_be_bytes());
    bytes[8..16].copy_from_slice(&round.to_be_bytes());
    bytes
}

fn expect(stream: &mut TcpStream, sent: &[u8; SIZE]) -> Result<(), Failure> {
    let mut back = [0; SIZE];
    stream.read_exact(&mut back).map_err(went_wrong)?;
    if back == *sent {
        return Ok(());
    }
    Err(Failure::Echo { why: "what came back is not what was sent".into() })
}

fn went_wrong(error: io::Error) -> Failure {
    Failure::Echo { why: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread::{Builder, JoinHandle};

    /// Serves connections one after the other, so many; `spoil` may change what it sends back.
    fn echo(visitors: usize, spoil: fn(&mut [u8])) -> (SocketAddr, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let addr = listener.local_addr().expect("it is bound");
        let serve = move || {
            for _ in 0..visitors {
                let (mut stream, _) = listener.accept().expect("the test connects");
                let mut message = [0; SIZE];
                while stream.read_exact(&mut message).is_ok() {
                    spoil(&mut message);
                    // The driver may have seen enough.
                    let _gone = stream.write_all(&message);
                }
            }
        };
        (addr, Builder::new().spawn(serve).expect("a thread"))
    }

    #[test]
    fn messages_differ_by_connection_and_by_round() {
        assert_ne!(message(1, 0), message(0, 1));
        assert_ne!(message(7, 3), message(7, 4));
    }

    #[test]
    fn what_comes_back_as_it_was_sent_is_an_echo() {
        let (addr, server) = echo(3, |_| {});
        visits(addr, 2).expect("two visits");
        let mut driver = Driver::new(addr);
        driver.grow_to(1).expect("one connection");
        driver.rounds(3).expect("three rounds");
        drop(driver);
        server.join().expect("it served three");
    }

    #[test]
    fn one_wrong_byte_is_no_echo() {
        let (addr, server) = echo(2, |message| message[SIZE - 1] ^= 1);
        assert!(matches!(visits(addr, 1), Err(Failure::Echo { .. })));
        assert!(matches!(Driver::new(addr).grow_to(1), Err(Failure::Echo { .. })));
        server.join().expect("it served two");
    }
}
