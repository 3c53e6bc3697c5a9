//! haproxy in mode tcp, one thread, with or without splice. It is given its listening socket as
//! standard input, so that no port has to be guessed, and dies with this process.
//!
//! Never: carries a byte itself.

use crate::failure::Failure;
use crate::peer::{HAPROXY, Peer};
use crate::serve::{Patience, ready_as, until_input_ends};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

fn config(behind: SocketAddr, splice: bool, patience: Patience) -> String {
    let timeout = patience.read.as_secs();
    let splice =
        if splice { "    option splice-request\n    option splice-response\n" } else { "" };
    format!(
        "global\n    nbthread 1\n    maxconn 4000\n\
         defaults\n    mode tcp\n    timeout connect 5s\n\
         \x20   timeout client {timeout}s\n    timeout server {timeout}s\n\
         listen proxy\n{splice}    bind fd@0\n    server behind {behind}\n"
    )
}

/// setpriv(1) ends it when this process dies, however that is. Not told to be quiet: it would close
/// its standard input first.
fn start(config: &std::path::Path, listener: TcpListener) -> io::Result<Child> {
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", HAPROXY, "-db", "-f"])
        .arg(config)
        .stdin(Stdio::from(OwnedFd::from(listener)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

pub(crate) fn serve(
    peer: Peer,
    behind: Option<SocketAddr>,
    patience: Patience,
) -> Result<(), Failure> {
    let Some(behind) = behind else {
        return Err(Failure::Usage("a proxy needs --behind".into()));
    };
    let cannot = Failure::io("haproxy");
    let run = || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let addr = listener.local_addr()?;
        let name = format!("versus-{}-{}.cfg", peer.name(), std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, config(behind, peer == Peer::HaproxySplice, patience))?;
        Ok((addr, start(&path, listener), path))
    };
    let (addr, child, path) = run().map_err(cannot)?;
    let mut child = child.map_err(Failure::io("setpriv and haproxy"))?;
    ready_as(addr, child.id());
    until_input_ends();
    let ended = child.try_wait();
    let killed = child.kill().and_then(|()| child.wait());
    let removed = std::fs::remove_file(path);
    match ended {
        Ok(Some(status)) => {
            let source = io::Error::other(format!("ended by itself: {status}"));
            Err(Failure::Io { what: "haproxy", source })
        }
        Ok(None) => killed.map(drop).and(removed).map_err(Failure::io("the end of haproxy")),
        Err(error) => Err(Failure::Io { what: "haproxy", source: error }),
    }
}
