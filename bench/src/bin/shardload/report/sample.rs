//! Documents for tests: runs that have everything, and runs that have nothing.
//!
//! Never: is in the program.

#![expect(clippy::cast_possible_truncation, reason = "samples are small and not negative")]

use super::hdr;
use crate::outcome::{
    Attack, Client, Document, Errors, Instance, Interval, Latency, Run, Server, Workload,
};
use hdrhistogram::Histogram;
use shardpoll_bench::machine::Machine;

/// Of these values.
pub(crate) fn histogram(values: impl IntoIterator<Item = u64>) -> Histogram<u64> {
    let mut histogram = Histogram::new(3).expect("three digits are allowed");
    values.into_iter().for_each(|value| histogram.record(value).expect("it grows"));
    histogram
}

/// Of these times in microseconds.
pub(crate) fn latency(micros: impl IntoIterator<Item = f64>) -> Latency {
    let nanos = micros.into_iter().map(|time| (time * 1e3).round() as u64);
    hdr::latency(&histogram(nanos)).expect("a sample has times")
}

/// A long tail: most around `typical`, few far above.
fn tail(typical: f64, count: u32) -> Latency {
    latency((1..=count).map(|step| {
        let place = f64::from(step) / f64::from(count + 1);
        typical * (0.6 - 0.25 * (1.0 - place).ln() + 0.02 / (1.0 - place).sqrt())
    }))
}

/// A run in which nothing came back.
pub(crate) fn empty(name: &str, workload: Workload) -> Run {
    Run {
        name: name.into(),
        workload,
        targets: vec!["tcp://127.0.0.1:7000".into()],
        connections: 50,
        client_threads: 1,
        message_size_bytes: None,
        depth_messages: None,
        asked_per_second: None,
        seconds: 0.0,
        interrupted: false,
        deserted: false,
        operations: 0,
        operations_per_second: 0.0,
        sent_megabytes_per_second: 0.0,
        received_megabytes_per_second: 0.0,
        connects: 0,
        connects_per_second: None,
        latency: None,
        uncorrected: None,
        lateness: None,
        connect: None,
        handshake: None,
        handshakes: 0,
        resumed_handshakes: 0,
        unsent: 0,
        errors: Errors::default(),
        first_error: None,
        server: None,
        client: Client { cpu_us_per_operation: None, cpu_percent: None, was_the_limit: false },
        attacks: Vec::new(),
        intervals: Vec::new(),
    }
}

/// A closed loop of so many seconds; figures move as those of a real run do.
pub(crate) fn echo(name: &str, seconds: u32) -> Run {
    let intervals = (0..seconds).map(|second| {
        let wave = (f64::from(second) * 0.7).sin();
        Interval {
            at_seconds: f64::from(second),
            seconds: 1.0,
            operations: (51_000.0 + 2_500.0 * wave) as u64,
            sent_bytes: 3_264_000,
            received_bytes: 3_264_000,
            connects: 0,
            errors: 0,
            p50_us: Some(900.0 - 40.0 * wave),
            p99_us: Some(2_100.0 - 300.0 * wave),
            max_us: Some(4_000.0 + 2_000.0 * (f64::from(second) * 1.9).cos()),
            uncorrected_p99_us: None,
        }
    });
    Run {
        message_size_bytes: Some(64),
        depth_messages: Some(1),
        seconds: seconds.into(),
        operations: 51_234 * u64::from(seconds),
        operations_per_second: 51_234.0,
        sent_megabytes_per_second: 3.28,
        received_megabytes_per_second: 3.28,
        connects: 50,
        latency: Some(tail(900.0, 20_000)),
        connect: Some(tail(120.0, 50)),
        client: Client {
            cpu_us_per_operation: Some(7.5),
            cpu_percent: Some(38.4),
            was_the_limit: false,
        },
        intervals: intervals.collect(),
        ..empty(name, Workload::Echo)
    }
}

/// An open loop against a server that stalls now and then, with TLS, and its process known.
pub(crate) fn open(name: &str, seconds: u32) -> Run {
    let mut run = echo(name, seconds);
    run.targets = vec!["tls://localhost:7443".into()];
    run.asked_per_second = Some(50_000.0);
    run.uncorrected = Some(tail(300.0, 20_000));
    run.latency = Some(latency((0..20_000).map(|step| {
        let in_stall = step % 10 == 0;
        if in_stall {
            400.0 + f64::from(step / 10 % 1000) * 100.0
        } else {
            300.0 + f64::from(step % 97)
        }
    })));
    run.lateness = Some(tail(12.0, 5_000));
    run.handshake = Some(tail(2_300.0, 50));
    (run.handshakes, run.resumed_handshakes) = (50, 12);
    run.unsent = 321;
    for (second, interval) in run.intervals.iter_mut().enumerate() {
        interval.uncorrected_p99_us = interval.p99_us.map(|p99| p99 / 4.0);
        interval.p99_us = Some(if second % 7 == 3 { 92_000.0 } else { 900.0 });
        interval.max_us = Some(100_000.0);
    }
    run.server = Some(Server {
        pid: 4242,
        cpu_us_per_operation: Some(4.25),
        cpu_percent: Some(87.0),
        memory_before_bytes: Some(9_400_000),
        memory_bytes: Some(9_600_000),
        memory_per_connection_bytes: Some(3_986.0),
    });
    run
}

/// What an attack leaves, with some of everything that can go wrong.
pub(crate) fn abuse(name: &str, seconds: u32) -> Run {
    let mut run = echo(name, seconds);
    run.workload = Workload::Abuse;
    run.errors = Errors { total: 7, refused: 3, timeout: 4, lost: 2, ..Errors::default() };
    run.first_error = Some("connection 12 got no answer within 10 s".into());
    run.client.was_the_limit = true;
    run.client.cpu_percent = Some(98.7);
    let attack = |kind: &str, ended, after| Attack {
        kind: kind.into(),
        connections: 200,
        ended_by_server: ended,
        ended_after_seconds: after,
        refused: 0,
    };
    run.attacks = vec![attack("slow-reader", 180, Some(4.75)), attack("half-handshake", 0, None)];
    run
}

/// All of these on one machine.
pub(crate) fn document(runs: Vec<Run>) -> Document {
    Document {
        version: "0.1.0".into(),
        machine: Machine { cpu: "Some CPU @ 3 GHz".into(), cpus: 2, kernel: "6.18.1".into() },
        command: ["shardload", "echo", "tcp://127.0.0.1:7000"].map(String::from).into(),
        started: "2026-11-23T16:10:00Z".into(),
        instance: Some(Instance { number: 2, of: 3 }),
        runs,
    }
}
