//! A script's file: TOML, read step by step, every fault with its place.
//!
//! Never: opens the file.

use super::step::{Keys, pattern};
use super::{Op, Script, Verb};
use crate::units::duration;
use regex::bytes::Regex;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeArray, DeString, DeTable, DeValue, Error};

pub(super) type Key<'t> = Spanned<DeString<'t>>;
pub(super) type Value<'t> = Spanned<DeValue<'t>>;

/// What is wrong, and where: bytes of the text.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) at: usize,
    pub(super) what: String,
}

impl Wrong {
    pub(super) fn new(span: Range<usize>, what: impl Into<String>) -> Self {
        Self { at: span.start, what: what.into() }
    }
}

/// Reads the script that is called `name`.
pub(super) fn script(name: &str, text: &str) -> Result<Script, String> {
    read(name, text).map_err(|wrong| {
        let (line, column) = place(text, wrong.at);
        format!("{name}:{line}:{column}: {}", wrong.what)
    })
}

fn read(name: &str, text: &str) -> Result<Script, Wrong> {
    let (table, faults) = DeTable::parse_recoverable(text);
    let at = |fault: &Error| fault.span().map_or(0, |span| span.start);
    // What follows the first is often only its consequence.
    if let Some(first) = faults.into_iter().min_by_key(at) {
        let what = first.message().lines().collect::<Vec<_>>().join(" ");
        return Err(Wrong { at: at(&first), what });
    }
    let end = table.span().end;
    let (mut description, mut timeout, mut steps) = (None, None, None);
    let mut reader = Reader { text, ..Reader::default() };
    for (key, value) in table.get_ref() {
        match &**key.get_ref() {
            "description" => description = Some(string(key, value)?.to_string()),
            "timeout" => timeout = Some(parsed(key, value, duration)?),
            "fail_if" => reader.fail_if = Some(parsed(key, value, pattern)?),
            "step" => steps = Some((key, value)),
            other => {
                let what = format!(
                    "unknown key {other:?}; a script has description, timeout, fail_if and step"
                );
                return Err(Wrong::new(key.span(), what));
            }
        }
    }
    let Some((key, value)) = steps else {
        return Err(Wrong::new(end..end, "there are no steps: each begins with [[step]]"));
    };
    reader.steps(array(key, value)?, value.span())?;
    let captures = reader.captured.len();
    Ok(Script { name: name.into(), description, timeout, ops: reader.ops, captures })
}

/// What has been read so far: what a step may be depends on those before it.
#[derive(Debug, Default)]
pub(super) struct Reader<'t> {
    text: &'t str,
    /// Of steps that have none of their own.
    pub(super) fail_if: Option<Regex>,
    /// The names that expressions capture, by their slot.
    pub(super) captured: Vec<String>,
    /// The rounds of a `repeat` are measured.
    pub(super) measures: bool,
    ops: Vec<Op>,
    /// How many `repeat` this is within.
    depth: usize,
    tls: bool,
    half_closed: bool,
    closed: bool,
}

impl Reader<'_> {
    fn steps(&mut self, steps: &DeArray<'_>, span: Range<usize>) -> Result<(), Wrong> {
        if steps.is_empty() {
            return Err(Wrong::new(span, "there are no steps in it"));
        }
        for step in steps {
            let DeValue::Table(table) = step.get_ref() else {
                return Err(Wrong::new(step.span(), "each step must be a table of its own"));
            };
            self.step(table, step.span())?;
        }
        Ok(())
    }

    fn step(&mut self, table: &DeTable<'_>, span: Range<usize>) -> Result<(), Wrong> {
        let keys = Keys::sort(table, span)?;
        let at = keys.verb.0.span();
        if self.closed {
            return Err(Wrong::new(at, "nothing can follow expect_close: the connection is gone"));
        }
        let verb = keys.verb(self)?;
        self.check(&verb, at.clone())?;
        let name = keys.name()?;
        let greeting = keys.greeting()?;
        if greeting && !matches!(verb, Verb::Expect { .. }) {
            let what = "only what is expected can be the greeting: send has none";
            return Err(Wrong::new(at, what));
        }
        if greeting && self.depth > 0 {
            return Err(Wrong::new(at, "a greeting comes once: it cannot stand within repeat"));
        }
        let (line, _) = place(self.text, at.start);
        let repeats = match verb {
            Verb::Repeat { measured, .. } => Some(measured),
            _ => None,
        };
        self.ops.push(Op { line, name, greeting, verb });
        match (keys.body, repeats) {
            (Some((key, value)), Some(measured)) => {
                let first = self.ops.len();
                self.depth += 1;
                self.steps(array(key, value)?, value.span())?;
                self.depth -= 1;
                let verb = Verb::Again { first, measured };
                self.ops.push(Op { line, name: None, greeting: false, verb });
                Ok(())
            }
            (None, Some(_)) => {
                Err(Wrong::new(at, "repeat needs do = [ ... ], the steps to repeat"))
            }
            (Some((key, _)), None) => {
                Err(Wrong::new(key.span(), "do has no meaning without repeat"))
            }
            (None, None) => Ok(()),
        }
    }

    /// Whether the step may stand where it does.
    fn check(&mut self, verb: &Verb, at: Range<usize>) -> Result<(), Wrong> {
        let once = |word: &str| {
            let what = format!("{word} cannot stand within repeat: a connection has it once");
            Err(Wrong::new(at.clone(), what))
        };
        match verb {
            Verb::StartTls if self.depth > 0 => return once("starttls"),
            Verb::HalfClose if self.depth > 0 => return once("half_close"),
            Verb::Close if self.depth > 0 => return once("expect_close"),
            Verb::StartTls if self.tls => {
                return Err(Wrong::new(at, "starttls stands twice: it is TLS already"));
            }
            Verb::StartTls | Verb::Send(_) | Verb::HalfClose if self.half_closed => {
                return Err(Wrong::new(at, "nothing can be sent any more after half_close"));
            }
            Verb::StartTls => self.tls = true,
            Verb::HalfClose => self.half_closed = true,
            Verb::Close => self.closed = true,
            _ => {}
        }
        Ok(())
    }
}

/// A value that must be text.
pub(super) fn string<'v>(key: &Key<'_>, value: &'v Value<'_>) -> Result<&'v str, Wrong> {
    match value.get_ref() {
        DeValue::String(text) => Ok(text),
        other => Err(unfit(key, value, "a text in quotes", other)),
    }
}

/// A value that must be text, and be understood by `parse`.
pub(super) fn parsed<T>(
    key: &Key<'_>,
    value: &Value<'_>,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, Wrong> {
    let text = string(key, value)?;
    parse(text)
        .map_err(|why| Wrong::new(value.span(), format!("{} = {text:?}: {why}", key.get_ref())))
}

/// A value that must be a list.
fn array<'v, 't>(key: &Key<'_>, value: &'v Value<'t>) -> Result<&'v DeArray<'t>, Wrong> {
    match value.get_ref() {
        DeValue::Array(array) => Ok(array),
        other => Err(unfit(key, value, "a list of steps", other)),
    }
}

/// A value that must be a whole number from 1 to `most`.
pub(super) fn count(key: &Key<'_>, value: &Value<'_>, most: u64) -> Result<u64, Wrong> {
    let DeValue::Integer(integer) = value.get_ref() else {
        return Err(unfit(key, value, "a whole number", value.get_ref()));
    };
    match u64::from_str_radix(integer.as_str(), integer.radix()) {
        Ok(number) if (1..=most).contains(&number) => Ok(number),
        _ => {
            let what = format!("{} = {integer}: want 1 to {most}", key.get_ref());
            Err(Wrong::new(value.span(), what))
        }
    }
}

/// A value that must be `true`.
pub(super) fn truth(key: &Key<'_>, value: &Value<'_>) -> Result<(), Wrong> {
    match value.get_ref() {
        DeValue::Boolean(true) => Ok(()),
        DeValue::Boolean(false) => {
            let what = format!("{} can only be true; leave it out otherwise", key.get_ref());
            Err(Wrong::new(value.span(), what))
        }
        other => Err(unfit(key, value, "true", other)),
    }
}

fn unfit(key: &Key<'_>, value: &Value<'_>, want: &str, is: &DeValue<'_>) -> Wrong {
    let is = match is {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    Wrong::new(value.span(), format!("{} must be {want}, and this is {is}", key.get_ref()))
}

/// Line and column of a byte, each from 1 on; columns are characters.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..at.min(text.len())];
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let lines = before.iter().filter(|byte| **byte == b'\n').count();
    // Of each character, all bytes but the first look like this.
    let begins = |byte: &&u8| **byte & 0xC0 != 0x80;
    (lines + 1, before[line_start..].iter().filter(begins).count() + 1)
}
