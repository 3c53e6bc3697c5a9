//! What a server gets from the abusers of `shardload`.

mod support;

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use support::good_run;

/// Echoes until the client ends, and says how it did.
fn serve(mut client: TcpStream, ends: &Sender<Option<io::ErrorKind>>) {
    let mut buffer = [0; 4096];
    let end = loop {
        match client.read(&mut buffer) {
            Ok(0) => break None,
            Ok(count) => match client.write_all(&buffer[..count]) {
                Ok(()) => {}
                Err(error) => break Some(error.kind()),
            },
            Err(error) => break Some(error.kind()),
        }
    };
    // A test that has ended no longer listens.
    let _late = ends.send(end);
}

/// How the clients of such a run have ended, and how many abusers had reached the server.
fn ends_of(kind: &str) -> (BTreeMap<Option<io::ErrorKind>, usize>, u64) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let target = format!("tcp://{}", listener.local_addr().expect("it is bound"));
    let (sender, receiver) = channel();
    let named = thread::Builder::new().name("server".into());
    let server = named.spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let sender = sender.clone();
            let named = thread::Builder::new().name("client".into());
            named.spawn(move || serve(client, &sender)).expect("there are threads");
        }
    });
    drop(server.expect("there are threads"));
    let how = ["-c", "1", "--abusers", "2", "--duration", "300ms"];
    let run = good_run(&[&["abuse", &target, "--kind", kind], &how[..]].concat());
    let abusers = run["attacks"][0]["connections"].as_u64().expect("a number");
    let mut ends = BTreeMap::new();
    // And the legitimate one.
    for end in receiver.iter().take(usize::try_from(abusers).expect("few") + 1) {
        *ends.entry(end).or_default() += 1;
    }
    (ends, abusers)
}

#[test]
fn whoever_resets_is_seen_to_reset() {
    let (ends, abusers) = ends_of("rst");
    let resets = ends.get(&Some(io::ErrorKind::ConnectionReset)).copied().unwrap_or_default();
    assert!(abusers > 2 && resets as u64 >= abusers - 2, "{ends:?} of {abusers}");
}

#[test]
fn whoever_ends_its_side_is_seen_to_do_so() {
    let (ends, abusers) = ends_of("half-close");
    let orderly = ends.get(&None).copied().unwrap_or_default();
    assert!(abusers > 2 && orderly as u64 >= abusers - 2, "{ends:?} of {abusers}");
}
