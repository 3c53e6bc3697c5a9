//! User-space instructions of single operations: timers, letters from one shard to another.
//!
//! Never: needs a network; each is counted in a process that does nothing else.

use crate::counting::{Cost, Count, Counting};
use crate::failure::Failure;
use crate::report::{Figure, Section};
use crate::subject::{LETTERS_A_TURN, MOST, PENDING, Subject};
use clap::ValueEnum;
use std::process::{Command, Stdio};

/// How many in the shorter run; the longer one has the most.
const FEW: u64 = 1000;

pub(crate) fn measure() -> Result<Section, Failure> {
    let rows = [
        (Subject::TimerInsert, "timer.insert", "timer: insert"),
        (Subject::TimerCancel, "timer.cancel", "timer: cancel"),
        (Subject::TimerReschedule, "timer.reschedule", "timer: reschedule"),
        (Subject::TimerPop, "timer.pop", "timer: pop, the earliest of all"),
        (Subject::Letter, "letter", "letter to a busy shard, posted and read"),
    ];
    let mut figures = Vec::new();
    for (subject, row, name) in rows {
        let cost = cost(subject)?;
        let detail = match subject {
            Subject::Letter => format!("{:.0} letters a turn", 1.0 / cost.turns),
            Subject::TimerReschedule => format!("among {PENDING} pending"),
            _ => format!("among {} to {} pending", PENDING + FEW, PENDING + MOST),
        };
        let detail = format!("{detail}; over {} of them", cost.units);
        let held = Some(cost.held(row));
        let value = cost.instructions;
        figures.push(Figure { name, value, goal: None, digits: 1, detail, held });
    }
    let how = format!(
        "a process that carries out {FEW} and then one that carries out {MOST} of the operation, \
         under callgrind. Deadlines are spread over a minute in no order. Letters are \
         `Remote::run` with a small closure, posted {LETTERS_A_TURN} at a time to a shard on the \
         same thread, whose turn then reads them; its share of the turn is in the figure."
    );
    Ok(Section { title: "User-space instructions per operation", figures, how })
}

fn cost(subject: Subject) -> Result<Cost, Failure> {
    let counting = Counting::new()?;
    let (few, many) = (run(&counting, subject, FEW)?, run(&counting, subject, MOST)?);
    Ok(Cost::between(&few, &many, MOST - FEW))
}

fn run(counting: &Counting, subject: Subject, times: u64) -> Result<Count, Failure> {
    let own = std::env::current_exe().map_err(Failure::io("this program's own path"))?;
    let waits = subject == Subject::Letter;
    let words = if waits { counting.tools(false) } else { counting.callgrind() };
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).arg(own);
    let word = subject.to_possible_value().expect("none is left out");
    command.args(["guards", "--subject", word.get_name(), "--times", &times.to_string()]);
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(Failure::io("a process to be counted"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let why = format!("{} ended with {}: {}", word.get_name(), output.status, said.trim());
        return Err(Failure::Subject { why });
    }
    counting.read(waits)
}
