//! glommio: a task and a buffer for each connection, over io_uring.
//!
//! The read timeout is `glommio::timer::timeout` round each read. It ends with the process, as
//! monoio's does.
//!
//! Never: has TLS.

use crate::failure::Failure;
use crate::serve::{Patience, exit_with_input, ready};
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use glommio::net::{TcpListener, TcpStream};
use glommio::timer::timeout;
use glommio::{GlommioError, LocalExecutorBuilder, Placement};
use std::io;

/// As much as every peer reads at once.
const READ_BYTES: usize = 16 * 1024;

pub(crate) fn serve(patience: Patience) -> Result<(), Failure> {
    exit_with_input()?;
    let failed = |error: GlommioError<()>| Failure::io("glommio")(io::Error::other(error));
    let executor = LocalExecutorBuilder::new(Placement::Unbound).make().map_err(failed)?;
    executor.run(accept(patience)).map_err(failed)
}

async fn accept(patience: Patience) -> Result<(), GlommioError<()>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    ready(listener.local_addr()?);
    loop {
        let stream = listener.accept().await?;
        stream.set_nodelay(true)?;
        glommio::spawn_local(echo(stream, patience)).detach();
    }
}

/// Until the client has finished, is silent for too long, or is gone.
async fn echo(mut stream: TcpStream, patience: Patience) {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = async { stream.read(&mut buffer).await.map_err(GlommioError::<()>::from) };
        let Ok(count @ 1..) = timeout(patience.read, read).await else { return };
        if stream.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
