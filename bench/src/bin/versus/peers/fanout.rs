//! What one connection says is told to all: ours by shared chunks, tokio's by a broadcast channel
//! that a task of each connection waits for and writes from.
//!
//! Never: copies a message for each of them.

use crate::failure::Failure;
use crate::hearer::{SAID_BYTES, WELCOME};
use crate::serve::{Patience, ready, until_input_ends};
use shardpoll::{CloseReason, Config, Conn, ConnId, Engine, Handler, Listen, Pinning, Remote};
use std::collections::BTreeSet;
use std::io::{self, stdin};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::unix::pipe;
use tokio::runtime::Builder;
use tokio::sync::broadcast;
use tokio::time::timeout;

/// Messages that a slow connection may be behind.
const BEHIND: usize = 16;

/// One of the crowd.
struct Member {
    /// In the order of their ids, which is nearly that of their places in memory; a random one
    /// costs a tenth more.
    all: Arc<Mutex<BTreeSet<ConnId>>>,
    remote: Remote,
}

impl Member {
    fn all(&self) -> MutexGuard<'_, BTreeSet<ConnId>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handler for Member {
    fn on_connect(&mut self, conn: &mut Conn<'_>) {
        self.all().insert(conn.id());
        conn.write(&WELCOME);
    }

    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        let told = self.remote.write_to_all(self.all().iter().copied(), &Arc::from(data));
        if told.is_err() {
            conn.abort();
        }
    }

    fn on_disconnect(&mut self, conn: &mut Conn<'_>, _reason: &CloseReason) {
        self.all().remove(&conn.id());
    }
}

pub(crate) fn serve_ours(patience: Patience) -> Result<(), Failure> {
    let mut config = Config::default();
    config.read_timeout = Some(patience.read);
    let engine = Engine::builder().shards(1).pinning(Pinning::None).config(config).start()?;
    let (all, remote) = (Arc::default(), engine.remote());
    let listen = Listen::on((Ipv4Addr::LOCALHOST, 0));
    let member = move |_: &_| Member { all: Arc::clone(&all), remote: remote.clone() };
    let listener = engine.listen(listen, member)?;
    ready(engine.addr(listener).expect("the listener was just made"));
    until_input_ends();
    engine.quit(Duration::ZERO);
    engine.join()?;
    Ok(())
}

pub(crate) fn serve_tokio(patience: Patience) -> Result<(), Failure> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::io("tokio's runtime"))?;
    let served = runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let input = pipe::Receiver::from_owned_fd(stdin().as_fd().try_clone_to_owned()?)?;
        ready(listener.local_addr()?);
        tokio::select! {
            result = accept(&listener, patience) => result,
            _ = input.readable() => Ok(()),
        }
    });
    served.map_err(Failure::io("tokio's listener"))
}

/// Reads and writes have tasks of their own: to wait for both in one costs more.
async fn accept(listener: &TcpListener, patience: Patience) -> io::Result<()> {
    let (say, _) = broadcast::channel::<Arc<[u8]>>(BEHIND);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (say, mut hear) = (say.clone(), say.subscribe());
        let (reader, mut writer) = stream.into_split();
        tokio::spawn(speak(reader, say, patience));
        tokio::spawn(async move {
            writer.write_all(&WELCOME).await?;
            while let Ok(said) = hear.recv().await {
                writer.write_all(&said).await?;
            }
            io::Result::Ok(())
        });
    }
}

async fn speak(mut reader: OwnedReadHalf, say: broadcast::Sender<Arc<[u8]>>, patience: Patience) {
    let mut said = [0; SAID_BYTES];
    while let Ok(Ok(count @ 1..)) = timeout(patience.read, reader.read(&mut said)).await {
        let _nobody = say.send(Arc::from(&said[..count]));
    }
}
