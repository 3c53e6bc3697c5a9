//! JSON objects of which every key must be known: what is not taken is an error.
//!
//! Never: has a default; whoever asks has.

use serde_json::{Map, Value};
use std::time::Duration;

/// What a file says wrong, or what a run could not do, in words.
pub(crate) type Outcome<T> = Result<T, String>;

/// An object whose keys are taken one by one.
pub(crate) struct Fields {
    what: String,
    map: Map<String, Value>,
}

impl Fields {
    pub(crate) fn of(what: impl Into<String>, value: Value) -> Outcome<Self> {
        let what = what.into();
        match value {
            Value::Object(map) => Ok(Self { what, map }),
            other => Err(format!("{what} is {other}: it must be an object")),
        }
    }

    /// The only key of an object of one, such as a step, and its value.
    pub(crate) fn only_key(&self) -> Outcome<String> {
        let mut keys = self.map.keys();
        match (keys.next(), keys.next()) {
            (Some(key), None) => Ok(key.clone()),
            _ => Err(format!("{} must have one key: {:?}", self.what, self.map)),
        }
    }

    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    /// What it is, for errors, once that is known.
    pub(crate) fn call(&mut self, what: String) {
        self.what = what;
    }

    /// The value of a key; a null counts as none.
    pub(crate) fn take(&mut self, key: &str) -> Option<Value> {
        self.map.remove(key).filter(|value| !value.is_null())
    }

    fn wrong<T>(&self, key: &str, value: &Value, want: &str) -> Outcome<T> {
        Err(format!("{}: {key:?} is {value}: it must be {want}", self.what))
    }

    pub(crate) fn need<T>(&self, key: &str, value: Option<T>) -> Outcome<T> {
        value.ok_or_else(|| format!("{} has no {key:?}", self.what))
    }

    pub(crate) fn text(&mut self, key: &str) -> Outcome<Option<String>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => self.wrong(key, &other, "a text"),
        }
    }

    pub(crate) fn need_text(&mut self, key: &str) -> Outcome<String> {
        let text = self.text(key)?;
        self.need(key, text)
    }

    pub(crate) fn number(&mut self, key: &str) -> Outcome<Option<f64>> {
        match self.take(key) {
            None => Ok(None),
            Some(value) => match value.as_f64() {
                Some(number) => Ok(Some(number)),
                None => self.wrong(key, &value, "a number"),
            },
        }
    }

    pub(crate) fn count(&mut self, key: &str) -> Outcome<Option<u64>> {
        match self.take(key) {
            None => Ok(None),
            Some(value) => match whole(&value) {
                Some(count) => Ok(Some(count)),
                None => self.wrong(key, &value, "a whole number"),
            },
        }
    }

    pub(crate) fn size(&mut self, key: &str) -> Outcome<Option<usize>> {
        let count = self.count(key)?;
        Ok(count.map(|count| usize::try_from(count).unwrap_or(usize::MAX)))
    }

    /// A time in seconds; a negative one counts as zero.
    pub(crate) fn time(&mut self, key: &str) -> Outcome<Option<Duration>> {
        Ok(self.number(key)?.map(seconds))
    }

    pub(crate) fn need_time(&mut self, key: &str) -> Outcome<Duration> {
        let time = self.time(key)?;
        self.need(key, time)
    }

    pub(crate) fn flag(&mut self, key: &str) -> Outcome<Option<bool>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(other) => self.wrong(key, &other, "true or false"),
        }
    }

    pub(crate) fn is_set(&mut self, key: &str) -> Outcome<bool> {
        Ok(self.flag(key)?.unwrap_or(false))
    }

    pub(crate) fn list(&mut self, key: &str) -> Outcome<Vec<Value>> {
        match self.take(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(list)) => Ok(list),
            Some(other) => self.wrong(key, &other, "a list"),
        }
    }

    pub(crate) fn texts(&mut self, key: &str) -> Outcome<Vec<String>> {
        let list = self.list(key)?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        list.iter()
            .map(|value| text(value).map_or_else(|| self.wrong(key, value, "a text"), Ok))
            .collect()
    }

    /// An object's entries; none when the key is missing.
    pub(crate) fn entries(&mut self, key: &str) -> Outcome<Map<String, Value>> {
        match self.take(key) {
            None => Ok(Map::new()),
            Some(Value::Object(map)) => Ok(map),
            Some(other) => self.wrong(key, &other, "an object"),
        }
    }

    /// `[char, count]`: so many of the same.
    pub(crate) fn fill(&mut self, key: &str) -> Outcome<Option<Vec<u8>>> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let parts = value.as_array().map(Vec::as_slice);
        match parts {
            Some([Value::String(unit), count]) => match whole(count) {
                Some(count) => Ok(Some(unit.repeat(to_usize(count)).into_bytes())),
                None => self.wrong(key, &value, "[text, count]"),
            },
            _ => self.wrong(key, &value, "[text, count]"),
        }
    }

    /// Nothing may be left.
    pub(crate) fn end(self) -> Outcome<()> {
        match self.map.keys().next() {
            None => Ok(()),
            Some(key) => Err(format!("{}: unknown key {key:?}", self.what)),
        }
    }
}

pub(crate) fn to_usize(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// A whole number, also when it is written as `3.0`.
pub(crate) fn whole(value: &Value) -> Option<u64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "looked at first: whole, not negative, and exact in a float"
    )]
    let of_float = |number: f64| {
        let fits = number.fract() == 0.0 && (0.0..9e15).contains(&number);
        fits.then_some(number as u64)
    };
    value.as_u64().or_else(|| value.as_f64().and_then(of_float))
}

/// A time in seconds; a negative one is none at all.
pub(crate) fn seconds(number: f64) -> Duration {
    Duration::try_from_secs_f64(number.max(0.0)).unwrap_or(Duration::MAX)
}
