//! JSON in one line.
//!
//! Never: rounds; what a table shows in short stands here whole.

use serde::Serialize;

/// Ends with a newline.
pub(crate) fn line(value: &impl Serialize) -> String {
    let text = serde_json::to_string(value).expect("numbers and strings, and keys are strings");
    text + "\n"
}
