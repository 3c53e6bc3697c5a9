//! Why there is no figure, or not the one hoped for, in one line each, and the exit code.
//!
//! Never: prints more than one line, or leaves out the value that was wrong.

use shardpoll::StartError;
use shardpoll_bench::child::ChildError;
use shardpoll_bench::command_line::Unread;
use shardpoll_bench::tools::ToolError;
use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line cannot be understood; the text is clap's, in one line.
    Usage(String),
    /// `--help` or `--version` was asked for: no failure, but the end.
    Told,
    /// This program was built without optimisation, and its server most likely as well.
    Unoptimised,
    /// There is no server beside this program.
    NoServer { path: PathBuf },
    /// The server was built before one of its sources was changed.
    Stale { server: PathBuf, newer: PathBuf },
    /// A tool that counts is not installed, or did not do what was asked of it.
    Tool(ToolError),
    /// The server did not start, serve or end as it should.
    Server { why: String },
    /// The echo was not what was sent, or did not come.
    Echo { why: String },
    /// A program that does one operation did not.
    Subject { why: String },
    /// The file of the budgets cannot be read or written.
    Budgets { path: PathBuf, why: String },
    /// More connections than this process may have descriptors for.
    Descriptors { connections: usize, needed: u64, limit: u64 },
    /// The engine in this process could not start or listen.
    Start(StartError),
    /// Something of this process or this machine went wrong.
    Io { what: &'static str, source: io::Error },
    /// The figures are there, and these miss their goals or budgets.
    Missed(Vec<String>),
}

impl Failure {
    pub(crate) fn io(what: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }

    /// Says it on standard error, if there is something to say.
    pub(crate) fn tell(&self) {
        if !matches!(self, Self::Told) {
            eprintln!("figures: {self}");
        }
    }

    /// 0: done. 1: a goal is missed. 2: there is no figure. 3: a tool is missing.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Told => 0,
            Self::Missed(_) => 1,
            Self::Tool(ToolError::Missing { .. }) => 3,
            Self::Usage(_)
            | Self::Unoptimised
            | Self::NoServer { .. }
            | Self::Stale { .. }
            | Self::Tool(_)
            | Self::Server { .. }
            | Self::Echo { .. }
            | Self::Subject { .. }
            | Self::Budgets { .. }
            | Self::Descriptors { .. }
            | Self::Start(_)
            | Self::Io { .. } => 2,
        })
    }
}

impl From<Unread> for Failure {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Told => Self::Told,
            Unread::Usage(line) => Self::Usage(line),
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self::Start(error)
    }
}

impl From<ToolError> for Failure {
    fn from(error: ToolError) -> Self {
        Self::Tool(error)
    }
}

impl From<ChildError> for Failure {
    fn from(error: ChildError) -> Self {
        Self::Server { why: error.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const BUILD: &str = "build it: cargo build --release -p shardpoll-bench";
        match self {
            Self::Usage(line) => f.write_str(line),
            Self::Told => Ok(()),
            Self::Unoptimised => f.write_str(
                "figures of an unoptimised build say nothing: cargo run --release -p \
                 shardpoll-bench --bin figures",
            ),
            Self::NoServer { path } => write!(f, "{} is not there; {BUILD}", path.display()),
            Self::Stale { server, newer } => {
                write!(f, "{} is older than {}; {BUILD}", server.display(), newer.display())
            }
            Self::Tool(error) => error.fmt(f),
            Self::Server { why } => write!(f, "the server {why}"),
            Self::Echo { why } => write!(f, "the echo failed: {why}"),
            Self::Subject { why } => write!(f, "a counted program: {why}"),
            Self::Budgets { path, why } => write!(f, "{}: {why}", path.display()),
            Self::Descriptors { connections, needed, limit } => write!(
                f,
                "{connections} connections need {needed} descriptors here and as many in the \
                 server, and a process may have {limit}; raise the hard limit (ulimit -Hn {needed})"
            ),
            Self::Start(error) => error.fmt(f),
            Self::Io { what, source } => write!(f, "{what}: {source}"),
            Self::Missed(names) => write!(f, "missed: {}", names.join("; ")),
        }
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Start(source) => Some(source),
            Self::Tool(source) => Some(source),
            _ => None,
        }
    }
}
