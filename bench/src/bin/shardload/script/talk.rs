//! One conversation that follows a script: what to do next, given what has come; without a socket.
//!
//! ```text
//!   next() ─► Send, HalfClose, Round ─► carry out, and next() again
//!          ─► Pause ─────────────────── wait so long, and next() again
//!          ─► StartTls ──────────────── begin it, and next() when it stands
//!          ─► Await ─────────────────── receive() what comes, and next() again
//!                                      or expired(), or ended()
//!          ─► Done, Failed ──────────── the end
//! ```
//!
//! Never: reads a clock, or knows what carries its bytes.
//!
//! Invariants:
//! 1. What has come and is not consumed is never more than [`UNREAD_BYTES`] and one read.
//! 2. A literal is looked for only in what has come since the last time, and the few bytes before.
//! 3. How the peer's bytes are cut into reads changes nothing, as far as the script's expressions
//!    match the same text whatever follows it.

use super::{Op, Script, Verb, Want};
use regex::bytes::Regex;
use std::fmt::Write;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Of what has come and was not expected yet, as much is kept; more is a fault.
const UNREAD_BYTES: usize = 64 * 1024;

/// Of what has come, so much is shown when it was not what should have.
const SHOWN_BYTES: usize = 80;

/// What differs from one conversation to the next.
#[derive(Clone, Debug)]
pub(crate) struct Variables {
    /// `--sni`, otherwise the target's host.
    pub(crate) host: Arc<str>,
    /// Which of the connections that are held at a time, those of other instances included; from 0
    /// on.
    pub(crate) connection: u64,
    /// Which of all conversations, those of other instances included.
    pub(crate) conversation: u64,
    /// Another number for each conversation.
    pub(crate) random: u64,
}

/// What to do next.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Next<'a> {
    Send(&'a [u8]),
    /// Wait for what comes: for so long, from when this `wait` was first asked for; each has
    /// another number.
    Await {
        timeout: Duration,
        wait: u64,
    },
    /// Do nothing for so long; if it is not `counted`, the conversation takes less time by it.
    Pause {
        time: Duration,
        counted: bool,
    },
    /// Begin TLS, as its client.
    StartTls,
    /// End this side of the connection.
    HalfClose,
    /// What is measured begins here; before, if it is `done`, another has ended.
    Round {
        done: bool,
    },
    /// The script is at its end: close.
    Done,
    Failed(Fault),
}

/// Why a conversation did not go as its script says: place, expectation, and what came instead.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Fault(pub(crate) String);

/// One conversation.
#[derive(Debug)]
pub(crate) struct Talk {
    /// Of this shard: an expression that several threads search with makes them wait.
    script: Rc<Script>,
    variables: Variables,
    /// The greeting has been read by what came before.
    greeted: bool,
    /// The step that comes next, or is waited on.
    at: usize,
    /// Rounds that are left of each `repeat` this is within, the present one included.
    rounds: Vec<u64>,
    captured: Vec<Vec<u8>>,
    unread: Vec<u8>,
    /// So much at its beginning is consumed.
    consumed: usize,
    /// So much of what is unread was looked through for the literal.
    pub(super) seen: usize,
    /// What an `expect_bytes` still lacks, once it has begun.
    lacking: Option<u64>,
    /// More came than is kept.
    overflow: bool,
    wait: u64,
    random: u64,
    /// What is sent, or the literal that is expected, filled in.
    filled: Vec<u8>,
}

impl Talk {
    /// Begins a conversation; `greeted` when the server's greeting has been read already.
    pub(crate) fn new(script: &Rc<Script>, variables: Variables, greeted: bool) -> Self {
        Self {
            captured: vec![Vec::new(); script.captures],
            // Of zero, xorshift makes zero.
            random: variables.random | 1,
            script: Rc::clone(script),
            variables,
            greeted,
            at: 0,
            rounds: Vec::new(),
            unread: Vec::new(),
            consumed: 0,
            seen: 0,
            lacking: None,
            overflow: false,
            wait: 0,
            filled: Vec::new(),
        }
    }

    /// Takes what the peer has sent; whether it is what was awaited, [`next`](Self::next) says.
    pub(crate) fn receive(&mut self, mut data: &[u8]) {
        if let Some(lacking) = &mut self.lacking {
            let taken = data.len().min(usize::try_from(*lacking).unwrap_or(usize::MAX));
            *lacking -= taken as u64;
            data = &data[taken..];
        }
        if self.unread.len() - self.consumed > UNREAD_BYTES {
            self.overflow |= !data.is_empty();
            return;
        }
        if self.consumed > 0 {
            self.unread.drain(..self.consumed);
            self.consumed = 0;
        }
        self.unread.extend_from_slice(data);
    }

    /// What is to be done now.
    pub(crate) fn next(&mut self, timeout: Duration) -> Next<'_> {
        let script = Rc::clone(&self.script);
        loop {
            let Some(op) = script.ops.get(self.at) else { return Next::Done };
            if self.overflow {
                let why = "too much came before it";
                return Next::Failed(self.fault(op, why, self.come()));
            }
            if op.greeting && self.greeted {
                self.go_on();
                continue;
            }
            match &op.verb {
                Verb::Repeat { times, measured } => {
                    self.rounds.push(*times);
                    self.at += 1;
                    if *measured {
                        return Next::Round { done: false };
                    }
                }
                Verb::Again { first, measured } => {
                    self.again(*first);
                    if *measured {
                        return Next::Round { done: true };
                    }
                }
                Verb::Expect { .. } | Verb::Bytes(_) | Verb::Close => match self.look(op) {
                    Ok(true) => self.go_on(),
                    Ok(false) => {
                        let timeout = script.timeout.unwrap_or(timeout);
                        return Next::Await { timeout, wait: self.wait };
                    }
                    Err(fault) => return Next::Failed(fault),
                },
                Verb::Send(text) => {
                    self.go_on();
                    self.filled.clear();
                    text.fill(&self.variables, &self.captured, &mut self.filled);
                    return Next::Send(&self.filled);
                }
                Verb::HalfClose => {
                    self.go_on();
                    return Next::HalfClose;
                }
                Verb::Pause { from, to, counted } => {
                    self.go_on();
                    let time = self.between(*from, *to);
                    return Next::Pause { time, counted: *counted };
                }
                Verb::StartTls => {
                    // Taken as secured, they would be what an attacker has put there.
                    if !self.come().is_empty() {
                        let why = "bytes came before TLS began";
                        return Next::Failed(self.fault(op, why, self.come()));
                    }
                    self.go_on();
                    return Next::StartTls;
                }
            }
        }
    }

    /// Why the conversation ends when what is awaited has not come in time.
    pub(crate) fn expired(&self, after: Duration) -> Fault {
        self.stuck(&format!("it did not come within {after:?}"))
    }

    /// The peer has ended the connection: what is wrong with that, if anything.
    pub(crate) fn ended(&self) -> Result<(), Fault> {
        match self.script.ops.get(self.at) {
            None | Some(Op { verb: Verb::Close, .. }) => Ok(()),
            Some(_) => Err(self.stuck("the server ended the connection")),
        }
    }

    fn stuck(&self, why: &str) -> Fault {
        match self.script.ops.get(self.at) {
            Some(op) => self.fault(op, why, self.come()),
            None => Fault(format!("{}: {why} at its end", self.script.name)),
        }
    }

    fn go_on(&mut self) {
        self.at += 1;
        self.wait += 1;
        self.seen = 0;
        self.lacking = None;
    }

    fn again(&mut self, first: usize) {
        let left = self.rounds.last_mut().expect("each end of a repeat has its beginning");
        *left -= 1;
        if *left > 0 {
            self.at = first;
        } else {
            self.rounds.pop();
            self.at += 1;
        }
    }

    /// What has come and is not consumed.
    fn come(&self) -> &[u8] {
        &self.unread[self.consumed..]
    }

    /// Whether what is expected is there; then it is consumed.
    fn look(&mut self, op: &Op) -> Result<bool, Fault> {
        let (want, fail_if) = match &op.verb {
            Verb::Expect { want, fail_if } => (want, fail_if),
            Verb::Bytes(count) => return Ok(self.take(*count)),
            // Only the end itself is what it waits for; what comes before is of no interest.
            _ => {
                self.unread.clear();
                self.consumed = 0;
                return Ok(false);
            }
        };
        let end = match want {
            Want::Literal(text) => {
                let needle = match text.constant() {
                    Some(bytes) => bytes,
                    None => {
                        self.filled.clear();
                        text.fill(&self.variables, &self.captured, &mut self.filled);
                        &self.filled
                    }
                };
                let from = self.seen.saturating_sub(needle.len().saturating_sub(1));
                let come = &self.unread[self.consumed..];
                self.seen = come.len();
                find(&come[from..], needle).map(|at| from + at + needle.len())
            }
            Want::Regex { regex, keeps } => self.matched(regex, keeps),
        };
        let before = &self.come()[..end.unwrap_or_else(|| self.come().len())];
        if let Some(found) = fail_if.as_ref().and_then(|fail_if| fail_if.find(before)) {
            // Whichever is complete first has happened.
            if end.is_none_or(|end| found.end() < end) {
                return Err(self.fault(op, "its fail_if matched", found.as_bytes()));
            }
        }
        let Some(end) = end else {
            if before.len() > UNREAD_BYTES {
                return Err(self.fault(op, "too much came without it", self.come()));
            }
            return Ok(false);
        };
        self.consumed += end;
        Ok(true)
    }

    /// The end of the match, and what its groups are to keep.
    fn matched(&mut self, regex: &Regex, keeps: &[(usize, usize)]) -> Option<usize> {
        let come = &self.unread[self.consumed..];
        if keeps.is_empty() {
            return Some(regex.find(come)?.end());
        }
        let groups = regex.captures(come)?;
        for (group, slot) in keeps {
            let bytes = groups.get(*group).map(|found| found.as_bytes()).unwrap_or_default();
            self.captured[*slot] = bytes.to_vec();
        }
        Some(groups.get(0)?.end())
    }

    /// Consumes as many bytes as have come, of so many.
    fn take(&mut self, count: u64) -> bool {
        let lacking = self.lacking.unwrap_or(count);
        let taken = self.come().len().min(usize::try_from(lacking).unwrap_or(usize::MAX));
        self.consumed += taken;
        self.lacking = Some(lacking - taken as u64);
        self.lacking == Some(0)
    }

    /// A time from one to the other, each as likely as any.
    fn between(&mut self, from: Duration, to: Duration) -> Duration {
        // xorshift64: nothing here needs to be unpredictable.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let of_one = (self.random >> 11) as f64 / (1u64 << 53) as f64;
        from + (to - from).mul_f64(of_one)
    }

    /// `FILE:LINE (NAME): expected WHAT; WHY; what came: "BYTES"`.
    fn fault(&self, op: &Op, why: &str, came: &[u8]) -> Fault {
        let mut text = format!("{}:{}", self.script.name, op.line);
        if let Some(name) = &op.name {
            // Writing to a string cannot fail.
            let _written = write!(text, " ({name})");
        }
        text += ": ";
        match &op.verb {
            Verb::Expect { want: Want::Literal(literal), .. } => {
                let mut bytes = Vec::new();
                literal.fill(&self.variables, &self.captured, &mut bytes);
                let _written = write!(text, "expected {}; ", quoted(&bytes));
            }
            Verb::Expect { want: Want::Regex { regex, .. }, .. } => {
                let _written = write!(text, "expected /{regex}/; ");
            }
            Verb::Bytes(count) => {
                let lacking = self.lacking.unwrap_or(*count);
                let _written = write!(text, "expected {count} bytes, {lacking} are missing; ");
            }
            Verb::Close => text += "expected the server to end the connection; ",
            _ => {}
        }
        let came = if came.is_empty() { "nothing".into() } else { quoted(came) };
        let _written = write!(text, "{why}; what came: {came}");
        Fault(text)
    }
}

/// Bytes for people: in quotes, with escapes, and not too many.
fn quoted(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(SHOWN_BYTES)];
    let more = bytes.len() - shown.len();
    let tail = if more > 0 { format!("... and {more} bytes more") } else { String::new() };
    // Quotes of the protocol are what they are: the text stands in quotes only to show its ends.
    let text = shown.escape_ascii().to_string().replace("\\\"", "\"").replace("\\'", "'");
    format!("\"{text}\"{tail}")
}

/// Where the needle begins.
fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    let Some((first, rest)) = needle.split_first() else { return Some(0) };
    let mut from = 0;
    while let Some(at) = hay[from..].iter().position(|byte| byte == first) {
        from += at + 1;
        if hay[from..].starts_with(rest) {
            return Some(from - 1);
        }
    }
    None
}

#[cfg(test)]
impl Variables {
    /// Numbers that cannot be taken for each other.
    pub(super) fn example() -> Self {
        let host = Arc::from("example.org");
        Self { host, connection: 7, conversation: 1007, random: 255 }
    }
}

#[cfg(test)]
impl Talk {
    pub(super) fn come_len(&self) -> usize {
        self.come().len()
    }
}
