//! The services that need nobody behind them: echo, discard, chargen.
//!
//! Never: keeps what a peer has sent; queues more than a chunk for a peer that does not read.

use shardpoll::{Conn, Handler, Silence};
use std::sync::Arc;

pub(super) struct Echo;

impl Handler for Echo {
    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        conn.write(data);
    }
}

pub(super) struct Discard;

impl Handler for Discard {
    fn on_incoming(&mut self, _conn: &mut Conn<'_>, _data: &[u8]) {}
}

/// One for each connection; the characters are the same ones for all.
pub(super) struct Chargen {
    chunk: Arc<[u8]>,
}

/// The printing characters of ASCII, as a ring (RFC 864).
const FIRST: u8 = b' ';
const RING: u8 = 95;
/// How many of them stand in a line, which CR and LF end.
const IN_LINE: u8 = 72;
/// How often the ring is gone around in a chunk: 63,270 bytes, about what one read takes.
const ROUNDS: usize = 9;

impl Chargen {
    pub(super) fn new(chunk: &Arc<[u8]>) -> Self {
        Self { chunk: chunk.clone() }
    }

    /// Whole rounds, so that one chunk follows another without a seam.
    pub(super) fn chunk() -> Arc<[u8]> {
        let line = |number: u8| {
            let column = move |column: u8| FIRST + (number + column) % RING;
            (0..IN_LINE).map(column).chain(*b"\r\n")
        };
        let round: Vec<u8> = (0..RING).flat_map(line).collect();
        round.repeat(ROUNDS).into()
    }

    /// One chunk more, if the last one has gone: the peer says how fast it goes.
    fn go_on(&self, conn: &mut Conn<'_>) {
        if conn.backlog() == 0 {
            conn.write_shared(self.chunk.clone());
        }
    }
}

impl Handler for Chargen {
    fn on_connect(&mut self, conn: &mut Conn<'_>) {
        self.go_on(conn);
    }

    fn on_incoming(&mut self, _conn: &mut Conn<'_>, _data: &[u8]) {}

    fn on_drain(&mut self, conn: &mut Conn<'_>) {
        self.go_on(conn);
    }

    /// It has nothing to say; one that does not read either ends by the send timeout.
    fn on_read_timeout(&mut self, _conn: &mut Conn<'_>) -> Silence {
        Silence::Keep
    }

    /// It would never end by itself.
    fn on_drain_begin(&mut self, conn: &mut Conn<'_>) {
        conn.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_rfc_864_and_chunks_have_no_seam() {
        let chunk = Chargen::chunk();
        let text = std::str::from_utf8(&chunk).expect("ASCII");
        let lines: Vec<_> = text.split_terminator("\r\n").collect();
        assert_eq!(lines.len(), usize::from(RING) * ROUNDS);
        let ring: String = (b' '..=b'~').map(char::from).collect();
        let twice = ring.repeat(2);
        for (number, line) in lines.iter().enumerate() {
            let from = number % 95;
            assert_eq!(*line, &twice[from..from + 72], "line {number}");
        }
        // As it stands in the RFC.
        assert!(lines[0].starts_with(" !\"#$%&'()*+,-./0123") && lines[0].ends_with("abcdefg"));
        assert_eq!(lines[95], lines[0]);
    }
}
