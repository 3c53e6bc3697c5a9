//! Proxies that are programs of their own: haproxy in mode tcp, with or without splice, and nginx's
//! stream. Each has one thread, and dies with this process. haproxy is given its listening socket
//! as standard input, so that no port has to be guessed; nginx, which takes one only from another
//! nginx, a port that was free just before.
//!
//! Never: carries a byte itself.

use crate::failure::Failure;
use crate::peer::{HAPROXY, NGINX, NGINX_STREAM, Peer};
use crate::serve::{Patience, ready_as, until_input_ends};
use crate::window::pause;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Of the file that nginx writes its number to.
const PID: &str = "pid";

/// How often, and how many times, it is asked whether nginx listens.
const BETWEEN_TRIES: Duration = Duration::from_millis(10);
const TRIES: u32 = 1000;

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

/// One process, which is the worker.
fn nginx(pid: &Path, addr: SocketAddr, behind: SocketAddr, patience: Patience) -> String {
    let (timeout, pid) = (patience.read.as_secs(), pid.display());
    format!(
        "load_module {NGINX_STREAM};\ndaemon off;\nmaster_process off;\npid {pid};\n\
         error_log /dev/null crit;\n\
         events {{ worker_connections 4000; }}\n\
         stream {{\n    access_log off;\n    proxy_timeout {timeout}s;\n\
         \x20   server {{\n        listen {addr};\n        proxy_pass {behind};\n    }}\n}}\n"
    )
}

/// setpriv(1) ends it when this process dies, however that is. haproxy is not told to be quiet: it
/// would close its standard input first.
fn start(words: &[&str], config: &Path, input: Stdio) -> io::Result<Child> {
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL"])
        .args(words)
        .arg(config)
        .stdin(input)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

/// Nothing tells when nginx listens.
fn until_it_listens(addr: SocketAddr, child: &mut Child) -> io::Result<()> {
    for _ in 0..TRIES {
        if TcpStream::connect(addr).is_ok() {
            return Ok(());
        }
        if let Some(status) = child.try_wait()? {
            return Err(io::Error::other(format!("ended at once: {status}")));
        }
        pause(BETWEEN_TRIES);
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// Gives where it listens.
fn begin(
    peer: Peer,
    behind: SocketAddr,
    path: &Path,
    patience: Patience,
) -> io::Result<(SocketAddr, Child)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let addr = listener.local_addr()?;
    if peer == Peer::Nginx {
        drop(listener);
        std::fs::write(path, nginx(&path.with_extension(PID), addr, behind, patience))?;
        let mut child = start(&[NGINX, "-e", "/dev/null", "-c"], path, Stdio::null())?;
        until_it_listens(addr, &mut child)?;
        return Ok((addr, child));
    }
    std::fs::write(path, haproxy(behind, peer == Peer::HaproxySplice, patience))?;
    let input = Stdio::from(OwnedFd::from(listener));
    Ok((addr, start(&[HAPROXY, "-db", "-f"], path, input)?))
}

pub(crate) fn serve(
    peer: Peer,
    behind: Option<SocketAddr>,
    patience: Patience,
) -> Result<(), Failure> {
    let Some(behind) = behind else {
        return Err(Failure::Usage("a proxy needs --behind".into()));
    };
    let name = format!("versus-{}-{}.cfg", peer.name(), std::process::id());
    let path = std::env::temp_dir().join(name);
    let begun = begin(peer, behind, &path, patience);
    let (addr, mut child) = begun.map_err(Failure::io("setpriv and a proxy"))?;
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
