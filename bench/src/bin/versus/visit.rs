//! A connection that comes, has one message echoed, and goes; another follows it.
//!
//! Never: counts before the connection is over on this side.

use crate::line::{is_as_asked, send};
use crate::load::{News, Shared};
use shardpoll::{CloseReason, Conn, Handler, Local};
use shardpoll_bench::course::Course;
use std::sync::Arc;

const SIZE: usize = 64;

pub(crate) struct Visit {
    shared: Arc<Shared>,
    course: Course,
    echoed: bool,
}

impl Visit {
    /// Begins one; it is counted as in flight already.
    pub(crate) fn pay(shared: &Arc<Shared>, local: &mut Local<'_>) {
        let course = Course::new(0, SIZE, 1);
        let visit = Self { shared: Arc::clone(shared), course, echoed: false };
        if let Err(refused) = local.connect(shared.connect(), visit) {
            shared.refused(refused);
        }
    }
}

impl Handler for Visit {
    fn on_connect(&mut self, conn: &mut Conn<'_>) {
        if is_as_asked(&self.shared, conn) {
            send(&mut self.course, conn);
        } else {
            self.shared.tell(News::Wrong("not TLS 1.3".into()));
        }
    }

    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        if let Err(wrong) = self.course.receive(data, |_, _| self.echoed = true) {
            conn.abort();
            return self.shared.tell(News::Wrong(wrong.to_string()));
        }
        if self.echoed {
            conn.close();
        }
    }

    fn on_disconnect(&mut self, conn: &mut Conn<'_>, reason: &CloseReason) {
        if !self.echoed {
            return self.shared.tell(News::Wrong(reason.to_string()));
        }
        if self.shared.another() {
            Self::pay(&self.shared, &mut conn.local());
        }
    }
}
