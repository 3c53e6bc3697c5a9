//! `victim`: the server that `figures attack` attacks. An echo on TCP; and, if asked, a unix socket
//! on which each peer is written more than the kernel takes.
//!
//! Never: defends itself by anything but the limits it was given.

#![forbid(unsafe_code)]

use clap::Parser;
use shardpoll::{
    Config, Conn, Engine, Handler, Listen, Pinning, Remote, incoming, raise_descriptor_limit,
};
use shardpoll_bench::command_line::{self, Unread};
use shardpoll_bench::tools;
use std::error::Error;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// The server that `figures attack` attacks; it ends with its standard input.
#[derive(Parser, Debug)]
#[command(name = "victim", version)]
struct Cli {
    /// Write much to every peer of this unix socket
    #[arg(long, value_name = "PATH")]
    flood: Option<PathBuf>,
    /// Limits, by the names of `Config`
    #[arg(value_name = "NAME=VALUE")]
    settings: Vec<String>,
}

/// What one callback stages, and what goes to the queue as well; a unix socket takes 208 KiB.
const STAGED: usize = 250 * 1024;
const QUEUED: usize = 384 * 1024;

/// Writes much at once, and hopes that it is read.
struct Flood;

impl Handler for Flood {
    fn on_connect(&mut self, conn: &mut Conn<'_>) {
        // Both ways into memory.
        let even = conn.opened().as_nanos().is_multiple_of(2);
        let (piece, count) = if even { (STAGED, 1) } else { (QUEUED / 3, 3) };
        for _ in 0..count {
            conn.write(&vec![0; piece]);
        }
    }

    fn on_incoming(&mut self, _: &mut Conn<'_>, _: &[u8]) {}
}

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("victim: {error}");
            ExitCode::from(2)
        }
    }
}

fn serve() -> Result<(), Box<dyn Error>> {
    let asked: Cli = match command_line::parse() {
        Ok(asked) => asked,
        Err(Unread::Told) => return Ok(()),
        Err(Unread::Usage(line)) => return Err(line.into()),
    };
    raise_descriptor_limit()?;
    let mut config = Config::default();
    for setting in &asked.settings {
        let (name, value) = setting.split_once('=').ok_or("a setting is NAME=VALUE")?;
        config.set(name, value)?;
    }
    let engine = Engine::builder().shards(1).pinning(Pinning::None).config(config).start()?;
    let echo = |_: &_| {
        incoming(|conn, data| {
            conn.write(data);
        })
    };
    let listener = engine.listen(Listen::on(([127, 0, 0, 1], 0)), echo)?;
    if let Some(path) = asked.flood {
        engine.listen(Listen::unix(path), |_| Flood)?;
    }
    end_with_input(engine.remote())?;
    let addr = engine.addr(listener).ok_or("just added")?;
    let mut stdout = io::stdout();
    writeln!(stdout, "listening {addr} pid {}", std::process::id())?;
    stdout.flush()?;
    engine.join()?;
    Ok(())
}

fn end_with_input(remote: Remote) -> io::Result<()> {
    tools::thread("input", move || {
        let mut ignored = [0; 64];
        while io::stdin().read(&mut ignored).is_ok_and(|count| count > 0) {}
        remote.quit(Duration::ZERO);
    })
}
