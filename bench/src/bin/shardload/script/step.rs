//! One step of a script: which key says what is done, which say how, and what their values mean.
//!
//! Never: knows the steps before or after it, but for the names they capture.

use super::read::{Key, Reader, Value, Wrong, count, parsed, string, truth};
use super::text::{PLACEHOLDERS, Text};
use super::{Verb, Want};
use crate::units::{duration, duration_or_zero};
use regex::bytes::{Regex, RegexBuilder};
use std::ops::Range;
use std::time::Duration;
use toml::de::DeTable;

const VERBS: &str = "send, send_hex, expect, expect_hex, expect_regex, expect_bytes, \
                     expect_close, sleep, think, starttls, half_close, repeat";

/// Rounds of a `repeat`, and bytes of an `expect_bytes`, at most.
const MOST: u64 = 1_000_000_000_000;

/// What an expression may cost when it is compiled; 1 MiB is a hundred times what they need.
const REGEX_BYTES: usize = 1024 * 1024;

type Pair<'v, 't> = (&'v Key<'t>, &'v Value<'t>);

/// The keys of one step, told apart.
pub(super) struct Keys<'v, 't> {
    /// What is done: there is exactly one.
    pub(super) verb: Pair<'v, 't>,
    /// What is repeated.
    pub(super) body: Option<Pair<'v, 't>>,
    fail_if: Option<Pair<'v, 't>>,
    greeting: Option<Pair<'v, 't>>,
    measure: Option<Pair<'v, 't>>,
    name: Option<Pair<'v, 't>>,
}

impl<'v, 't> Keys<'v, 't> {
    pub(super) fn sort(table: &'v DeTable<'t>, span: Range<usize>) -> Result<Self, Wrong> {
        let mut verb: Option<Pair<'v, 't>> = None;
        let (mut body, mut fail_if, mut greeting, mut measure, mut name) =
            (None, None, None, None, None);
        let mut pairs: Vec<_> = table.iter().collect();
        // They come in the order of the alphabet, and are told about in that of the file.
        pairs.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in pairs {
            match &**key.get_ref() {
                "do" => body = Some((key, value)),
                "fail_if" => fail_if = Some((key, value)),
                "greeting" => greeting = Some((key, value)),
                "measure" => measure = Some((key, value)),
                "name" => name = Some((key, value)),
                word if VERBS.split(", ").any(|verb| verb == word) => {
                    if let Some((first, _)) = verb {
                        let first = first.get_ref();
                        let what = format!("a step does one thing: {first} and {word} are two");
                        return Err(Wrong::new(key.span(), what));
                    }
                    verb = Some((key, value));
                }
                other => {
                    let what = format!(
                        "unknown key {other:?}; a step has one of {VERBS}, and may have name, \
                         fail_if, greeting, measure"
                    );
                    return Err(Wrong::new(key.span(), what));
                }
            }
        }
        match verb {
            Some(verb) => Ok(Self { verb, body, fail_if, greeting, measure, name }),
            None => Err(Wrong::new(span, format!("this step does nothing; want one of {VERBS}"))),
        }
    }

    pub(super) fn verb(&self, reader: &mut Reader<'_>) -> Result<Verb, Wrong> {
        let (key, value) = self.verb;
        let word = &**key.get_ref();
        if let (Some((fail_if, _)), false) = (self.fail_if, word.starts_with("expect")) {
            let what = format!("fail_if has no meaning with {word}: it looks at what is expected");
            return Err(Wrong::new(fail_if.span(), what));
        }
        if let (Some((fail_if, _)), "expect_bytes" | "expect_close") = (self.fail_if, word) {
            let what = format!("fail_if has no meaning with {word}: it looks at no text");
            return Err(Wrong::new(fail_if.span(), what));
        }
        if let (Some((measure, _)), true) = (self.measure, word != "repeat") {
            let what =
                format!("measure has no meaning with {word}: it is for the rounds of repeat");
            return Err(Wrong::new(measure.span(), what));
        }
        let text = |reader: &Reader<'_>| {
            parsed(key, value, |text| not_empty(Text::parse(text, &reader.captured)?))
        };
        let bytes = || parsed(key, value, |text| not_empty(Text::bytes(hex(text)?)));
        Ok(match word {
            "send" => Verb::Send(text(reader)?),
            "send_hex" => Verb::Send(bytes()?),
            "expect" => self.expect(reader, Want::Literal(text(reader)?))?,
            "expect_hex" => self.expect(reader, Want::Literal(bytes()?))?,
            "expect_regex" => {
                let regex = parsed(key, value, pattern)?;
                let keeps = keeps(&regex, &mut reader.captured)
                    .map_err(|why| Wrong::new(value.span(), why))?;
                self.expect(reader, Want::Regex { regex, keeps })?
            }
            "expect_bytes" => Verb::Bytes(count(key, value, MOST)?),
            "repeat" => {
                let measured = self.measure(reader)?;
                Verb::Repeat { times: count(key, value, MOST)?, measured }
            }
            "sleep" => pause(parsed(key, value, times)?, true),
            "think" => pause(parsed(key, value, times)?, false),
            _ => {
                truth(key, value)?;
                match word {
                    "starttls" => Verb::StartTls,
                    "half_close" => Verb::HalfClose,
                    _ => Verb::Close,
                }
            }
        })
    }

    /// Whether the rounds are what is measured, which those of one `repeat` may be.
    fn measure(&self, reader: &mut Reader<'_>) -> Result<bool, Wrong> {
        let Some((key, value)) = self.measure else { return Ok(false) };
        truth(key, value)?;
        if reader.measures {
            let what = "measure stands twice: only one repeat can have its rounds measured";
            return Err(Wrong::new(key.span(), what));
        }
        reader.measures = true;
        Ok(true)
    }

    pub(super) fn name(&self) -> Result<Option<String>, Wrong> {
        self.name.map(|(key, value)| string(key, value).map(str::to_string)).transpose()
    }

    pub(super) fn greeting(&self) -> Result<bool, Wrong> {
        self.greeting.map_or(Ok(false), |(key, value)| truth(key, value).map(|()| true))
    }

    fn expect(&self, reader: &Reader<'_>, want: Want) -> Result<Verb, Wrong> {
        let fail_if = match self.fail_if {
            Some((key, value)) => Some(parsed(key, value, pattern)?),
            None => reader.fail_if.clone(),
        };
        Ok(Verb::Expect { want, fail_if })
    }
}

fn pause((from, to): (Duration, Duration), counted: bool) -> Verb {
    Verb::Pause { from, to, counted }
}

fn not_empty(text: Text) -> Result<Text, String> {
    if text.is_empty() { Err("it is empty".into()) } else { Ok(text) }
}

/// `50ms`, or `10ms..50ms`.
fn times(text: &str) -> Result<(Duration, Duration), String> {
    let Some((from, to)) = text.split_once("..") else {
        return duration(text).map(|time| (time, time));
    };
    match (duration_or_zero(from.trim())?, duration(to.trim())?) {
        (from, to) if from <= to => Ok((from, to)),
        _ => Err("the second must not be shorter than the first".into()),
    }
}

/// Pairs of hexadecimal digits; blanks do not count.
fn hex(text: &str) -> Result<Vec<u8>, String> {
    let wrong = || "want pairs of hexadecimal digits, such as \"05 0f ff\"".to_string();
    let digits = text.chars().filter(|each| !each.is_ascii_whitespace());
    let digits = digits.map(|each| each.to_digit(16).and_then(|digit| u8::try_from(digit).ok()));
    let digits: Vec<u8> = digits.collect::<Option<_>>().ok_or_else(wrong)?;
    if !digits.len().is_multiple_of(2) {
        return Err(wrong());
    }
    Ok(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// A regular expression over bytes.
pub(super) fn pattern(text: &str) -> Result<Regex, String> {
    let mut builder = RegexBuilder::new(text);
    let regex = builder.unicode(false).size_limit(REGEX_BYTES).build().map_err(|error| {
        // The last line says it; those before it draw the place.
        let said = error.to_string();
        let last = said.lines().last().unwrap_or_default();
        last.strip_prefix("error: ").unwrap_or(last).to_string()
    })?;
    if regex.is_match(b"") {
        return Err("it is content with nothing at all".into());
    }
    Ok(regex)
}

/// The slots for what the named groups of an expression match.
fn keeps(regex: &Regex, captured: &mut Vec<String>) -> Result<Vec<(usize, usize)>, String> {
    let mut keeps = Vec::new();
    for (group, name) in regex.capture_names().enumerate() {
        let Some(name) = name else { continue };
        if PLACEHOLDERS.contains(&name) {
            return Err(format!("the group {name:?} cannot be called so: {{{name}}} is given"));
        }
        if !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
            return Err(format!("the group {name:?} must have a name of a to z and _"));
        }
        let slot = captured.iter().position(|known| known == name).unwrap_or_else(|| {
            captured.push(name.to_string());
            captured.len() - 1
        });
        keeps.push((group, slot));
    }
    Ok(keeps)
}
