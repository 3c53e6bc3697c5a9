//! PROXY headers, most of them bad, beside a published decoder; the command `headers` plays the
//! same by the million.

use shardpoll_tests::headers::{Tally, hunt};
use shardpoll_tests::simulation::fresh_seed;

const SEEDS: u64 = 100_000;

#[test]
fn fresh_headers_are_what_a_published_decoder_takes_them_for() {
    let mut tally = Tally::default();
    assert_eq!(hunt(fresh_seed(), SEEDS, &mut tally), Ok(()), "replay: headers --seed");
    assert_eq!(tally.cases, SEEDS);
    // All corners were met.
    assert!(tally.headers > SEEDS / 10 && tally.incomplete > SEEDS / 100, "{tally:?}");
    let why: Vec<_> = tally.refused.keys().map(String::as_str).collect();
    let wanted = [
        "Address",
        "Checksum",
        "Command",
        "Family",
        "LineEnd",
        "LineTooLong",
        "NoHeader",
        "Port",
        "Protocol",
        "TooShort",
        "Value",
    ];
    assert_eq!(why, wanted, "{tally:?}");
}
