//! Why there is no table, or not the one hoped for, in one line each, and the exit code.
//!
//! Never: prints more than one line, or leaves out the value that was wrong.

use crate::candidate::Provider;
use shardpoll::{StartError, tls};
use shardpoll_bench::command_line::Unread;
use shardpoll_bench::tools::ToolError;
use std::error::Error;
use std::fmt;
use std::io;
use std::process::ExitCode;

#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line cannot be understood; the text is clap's, in one line.
    Usage(String),
    /// `--help` or `--version` was asked for: no failure, but the end.
    Told,
    /// This program was built without optimisation, and its servers with it.
    Unoptimised,
    /// A provider that this program was built without.
    NotBuiltIn(Provider),
    /// A tool that counts is missing or failed.
    Tool(ToolError),
    /// A server did not start, serve or end as it should.
    Server { server: String, why: String },
    /// An echo was not what was sent, or did not come.
    Echo { why: String },
    /// A peer that cannot serve on this machine.
    NotHere { peer: &'static str, why: String },
    /// More connections than this process may have descriptors for.
    Descriptors { needed: u64, limit: u64 },
    /// The engine could not start or listen.
    Start(StartError),
    /// No TLS configuration could be made.
    Tls(tls::rustls::Error),
    /// A certificate could not be made.
    SelfSigned(rcgen::Error),
    /// Something of this process or this machine went wrong.
    Io { what: &'static str, source: io::Error },
    /// The tables are there, and these rows miss their goals.
    Missed(Vec<String>),
}

impl Failure {
    pub(crate) fn io(what: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }

    /// Says it on standard error, if there is something to say.
    pub(crate) fn tell(&self) {
        if !matches!(self, Self::Told) {
            eprintln!("versus: {self}");
        }
    }

    /// 0: done. 1: a goal is missed. 2: there is no table. 3: a tool is missing.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Told => 0,
            Self::Missed(_) => 1,
            Self::Tool(ToolError::Missing { .. }) => 3,
            Self::Usage(_)
            | Self::Unoptimised
            | Self::NotBuiltIn(_)
            | Self::Tool(_)
            | Self::Server { .. }
            | Self::Echo { .. }
            | Self::NotHere { .. }
            | Self::Descriptors { .. }
            | Self::Start(_)
            | Self::Tls(_)
            | Self::SelfSigned(_)
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

impl From<tls::rustls::Error> for Failure {
    fn from(error: tls::rustls::Error) -> Self {
        Self::Tls(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(line) => f.write_str(line),
            Self::Told => Ok(()),
            Self::Unoptimised => f.write_str(
                "figures of an unoptimised build say nothing: cargo run --release -p \
                 shardpoll-bench --features peers --bin versus",
            ),
            Self::NotBuiltIn(provider) => {
                write!(f, "{provider} is not built in: build with --features peers,{provider}")
            }
            Self::Tool(error) => error.fmt(f),
            Self::Server { server, why } => write!(f, "the server of {server} {why}"),
            Self::Echo { why } => write!(f, "the echo failed: {why}"),
            Self::NotHere { peer, why } => write!(f, "{peer} is not here: {why}"),
            Self::Descriptors { needed, limit } => write!(
                f,
                "{needed} descriptors are needed here and in the server, and a process may have \
                 {limit}; raise the hard limit (ulimit -Hn {needed})"
            ),
            Self::Start(error) => error.fmt(f),
            Self::Tls(error) => error.fmt(f),
            Self::SelfSigned(error) => write!(f, "no certificate could be made: {error}"),
            Self::Io { what, source } => write!(f, "{what}: {source}"),
            Self::Missed(names) => write!(f, "goals missed: {}", names.join("; ")),
        }
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Start(source) => Some(source),
            Self::Tool(source) => Some(source),
            Self::Tls(source) => Some(source),
            _ => None,
        }
    }
}
