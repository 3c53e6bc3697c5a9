//! Many connections, TLS or plain, from this process, by the engine's own client on one shard.
//!
//! Never: sends a message on a connection before the last one is back.

use crate::driver::{SIZE, message};
use crate::failure::Failure;
use shardpoll::tls::ClientContext;
use shardpoll::tls::rustls::ProtocolVersion;
use shardpoll::tls::rustls::pki_types::ServerName;
use shardpoll::{CloseReason, Conn, ConnId, Connect, Engine, Handler, Local, Pinning};
use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

/// Connections established at a time: well below what listeners queue.
const DIALS_AT_A_TIME: usize = 50;

/// How long one connection may take until its echo is back.
const PATIENCE: Duration = Duration::from_secs(60);

/// `Ok`: an echo is back on this connection. `Err`: one is over, and why.
type News = Result<ConnId, String>;

/// Connections, each of which has had an echo.
#[derive(Debug)]
pub(crate) struct Crowd {
    engine: Engine,
    addr: SocketAddr,
    /// `None`: plain.
    context: Option<ClientContext>,
    open: Vec<ConnId>,
    round: u64,
    news: Receiver<News>,
    tell: Sender<News>,
}

impl Crowd {
    pub(crate) fn start(addr: SocketAddr, tls: bool) -> Result<Self, Failure> {
        let engine = Engine::builder().shards(1).pinning(Pinning::None).start()?;
        let (tell, news) = mpsc::channel();
        let context = tls.then(ClientContext::insecure);
        Ok(Self { engine, addr, context, open: Vec::new(), round: 0, news, tell })
    }

    /// Opens connections until there are this many, with one echo on each new one.
    pub(crate) fn grow_to(&mut self, connections: usize) -> Result<(), Failure> {
        while self.open.len() < connections {
            let count = DIALS_AT_A_TIME.min(connections - self.open.len());
            self.dial(count)?;
            for _ in 0..count {
                let new = self.echoed()?;
                self.open.push(new);
            }
        }
        Ok(())
    }

    /// One message on every connection, sent by one turn of the loop, then all echoes; so many
    /// times.
    pub(crate) fn rounds(&mut self, count: u64) -> Result<(), Failure> {
        for _ in 0..count {
            self.round += 1;
            let (open, round) = (self.open.clone(), self.round);
            self.run(move |local| {
                for id in open {
                    // One that is over has told so.
                    let _over = local.with(id, |visitor: &mut Visitor, conn| {
                        visitor.begin(conn, round);
                    });
                }
            })?;
            for _ in 0..self.open.len() {
                self.echoed()?;
            }
        }
        Ok(())
    }

    /// The connection on which the next echo is back.
    fn echoed(&self) -> Result<ConnId, Failure> {
        let news = self.news.recv_timeout(PATIENCE);
        news.unwrap_or_else(|error| Err(error.to_string())).map_err(went_wrong)
    }

    fn run(&self, task: impl FnOnce(&mut Local<'_>) + Send + 'static) -> Result<(), Failure> {
        self.engine.remote().run(0, task).map_err(|undelivered| went_wrong(undelivered.to_string()))
    }

    fn dial(&self, count: usize) -> Result<(), Failure> {
        let (addr, context, tell) = (self.addr, self.context.clone(), self.tell.clone());
        let open = self.open.len();
        let (numbers, own) = (open..open + count, tell.clone());
        self.run(move |local| {
            for number in numbers {
                let mut connect = Connect::to(addr);
                if let Some(context) = &context {
                    let name = ServerName::try_from("localhost").expect("it is a name");
                    connect = connect.tls(context.clone(), name);
                }
                let (number, tls, tell) = (number as u64, context.is_some(), tell.clone());
                let visitor = Visitor { number, message: [0; SIZE], back: SIZE, tls, tell };
                if let Err(refused) = local.connect(connect, visitor) {
                    let _gone = own.send(Err(refused.to_string()));
                }
            }
        })
    }

    /// Ends them all, which the other side has most likely done before.
    pub(crate) fn leave(self) -> Result<(), Failure> {
        self.engine.quit(Duration::ZERO);
        self.engine.join()?;
        Ok(())
    }

    /// Ends them all; an error when one had ended before.
    pub(crate) fn end(self) -> Result<(), Failure> {
        let over = self.news.try_iter().find_map(Result::err);
        self.engine.quit(Duration::ZERO);
        self.engine.join()?;
        over.map_or(Ok(()), |why| Err(went_wrong(why)))
    }
}

fn went_wrong(why: String) -> Failure {
    Failure::Echo { why }
}

/// One connection: sends a message when it is told, checks its echo, and stays.
struct Visitor {
    number: u64,
    message: [u8; SIZE],
    /// How many bytes of the echo are back.
    back: usize,
    tls: bool,
    tell: Sender<News>,
}

impl Visitor {
    fn begin(&mut self, conn: &mut Conn<'_>, round: u64) {
        self.message = message(self.number, round);
        self.back = 0;
        conn.write(&self.message);
    }
}

impl Handler for Visitor {
    fn on_connect(&mut self, conn: &mut Conn<'_>) {
        // The figure is named after it.
        let version = conn.tls().and_then(|info| info.protocol_version());
        if self.tls && version != Some(ProtocolVersion::TLSv1_3) {
            let _gone = self.tell.send(Err("not TLS 1.3 was agreed on".into()));
        }
        self.begin(conn, 0);
    }

    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        let missing = &self.message[self.back..];
        if !missing.starts_with(data) {
            // Its end is the news.
            return conn.close();
        }
        self.back += data.len();
        if self.back == self.message.len() {
            let _gone = self.tell.send(Ok(conn.id()));
        }
    }

    fn on_disconnect(&mut self, _conn: &mut Conn<'_>, reason: &CloseReason) {
        let _gone = self.tell.send(Err(format!("a connection ended: {reason}")));
    }
}
