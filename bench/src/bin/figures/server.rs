//! The echo server in a child process: `shardload serve` with one shard, alone or under a tool.
//!
//! Never: builds it.

use crate::failure::Failure;
use shardpoll_bench::child::Child;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// The program: `shardload` in the folder of this one.
pub(crate) fn locate() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe().map_err(Failure::io("this program's own path"))?;
    let path = own.with_file_name("shardload");
    if path.is_file() { Ok(path) } else { Err(Failure::NoServer { path }) }
}

/// A source of the server that was changed after it was built; `None` also when that cannot be
/// known, since the program has been copied elsewhere.
///
/// `cargo run --bin figures` builds this program and not the server, whose figures it gives. Cargo
/// writes what a program was made of to a file beside it (the Cargo book, "Build cache").
pub(crate) fn source_newer_than(server: &Path) -> Option<PathBuf> {
    let built = modified(server)?;
    let made_of = fs::read_to_string(server.with_extension("d")).ok()?;
    let newer = |source: &PathBuf| modified(source).is_some_and(|time| time > built);
    sources(&made_of).into_iter().map(PathBuf::from).find(newer)
}

/// The paths in `PROGRAM: PATH PATH`, where a space within a path is `\ `.
fn sources(made_of: &str) -> Vec<String> {
    let (_, paths) = made_of.split_once(": ").unwrap_or_default();
    let paths = paths.trim_end().replace("\\ ", "\0");
    paths.split(' ').map(|path| path.replace('\0', " ")).collect()
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|data| data.modified()).ok()
}

/// Starts it, `under` being the command line of a tool to run it with, and waits until it listens.
pub(crate) fn start(
    program: &Path,
    under: &[OsString],
    options: &[&str],
) -> Result<Child, Failure> {
    let words: Vec<&OsStr> =
        under.iter().map(OsString::as_os_str).chain([program.as_os_str()]).collect();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    // `--child`: it ends when this process is gone, by whatever cause.
    command.args(["serve", "--child", "--addr", "127.0.0.1:0", "--shards", "1", "--no-pin"]);
    // Its thread looks by time, and under a tool that counts, time passes slowly.
    command.arg("--no-watchdog");
    command.args(options);
    Ok(Child::start(command)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardpoll_bench::tools;
    use std::time::Duration;

    #[test]
    fn the_sources_of_a_program_are_read_with_spaces_in_their_names() {
        let made_of = "/t/shardload: /s/a.rs /s/b\\ c.rs\n";
        assert_eq!(sources(made_of), ["/s/a.rs", "/s/b c.rs"]);
    }

    #[test]
    fn a_program_is_stale_when_a_source_is_newer() {
        let folder = tools::Scratch::new().expect("a folder");
        let (program, source) = (folder.file("program"), folder.file("source.rs"));
        for path in [&program, &source] {
            fs::write(path, "").expect("written");
        }
        let made_of = format!("{}: {}\n", program.display(), source.display());
        fs::write(folder.file("program.d"), made_of).expect("written");
        let date = |path, seconds| {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            let file = fs::File::options().write(true).open(path).expect("it is there");
            file.set_modified(time).expect("it is ours");
        };
        date(&source, 1000);
        date(&program, 2000);
        assert_eq!(source_newer_than(&program), None);
        date(&source, 3000);
        assert_eq!(source_newer_than(&program), Some(source));
    }
}
