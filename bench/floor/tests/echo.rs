//! Both loops give back what they get, whatever its size and whenever its end comes.

use shardpoll_floor::{READ_BYTES, edge, level};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};
use std::time::Duration;

#[derive(Clone, Copy, Debug)]
enum Loop {
    Level,
    Edge(Duration),
}

const BOTH: [Loop; 2] = [Loop::Level, Loop::Edge(Duration::from_secs(60))];

struct Server {
    addr: SocketAddr,
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Server {
    fn start(which: Loop) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a port");
        let addr = listener.local_addr().expect("it is bound");
        let (stop, stopped) = UnixStream::pair().expect("descriptors");
        let serve = move || match which {
            Loop::Level => level::serve(&listener, &stopped),
            Loop::Edge(read_timeout) => {
                edge::serve::<READ_BYTES>(&listener, &stopped, read_timeout)
            }
        };
        let thread = thread::Builder::new().spawn(serve).expect("a thread");
        Self { addr, stop: Some(stop), thread: Some(thread) }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("it is not zero");
        stream
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().expect("joined once").join();
        ended.expect("it does not panic").expect("it waits without errors");
    }
}

/// So many bytes, no two stretches alike.
fn bytes(count: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(count).collect()
}

#[test]
fn what_comes_goes_back_whole_and_the_end_comes_after_it() {
    for which in BOTH {
        let server = Server::start(which);
        for size in [1, 64, 16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1, 100_000, 8 << 20] {
            let mut stream = server.connect();
            let sent = bytes(size);
            let (mut writer, all) = (stream.try_clone().expect("a descriptor"), sent.clone());
            // The end is sent with the last bytes; reading begins when the pipes may be full.
            let write = thread::Builder::new().spawn(move || {
                writer.write_all(&all).expect("the server reads");
                writer.shutdown(Shutdown::Write).expect("it is open");
            });
            let mut back = Vec::new();
            stream.read_to_end(&mut back).expect("the server closes in order");
            write.expect("a thread").join().expect("it has written");
            assert!(back == sent, "{which:?}: {size} bytes, {} came back", back.len());
        }
    }
}

#[test]
fn a_client_that_does_not_read_is_not_read_from_and_gets_all_in_the_end() {
    for which in BOTH {
        let server = Server::start(which);
        let mut stream = server.connect();
        let sent = bytes(32 << 20);
        stream.set_nonblocking(true).expect("it is open");
        let mut taken = 0;
        let mut other = server.connect();
        // Full is full when, after echoes to another, there is still no room.
        let mut refusals = 0;
        while taken < sent.len() && refusals < 20 {
            match stream.write(&sent[taken..]) {
                Ok(count) => (taken, refusals) = (taken + count, 0),
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    refusals += 1;
                    other.write_all(b"still there?").expect("the loop serves others");
                    other.read_exact(&mut [0; 12]).expect("the loop serves others");
                }
            }
        }
        assert!(taken < sent.len(), "{which:?}: it took all, and kept it somewhere");
        stream.set_nonblocking(false).expect("it is open");
        let mut back = vec![0; taken];
        stream.read_exact(&mut back).expect("what was taken comes back");
        assert!(back == sent[..taken], "{which:?}");
    }
}

#[test]
fn many_clients_come_and_go() {
    for which in BOTH {
        let server = Server::start(which);
        let mut streams: Vec<_> = (0..300).map(|_| server.connect()).collect();
        for round in 0..3_u8 {
            for (number, stream) in streams.iter_mut().enumerate() {
                stream.write_all(&[round, number.to_be_bytes()[7]]).expect("open");
            }
            for (number, stream) in streams.iter_mut().enumerate() {
                let mut back = [0; 2];
                stream.read_exact(&mut back).expect("open");
                assert_eq!(back, [round, number.to_be_bytes()[7]], "{which:?}");
            }
            // Their descriptors are given to others.
            for stream in streams.iter_mut().step_by(3) {
                *stream = server.connect();
            }
        }
    }
}

#[test]
fn who_is_silent_is_cut_off_and_who_speaks_is_not() {
    let server = Server::start(Loop::Edge(Duration::from_millis(2500)));
    let (mut silent, mut speaking) = (server.connect(), server.connect());
    silent.set_read_timeout(Some(Duration::from_millis(300))).expect("it is not zero");
    let mut rounds = 0;
    loop {
        speaking.write_all(b"here").expect("it is not cut off");
        speaking.read_exact(&mut [0; 4]).expect("it is not cut off");
        match silent.read(&mut [0; 1]) {
            Ok(count) => break assert_eq!(count, 0),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
        rounds += 1;
        assert!(rounds < 100, "half a minute, and not cut off");
    }
    assert!(rounds >= 5, "cut off after {rounds} times 0.3 s");
}
