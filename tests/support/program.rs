//! What the programs of these tests share: how they begin, and how they are asked for numbers.
//!
//! Never: knows what a program is for.

use shardpoll::{Engine, Pinning, StartError};
use std::error::Error;
use std::process::ExitCode;

/// What a program came to, or a part of it.
pub type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Plays a program with the arguments of this process; what went wrong is told in a line.
pub fn run(name: &str, play: impl FnOnce(&[&str]) -> Outcome) -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    match play(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// An engine of one shard, wherever the kernel lets it run.
///
/// # Errors
/// As [`EngineBuilder::start`](shardpoll::EngineBuilder::start).
pub fn engine() -> Result<Engine, StartError> {
    Engine::builder().shards(1).pinning(Pinning::None).start()
}

/// Reads `--flag N` for each flag that is known; one that is not given keeps its `None`.
///
/// # Errors
/// Names the flag that is unknown or has no number, or the value that is none.
pub fn numbers(args: &[String], known: &mut [(&str, &mut Option<u64>)]) -> Result<(), String> {
    let mut rest = args.iter();
    while let Some(flag) = rest.next() {
        let option = known.iter_mut().find(|(name, _)| name == flag);
        let (_, option) = option.ok_or_else(|| format!("{flag:?} is no option"))?;
        let value = rest.next().ok_or_else(|| format!("{flag} needs a number"))?;
        let number = value.parse::<u64>();
        **option = Some(number.map_err(|_| format!("{flag} {value:?} is not a number"))?);
    }
    Ok(())
}

/// How many threads play: one a core, unless told otherwise.
///
/// # Errors
/// Names a number that makes no sense.
pub fn threads(asked: Option<u64>) -> Result<usize, String> {
    match asked.map(usize::try_from) {
        None => Ok(crate::simulation::all_cores()),
        Some(Ok(threads @ 1..=1024)) => Ok(threads),
        Some(_) => Err("--threads must be 1 to 1024".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_by_their_flags_and_mistakes_named() {
        let read = |args: &[&str]| {
            let args: Vec<String> = args.iter().copied().map(str::to_owned).collect();
            let (mut seed, mut seeds) = (None, None);
            numbers(&args, &mut [("--seed", &mut seed), ("--seeds", &mut seeds)])
                .map(|()| (seed, seeds))
        };
        assert_eq!(read(&["--seeds", "7"]), Ok((None, Some(7))));
        assert_eq!(read(&["--seeds"]), Err("--seeds needs a number".into()));
        assert_eq!(read(&["--seed", "x"]), Err("--seed \"x\" is not a number".into()));
        assert_eq!(read(&["--sed", "1"]), Err("\"--sed\" is no option".into()));
        assert!(threads(Some(0)).is_err() && threads(Some(4)) == Ok(4));
    }
}
