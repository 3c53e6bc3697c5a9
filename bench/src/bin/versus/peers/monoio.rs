//! monoio: a task and a buffer for each connection, over epoll ("legacy") or io_uring.
//!
//! The read timeout is `monoio::time::timeout` round each read. It ends with the process: its
//! runtime cannot be told anything by another thread without a feature that costs the others.
//!
//! Never: has TLS.

use crate::failure::Failure;
use crate::peer::Peer;
use crate::serve::{Patience, exit_with_input, listen, ready};
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};
use monoio::time::timeout;
use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};
use std::io;

/// As much as every peer reads at once.
const READ_BYTES: usize = 16 * 1024;

/// Whether the kernel has what io_uring needs here.
pub(crate) fn has_uring() -> bool {
    monoio::utils::detect_uring()
}

pub(crate) fn serve(peer: Peer, patience: Patience) -> Result<(), Failure> {
    let (listener, addr) = listen()?;
    let uring = peer == Peer::MonoioUring;
    // Only epoll has to be asked first.
    listener.set_nonblocking(!uring).map_err(Failure::io("the listener"))?;
    exit_with_input()?;
    let serve = async move {
        let listener = TcpListener::from_std(listener)?;
        ready(addr);
        accept(&listener, patience).await
    };
    let run = || {
        if uring {
            RuntimeBuilder::<IoUringDriver>::new().enable_timer().build()?.block_on(serve)
        } else {
            RuntimeBuilder::<LegacyDriver>::new().enable_timer().build()?.block_on(serve)
        }
    };
    run().map_err(Failure::io("monoio"))
}

async fn accept(listener: &TcpListener, patience: Patience) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        drop(monoio::spawn(echo(stream, patience)));
    }
}

/// Until the client has finished, is silent for too long, or is gone.
async fn echo(mut stream: TcpStream, patience: Patience) {
    let mut buffer = Vec::with_capacity(READ_BYTES);
    loop {
        let Ok((Ok(1..), read)) = timeout(patience.read, stream.read(buffer)).await else { return };
        let (Ok(_), written) = stream.write_all(read).await else { return };
        buffer = written;
    }
}
