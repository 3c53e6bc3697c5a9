//! A lasting connection of the load.
//!
//! Never: has more in flight than its depth.

use crate::load::{News, Shared};
use crate::scenario::Lines;
use shardpoll::tls::rustls::ProtocolVersion;
use shardpoll::{CloseReason, Conn, Handler};
use shardpoll_bench::course::Course;
use std::sync::Arc;

/// Messages are made in pieces of this.
const PIECE_BYTES: usize = 16 * 1024;

pub(crate) struct Line {
    shared: Arc<Shared>,
    number: u64,
    depth: u64,
    course: Course,
}

impl Line {
    pub(crate) fn new(shared: Arc<Shared>, number: u64, shape: Lines) -> Self {
        let course = Course::new(number, shape.size, shape.depth);
        Self { shared, number, depth: shape.depth as u64, course }
    }

    /// Puts the first messages in flight.
    pub(crate) fn begin(&mut self, conn: &mut Conn<'_>) {
        self.shared.begun(self.depth);
        self.send(conn, self.depth);
    }

    fn send(&mut self, conn: &mut Conn<'_>, messages: u64) {
        for _ in 0..messages {
            send(&mut self.course, conn);
        }
    }

    fn wrong(&self, why: impl std::fmt::Display) {
        self.shared.tell(News::Wrong(format!("connection {}: {why}", self.number)));
    }
}

/// Queues the next message; a refusal is told by `on_disconnect`.
pub(crate) fn send(course: &mut Course, conn: &mut Conn<'_>) {
    let mut piece = [0; PIECE_BYTES];
    course.send(0, &mut piece, |piece| {
        conn.write(piece);
    });
}

/// Whether what was agreed on is what the table says.
pub(crate) fn is_as_asked(shared: &Shared, conn: &Conn<'_>) -> bool {
    let version = conn.tls().and_then(|info| info.protocol_version());
    version == shared.tls.as_ref().map(|_| ProtocolVersion::TLSv1_3)
}

impl Handler for Line {
    fn on_connect(&mut self, conn: &mut Conn<'_>) {
        if is_as_asked(&self.shared, conn) {
            self.shared.tell(News::Up(conn.id()));
        } else {
            self.wrong("not TLS 1.3");
        }
    }

    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        let mut echoed = 0;
        if let Err(wrong) = self.course.receive(data, |_, _| echoed += 1) {
            conn.abort();
            return self.wrong(wrong);
        }
        let more = (0..echoed).filter(|_| self.shared.another()).count();
        self.send(conn, more as u64);
    }

    fn on_disconnect(&mut self, _conn: &mut Conn<'_>, reason: &CloseReason) {
        self.wrong(reason);
    }
}
