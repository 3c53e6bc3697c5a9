//! What a run must keep: `p99<5ms`, `errors==0`, `rate>=40k`.
//!
//! Never: prints; `verdict` says which of them failed. Never holds true of a figure that a run does
//! not have.

use crate::failure::Failure;
use crate::outcome::{Errors, Latency, Run};
use crate::report::show;
use std::str::FromStr;

/// One condition on one figure.
#[derive(Clone, Debug)]
pub(crate) struct Assertion {
    text: String,
    figure: Figure,
    operator: Operator,
    /// In the unit of the figure.
    bound: f64,
}

impl Assertion {
    /// Says which figure misses which bound, and what it was.
    ///
    /// # Errors
    /// Also when the run does not have this figure.
    pub(crate) fn check(&self, run: &Run) -> Result<(), String> {
        let Self { text, figure, operator, bound } = self;
        match figure.of(run) {
            None => Err(format!("{text} cannot be said: {}", figure.absence())),
            Some(value) if operator.holds(value, *bound) => Ok(()),
            Some(value) => Err(format!("{text} does not hold: it was {}", figure.show(value))),
        }
    }

    /// Whether a run could have this figure at all.
    ///
    /// # Errors
    /// Says which option it lacks for that.
    pub(crate) fn may_hold(&self, open_loop: bool, server_known: bool) -> Result<(), Failure> {
        let is_there = match self.figure {
            Figure::Time(Whose::Uncorrected | Whose::Lateness, _) => open_loop,
            Figure::Cost(Whose::Server, _) | Figure::Bytes(_) => server_known,
            _ => true,
        };
        let Self { text, figure, .. } = self;
        let why = || format!("--assert '{text}': {}", figure.absence());
        if is_there { Ok(()) } else { Err(Failure::Usage(why())) }
    }

    /// Whoever asserts something of errors has said how many may be.
    pub(crate) fn is_about_errors(&self) -> bool {
        matches!(self.figure, Figure::Errors(_))
    }
}

impl FromStr for Assertion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let operators = Operator::ALL.iter();
        let found =
            operators.filter_map(|(sign, operator)| Some((text.find(sign)?, sign, operator)));
        // The longer sign stands first, so that `<=` is not taken for `<`.
        let (at, sign, &operator) = found
            .min_by_key(|(at, ..)| *at)
            .ok_or("want a figure, one of < <= > >= == != and a value, such as p99<5ms")?;
        let (name, value) = (text[..at].trim(), text[at + sign.len()..].trim());
        let figure = Figure::named(name)
            .ok_or_else(|| format!("there is no figure '{name}'; known are {KNOWN}"))?;
        let bound = figure.read(value).map_err(|want| format!("'{value}': {name} {want}"))?;
        Ok(Self { text: format!("{name}{sign}{value}"), figure, operator, bound })
    }
}

/// All figures that there are, as an error lists them.
const KNOWN: &str = "min, mean, p50, p75, p90, p99, p99.9, p99.99, max (these also behind \
    uncorrected., lateness., connect. or handshake.), rate, operations, connects, sent, received, \
    resumed, errors, errors.refused, errors.reset, errors.closed, errors.timeout, errors.tls, \
    errors.wrong, errors.other, lost, server.cpu, server.memory, client.cpu";

/// The same for `--help`, with what they are.
pub(crate) const HELP: &str = "\
Fail unless this holds: a figure, one of < <= > >= == !=, and a value; may be repeated.
  p99<5ms           also min mean p50 p75 p90 p99.9 p99.99 max; of latency, or behind
                    uncorrected. lateness. connect. handshake. of those times
  rate>=40k         operations a second; connects: the same of connections
  operations>=1m    how many there were; resumed: TLS sessions
  sent>=100         megabytes a second; received
  errors==0         with what was lost; lost, errors.refused errors.reset errors.closed
                    errors.timeout errors.tls errors.wrong errors.other
  server.cpu<10us   for each operation; client.cpu
  server.memory<4k  bytes for each connection";

/// What can be asserted of.
#[derive(Clone, Copy, Debug)]
enum Figure {
    /// A time of a distribution; microseconds.
    Time(Whose, Quantile),
    /// A time for each operation; microseconds.
    Cost(Whose, fn(&Run) -> Option<f64>),
    /// How many.
    Errors(fn(&Errors) -> u64),
    /// A number, of thousands and millions if need be.
    Number(fn(&Run) -> Option<f64>),
    /// Bytes; `k` is 1024.
    Bytes(fn(&Run) -> Option<f64>),
}

/// Whose time it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Whose {
    Operation,
    Uncorrected,
    Lateness,
    Connect,
    Handshake,
    Server,
    Client,
}

impl Whose {
    const PREFIXES: [(&'static str, Self); 4] = [
        ("uncorrected.", Self::Uncorrected),
        ("lateness.", Self::Lateness),
        ("connect.", Self::Connect),
        ("handshake.", Self::Handshake),
    ];

    fn latency(self, run: &Run) -> Option<&Latency> {
        match self {
            Self::Operation => run.latency.as_ref(),
            Self::Uncorrected => run.uncorrected.as_ref(),
            Self::Lateness => run.lateness.as_ref(),
            Self::Connect => run.connect.as_ref(),
            Self::Handshake => run.handshake.as_ref(),
            Self::Server | Self::Client => None,
        }
    }
}

type Quantile = fn(&Latency) -> f64;

const QUANTILES: [(&str, Quantile); 9] = [
    ("min", |latency| latency.min_us),
    ("mean", |latency| latency.mean_us),
    ("p50", |latency| latency.p50_us),
    ("p75", |latency| latency.p75_us),
    ("p90", |latency| latency.p90_us),
    ("p99", |latency| latency.p99_us),
    ("p99.9", |latency| latency.p99_9_us),
    ("p99.99", |latency| latency.p99_99_us),
    ("max", |latency| latency.max_us),
];

const OTHERS: [(&str, Figure); 18] = [
    ("rate", Figure::Number(|run| Some(run.operations_per_second))),
    ("operations", Figure::Number(|run| Some(run.operations as f64))),
    ("connects", Figure::Number(|run| run.connects_per_second)),
    ("sent", Figure::Number(|run| Some(run.sent_megabytes_per_second))),
    ("received", Figure::Number(|run| Some(run.received_megabytes_per_second))),
    ("resumed", Figure::Number(|run| Some(run.resumed_handshakes as f64))),
    ("errors", Figure::Errors(|errors| errors.total + errors.lost)),
    ("errors.refused", Figure::Errors(|errors| errors.refused)),
    ("errors.reset", Figure::Errors(|errors| errors.reset)),
    ("errors.closed", Figure::Errors(|errors| errors.closed)),
    ("errors.timeout", Figure::Errors(|errors| errors.timeout)),
    ("errors.tls", Figure::Errors(|errors| errors.tls)),
    ("errors.wrong", Figure::Errors(|errors| errors.wrong)),
    ("errors.other", Figure::Errors(|errors| errors.other)),
    ("lost", Figure::Errors(|errors| errors.lost)),
    ("server.cpu", Figure::Cost(Whose::Server, |run| run.server.as_ref()?.cpu_us_per_operation)),
    ("server.memory", Figure::Bytes(|run| run.server.as_ref()?.memory_per_connection_bytes)),
    ("client.cpu", Figure::Cost(Whose::Client, |run| run.client.cpu_us_per_operation)),
];

impl Figure {
    fn named(name: &str) -> Option<Self> {
        if let Some((_, other)) = OTHERS.iter().find(|(known, _)| *known == name) {
            return Some(*other);
        }
        let with_prefix = Whose::PREFIXES
            .into_iter()
            .find_map(|(prefix, whose)| Some((whose, name.strip_prefix(prefix)?)));
        let (whose, quantile) = with_prefix.unwrap_or((Whose::Operation, name));
        let (_, of) = QUANTILES.iter().find(|(known, _)| *known == quantile)?;
        Some(Self::Time(whose, *of))
    }

    fn of(self, run: &Run) -> Option<f64> {
        match self {
            Self::Time(whose, of) => whose.latency(run).map(of),
            Self::Errors(of) => Some(of(&run.errors) as f64),
            Self::Cost(_, of) | Self::Number(of) | Self::Bytes(of) => of(run),
        }
    }

    /// Reads a bound in the figure's unit; an error goes on after the figure's name.
    fn read(self, value: &str) -> Result<f64, &'static str> {
        let (units, want): (&[_], _) = match self {
            Self::Time(..) | Self::Cost(..) => {
                (&TIMES, "is a time: want a number and one of ns, us, ms and s, such as 5ms")
            }
            Self::Errors(_) => (&[("", 1.0)], "is a count: want a number, such as 0"),
            Self::Number(_) => (&NUMBERS, "is a number: want one such as 100 or 40k"),
            Self::Bytes(_) => (&SIZES, "is in bytes: want a number such as 300 or 4k"),
        };
        let digits =
            value.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
        let (number, unit) = value.split_at(digits);
        let factor = units.iter().find(|(known, _)| *known == unit).map(|(_, factor)| factor);
        let number = number.parse::<f64>().ok().filter(|number| number.is_finite());
        number.zip(factor).map(|(number, factor)| number * factor).ok_or(want)
    }

    fn show(self, value: f64) -> String {
        match self {
            Self::Time(..) | Self::Cost(..) => show::time(value),
            Self::Errors(_) | Self::Number(_) => show::number(value),
            Self::Bytes(_) => show::bytes(value),
        }
    }

    /// Why a run does not have it.
    fn absence(self) -> &'static str {
        match self {
            Self::Time(Whose::Uncorrected | Whose::Lateness, _) => {
                "only an open loop (--rate) with answers has it"
            }
            Self::Time(Whose::Connect, _) => "not one connection was made",
            Self::Time(Whose::Handshake, _) => "there was no TLS handshake",
            Self::Cost(Whose::Server, _) => {
                "the server's CPU time is known only with --server-pid, and with answers"
            }
            Self::Bytes(_) => "the server's memory is known only with --server-pid",
            Self::Number(_) => "this workload does not count it",
            Self::Time(..) | Self::Cost(..) | Self::Errors(_) => "nothing came back",
        }
    }
}

const TIMES: [(&str, f64); 4] = [("ns", 1e-3), ("us", 1.0), ("ms", 1e3), ("s", 1e6)];
const NUMBERS: [(&str, f64); 5] = [("", 1.0), ("k", 1e3), ("K", 1e3), ("m", 1e6), ("M", 1e6)];
const SIZES: [(&str, f64); 3] = [("", 1.0), ("k", 1024.0), ("m", 1_048_576.0)];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Operator {
    Less,
    LessOrEqual,
    More,
    MoreOrEqual,
    Equal,
    NotEqual,
}

impl Operator {
    const ALL: [(&'static str, Self); 6] = [
        ("<=", Self::LessOrEqual),
        (">=", Self::MoreOrEqual),
        ("==", Self::Equal),
        ("!=", Self::NotEqual),
        ("<", Self::Less),
        (">", Self::More),
    ];

    fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Self::Less => value < bound,
            Self::LessOrEqual => value <= bound,
            Self::More => value > bound,
            Self::MoreOrEqual => value >= bound,
            Self::Equal => value == bound,
            Self::NotEqual => value != bound,
        }
    }
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Workload;
    use crate::report::sample;

    fn check(text: &str, run: &Run) -> Result<(), String> {
        text.parse::<Assertion>().unwrap_or_else(|why| panic!("{text}: {why}")).check(run)
    }

    #[test]
    fn times_are_compared_in_any_unit() {
        let mut run = sample::echo("plain", 1);
        run.latency = Some(sample::latency([5_000.0; 100]));
        for holds in
            ["p99<5.1ms", "p99 > 4900us", "max<1s", "min>=4.99ms", "p99.99!=1ms", "mean<=6ms"]
        {
            assert_eq!(check(holds, &run), Ok(()), "{holds}");
        }
        let why = check("p99 < 5ms", &run).expect_err("it is 5 ms or a little more");
        assert_eq!(why, "p99<5ms does not hold: it was 5.00 ms");
    }

    #[test]
    fn each_distribution_has_its_prefix() {
        let run = sample::open("TLS", 2);
        assert!(check("p99>10ms", &run).is_ok() && check("uncorrected.p99<10ms", &run).is_ok());
        for holds in ["connect.p50<1ms", "handshake.p50>1ms", "lateness.p99<1ms"] {
            assert_eq!(check(holds, &run), Ok(()), "{holds}");
        }
    }

    #[test]
    fn errors_rates_and_costs_are_compared() {
        let run = sample::abuse("attacked", 2);
        for holds in
            ["errors==9", "errors.refused==3", "errors.timeout<=4", "errors.wrong==0", "lost>1"]
        {
            assert_eq!(check(holds, &run), Ok(()), "{holds}");
        }
        let run = sample::open("TLS", 2);
        for holds in [
            "rate>=40k",
            "rate<0.1m",
            "sent>3",
            "server.cpu<10us",
            "server.memory<4k",
            "resumed==12",
        ] {
            assert_eq!(check(holds, &run), Ok(()), "{holds}");
        }
        let why = check("rate>=60k", &run).expect_err("it is less");
        assert_eq!(why, "rate>=60k does not hold: it was 51,234");
    }

    #[test]
    fn a_figure_that_a_run_does_not_have_fails_and_says_why() {
        let run = sample::empty("plain", Workload::Echo);
        for (text, why) in [
            ("p99<1h", "is a time"),
            ("p99<9s", "nothing came back"),
            ("p99>0s", "nothing came back"),
            ("uncorrected.p50<9s", "--rate"),
            ("handshake.max<9s", "no TLS handshake"),
            ("connects>=0", "does not count it"),
            ("server.cpu<9s", "--server-pid"),
            ("server.memory<9m", "--server-pid"),
        ] {
            let said = text.parse::<Assertion>().and_then(|assertion| assertion.check(&run));
            assert!(said.as_ref().is_err_and(|said| said.contains(why)), "{text}: {said:?}");
        }
    }

    #[test]
    fn what_cannot_be_understood_is_named() {
        for (text, named) in [
            ("", "such as p99<5ms"),
            ("p99", "such as p99<5ms"),
            ("p99=5ms", "such as p99<5ms"),
            ("p98<5ms", "'p98'"),
            ("speed<5", "'speed'"),
            ("<5ms", "''"),
            ("p99<5", "'5'"),
            ("p99<fast", "'fast'"),
            ("p99<-5ms", "'-5ms'"),
            ("p99<5 ms", "'5 ms'"),
            ("p99<<5ms", "'<5ms'"),
            ("p99<5ms<6ms", "'5ms<6ms'"),
            ("rate>=40ms", "'40ms'"),
            ("rate>=1e9", "'1e9'"),
            ("errors==0ms", "'0ms'"),
            ("server.memory<4kb", "'4kb'"),
            ("uncorrected.rate>5", "'uncorrected.rate'"),
        ] {
            let said = text.parse::<Assertion>().expect_err(text);
            assert!(said.contains(named), "{text}: {said}");
        }
    }

    #[test]
    fn all_that_are_known_are_listed() {
        let names = OTHERS.iter().map(|(name, _)| *name);
        let names = names.chain(QUANTILES.iter().map(|(name, _)| *name));
        for name in names.chain(Whose::PREFIXES.map(|(prefix, _)| prefix)) {
            for list in [KNOWN, HELP] {
                let mut listed = list.split([',', ' ', '(', ')', ';', ':', '<', '>', '=', '\n']);
                assert!(listed.any(|word| word == name), "{name}: {list}");
            }
        }
    }
}
