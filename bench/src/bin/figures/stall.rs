//! A planted stall: a server that answers nothing for 100 ms at the beginning of each second, and
//! what `shardload` says of it in an open loop, beside what must come out.
//!
//! What must come out is computed: messages are due evenly, one is in flight and the others wait
//! their turn, and one that would be answered within a stall is answered at its end. Two figures of
//! this run are in it, both averages: what a message takes that nothing holds up, and how late the
//! generator wakes to send one whose connection is free. Behind a stall all that has waited goes
//! there and back one by one, which is in the computation too.
//!
//! Never: leaves the stall to chance; the server goes by the calendar, and the load begins between
//! two stalls and lasts whole seconds.

use crate::failure::Failure;
use crate::report::{Figure, Section};
use hdrhistogram::Histogram;
use serde_json::Value;
use shardpoll_bench::clock::calendar;
use shardpoll_bench::{hdr, tools};
use shardpoll_floor::level;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime};

const SECOND: u64 = 1_000_000_000;
const STALL: u64 = SECOND / 10;

/// Messages a second: no whole number, so that they are due at other times of each second.
const RATE: f64 = 150.7183;

/// One run, and how many of them are enough, and the most that are made.
const SECONDS: u64 = 5;
const ENOUGH: usize = 6;
const MOST: usize = 24;

/// A run is quiet when the generator was not later than this with 999 of 1,000 messages, and 98 of
/// 100 messages that nobody held up took no longer: neither depends on what is compared.
const LATE: u64 = 1_000_000;

/// When in a second the load begins.
const BEGIN: Duration = Duration::from_millis(400);

/// How far from the truth a figure may be, in percent.
const MOST_OFF: f64 = 2.0;
/// The most that the uncorrected p99 may be of the true one, to show the lie.
const MOST_OF_TRUTH: f64 = 10.0;

/// What is compared.
const SHOWN: [(&str, f64); 4] = [("p95", 0.95), ("p99", 0.99), ("p99.9", 0.999), ("mean", 0.0)];

pub(crate) fn measure(program: &Path) -> Result<Section, Failure> {
    let addr = serve()?;
    let (mut quiet, mut all) = (Vec::new(), Vec::new());
    while quiet.len() < ENOUGH && all.len() < MOST {
        rest(until(since_second(), BEGIN));
        let said = load(program, addr)?;
        if said.is_quiet() {
            quiet.push(said.clone());
        }
        all.push(said);
    }
    let made = all.len();
    // Where no run was quiet, the figures are what they are.
    let used = if quiet.len() < ENOUGH { all } else { quiet };
    let runs = format!("{} of {made} runs of {SECONDS} s", used.len());
    let sum = |of: fn(&Said) -> &Histogram<u64>| {
        let mut sum = histogram();
        used.iter().for_each(|said| sum.add(of(said)).expect("all have the same bounds"));
        sum
    };
    let (measured, uncorrected) = (sum(|said| &said.corrected), sum(|said| &said.uncorrected));
    let service = service(&uncorrected);
    let late = mean(&sum(|said| &said.lateness));
    let [truth, naive] = truth(service, late);
    let millis = |nanos: f64| nanos / 1e6;
    let mut figures = Vec::new();
    for (name, quantile) in SHOWN {
        let (said, true_one) = (at(&measured, quantile), at(&truth, quantile));
        figures.push(Figure {
            name,
            value: (said / true_one - 1.0).abs() * 100.0,
            goal: Some(MOST_OFF),
            digits: 2,
            detail: format!(
                "% off: shardload says {:.2} ms, the truth is {:.2} ms; uncorrected {:.2} ms",
                millis(said),
                millis(true_one),
                millis(at(&uncorrected, quantile))
            ),
            held: None,
        });
    }
    let (lie, true_one) = (at(&uncorrected, 0.99), at(&truth, 0.99));
    figures.push(Figure {
        name: "uncorrected p99",
        value: lie / true_one * 100.0,
        goal: Some(MOST_OF_TRUTH),
        digits: 2,
        detail: format!(
            "% of the true one: what a tool says that counts from when it really sent; computed \
             {:.2} ms",
            millis(at(&naive, 0.99))
        ),
        held: None,
    });
    Ok(Section {
        title: "A planted stall of 100 ms each second",
        figures,
        how: how(service, late, &runs),
    })
}

fn how(service: u64, late: u64, runs: &str) -> String {
    format!(
        "a bare server that answers nothing in the first 100 ms of each second of the calendar; \
         shardload echo --rate {RATE} on 1 connection; {runs}, those in which the machine \
         had time for both if there are enough. Without queues \
         a message due x ms into a stall would wait 100 - x ms, so p99 were 90 ms, p95 50 ms, \
         p99.9 99 ms, the mean 5 ms; with what one takes that nothing is in the way of \
         ({:.3} ms, by the uncorrected figure), with how late the generator wakes for one \
         ({:.3} ms, by its lateness) and with those that waited going one by one, \
         it is what stands above as the truth. 1 message of {RATE} is in flight when a \
         stall begins, which is fewer than one of a hundred: the others have not been sent yet, \
         and their waiting is not in the uncorrected figure.",
        service as f64 / 1e6,
        late as f64 / 1e6
    )
}

/// What a message takes that no stall holds up, on average: fewer than one of a hundred are held up
/// after they were sent.
fn service(uncorrected: &Histogram<u64>) -> u64 {
    let (most, mut count, mut sum) = (uncorrected.len() / 100 * 99, 0, 0);
    for step in uncorrected.iter_recorded() {
        let more = step.count_at_value().min(most - count);
        sum += step.value_iterated_to() * more;
        count += more;
    }
    sum / count.max(1)
}

/// The quantile, or for 0 the mean.
fn at(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    if quantile > 0.0 { histogram.value_at_quantile(quantile) as f64 } else { histogram.mean() }
}

/// Since the last second of the calendar began.
fn since_second() -> Duration {
    let since = calendar().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Duration::from_nanos(u64::from(since.subsec_nanos()))
}

/// From this time of a second until the next time that it is `then`.
fn until(now: Duration, then: Duration) -> Duration {
    let second = Duration::from_secs(1);
    if now <= then { then - now } else { second - now + then }
}

/// Lets this time pass, however often the thread is woken.
fn rest(time: Duration) {
    let end = calendar() + time;
    while let Ok(left) = end.duration_since(calendar()) {
        if left.is_zero() {
            return;
        }
        thread::park_timeout(left);
    }
}

/// The server that stops, on a thread that ends with this process.
fn serve() -> Result<SocketAddr, Failure> {
    let went_wrong = Failure::io("the server that stops");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(&went_wrong)?;
    let addr = listener.local_addr().map_err(&went_wrong)?;
    let (stop, stopped) = UnixStream::pair().map_err(&went_wrong)?;
    let hold = || {
        let now = since_second();
        rest(Duration::from_nanos(STALL).saturating_sub(now));
    };
    let body = move || {
        let _held = stop;
        if let Err(error) = level::serve_late(&listener, &stopped, hold) {
            eprintln!("figures: the server that stops: {error}");
        }
    };
    tools::thread("stall", body).map_err(&went_wrong)?;
    Ok(addr)
}

/// What `shardload` has said of a run.
#[derive(Clone, Debug)]
struct Said {
    corrected: Histogram<u64>,
    uncorrected: Histogram<u64>,
    /// How much later than intended it has begun, when nothing but it was in the way.
    lateness: Histogram<u64>,
}

impl Said {
    fn is_quiet(&self) -> bool {
        self.lateness.value_at_quantile(0.999) <= LATE
            && self.uncorrected.value_at_quantile(0.98) <= LATE
    }
}

/// A histogram of nanoseconds, with the bounds of `shardload`'s.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600 * SECOND, 3).expect("constants that fit")
}

fn load(program: &Path, addr: SocketAddr) -> Result<Said, Failure> {
    let mut command = Command::new(program);
    command.args(["echo", &format!("tcp://{addr}"), "--json", "--quiet"]);
    command.args(["--rate", &RATE.to_string(), "--connections", "1"]);
    command.args(["--duration", &format!("{SECONDS}s")]);
    let output = command.output().map_err(Failure::io("shardload"))?;
    let wrong = |why: String| Failure::Subject { why };
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(wrong(format!("shardload ended with {}: {said}", output.status)));
    }
    let document: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| wrong(format!("shardload printed no document: {error}")))?;
    let of = |name: &str| {
        let text = document["runs"][0][name]["histogram"].as_str();
        let text = text.ok_or_else(|| wrong(format!("shardload gave no {name}")))?;
        hdr::decode(text).map_err(|error| wrong(format!("{name}: {error}")))
    };
    let (corrected, uncorrected) = (of("latency")?, of("uncorrected")?);
    Ok(Said { corrected, uncorrected, lateness: of("lateness")? })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some minutes")]
fn mean(histogram: &Histogram<u64>) -> u64 {
    histogram.mean() as u64
}

/// What must come out when a message takes so many nanoseconds, and the generator is so late with
/// one whose connection is free: from when it was due, and from when it was sent. Over far more
/// seconds than are measured.
fn truth(service: u64, late: u64) -> [Histogram<u64>; 2] {
    let (mut corrected, mut naive) = (histogram(), histogram());
    let mut free = 0;
    for number in 0_u32..200_000 {
        let due = nanos(f64::from(number) / RATE);
        let begun = if free > due { free } else { due + late };
        let into = begun % SECOND;
        let heard = if into < STALL { begun - into + STALL } else { begun };
        free = heard + service;
        corrected.saturating_record(free - due);
        naive.saturating_record(free - begun);
    }
    [corrected, naive]
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some minutes")]
fn nanos(seconds: f64) -> u64 {
    (seconds * SECOND as f64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_queues_the_truth_is_the_one_on_paper() {
        // A message that takes no time: P(latency > x ms) = (100 - x) / 1000.
        let [corrected, naive] = truth(0, 0);
        for (quantile, millis) in [(0.95, 50.0), (0.99, 90.0), (0.999, 99.0), (0.0, 5.0)] {
            let value = at(&corrected, quantile) / 1e6;
            assert!((value / millis - 1.0).abs() < 0.005, "{quantile}: {value}");
        }
        // One is in flight when a stall begins, of 150.
        assert!(at(&naive, 0.99) < 1e6 && at(&naive, 0.999) > 90e6);
    }

    #[test]
    fn what_a_message_takes_is_told_without_those_that_were_held_up() {
        let mut seen = histogram();
        seen.record_n(100_000, 494).expect("within the bounds");
        seen.record_n(200_000, 500).expect("within the bounds");
        seen.record_n(99_000_000, 6).expect("within the bounds");
        assert!((149_500..150_600).contains(&service(&seen)), "{}", service(&seen));
        assert_eq!(service(&histogram()), 0);
    }

    #[test]
    fn what_waited_goes_one_by_one() {
        let [without, with] = [truth(0, 0), truth(100_000, 0)].map(|[corrected, _]| corrected);
        let more = (at(&with, 0.95) - at(&without, 0.95)) / 1e6;
        // 50 ms before the end, 7 others are before it.
        assert!((0.6..1.0).contains(&more), "{more}");
    }

    #[test]
    fn a_late_generator_makes_what_is_not_held_up_later() {
        let [without, with] = [truth(0, 0), truth(0, 200_000)].map(|[corrected, _]| corrected);
        let more = at(&with, 0.0) - at(&without, 0.0);
        // Nine of ten are later by that, and a few come into a stall that was not there yet.
        assert!((199_000.0..201_000.0).contains(&more), "{more}");
        assert!((at(&with, 0.99) / at(&without, 0.99) - 1.0).abs() < 0.003);
    }

    #[test]
    fn the_next_time_is_within_a_second() {
        let millis = Duration::from_millis;
        assert_eq!(until(millis(100), millis(400)), millis(300));
        assert_eq!(until(millis(500), millis(400)), millis(900));
    }
}
