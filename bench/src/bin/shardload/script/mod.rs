//! Conversations: a TOML file that says what a client sends and what it expects.
//!
//! | file | what is in it |
//! |---|---|
//! | `read` | the file, and what may be wrong with it: `FILE:LINE:COLUMN: ...` |
//! | `step` | one step of it: its keys, its values |
//! | `text` | what is sent, with `{placeholders}` |
//! | `talk` | one conversation, without a socket: what to do next |
//! | `builtin` | the scripts that are built in, and those that lead to TLS |
//!
//! Never: touches a connection.

mod builtin;
mod read;
mod step;
mod talk;
mod text;

#[cfg(test)]
mod faults;
#[cfg(test)]
mod tests;

#[cfg(test)]
use builtin::builtins;
pub(crate) use builtin::{load, scripts, starttls_smtp, starttls_xmpp};
pub(crate) use talk::{Fault, Next, Talk, Variables};

use regex::bytes::Regex;
use std::time::Duration;
use text::Text;

/// What clients do, parsed and checked: shared by all conversations of a shard that follow it.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    /// The file, or the built-in name: what messages begin with.
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    /// How long an answer may take; otherwise `--timeout` says it.
    timeout: Option<Duration>,
    ops: Vec<Op>,
    /// How many names its expressions capture.
    captures: usize,
}

impl Script {
    /// Reads a script; `name` is what its errors begin with.
    ///
    /// # Errors
    /// `NAME:LINE:COLUMN: ` and what is wrong, in one line.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Self, String> {
        read::script(name, text)
    }

    /// Whether it is the rounds of a `repeat` that are measured, and not the whole.
    pub(crate) fn measures_rounds(&self) -> bool {
        self.ops.iter().any(|op| matches!(op.verb, Verb::Repeat { measured: true, .. }))
    }

    /// Whether a step begins TLS, so that a certificate has to be checked and nothing before it may
    /// be TLS.
    pub(crate) fn starts_tls(&self) -> bool {
        self.ops.iter().any(|op| matches!(op.verb, Verb::StartTls))
    }
}

/// One step, as it is carried out.
#[derive(Clone, Debug)]
struct Op {
    /// Where it stands in the file.
    line: usize,
    /// What its author calls it.
    name: Option<String>,
    /// It reads the server's greeting, which the target's scheme may have read already.
    greeting: bool,
    verb: Verb,
}

#[derive(Clone, Debug)]
enum Verb {
    Send(Text),
    Expect {
        want: Want,
        fail_if: Option<Regex>,
    },
    /// Exactly so many bytes, whatever they are.
    Bytes(u64),
    /// The peer ends the connection.
    Close,
    HalfClose,
    /// From one to the other, each as likely as any; when it is not `counted`, the conversation
    /// takes less time by it.
    Pause {
        from: Duration,
        to: Duration,
        counted: bool,
    },
    StartTls,
    /// What follows is done so often, up to its [`Verb::Again`].
    Repeat {
        times: u64,
        measured: bool,
    },
    /// Back to this index, if there is another round.
    Again {
        first: usize,
        measured: bool,
    },
}

#[derive(Clone, Debug)]
enum Want {
    Literal(Text),
    Regex {
        regex: Regex,
        /// Of each named group, its number, and the slot that keeps what it has matched.
        keeps: Vec<(usize, usize)>,
    },
}
