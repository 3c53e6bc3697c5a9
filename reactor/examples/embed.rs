//! A reactor inside somebody else's thread: `cargo run -p shardpoll-reactor --example embed`.
//!
//! The host owns the thread and the time: it gives the loop a turn whenever it has none of its own
//! work to do, and another thread of the host wakes the loop when it wants to end.

use shardpoll_reactor::{
    BindOptions, Config, Handler, Linux, ListenerId, ListenerOptions, Peer, Place, Reactor, Turn,
    Wake, bind_group, incoming,
};
use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A client, somewhere else: says hello, and hears it again.
fn visit(addr: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(addr)?;
    stream.write_all(b"hello")?;
    let mut answer = [0; 5];
    stream.read_exact(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let mut reactor = Reactor::new(Linux::new()?, Place::FIRST, Config::default())?;
    let (mut sockets, addr) = bind_group(([127, 0, 0, 1], 0).into(), 1, &BindOptions::default())?;
    let socket = sockets.pop().ok_or("asked for one")?;
    let echo = |_: &Peer| -> Box<dyn Handler> {
        Box::new(incoming(|conn, data| {
            conn.write(data);
        }))
    };
    reactor.add_listener(ListenerId::new(0), socket, ListenerOptions::default(), Box::new(echo))?;

    let (over, waker) = (AtomicBool::new(false), reactor.waker());
    std::thread::scope(|scope| {
        let visitor = scope.spawn(|| {
            let answer = visit(addr);
            over.store(true, Ordering::Release);
            waker.wake();
            answer
        });
        // The host's own loop: its work, then a turn of ours.
        while reactor.turn(None)? != Turn::Drained {
            if over.load(Ordering::Acquire) {
                reactor.quit(Duration::from_secs(1));
            }
        }
        let answer = visitor.join().map_err(|_| "the visitor panicked")??;
        println!("the loop said {answer}, and ended");
        Ok(())
    })
}
