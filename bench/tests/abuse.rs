//! What a server gets from the abusers of `shardload`.

mod support;

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use support::good_run;

/// What has come of a client, and how it has ended: orderly, if by no error.
#[derive(Debug)]
struct Heard {
    bytes: Vec<u8>,
    end: Option<io::ErrorKind>,
}

/// Echoes until the client ends.
fn serve(mut client: TcpStream, heard: &Sender<Heard>) {
    let (mut buffer, mut bytes) = ([0; 4096], Vec::new());
    let mut turn = || match client.read(&mut buffer)? {
        0 => Ok(false),
        count => {
            bytes.extend_from_slice(&buffer[..count]);
            client.write_all(&buffer[..count]).map(|()| true)
        }
    };
    let end = loop {
        match turn() {
            Ok(true) => {}
            Ok(false) => break None,
            Err(error) => break Some(io::Error::kind(&error)),
        }
    };
    // A test that has ended no longer listens.
    let _late = heard.send(Heard { bytes, end });
}

/// All clients of a run with one legitimate user and abusers of this kind, two at a time; and how
/// many abusers have reached the server, as it is reported.
fn clients_of(kind: &str) -> (Vec<Heard>, usize) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let target = format!("tcp://{}", listener.local_addr().expect("it is bound"));
    let (sender, receiver) = channel();
    let accept = move || {
        for client in listener.incoming().map_while(Result::ok) {
            let sender = sender.clone();
            let named = thread::Builder::new().name("client".into());
            named.spawn(move || serve(client, &sender)).expect("there are threads");
        }
    };
    let named = thread::Builder::new().name("server".into());
    named.spawn(accept).expect("there are threads");
    let how = ["-c", "1", "--abusers", "2", "--duration", "300ms"];
    let run = good_run(&[&["abuse", &target, "--kind", kind], &how[..]].concat());
    assert_eq!(run["attacks"][0]["kind"], kind, "{run}");
    let abusers = run["attacks"][0]["connections"].as_u64().expect("a number");
    let abusers = usize::try_from(abusers).expect("few");
    assert!(abusers >= 2, "{run}");
    // And the legitimate one.
    (receiver.iter().take(abusers + 1).collect(), abusers)
}

/// All abusers but those that the end of the run has cut are like this.
fn assert_abusers(kind: &str, is_so: impl Fn(&Heard) -> bool) {
    let (clients, abusers) = clients_of(kind);
    let count = clients.iter().filter(|heard| is_so(heard)).count();
    let most = clients.iter().map(|heard| (heard.bytes.len(), heard.end)).collect::<Vec<_>>();
    assert!(count >= 1 && count + 2 >= abusers, "{count} of {abusers} {kind}: {most:?}");
}

#[test]
fn whoever_resets_is_seen_to_reset() {
    assert_abusers("rst", |heard| {
        heard.bytes.is_empty() && heard.end == Some(io::ErrorKind::ConnectionReset)
    });
}

#[test]
fn whoever_ends_its_side_sends_a_message_and_the_end() {
    assert_abusers("half-close", |heard| heard.bytes == [b'a'; 64] && heard.end.is_none());
}

#[test]
fn whoever_is_silent_says_nothing() {
    assert_abusers("silent", |heard| heard.bytes.is_empty());
}

#[test]
fn whoever_sends_slowly_sends_a_byte_at_a_time() {
    assert_abusers("slow-sender", |heard| heard.bytes == b"a");
}

#[test]
fn whoever_does_not_read_sends_all_the_same() {
    assert_abusers("slow-reader", |heard| {
        heard.bytes.len() > 64 * 1024 && heard.bytes.iter().all(|byte| *byte == b'a')
    });
}

#[test]
fn half_a_handshake_is_the_beginning_of_a_hello() {
    assert_abusers("half-handshake", |heard| {
        // A record of a handshake that is longer than what came (RFC 8446 section 5.1).
        let [22, 3, 1, high, low, rest @ ..] = heard.bytes.as_slice() else { return false };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        rest.first() == Some(&1) && !rest.is_empty() && rest.len() < length
    });
}

#[test]
fn garbage_is_no_record_of_tls() {
    assert_abusers("garbage", |heard| heard.bytes.starts_with(&[0xFF; 512]));
}

#[test]
fn a_big_hello_announces_as_much_as_it_can() {
    assert_abusers("big-hello", |heard| {
        let [22, 3, 1, _, _, 1, length @ ..] = heard.bytes.as_slice() else { return false };
        let length = length
            .get(..3)
            .map_or(0, |bytes| bytes.iter().fold(0, |length, byte| length << 8 | u32::from(*byte)));
        length > 60_000
    });
}
