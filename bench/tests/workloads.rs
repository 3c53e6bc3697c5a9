//! `shardload`'s workloads from outside, each on a server of its own.

mod support;

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use support::{Server, assert_sound, good_run, shardload};

#[test]
fn a_plain_load_comes_back_whole() {
    let server = Server::start(&["--shards", "2", "--read-timeout", "off"]);
    let target = format!("tcp://{}", server.addr);
    let base = ["echo", &target, "--duration", "300ms"];
    for shape in [
        &["--connections", "5", "--depth", "3"][..],
        &["--connections", "200", "--size", "1", "--threads", "2"],
        &["--connections", "3", "--size", "100000", "--depth", "4"],
        &["--connections", "1", "--size", "1m", "--depth", "16"],
        &["--connections", "20", "--rate", "1k", "--threads", "2"],
        &["--connections", "5", "--warmup", "200ms"],
    ] {
        let run = good_run(&[&base[..], shape].concat());
        assert_sound(&run);
        assert_eq!(run["connections"].to_string(), shape[1], "{run}");
        assert_eq!(run["connects"], run["connections"], "{run}");
        assert_eq!(run["server"], Value::Null, "{run}");
    }
}

#[test]
fn a_tls_load_comes_back_whole_when_anyone_is_trusted() {
    let server = Server::start(&["--tls", "--shards", "1"]);
    let target = format!("tls://{}", server.addr);
    let base = ["echo", &target, "--insecure", "--duration", "300ms"];
    for size in ["64", "40000"] {
        let run = good_run(&[&base[..], &["--size", size, "--depth", "4"]].concat());
        assert_sound(&run);
        assert_eq!(run["handshakes"], 50, "{run}");
        assert_eq!(run["handshake"]["count"], 50, "{run}");
    }
}

#[test]
fn an_open_loop_keeps_to_its_rate_and_says_what_a_naive_tool_would() {
    let server = Server::start(&["--shards", "1"]);
    let target = format!("tcp://{}", server.addr);
    let run = good_run(&["echo", &target, "--rate", "400", "-c", "8", "-d", "1500ms"]);
    assert_sound(&run);
    let rate = run["operations_per_second"].as_f64().expect("a rate");
    assert!((300.0..=401.0).contains(&rate), "{run}");
    let [corrected, uncorrected] = ["latency", "uncorrected"].map(|of| &run[of]["mean_us"]);
    assert!(corrected.as_f64() >= uncorrected.as_f64(), "{run}");
    assert!(run["lateness"]["count"].as_u64() > Some(0), "{run}");
}

#[test]
fn visits_come_and_go_and_resume_their_sessions() {
    let plain = Server::start(&["--shards", "1"]);
    let target = format!("tcp://{}", plain.addr);
    for more in [&["--size", "100"][..], &["--rate", "200"], &[]] {
        let base = ["churn", &target, "--connections", "4", "--duration", "300ms"];
        let run = good_run(&[&base[..], more].concat());
        assert!(run["operations"].as_u64() > Some(0), "{run}");
        assert_eq!(run["latency"]["count"], run["operations"], "{run}");
        assert_eq!(run["errors"]["total"], 0, "{run}");
    }
    let tls = Server::start(&["--tls", "--shards", "1"]);
    let target = format!("tls://{}", tls.addr);
    let base = ["churn", &target, "--insecure", "--connections", "2", "--duration", "1s"];
    let run = good_run(&base);
    let [all, resumed] =
        ["handshakes", "resumed_handshakes"].map(|of| run[of].as_u64().expect("a count"));
    assert!(all > 2 && resumed >= all - 2, "{run}");
    let run = good_run(&[&base[..], &["--no-resumption"]].concat());
    assert_eq!(run["resumed_handshakes"], 0, "{run}");
}

#[test]
fn idle_connections_are_held_and_the_servers_memory_is_told() {
    let server = Server::start(&["--shards", "1"]);
    let (target, pid) = (format!("tcp://{}", server.addr), server.pid().to_string());
    let base = ["idle", &target, "--connections", "300", "--duration", "200ms"];
    let run = good_run(&[&base[..], &["--server-pid", &pid]].concat());
    assert_eq!((&run["operations"], &run["connects"]), (&300.into(), &300.into()), "{run}");
    assert!(run["server"]["memory_bytes"].as_u64() > Some(0), "{run}");
    assert!(run["server"]["memory_per_connection_bytes"].is_number(), "{run}");
}

#[test]
fn much_goes_both_ways_and_is_right() {
    let server = Server::start(&["--shards", "1"]);
    let target = format!("tcp://{}", server.addr);
    let run = good_run(&["bulk", &target, "--connections", "2", "--duration", "300ms"]);
    assert_sound(&run);
    assert!(run["received_megabytes_per_second"].as_f64() > Some(0.0), "{run}");
}

#[test]
fn legitimate_users_are_served_beside_abusers() {
    let server = Server::start(&["--shards", "1"]);
    let target = format!("tcp://{}", server.addr);
    let kinds = "slow-reader,slow-sender,silent,rst,half-close";
    let base = ["abuse", &target, "--connections", "4", "--duration", "500ms"];
    let run = good_run(&[&base[..], &["--kind", kinds, "--abusers", "3"]].concat());
    assert_sound(&run);
    let attacks = run["attacks"].as_array().expect("a list");
    assert_eq!(attacks.len(), 5, "{run}");
    for (attack, kind) in attacks.iter().zip(kinds.split(',')) {
        assert_eq!(attack["kind"], kind);
        assert!(attack["connections"].as_u64() >= Some(3), "{attack}");
        assert_eq!(attack["refused"], 0, "{attack}");
    }
    // Who ends his side is answered and ended, and comes again.
    assert!(attacks[4]["ended_by_server"].as_u64() > Some(0), "{run}");
    assert_eq!(attacks[2]["ended_by_server"], 0, "{run}");
}

#[test]
fn a_tls_server_turns_abusers_away() {
    let server = Server::start(&["--tls", "--shards", "1"]);
    let target = format!("tls://{}", server.addr);
    let base = ["abuse", &target, "--insecure", "-c", "2", "-d", "500ms", "--abusers", "2"];
    let run = good_run(&[&base[..], &["--kind", "garbage,half-handshake,big-hello"]].concat());
    assert_sound(&run);
    let [garbage, half, big] = [0, 1, 2].map(|at| &run["attacks"][at]);
    assert!(garbage["ended_by_server"].as_u64() > Some(0), "{run}");
    assert_eq!(half["ended_by_server"], 0, "{run}");
    assert_eq!(big["connections"], 2, "{run}");
}

#[test]
fn a_server_that_dies_ends_the_run_with_what_was_measured() {
    for workload in ["echo", "churn", "bulk"] {
        let mut server = Server::start(&["--shards", "1"]);
        let target = format!("tcp://{}", server.addr);
        let mut command = shardload(&[workload, &target, "--connections", "3", "--json"]);
        command.args(["--duration", "1h"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program runs");
        // Its first status line says that it is being served.
        let mut said = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut line = String::new();
        said.read_line(&mut line).expect("text");
        server.signal("-KILL");
        let _killed = server.wait();
        let output = child.wait_with_output().expect("it is ours");
        assert_eq!(output.status.code(), Some(1), "{workload}: {line}");
        let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let run = &document["runs"][0];
        assert_eq!(run["deserted"], true, "{run}");
        assert!(run["operations"].as_u64() > Some(0), "{run}");
        assert!(run["errors"]["total"].as_u64() >= Some(3), "{run}");
        let mut rest = String::new();
        said.read_to_string(&mut rest).expect("text");
        assert!(rest.contains("went away"), "{workload}: {rest}");
    }
}

#[test]
fn an_echo_with_a_wrong_byte_ends_with_1() {
    let liar = TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let target = format!("tcp://{}", liar.local_addr().expect("it is bound"));
    let mut command = shardload(&["echo", &target, "--connections", "1", "--json", "--quiet"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let (mut peer, _) = liar.accept().expect("it connects");
    let mut message = [0; 64];
    peer.read_exact(&mut message).expect("a message");
    message[63] ^= 1;
    peer.write_all(&message).expect("it reads");
    let output = child.wait_with_output().expect("it is ours");
    assert_eq!(output.status.code(), Some(1));
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let errors = &document["runs"][0]["errors"];
    assert_eq!((&errors["wrong"], &errors["total"]), (&1.into(), &1.into()), "{document}");
    assert_eq!(errors["lost"], 1, "{document}");
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(said.contains("byte 63"), "{said}");
}

#[test]
fn an_interrupt_ends_a_load_early_with_its_report() {
    let echo = TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let target = format!("tcp://{}", echo.local_addr().expect("it is bound"));
    let arguments = ["echo", &target, "--connections", "1", "--duration", "1h", "--json", "-q"];
    let mut command = shardload(&arguments);
    let child = command.stdout(Stdio::piped()).spawn().expect("the program runs");
    let (mut peer, _) = echo.accept().expect("it connects");
    let (mut message, mut echoed) = ([0; 64], 0);
    while peer.read_exact(&mut message).is_ok() {
        peer.write_all(&message).expect("it reads");
        echoed += 1;
        if echoed == 10 {
            let pid = child.id().to_string();
            let status = Command::new("kill").args(["-INT", &pid]).status();
            assert!(status.expect("there is a kill").success());
        }
    }
    let output = child.wait_with_output().expect("it is ours");
    assert_eq!(output.status.code(), Some(0));
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let run = &document["runs"][0];
    assert_eq!((&run["interrupted"], &run["deserted"]), (&true.into(), &false.into()), "{run}");
    assert_eq!(run["operations"], echoed, "{run}");
    assert_sound(run);
}
