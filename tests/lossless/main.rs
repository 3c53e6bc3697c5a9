//! Counts connections that are lost while listeners are removed, shards retired and processes
//! replaced under load: none.
//!
//! `lossless [listener|shard|process|all] [--connections N] [--plain] [--namespaces]`
//!
//! Clients connect at full rate, 400 at a time, and want one answer each; what counts as lost is a
//! connection that was established, as its client sees it, and then had no answer. One that was
//! refused goes to whoever listens now. `--plain` closes sockets as programs usually do, to show
//! that losses are seen. `--namespaces` plays it in network namespaces of its own, with both values
//! of `net.ipv4.tcp_migrate_req`. Default: all three, 100,000 connections each.
//!
//! Ends with 1 if a connection was lost, or with `--plain` if none was.

#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "the outside of an engine has threads and clocks")]

mod clients;
mod servers;

#[path = "../../shard/examples/restart.rs"]
#[allow(dead_code, unreachable_pub, reason = "its own `main` is not called")]
mod restart;

use clients::{Clients, Tally};
use shardpoll::tcp_migrate_req;
use shardpoll_tests::program::{self, Outcome};
use std::process::{Command, ExitCode};
use std::time::Instant;

const DEFAULT_CONNECTIONS: u64 = 100_000;

/// Sets `net.ipv4.tcp_migrate_req` in a fresh network namespace.
const SET_MIGRATE: &str = "ip link set lo up && echo \"$1\" > /proc/sys/net/ipv4/tcp_migrate_req";

/// What is asked for.
struct Task {
    kinds: Vec<&'static str>,
    connections: u64,
    plain: bool,
    namespaces: bool,
}

const KINDS: [&str; 3] = ["listener", "shard", "process"];

fn main() -> ExitCode {
    program::run("lossless", |args| match *args {
        ["serve", addr] => restart::serve(addr.parse()?, servers::SHARDS),
        ["serve-plainly", addr] => servers::serve_plainly(addr.parse()?),
        _ => {
            let task = parse(args)?;
            if task.namespaces { in_namespaces(&task) } else { play(&task) }
        }
    })
}

fn parse(args: &[&str]) -> Result<Task, String> {
    let mut task = Task {
        kinds: KINDS.into(),
        connections: DEFAULT_CONNECTIONS,
        plain: false,
        namespaces: false,
    };
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        match *arg {
            "all" => task.kinds = KINDS.into(),
            "--plain" => task.plain = true,
            "--namespaces" => task.namespaces = true,
            "--connections" => {
                let count = rest.next().ok_or("--connections needs a number")?;
                let wrong = |_| format!("--connections {count:?} is no number");
                task.connections = count.parse().map_err(wrong)?;
            }
            other => match KINDS.into_iter().find(|kind| *kind == other) {
                Some(kind) => task.kinds = vec![kind],
                None => return Err(format!("{other:?} is neither a kind nor an option")),
            },
        }
    }
    Ok(task)
}

fn play(task: &Task) -> Outcome {
    let migrates = tcp_migrate_req().map_or("not known", |on| if on { "1" } else { "0" });
    let mut lost = 0;
    for kind in &task.kinds {
        let began = Instant::now();
        let clients = Clients::start(task.connections);
        let (changes, what) = match *kind {
            "listener" => (servers::remove_listeners(&clients, task.plain)?, "listeners removed"),
            "shard" if task.plain => (servers::end_engines(&clients)?, "sockets of 4 closed"),
            "shard" => (servers::retire_shards(&clients)?, "shards retired"),
            _ => (servers::replace_processes(&clients, task.plain)?, "processes replaced"),
        };
        let Tally { served, refused, lost: of_these, error } = clients.finish();
        println!(
            "{kind}: {} connections, {of_these} lost, {refused} refused elsewhere; {changes} \
             {what}, {:.1} s, tcp_migrate_req {migrates}",
            served + of_these,
            began.elapsed().as_secs_f64(),
        );
        if let Some(error) = error {
            println!("  the first that was lost: {error}");
        }
        lost += of_these;
    }
    match (lost, task.plain) {
        (0, false) | (1.., true) => Ok(()),
        (0, true) => Err("plainly closed, and none was lost: this program does not see".into()),
        (lost, false) => Err(format!("{lost} connections lost").into()),
    }
}

/// Once more for each value of the setting, in a namespace where it may be set.
fn in_namespaces(task: &Task) -> Outcome {
    let play = format!("{SET_MIGRATE} && shift && exec \"$@\"");
    for value in ["0", "1"] {
        let mut command = Command::new("unshare");
        let allowed = command.args(["-Urn", "sh", "-c", SET_MIGRATE, "sh", value]).output();
        if !allowed.is_ok_and(|output| output.status.success()) {
            println!("tcp_migrate_req {value}: not played: no network namespace can be made here");
            continue;
        }
        let mut command = Command::new("unshare");
        command.args(["-Urn", "sh", "-c", &play, "sh", value]);
        command.arg(std::env::current_exe()?);
        if let [kind] = task.kinds[..] {
            command.arg(kind);
        }
        command.args(["--connections", &task.connections.to_string()]);
        command.args(task.plain.then_some("--plain"));
        if !command.status()?.success() {
            return Err(format!("failed with tcp_migrate_req {value}").into());
        }
    }
    Ok(())
}
