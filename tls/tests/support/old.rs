//! Sessions that have lived long enough to do their records themselves.
//!
//! Never: looks into a session; whether it does them is in its `Debug` output.

use rustls::version::TLS13;

use super::{End, P256, Pair, forge};

pub(crate) fn is_own(end: &End) -> bool {
    format!("{:?}", end.session).contains("own_records: true")
}

/// Lets both sides talk until they have taken their records over.
pub(crate) fn talk(pair: &mut Pair) {
    for round in 0..20_u8 {
        pair.client.send(&[round; 100]);
        pair.settle();
        assert_eq!(pair.server.received(), [round; 100]);
        pair.server.send(&[round; 50]);
        pair.settle();
        assert_eq!(pair.client.received(), [round; 50]);
    }
}

/// Two sessions whose records are their own.
pub(crate) fn old_pair() -> Pair {
    let mut pair = Pair::established(&P256, &TLS13);
    talk(&mut pair);
    assert!(is_own(&pair.client) && is_own(&pair.server));
    pair
}

/// The same, whose client can forge records.
pub(crate) fn forging_client() -> Pair {
    let mut pair = forge::client();
    talk(&mut pair);
    assert!(is_own(&pair.client) && is_own(&pair.server));
    pair
}
