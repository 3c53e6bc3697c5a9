//! This engine as a proxy: each connection is linked to one of its own to the server behind.
//!
//! Never: sees a byte.

use crate::failure::Failure;
use crate::serve::{Patience, ready, until_input_ends};
use shardpoll::{Config, Conn, ConnId, Connect, Engine, Handler, Listen, Pinning};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// The side of the client, which waits for the other.
struct Front {
    behind: SocketAddr,
}

/// The side of the server.
struct Back {
    front: ConnId,
}

impl Handler for Front {
    fn on_connect(&mut self, conn: &mut Conn<'_>) {
        conn.pause();
        let back = Back { front: conn.id() };
        if conn.local().connect(Connect::to(self.behind), back).is_err() {
            conn.close();
        }
    }

    fn on_incoming(&mut self, _conn: &mut Conn<'_>, _data: &[u8]) {}
}

impl Handler for Back {
    fn on_connect(&mut self, conn: &mut Conn<'_>) {
        let back = conn.id();
        if conn.local().link_both(self.front, back).is_err() {
            conn.close();
        }
    }

    fn on_incoming(&mut self, _conn: &mut Conn<'_>, _data: &[u8]) {}
}

pub(crate) fn serve(behind: Option<SocketAddr>, patience: Patience) -> Result<(), Failure> {
    let Some(behind) = behind else {
        return Err(Failure::Usage("a proxy needs --behind".into()));
    };
    let mut config = Config::default();
    config.read_timeout = Some(patience.read);
    let engine = Engine::builder().shards(1).pinning(Pinning::None).config(config).start()?;
    let listen = Listen::on((Ipv4Addr::LOCALHOST, 0));
    let listener = engine.listen(listen, move |_peer| Front { behind })?;
    ready(engine.addr(listener).expect("the listener was just made"));
    until_input_ends();
    engine.quit(Duration::ZERO);
    engine.join()?;
    Ok(())
}
