//! One end of a script's connection: a blocking socket, with TLS once a step asks for it. Every
//! call has a deadline.
//!
//! Never: reads more than it is asked for, so that the next step finds the rest.

use rustls::{Connection, ProtocolVersion};
use shardpoll::tls::rustls;
use socket2::SockRef;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// The longest a blocking step may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);

/// How long a close_notify waits for the peer's.
const UNWRAP: Duration = Duration::from_millis(300);

/// How a read ended early.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    Eof,
    Reset,
    Late,
}

pub(crate) struct Wire {
    socket: TcpStream,
    tls: Option<Connection>,
}

/// The time left until then, never zero, which would mean for ever.
fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

impl Wire {
    pub(crate) fn new(socket: TcpStream) -> Self {
        Self { socket, tls: None }
    }

    /// Sends all of it.
    pub(crate) fn send(&mut self, mut data: &[u8]) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        if self.tls.is_none() {
            return self.send_raw(data, deadline);
        }
        while !data.is_empty() {
            let tls = self.tls.as_mut().expect("looked at above");
            let taken = tls.writer().write(data)?;
            data = &data[taken..];
            self.flush_tls(deadline)?;
        }
        Ok(())
    }

    fn send_raw(&mut self, mut data: &[u8], deadline: Instant) -> io::Result<()> {
        while !data.is_empty() {
            if Instant::now() >= deadline {
                return Err(ErrorKind::TimedOut.into());
            }
            self.socket.set_write_timeout(Some(left(deadline)))?;
            match self.socket.write(data) {
                Ok(sent) => data = &data[sent..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn flush_tls(&mut self, deadline: Instant) -> io::Result<()> {
        while let Some(tls) = self.tls.as_mut().filter(|tls| tls.wants_write()) {
            let mut records = Vec::new();
            tls.write_tls(&mut records)?;
            self.send_raw(&records, deadline)?;
        }
        Ok(())
    }

    /// Some bytes, or `Ok(0)` at the end of input.
    fn read_some(&mut self, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
        loop {
            if let Some(tls) = &mut self.tls {
                match tls.reader().read(buffer) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    // A bare FIN is an end like any other here.
                    Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                    other => return other,
                }
            }
            if Instant::now() >= deadline {
                return Err(ErrorKind::TimedOut.into());
            }
            self.socket.set_read_timeout(Some(left(deadline)))?;
            let result = match &mut self.tls {
                None => self.socket.read(buffer),
                Some(tls) => tls.read_tls(&mut self.socket),
            };
            match result {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
                Ok(count) if self.tls.is_none() => return Ok(count),
                Ok(_) => self.take_in(deadline)?,
            }
        }
    }

    fn take_in(&mut self, deadline: Instant) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        let result = tls.process_new_packets();
        // An answer, or an alert: the peer may be gone already.
        let _gone = self.flush_tls(deadline);
        result.map(drop).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
    }

    /// Reads so many bytes, or to the end if that comes first.
    pub(crate) fn read(&mut self, count: usize, limit: Duration) -> (Vec<u8>, Option<End>) {
        let deadline = Instant::now() + limit;
        let mut got = Vec::new();
        let mut buffer = vec![0; count.min(64 * 1024)];
        while got.len() < count {
            let room = buffer.len().min(count - got.len());
            match self.read_some(&mut buffer[..room], deadline) {
                Ok(0) => return (got, Some(End::Eof)),
                Ok(some) => got.extend(&buffer[..some]),
                Err(error) if is_late(&error) => return (got, Some(End::Late)),
                Err(_) => return (got, Some(End::Reset)),
            }
        }
        (got, None)
    }

    /// Reads what comes first, for so long.
    pub(crate) fn read_any(&mut self, limit: Duration) -> (Vec<u8>, Option<End>) {
        let mut buffer = vec![0; 64 * 1024];
        let got = self.read_some(&mut buffer, Instant::now() + limit);
        match got {
            Ok(0) => (Vec::new(), Some(End::Eof)),
            Ok(some) => (buffer[..some].to_vec(), None),
            Err(error) if is_late(&error) => (Vec::new(), Some(End::Late)),
            Err(_) => (Vec::new(), Some(End::Reset)),
        }
    }

    /// Shakes hands; all that follows is encrypted.
    pub(crate) fn start_tls(&mut self, tls: Connection) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        self.tls = Some(tls);
        loop {
            self.flush_tls(deadline)?;
            let Some(tls) = self.tls.as_mut().filter(|tls| tls.is_handshaking()) else {
                return Ok(());
            };
            if Instant::now() >= deadline {
                return Err(ErrorKind::TimedOut.into());
            }
            self.socket.set_read_timeout(Some(left(deadline)))?;
            if tls.read_tls(&mut self.socket)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            self.take_in(deadline)?;
        }
    }

    pub(crate) fn tls(&self) -> Option<&Connection> {
        self.tls.as_ref()
    }

    /// The protocol version, as scenarios write it.
    pub(crate) fn version(&self) -> &'static str {
        match self.tls.as_ref().and_then(|tls| tls.protocol_version()) {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "",
        }
    }

    /// Sends close_notify, and waits a little for the peer's.
    pub(crate) fn unwrap(mut self) {
        let deadline = Instant::now() + UNWRAP;
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
        }
        let sent = self.flush_tls(deadline);
        let mut buffer = vec![0; 16 * 1024];
        while sent.is_ok() && self.read_some(&mut buffer, deadline).is_ok_and(|count| count > 0) {}
    }

    pub(crate) fn shut(&self) {
        // The peer may have reset it already.
        let _gone = self.socket.shutdown(Shutdown::Write);
    }

    /// Closes with a reset.
    pub(crate) fn reset(self) {
        let _gone = SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
    }
}
