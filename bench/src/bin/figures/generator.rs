//! What a load generator itself costs: `shardload echo`, all of it, beside the least that one can
//! be (`shardpoll_floor::client`). Both drive the same server, one after the other, on one thread.
//!
//! Never: counts what the server does, or what came before the load began.

use crate::counting::{Cost, Counting};
use crate::failure::Failure;
use crate::report::{Figure, Section};
use crate::server;
use serde_json::Value;
use shardpoll_bench::child::Child;
use shardpoll_bench::clock::Clock;
use shardpoll_bench::cpu;
use shardpoll_bench::spread::{Spread, go_round};
use shardpoll_bench::tools::TASKSET;
use shardpoll_floor::client::Clients;
use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// When time is measured.
const CONNECTIONS: usize = 50;

/// When instructions are counted: many, since a turn is held for as long as many messages take, and
/// what is done once a second, or once a run, should have its share of many.
const COUNTED_CONNECTIONS: usize = 200;

/// How long the shorter and the longer counted run take. A run of less than a second and a half is
/// one interval to `shardload`, so the work of ending one is in neither figure: under callgrind a
/// second has so few messages that it would count many times over.
const COUNTED_MILLIS: [u64; 2] = [400, 1400];

/// How long a timed run takes, and how many of each there are.
const TIMED_MILLIS: u64 = 1000;
const ROUNDS: u32 = 12;

/// How much more than the bare one it may take.
const MOST_INSTRUCTIONS: f64 = 5.0;
const MOST_TIME: f64 = 1.15;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Generator {
    Bare,
    Shardload,
}

/// What a generator is to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) connections: usize,
    pub(crate) millis: u64,
}

/// What a generator has done.
#[derive(Clone, Copy, Debug)]
struct Done {
    messages: u64,
    /// Of its process, for each of them.
    cpu_micros: f64,
}

impl Generator {
    /// Drives the server; `under` is the command line of a tool.
    fn drive(
        self,
        program: &Path,
        server: &Child,
        under: &[OsString],
        load: Load,
    ) -> Result<Done, Failure> {
        let [connections, millis] = [load.connections.to_string(), load.millis.to_string()];
        let own = std::env::current_exe().map_err(Failure::io("this program's own path"))?;
        let program = if self == Self::Bare { &*own } else { program };
        let words: Vec<_> = under.iter().cloned().chain([program.into()]).collect();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        let addr = server.addr;
        command.args(match self {
            Self::Bare => ["--bare".into(), addr.to_string()],
            Self::Shardload => ["echo".into(), format!("tcp://{addr}")],
        });
        command.args(["--connections", &connections]);
        match self {
            Self::Bare => {
                command.args(["--millis", &millis]);
            }
            Self::Shardload => {
                command.args(["--duration", &format!("{millis}ms"), "--json", "--quiet"]);
            }
        }
        let output = command.output().map_err(Failure::io("a generator"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let said = String::from_utf8_lossy(&output.stderr);
        let wrong = || Failure::Subject { why: format!("{self:?} said {text:?} and {said:?}") };
        if !output.status.success() {
            return Err(wrong());
        }
        done(&text).ok_or_else(wrong)
    }

    /// What a message costs it.
    fn cost(self, program: &Path, server: &Child) -> Result<Cost, Failure> {
        let counting = Counting::new()?;
        let under = counting.tools(true);
        let [short, long] = COUNTED_MILLIS;
        let load = |millis| Load { connections: COUNTED_CONNECTIONS, millis };
        let few = self.drive(program, server, &under, load(short))?.messages;
        let fewer = counting.read(true)?;
        let many = self.drive(program, server, &under, load(long))?.messages;
        let more = counting.read(true)?;
        if many <= few {
            let why = format!("{self:?} had {few} messages in {short} ms, {many} in {long} ms");
            return Err(Failure::Subject { why });
        }
        Ok(Cost::between(&fewer, &more, many - few))
    }
}

/// Of the document that `shardload --json` prints, which the bare one prints as much of.
fn done(text: &str) -> Option<Done> {
    let document: Value = serde_json::from_str(text).ok()?;
    let run = document.get("runs")?.get(0)?;
    let messages = run.get("operations")?.as_u64()?;
    let cpu_micros = run.get("client")?.get("cpu_us_per_operation")?.as_f64()?;
    (run.get("errors")?.get("total")?.as_u64()? == 0).then_some(Done { messages, cpu_micros })
}

/// Is the bare generator.
pub(crate) fn bare(addr: SocketAddr, load: Load) -> Result<(), Failure> {
    let went_wrong = Failure::io("the bare generator");
    let mut clients = Clients::connect(addr, load.connections).map_err(&went_wrong)?;
    let before = cpu::own_time().map_err(&went_wrong)?;
    let (clock, limit) = (Clock::start(), Duration::from_millis(load.millis));
    let messages = clients.run(|_| clock.elapsed() >= limit).map_err(&went_wrong)?;
    let took = cpu::own_time().map_err(&went_wrong)?.saturating_sub(before);
    let micros = took.as_secs_f64() * 1e6 / messages.max(1) as f64;
    println!(
        "{{\"runs\":[{{\"operations\":{messages},\"client\":{{\"cpu_us_per_operation\":{micros}}},\
         \"errors\":{{\"total\":0}}}}]}}"
    );
    Ok(())
}

/// Instructions, by callgrind.
pub(crate) fn count(program: &Path) -> Result<Section, Failure> {
    let server = server::start(program, &[], &[])?;
    let ours = Generator::Shardload.cost(program, &server)?;
    let bare = Generator::Bare.cost(program, &server)?;
    server.end()?;
    let events = |cost: &Cost| {
        format!("{:.1} events a turn; over {} messages", 1.0 / cost.turns, cost.units)
    };
    let told =
        |name, value, goal, detail| Figure { name, value, goal, digits: 1, detail, held: None };
    let ratio = ours.instructions / bare.instructions;
    let figures = vec![
        told("shardload echo, 200 ready at once", ours.instructions, None, events(&ours)),
        told("the bare generator", bare.instructions, None, events(&bare)),
        told(
            "the one by the other",
            ratio,
            Some(MOST_INSTRUCTIONS),
            "every byte checked, every message timed".into(),
        ),
    ];
    let [short, long] = COUNTED_MILLIS;
    let how = format!(
        "the generator runs under callgrind, on one thread, with {COUNTED_CONNECTIONS} \
         connections and a 64-byte message in flight on each, against the echo server, which runs \
         freely. The figure is the difference of two runs of {short} and {long} ms, divided by the \
         messages between them; strace, around callgrind, holds the generator before each wait, \
         so that all echoes are there. The bare generator (bench/floor/src/client.rs) reads, \
         counts bytes and sends; it neither times a message nor looks at it."
    );
    Ok(Section { title: "The load generator: user-space instructions a message", figures, how })
}

/// Processor time, in rounds.
pub(crate) fn time(program: &Path) -> Result<Section, Failure> {
    let [of_server, of_generator] = places()?;
    let on = |cpu: usize| [TASKSET, "-c", &cpu.to_string()].map(OsString::from);
    let server = server::start(program, &on(of_server), &[])?;
    let mut both = [Generator::Bare, Generator::Shardload];
    let load = Load { connections: CONNECTIONS, millis: TIMED_MILLIS };
    let windows = go_round(&mut both, ROUNDS, |generator| {
        generator.drive(program, &server, &on(of_generator), load)
    })?;
    server.end()?;
    let [bare, ours] = &windows[..] else { unreachable!("two were asked") };
    let spread = |of: &[Done]| Spread::of(of.iter().map(|done| done.cpu_micros).collect());
    let ratio = ours.iter().zip(bare).map(|(ours, bare)| ours.cpu_micros / bare.cpu_micros);
    let ratio = Spread::of(ratio.collect());
    let quartiles = |of: Spread| format!("quartiles {:.2} to {:.2}", of.q1, of.q3);
    let a_second = |of: &[Done]| {
        let count = of.iter().map(|done| done.messages as f64 * 1e3 / TIMED_MILLIS as f64);
        format!("{:.0} messages/s", Spread::of(count.collect()).median)
    };
    let told = |name, of: Spread, goal, detail| Figure {
        name,
        value: of.median,
        goal,
        digits: 2,
        detail,
        held: None,
    };
    let (micros, bare_micros) = (spread(ours), spread(bare));
    let figures = vec![
        told(
            "shardload echo, us a message",
            micros,
            None,
            format!("{}; {}", quartiles(micros), a_second(ours)),
        ),
        told(
            "the bare generator, us a message",
            bare_micros,
            None,
            format!("{}; {}", quartiles(bare_micros), a_second(bare)),
        ),
        told("the one by the other", ratio, Some(MOST_TIME), quartiles(ratio)),
    ];
    let how = format!(
        "{CONNECTIONS} connections with a message in flight on each; {ROUNDS} rounds, in each of \
         which both drive the same server for {TIMED_MILLIS} ms, one \
         after the other, in turns; ratios are within rounds, figures are medians. Processor time \
         is user and system, of all threads of the generator (schedstat), from the first message \
         to the last echo. The server has CPU {of_server}, the generators CPU {of_generator}."
    );
    Ok(Section { title: "The load generator: processor time", figures, how })
}

/// The first and the last CPU that this process may use: one for the server, one for the clients.
fn places() -> Result<[usize; 2], Failure> {
    let status = fs::read_to_string("/proc/self/status");
    let status = status.map_err(Failure::io("/proc/self/status"))?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let places = list.and_then(first_and_last);
    places.ok_or_else(|| Failure::Subject { why: format!("no CPUs in {list:?}") })
}

/// Of a list such as `0-3,8` (cpuset(7), "List format").
fn first_and_last(list: &str) -> Option<[usize; 2]> {
    let list = list.trim();
    let first = list.split(['-', ',']).next()?.parse().ok()?;
    let last = list.rsplit(['-', ',']).next()?.parse().ok()?;
    Some([first, last])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_generator_has_done_stands_in_its_document() {
        let text = r#"{"runs":[{"operations":7,"client":{"cpu_us_per_operation":2.5},
            "errors":{"total":0}}]}"#;
        let read = done(text).expect("a document");
        assert_eq!((read.messages, read.cpu_micros.to_bits()), (7, 2.5_f64.to_bits()));
        assert!(done(&text.replace("\"total\":0", "\"total\":1")).is_none());
        assert!(done("{}").is_none());
    }

    #[test]
    fn the_ends_of_a_list_of_cpus_are_found() {
        assert_eq!(first_and_last("\t0-1"), Some([0, 1]));
        assert_eq!(first_and_last("3"), Some([3, 3]));
        assert_eq!(first_and_last("0-3,8,10-11"), Some([0, 11]));
        assert_eq!(first_and_last(""), None);
    }
}
