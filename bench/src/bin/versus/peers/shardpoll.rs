//! This engine: one shard unless two are asked for, its defaults, so with all its timeouts and
//! limits.
//!
//! Never: has state in its handler.

use crate::failure::Failure;
use crate::serve::{Patience, ready, until_input_ends};
use shardpoll::tls::ServerContext;
use shardpoll::tls::rustls::ServerConfig;
use shardpoll::{Config, Conn, Engine, Handler, Listen, Pinning};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

struct Echo;

impl Handler for Echo {
    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        conn.write(data);
    }
}

pub(crate) fn serve(
    tls: Option<Arc<ServerConfig>>,
    patience: Patience,
    shards: usize,
) -> Result<(), Failure> {
    let mut config = Config::default();
    config.read_timeout = Some(patience.read);
    let engine = Engine::builder().shards(shards).pinning(Pinning::None).config(config).start()?;
    let mut listen = Listen::on((Ipv4Addr::LOCALHOST, 0));
    if let Some(tls) = tls {
        listen = listen.tls(ServerContext::new(tls));
    }
    let listener = engine.listen(listen, |_peer| Echo)?;
    ready(engine.addr(listener).expect("the listener was just made"));
    until_input_ends();
    engine.quit(Duration::ZERO);
    engine.join()?;
    Ok(())
}
