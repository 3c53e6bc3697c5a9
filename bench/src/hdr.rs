//! Distributions as a text: HdrHistograms, V2, deflated, in base 64, as other libraries have them.
//!
//! Never: changes a histogram.

use base64::prelude::{BASE64_STANDARD, Engine};
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};

/// As a text.
///
/// # Panics
/// Never: memory takes all.
#[must_use]
pub fn encode(histogram: &Histogram<u64>) -> String {
    let mut bytes = Vec::new();
    let done = V2DeflateSerializer::new().serialize(histogram, &mut bytes);
    done.expect("memory takes all, and so many counts fit into any address space");
    BASE64_STANDARD.encode(&bytes)
}

/// What [`encode`], or another library, has made.
///
/// # Errors
/// In words, what it is instead.
pub fn decode(text: &str) -> Result<Histogram<u64>, String> {
    let bytes = BASE64_STANDARD.decode(text).map_err(|_| "it is no whole base 64")?;
    let decoded = Deserializer::new().deserialize(&mut &bytes[..]);
    decoded.map_err(|error| format!("it is no HdrHistogram (V2): {error}"))
}
