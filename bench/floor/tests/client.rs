//! The bare clients count what came back, and know when a server does not echo.

use shardpoll_floor::client::{Clients, SIZE};
use shardpoll_floor::level;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a port");
    let addr = listener.local_addr().expect("it is bound");
    (listener, addr)
}

fn spawn<R: Send + 'static>(body: impl FnOnce() -> R + Send + 'static) -> JoinHandle<R> {
    Builder::new().spawn(body).expect("a thread")
}

#[test]
fn what_is_sent_comes_back_and_is_counted() {
    let (listener, addr) = listen();
    let (stop, stopped) = UnixStream::pair().expect("descriptors");
    // One that holds now and then is a server all the same.
    let mut turns = 0;
    let hold = move || {
        turns += 1;
        if turns % 10 == 0 {
            std::thread::park_timeout(Duration::from_millis(1));
        }
    };
    let server = spawn(move || level::serve_late(&listener, &stopped, hold));
    let mut clients = Clients::connect(addr, 10).expect("it listens");
    let back = clients.run(|back| back >= 1000).expect("it echoes");
    // Those in flight are waited for.
    assert!((1000..=1020).contains(&back), "{back}");
    // Nothing is left over for the next run.
    let back = clients.run(|_| true).expect("it echoes");
    assert_eq!(back, 10);
    drop(clients);
    drop(stop);
    server.join().expect("it does not panic").expect("it waits without errors");
}

#[test]
fn a_server_that_closes_or_says_too_much_is_an_error() {
    for answer in [&[][..], &[0; SIZE + 1]] {
        let (listener, addr) = listen();
        let serve = move || {
            let (mut stream, _) = listener.accept().expect("it connects");
            stream.read_exact(&mut [0; SIZE]).expect("a message");
            stream.write_all(answer).expect("it reads");
        };
        let server = spawn(serve);
        let mut clients = Clients::connect(addr, 1).expect("it listens");
        assert!(clients.run(|_| false).is_err());
        server.join().expect("it does not panic");
    }
}
