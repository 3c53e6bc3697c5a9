//! What a client or an upstream is told to do: steps, as a scenario writes them.
//!
//! Never: does any of it; `client` does.

use crate::fields::{Fields, Outcome, seconds, to_usize, whole};
use serde_json::Value;
use std::time::Duration;

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Connect,
    Send(Vec<u8>),
    Trickle {
        data: Vec<u8>,
        size: usize,
        gap: Duration,
    },
    /// Reads exactly so many bytes.
    Expect(usize),
    Drain,
    Silent(Duration),
    Sleep(Duration),
    Wait {
        label: String,
        event: String,
        count: usize,
    },
    Shut,
    Close,
    Reset,
    Tls(TlsStep),
    Unwrap,
}

#[derive(Clone, Debug)]
pub(crate) struct TlsStep {
    pub(crate) sni: Option<String>,
    pub(crate) server: bool,
    pub(crate) cert: String,
    pub(crate) version: Option<String>,
    pub(crate) show_version: bool,
    pub(crate) reason: bool,
}

/// Reads a script.
pub(crate) fn script(list: Vec<Value>) -> Outcome<Vec<Step>> {
    list.into_iter().map(Step::parse).collect()
}

impl Step {
    fn parse(value: Value) -> Outcome<Self> {
        let text = value.to_string();
        let mut fields = Fields::of("a step", value)?;
        let key = fields.only_key()?;
        if key == "send_fill" {
            let data = fields.fill(&key)?;
            return Ok(Self::Send(fields.need(&key, data)?));
        }
        let Some(value) = fields.take(&key) else {
            return Err(format!("step {text} has no value"));
        };
        let wrong = || format!("step {text} has a wrong value");
        let time = |value: &Value| value.as_f64().map(seconds).ok_or_else(wrong);
        let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(wrong);
        Ok(match key.as_str() {
            "connect" => Self::Connect,
            "send" => Self::Send(text_of(&value, wrong)?),
            "trickle" => trickle(&value).ok_or_else(wrong)?,
            "expect" => Self::Expect(text(&value)?.len()),
            "expect_n" => Self::Expect(to_usize(whole(&value).ok_or_else(wrong)?)),
            "drain" => Self::Drain,
            "silent" => Self::Silent(time(&value)?),
            "sleep" => Self::Sleep(time(&value)?),
            "wait" => wait(&value).ok_or_else(wrong)?,
            "shut" => Self::Shut,
            "close" => Self::Close,
            "rst" => Self::Reset,
            "tls" => Self::Tls(tls(value)?),
            "tls_bytes" => Self::Send(hex(&text(&value)?).ok_or_else(wrong)?),
            "unwrap" => Self::Unwrap,
            _ => return Err(format!("unknown step {key:?}")),
        })
    }
}

fn text_of(value: &Value, wrong: impl Fn() -> String) -> Outcome<Vec<u8>> {
    value.as_str().map(|text| text.as_bytes().to_vec()).ok_or_else(wrong)
}

fn trickle(value: &Value) -> Option<Step> {
    let [data, size, gap] = value.as_array()?.as_slice() else { return None };
    let size = to_usize(whole(size).filter(|&size| size > 0)?);
    let data = data.as_str()?.as_bytes().to_vec();
    Some(Step::Trickle { data, size, gap: seconds(gap.as_f64()?) })
}

fn wait(value: &Value) -> Option<Step> {
    let (label, event, count) = match value.as_array()?.as_slice() {
        [label, event] => (label, event, 1),
        [label, event, count] => (label, event, to_usize(whole(count)?)),
        _ => return None,
    };
    Some(Step::Wait { label: label.as_str()?.into(), event: event.as_str()?.into(), count })
}

fn tls(value: Value) -> Outcome<TlsStep> {
    let mut fields = Fields::of("step \"tls\"", value)?;
    let step = TlsStep {
        sni: fields.text("sni")?,
        server: match fields.text("role")?.as_deref() {
            None | Some("client") => false,
            Some("server") => true,
            Some(other) => return Err(format!("step \"tls\": unknown role {other:?}")),
        },
        cert: fields.text("cert")?.unwrap_or_else(|| "default".into()),
        version: fields.text("version")?,
        show_version: fields.is_set("show_version")?,
        reason: fields.is_set("reason")?,
    };
    fields.end()?;
    match step.version.as_deref() {
        None | Some("TLSv1.2" | "TLSv1.3") => Ok(step),
        Some(other) => Err(format!("step \"tls\": unknown version {other:?}")),
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let pair = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    let whole = text.len().is_multiple_of(2);
    whole.then(|| text.as_bytes().chunks(2).map(pair).collect()).flatten()
}
