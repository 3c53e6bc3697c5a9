//! Figures and ends of `shardload` against servers that do what servers should not.

mod support;

use serde_json::Value;
use shardpoll_bench::clock::Clock;
use shardpoll_bench::tools;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;
use support::{Server, good_run, one_line_with_code, shardload};

/// A server of threads, one for each connection.
fn serve(each: impl Fn(TcpStream) + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let addr = listener.local_addr().expect("it is bound");
    let accept = move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let each = each.clone();
            tools::thread("server", move || each(stream)).expect("a thread can be started");
        }
    };
    tools::thread("listener", accept).expect("a thread can be started");
    addr.to_string()
}

/// Reads all, and says nothing.
fn mute(mut stream: TcpStream) {
    let mut bytes = [0; 4096];
    while stream.read(&mut bytes).is_ok_and(|count| count > 0) {}
}

/// A slow server is slow by the clock.
#[expect(clippy::disallowed_methods, reason = "the time is what the client is to notice")]
fn pause(time: Duration) {
    thread::sleep(time);
}

fn first_run(output: &Output) -> Value {
    let mut document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    document["runs"][0].take()
}

#[test]
fn threads_that_end_one_after_the_other_have_their_intervals_in_common() {
    let server = Server::start(&["--shards", "1"]);
    let target = format!("tcp://{}", server.addr);
    // At the end of these nothing is in flight, so each thread is done at once.
    for workload in [&["idle"][..], &["bulk", "--direction", "up"]] {
        let base = [&target, "--connections", "16", "--threads", "8", "--duration", "200ms"];
        for _ in 0..3 {
            let run = good_run(&[workload, &base[..]].concat());
            assert_eq!(run["intervals"].as_array().map(Vec::len), Some(1), "{run}");
        }
    }
}

#[test]
fn what_is_under_way_when_it_is_over_is_lost_once() {
    let target = format!("tcp://{}", serve(mute));
    let base = ["churn", &target, "-c", "3", "-d", "100ms", "--size", "7", "--json", "--quiet"];
    let output = support::output(&base);
    assert_eq!(output.status.code(), Some(1));
    let run = first_run(&output);
    assert_eq!((&run["errors"]["lost"], &run["errors"]["total"]), (&3.into(), &0.into()), "{run}");
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn visits_that_never_came_to_be_have_reached_nobody() {
    let target = format!("tls://{}", serve(mute));
    let said =
        one_line_with_code(3, &["churn", &target, "--insecure", "-c", "3", "-d", "100ms", "-q"]);
    assert!(said.contains("cannot reach"), "{said}");
}

#[test]
fn a_message_is_given_its_whole_time_however_long_nothing_was_due() {
    // Each answer takes more than half of the time it may take, and comes after a silence.
    let slow = |mut stream: TcpStream| {
        let mut message = [0; 64];
        while stream.read_exact(&mut message).is_ok() {
            pause(Duration::from_millis(400));
            if stream.write_all(&message).is_err() {
                break;
            }
        }
    };
    let target = format!("tcp://{}", serve(slow));
    let base = ["echo", &target, "-c", "4", "--timeout", "600ms", "--rate", "5"];
    let run = good_run(&[&base[..], &["--duration", "3s"]].concat());
    assert_eq!(run["errors"]["timeout"], 0, "{run}");
    // And no more than that.
    let target = format!("tcp://{}", serve(mute));
    let base = ["echo", &target, "-c", "1", "--timeout", "300ms", "--rate", "4", "-d", "1h"];
    let output = support::output(&[&base[..], &["--json", "--quiet"]].concat());
    let run = first_run(&output);
    assert_eq!((output.status.code(), &run["errors"]["timeout"]), (Some(1), &1.into()), "{run}");
    let seconds = run["seconds"].as_f64().expect("a number");
    assert!((0.25..3.0).contains(&seconds), "{run}");
}

#[test]
fn a_rate_that_nobody_can_keep_ends_all_the_same() {
    let server = Server::start(&["--shards", "1"]);
    let target = format!("tcp://{}", server.addr);
    let base = ["echo", &target, "-c", "2", "-d", "300ms", "--rate", "1000m"];
    let run = good_run(&base);
    assert_eq!(run["latency"]["count"], run["operations"], "{run}");
    // All that was due is one or the other.
    let counted = run["operations"].as_f64().zip(run["unsent"].as_f64());
    let due = counted.map(|(operations, unsent)| operations + unsent).expect("numbers");
    let seconds = run["seconds"].as_f64().expect("a number");
    assert!(due > 0.5 * 1e9 * seconds, "{run}");
}

#[test]
fn nobody_else_is_tried_when_nobody_was_reached_in_time() {
    let target = format!("tls://{}", serve(mute));
    let base = ["idle", &target, "--insecure", "--timeout", "500ms", "-d", "1s", "-q"];
    let begun = Clock::start();
    // One after the other, so many at a time would take a minute.
    let said = one_line_with_code(3, &[&base[..], &["-c", "8k"]].concat());
    assert!(said.contains("cannot reach"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn an_interrupt_ends_what_is_still_being_opened() {
    let accepts = TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let target = format!("tls://{}", accepts.local_addr().expect("it is bound"));
    let base = ["idle", &target, "--insecure", "-c", "15k", "-d", "1h", "-q"];
    let child = shardload(&base).stderr(Stdio::piped()).spawn().expect("the program runs");
    let _held = accepts.accept().expect("it connects");
    let pid = child.id().to_string();
    let status = Command::new("kill").args(["-INT", &pid]).status();
    assert!(status.expect("there is a kill").success());
    let output = child.wait_with_output().expect("it is ours");
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("interrupted"), "{said}");
}
