//! Proxies that are programs of their own: haproxy in mode tcp, with or without splice, and nginx's
//! stream. Each has one thread. Each is given its listening socket as standard input, so that no
//! port has to be guessed, and dies with this process.
//!
//! Never: carries a byte itself.

use crate::failure::Failure;
use crate::peer::{HAPROXY, NGINX, NGINX_STREAM, Peer};
use crate::serve::{Patience, ready_as, until_input_ends};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Of the file that nginx writes its number to.
const PID: &str = "pid";

fn haproxy(behind: SocketAddr, splice: bool, patience: Patience) -> String {
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

/// One process, which is the worker. `NGINX` in its environment names the socket that it finds to
/// be the one it is to listen at.
fn nginx(pid: &Path, addr: SocketAddr, behind: SocketAddr, patience: Patience) -> String {
    let (timeout, pid) = (patience.read.as_secs(), pid.display());
    format!(
        "load_module {NGINX_STREAM};\ndaemon off;\nmaster_process off;\npid {pid};\nerror_log /dev/null crit;\n\
         events {{ worker_connections 4000; }}\n\
         stream {{\n    access_log off;\n    proxy_timeout {timeout}s;\n\
         \x20   server {{\n        listen {addr};\n        proxy_pass {behind};\n    }}\n}}\n"
    )
}

/// setpriv(1) ends it when this process dies, however that is. haproxy is not told to be quiet: it
/// would close its standard input first.
fn start(peer: Peer, config: &Path, listener: TcpListener) -> io::Result<Child> {
    let words: &[&str] = if peer == Peer::Nginx {
        &[NGINX, "-e", "/dev/null", "-c"]
    } else {
        &[HAPROXY, "-db", "-f"]
    };
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL"])
        .args(words)
        .arg(config)
        .env("NGINX", "0;")
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
    let cannot = Failure::io("a proxy");
    let run = || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let addr = listener.local_addr()?;
        let name = format!("versus-{}-{}.cfg", peer.name(), std::process::id());
        let path = std::env::temp_dir().join(name);
        let config = match peer {
            Peer::Nginx => nginx(&path.with_extension(PID), addr, behind, patience),
            _ => haproxy(behind, peer == Peer::HaproxySplice, patience),
        };
        std::fs::write(&path, config)?;
        Ok((addr, start(peer, &path, listener), path))
    };
    let (addr, child, path) = run().map_err(cannot)?;
    let mut child = child.map_err(Failure::io("setpriv and a proxy"))?;
    ready_as(addr, child.id());
    until_input_ends();
    let ended = child.try_wait();
    let killed = child.kill().and_then(|()| child.wait());
    if peer == Peer::Nginx {
        // It may not have come so far.
        let _gone = std::fs::remove_file(path.with_extension(PID));
    }
    let removed = std::fs::remove_file(path);
    match ended {
        Ok(Some(status)) => {
            let source = io::Error::other(format!("ended by itself: {status}"));
            Err(Failure::Io { what: peer.name(), source })
        }
        Ok(None) => killed.map(drop).and(removed).map_err(Failure::io("the end of a proxy")),
        Err(error) => Err(Failure::Io { what: peer.name(), source: error }),
    }
}
