//! Events to traces, as they are compared: what is left out, what is joined, how data is written,
//! what times count from.
//!
//! Never: looks at the engine.

use crate::fields::{Fields, Outcome};
use crate::record::{Arg, Event};
use serde_json::{Value, json};
use shardpoll::tls::ClientContext;
use shardpoll::tls::rustls::crypto::hash::HashAlgorithm;
use std::collections::HashSet;
use std::fmt::Write;
use std::time::Duration;

/// How a scenario's record is looked at.
#[derive(Debug)]
pub(crate) struct View {
    global: bool,
    ignore: Vec<String>,
    timed: Vec<String>,
    from_label: bool,
    tolerance_ms: f64,
    chunks: bool,
    pub(crate) incoming_err: bool,
    pub(crate) silent: HashSet<String>,
}

/// The longest data that is written out.
const SHORT: usize = 96;

/// Recorded times are rounded to 50 ms, so they may be so much off.
const ROUNDING_MS: f64 = 25.0;

/// Reasons of a disconnect that are compared word for word.
const REASONS: [&str; 6] = [
    "closed",
    "read timeout",
    "write timeout",
    "connection timeout",
    "connection refused",
    "no space left in buffer",
];

impl View {
    pub(crate) fn parse(fields: &mut Fields) -> Outcome<Self> {
        let global = match fields.text("order")?.as_deref() {
            None => false,
            Some("global") => true,
            Some(other) => return Err(format!("unknown order {other:?}")),
        };
        let from_label = match fields.text("time_origin")?.as_deref() {
            None | Some("start") => false,
            Some("label") => true,
            Some(other) => return Err(format!("unknown time_origin {other:?}")),
        };
        let incoming_err = fields.is_set("incoming_err")?;
        Ok(Self {
            global,
            ignore: fields.texts("ignore")?,
            timed: fields.texts("timed")?,
            from_label,
            tolerance_ms: fields.number("tolerance_ms")?.unwrap_or(60.0),
            chunks: fields.is_set("chunks")? || incoming_err,
            incoming_err,
            silent: fields.entries("silent_events")?.into_iter().map(|(name, _)| name).collect(),
        })
    }

    /// The trace of a record: a list of `[time in ms or null, label, event, arguments…]`.
    pub(crate) fn trace(&self, events: Vec<Event>) -> Vec<Value> {
        let mut origins: Vec<(String, Duration)> = Vec::new();
        for event in events.iter().filter(|_| self.from_label) {
            if !origins.iter().any(|(label, _)| *label == event.label) {
                origins.push((event.label.clone(), event.at));
            }
        }
        let mut events: Vec<Event> =
            events.into_iter().filter(|event| !names(&self.ignore, event, true)).collect();
        if !self.global {
            // Stable: inside a label in order of occurrence.
            events.sort_by(|a, b| a.label.as_bytes().cmp(b.label.as_bytes()));
        }
        if !self.chunks {
            events = joined(events);
        }
        events.into_iter().map(|event| self.written(event, &origins)).collect()
    }

    fn written(&self, event: Event, origins: &[(String, Duration)]) -> Value {
        let is_timed = names(&self.timed, &event, false);
        let origin = origins.iter().find(|(label, _)| *label == event.label);
        let from = origin.map_or(Duration::ZERO, |(_, at)| *at);
        let at = event.at.saturating_sub(from).as_secs_f64() * 1000.0;
        let time = if is_timed { json!((at * 10.0).round() / 10.0) } else { Value::Null };
        let mut list = vec![time, json!(event.label), json!(event.name)];
        let kept = if event.name == "incoming" && !self.incoming_err { 1 } else { usize::MAX };
        let args = event.args.iter().take(kept).map(write_arg);
        if event.name == "disconnect" {
            list.extend(args.map(reason));
        } else {
            list.extend(args);
        }
        // What a read said of itself is written even when it said nothing.
        let all = event.name == "incoming" && self.incoming_err;
        while !all && list.len() > 3 && list.last().is_some_and(Value::is_null) {
            list.pop();
        }
        Value::Array(list)
    }

    /// How a trace differs from the one that is wanted.
    pub(crate) fn compare(&self, got: &[Value], want: &[Value]) -> Verdict {
        let mut late = None;
        for index in 0..got.len().max(want.len()) {
            let (Some(got), Some(want)) = (got.get(index), want.get(index)) else {
                return Verdict::Differs(difference(index, got.get(index), want.get(index)));
            };
            let parts = (got.as_array(), want.as_array());
            let (Some([at, got_rest @ ..]), Some([due, want_rest @ ..])) =
                (parts.0.map(Vec::as_slice), parts.1.map(Vec::as_slice))
            else {
                return Verdict::Differs(difference(index, Some(got), Some(want)));
            };
            if !same(got_rest, want_rest) {
                return Verdict::Differs(difference(index, Some(got), Some(want)));
            }
            if late.is_none() && !self.is_in_time(at, due) {
                late = Some(difference(index, Some(got), Some(want)));
            }
        }
        late.map_or(Verdict::Same, Verdict::Late)
    }

    fn is_in_time(&self, at: &Value, due: &Value) -> bool {
        match (at.as_f64(), due.as_f64()) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(at), Some(due)) => (at - due).abs() <= self.tolerance_ms + ROUNDING_MS,
        }
    }
}

/// What a comparison says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    Same,
    /// Only in a time.
    Late(String),
    Differs(String),
}

/// Whether one of the specs is an event's name, or its label and name; or its label, if labels
/// count.
fn names(specs: &[String], event: &Event, labels: bool) -> bool {
    specs.iter().any(|spec| {
        let full = spec.strip_prefix(event.label.as_str()).and_then(|rest| rest.strip_prefix('.'));
        *spec == event.name || labels && *spec == event.label || full == Some(event.name.as_str())
    })
}

/// Input that came in pieces, in one; only its data is kept.
fn joined(events: Vec<Event>) -> Vec<Event> {
    let mut result: Vec<Event> = Vec::with_capacity(events.len());
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    for event in events {
        if event.name != "incoming" {
            result.push(event);
            pieces.push(Vec::new());
            continue;
        }
        let data = event.args.first().and_then(Arg::bytes).unwrap_or_default().to_vec();
        match (result.last(), pieces.last_mut()) {
            (Some(last), Some(piece)) if last.name == "incoming" && last.label == event.label => {
                piece.extend(data);
            }
            _ => {
                result.push(event);
                pieces.push(data);
            }
        }
    }
    for (event, data) in result.iter_mut().zip(pieces) {
        if event.name == "incoming" {
            event.args = vec![Arg::Data(data.into())];
        }
    }
    result
}

fn write_arg(arg: &Arg) -> Value {
    match arg {
        Arg::Value(value) => value.clone(),
        Arg::Data(data) if data.len() <= SHORT => Value::String(escaped(data)),
        Arg::Data(data) => json!({"len": data.len(), "sha256": digest(data)}),
    }
}

fn reason(value: Value) -> Value {
    match value.as_str() {
        Some(text) if !REASONS.contains(&text) => json!("<error>"),
        _ => value,
    }
}

/// Bytes from 0x80 on as `\xNN`; a backslash stays as it is.
fn escaped(data: &[u8]) -> String {
    let mut text = String::new();
    for &byte in data {
        if byte.is_ascii() {
            text.push(char::from(byte));
        } else {
            let _never = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// The first 16 hex digits of SHA-256, by the cryptography that TLS has.
fn digest(data: &[u8]) -> String {
    let context = ClientContext::insecure();
    let suites = &context.config().crypto_provider().cipher_suites;
    let mut hashes = suites.iter().filter_map(|suite| Some(suite.tls13()?.common.hash_provider));
    let hash = hashes.find(|hash| hash.algorithm() == HashAlgorithm::SHA256);
    let hash = hash.expect("TLS 1.3 has a suite with SHA-256").hash(data);
    hash.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Equal, where a number is a number however it is written.
fn same(a: &[Value], b: &[Value]) -> bool {
    let equal = |a: &Value, b: &Value| match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => same(a, b),
        _ => a == b,
    };
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
}

fn difference(index: usize, got: Option<&Value>, want: Option<&Value>) -> String {
    let text = |event: Option<&Value>| event.map_or_else(|| "nothing".into(), Value::to_string);
    format!("event {index}: expected {}, got {}", text(want), text(got))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(text: &str) -> View {
        let value = serde_json::from_str(text).expect("JSON");
        let mut fields = Fields::of("a test", value).expect("an object");
        let view = View::parse(&mut fields).expect("a view");
        fields.end().expect("known keys");
        view
    }

    fn event(ms: u64, label: &str, name: &str, args: &[Arg]) -> Event {
        let at = Duration::from_millis(ms);
        Event { at, label: label.into(), name: name.into(), args: args.to_vec() }
    }

    #[test]
    fn what_is_left_out_does_not_separate_input() {
        let events = || {
            vec![
                event(1, "c1", "incoming", &[Arg::data(b"a"), Arg::text("timeout")]),
                event(2, "c1", "drain", &[]),
                event(3, "c0", "incoming", &[Arg::data(b"x")]),
                event(4, "c1", "incoming", &[Arg::data(b"b\xff\\")]),
                event(5, "c1", "disconnect", &[Arg::text("quitting")]),
                event(6, "c1!", "eof", &[]),
            ]
        };
        let got = view(r#"{"ignore": ["drain", "c1!"]}"#).trace(events());
        let want = json!([
            [null, "c0", "incoming", "x"],
            [null, "c1", "incoming", "ab\\xff\\"],
            [null, "c1", "disconnect", "<error>"],
        ]);
        assert_eq!(Value::Array(got), want);
        let got = view(r#"{"ignore": ["c1.drain", "c1!.eof"], "order": "global"}"#).trace(events());
        assert_eq!(got.len(), 4, "another label separates where the order is one: {got:?}");
        let got = view(r#"{"incoming_err": true}"#).trace(events());
        assert_eq!(got[1], json!([null, "c1", "incoming", "a", "timeout"]));
    }

    #[test]
    fn data_beyond_96_bytes_is_a_digest() {
        let got = view("{}").trace(vec![
            event(0, "c1", "incoming", &[Arg::data(&[b'q'; 48])]),
            event(0, "c1", "incoming", &[Arg::data(&[b'q'; 49])]),
            event(0, "c2", "incoming", &[Arg::data(&[b'q'; 96])]),
        ]);
        assert_eq!(got[0][3]["len"], 97);
        assert_eq!(got[0][3]["sha256"].as_str().map(str::len), Some(16));
        assert_eq!(got[1][3].as_str().map(str::len), Some(96));
        // FIPS 180-2, appendix B.1.
        assert_eq!(digest(b"abc"), "ba7816bf8f01cfea");
    }

    #[test]
    fn times_count_from_where_the_scenario_says() {
        let events = vec![event(100, "c1", "connect", &[]), event(320, "c1", "mark", &[])];
        let view = view(r#"{"timed": ["c1.mark"], "time_origin": "label"}"#);
        let got = view.trace(events);
        assert_eq!(got[1], json!([220.0, "c1", "mark"]));
        let want = |ms: u32| vec![json!([null, "c1", "connect"]), json!([ms, "c1", "mark"])];
        assert_eq!(view.compare(&got, &want(300)), Verdict::Same);
        assert!(matches!(view.compare(&got, &want(350)), Verdict::Late(_)));
        let other = vec![json!([null, "c1", "connect"])];
        assert!(matches!(view.compare(&got, &other), Verdict::Differs(_)));
    }
}
