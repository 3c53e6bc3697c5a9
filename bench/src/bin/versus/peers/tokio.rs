//! tokio: the current-thread runtime, or the multi-thread one with one worker; a task and a buffer
//! for each connection; with TLS, tokio-rustls.
//!
//! The read timeout is `tokio::time::timeout` round each read, as its users write it. Writes have
//! none, where this engine has one: that is in tokio's favour.
//!
//! No thread of its own waits for its end: the C library's calls are dearer in a process that has
//! ever had two.
//!
//! Never: reads less than there is room for.

use crate::failure::Failure;
use crate::peer::Peer;
use crate::serve::{Patience, ready};
use shardpoll::tls::rustls::ServerConfig;
use std::io::stdin;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::net::unix::pipe;
use tokio::runtime::Builder;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// As much as every peer reads at once.
const READ_BYTES: usize = 16 * 1024;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) fn serve(
    peer: Peer,
    tls: Option<Arc<ServerConfig>>,
    patience: Patience,
) -> Result<(), Failure> {
    let mut builder = match peer {
        Peer::TokioMulti => Builder::new_multi_thread(),
        _ => Builder::new_current_thread(),
    };
    let runtime =
        builder.worker_threads(1).enable_all().build().map_err(Failure::io("tokio's runtime"))?;
    let serve = async move {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let input = pipe::Receiver::from_owned_fd(stdin().as_fd().try_clone_to_owned()?)?;
        ready(listener.local_addr()?);
        tokio::select! {
            result = accept(&listener, tls, patience) => result,
            _ = input.readable() => Ok(()),
        }
    };
    // On the worker, where there is one: the thread that waits for all this would be a second.
    let served = match peer {
        Peer::TokioMulti => {
            let joined = runtime.block_on(async { tokio::spawn(serve).await });
            joined.unwrap_or_else(|error| Err(error.into()))
        }
        _ => runtime.block_on(serve),
    };
    served.map_err(Failure::io("tokio's listener"))
}

async fn accept(
    listener: &TcpListener,
    tls: Option<Arc<ServerConfig>>,
    patience: Patience,
) -> std::io::Result<()> {
    let acceptor = tls.map(TlsAcceptor::from);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        match acceptor.clone() {
            None => drop(tokio::spawn(echo(stream, patience))),
            Some(acceptor) => drop(tokio::spawn(async move {
                let accept = acceptor.accept(stream);
                if let Ok(Ok(stream)) = timeout(HANDSHAKE_TIMEOUT, accept).await {
                    echo(stream, patience).await;
                }
            })),
        }
    }
}

/// Until the client has finished, is silent for too long, or is gone.
async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin, patience: Patience) {
    let mut buffer = vec![0; READ_BYTES];
    while let Ok(Ok(count @ 1..)) = timeout(patience.read, stream.read(&mut buffer)).await {
        // What tokio-rustls has sealed may wait inside it: only a flush sends all of it.
        if stream.write_all(&buffer[..count]).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
    let _gone = stream.shutdown().await;
}
