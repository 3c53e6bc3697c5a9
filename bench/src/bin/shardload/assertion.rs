//! What a run must keep: `p99<5ms`, `errors==0`, `rate>=40k`.
//!
//! Never: prints; `verdict` says which of them failed.

use std::str::FromStr;

/// One condition on one figure.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Assertion {
    text: String,
}

impl FromStr for Assertion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self { text: text.into() })
    }
}
