//! Clients that send and close in one go leave nothing behind (the bit *ended*).

use shardpoll_tests::{Event, Setup, Version};
use std::process::Command;

#[test]
fn clients_that_send_and_close_leave_no_descriptor_and_no_line() {
    // `cargo run --release -p shardpoll-tests --bin leak` is the same with 100,000
    let clients = std::env::var("LEAK_CLIENTS").unwrap_or_else(|_| "2000".into());
    let leak = Command::new(env!("CARGO_BIN_EXE_leak")).args(["--clients", &clients]).output();
    let output = leak.expect("built with the tests");
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}{}", String::from_utf8_lossy(&output.stderr));
    assert!(report.contains("lines left         0"), "{report}");
}

#[test]
fn a_bad_command_line_of_the_leak_test_is_refused_by_name() {
    for args in [&["--clients", "many"][..], &["--clients"], &["-c", "1"]] {
        let leak = Command::new(env!("CARGO_BIN_EXE_leak")).args(args).output();
        let output = leak.expect("built with the tests");
        assert_eq!(output.status.code(), Some(2));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(args[args.len() - 1]), "{text}");
    }
}

#[test]
fn tls_clients_that_send_and_close_in_one_go_leave_no_line() {
    // data, close_notify and FIN in one segment, before the engine looks
    let mut world = Setup::new().tls().start(|_| {});
    for _ in 0..50 {
        let mut peer = world.connect_tls(Version::Tls13);
        let release = world.hold_shard();
        let mut last = peer.seal(&[b"hello and good bye"]);
        last.extend(peer.seal_end());
        peer.peer.send(&last);
        peer.peer.finish();
        drop(release);
        world.wait_for_event(&Event::ended("closed"));
    }
    while world.live() > 1 {
        world.run(|_| ());
    }
    let trace = world.finish();
    assert_eq!(trace.count(&Event::incoming(b"hello and good bye")), 50);
}

#[test]
fn everything_but_the_listener_is_gone_after_every_kind_of_end() {
    // the shard holds lines for those that are there, and no more
    let mut world = Setup::new().start(|call| match call.event {
        Event::Incoming(data) if data == b"close" => call.close(),
        Event::Incoming(data) if data == b"abort" => call.abort(),
        Event::Incoming(data) => call.say(data),
        _ => {}
    });
    for round in 0..40 {
        let mut peer = world.connect();
        match round % 5 {
            0 => peer.send(b"close"),
            1 => peer.send(b"abort"),
            2 => peer.finish(),
            3 => {
                peer.echo(b"x");
                peer.reset();
                continue;
            }
            _ => peer.echo(b"y"),
        }
    }
    world.wait_for_each(40, |seen| seen.event == Event::Dropped);
    while world.live() > 1 {
        world.run(|_| ());
    }
    let _trace = world.finish();
}
