//! Judging limits from numbers and the kernel's texts.

use super::*;

const NEED: Need = Need {
    connections: 50,
    abusers: 0,
    threads: 1,
    visits_per_second: None,
    lasts: Duration::from_secs(10),
};

fn kernel(reuse: &str) -> Kernel {
    Kernel::parse("32768\t60999\n", "\n", reuse, "1\n", "").expect("as Linux writes it")
}

fn route(to: &str, sources: u64) -> Route {
    let to: SocketAddr = to.parse().expect(to);
    Route { target: format!("tcp://{to}"), to, endpoints: 1, sources, taken: 0 }
}

#[test]
fn the_kernels_texts_are_understood() {
    let plain = kernel("2\n");
    assert_eq!((plain.ports(), plain.reuse), (28_232, Reuse::OfLoopback));
    assert_eq!(plain.reuse_after, Duration::from_secs(1));
    let parse = |reserved, reuse, timestamps| {
        Kernel::parse("1024 65535", reserved, reuse, timestamps, "250\n").expect("sound")
    };
    let other = parse("80,1000-1033,5222,65535\n", "1", "1");
    assert_eq!((other.reserved, other.ports()), (12, 64_500));
    assert_eq!((other.reuse, other.reuse_after), (Reuse::All, Duration::from_millis(250)));
    assert_eq!(parse("", "1", "0").reuse, Reuse::Nobodys);
    assert_eq!(parse("", "0", "1").reuse, Reuse::Nobodys);
    assert_eq!(Kernel::parse("", "", "2", "1", ""), None);
    assert_eq!(Kernel::parse("1 2", "a", "2", "1", ""), None);
    assert!(Kernel::read().is_some(), "this is Linux");
}

#[test]
fn connections_need_descriptors() {
    let need = Need { connections: 1000, threads: 2, ..NEED };
    assert_eq!(descriptors(&need, 1024, u64::MAX), Ok(()));
    let said = descriptors(&need, 1023, u64::MAX).expect_err("one too many");
    assert!(said.contains("--connections 1000:") && said.contains("ulimit -Hn 1024"), "{said}");
    assert!(!said.contains("nr_open"), "{said}");
    let abused = Need { abusers: 100, ..need };
    let said = descriptors(&abused, 1024, 1100).expect_err("100 too many");
    assert!(said.contains("1000 and 100 abusers"), "{said}");
    assert!(said.contains("fs.nr_open=1124") && said.contains("ulimit -Hn 1124"), "{said}");
}

#[test]
fn connections_to_one_address_need_ports() {
    let held = |connections, crowd, route: &Route| {
        ports(&Need { connections, ..NEED }, crowd, route, &kernel("2"))
    };
    let local = route("127.0.0.1:7", 1);
    assert_eq!(held(28_232, 1, &local), Ok(()));
    let said = held(28_233, 1, &local).expect_err("one too many");
    assert!(said.contains("28233") && said.contains("28232 from one address"), "{said}");
    assert!(said.contains("--source 127.0.0.2-127.0.0.3,"), "{said}");
    assert!(said.contains("ip_local_port_range='1024 65535'"), "{said}");
    // Two targets halve it, two sources double it.
    assert_eq!(held(56_464, 2, &local), Ok(()));
    assert_eq!(held(56_464, 1, &route("127.0.0.1:7", 2)), Ok(()));
    assert!(held(56_465, 1, &route("127.0.0.1:7", 2)).is_err());
    // Two targets at one address do not.
    let twice = Route { endpoints: 2, ..local.clone() };
    assert!(held(28_233, 2, &twice).is_err());
    // Those that others have are not there.
    let crowded = Route { taken: 28_000, ..route("192.0.2.1:7", 1) };
    assert_eq!(held(232, 1, &crowded), Ok(()));
    let said = held(233, 1, &crowded).expect_err("one too many");
    assert!(said.contains("232 from one address") && said.contains("28000 taken"), "{said}");
    assert!(said.contains("from 2 addresses") && said.contains("tcp_tw_reuse=1"), "{said}");
    // What does not suffice is not advised.
    let said = held(100_000, 1, &local).expect_err("many");
    assert!(said.contains("127.0.0.2-127.0.0.5") && !said.contains("sysctl"), "{said}");
    let said = held(100_000, 1, &route("192.0.2.1:7", 1)).expect_err("many");
    assert!(said.contains("from 4 addresses of this machine"), "{said}");
    let need = Need { connections: 20_000, abusers: 10_000, ..NEED };
    assert!(ports(&need, 1, &local, &kernel("2")).is_err());
}

#[test]
fn a_port_is_gone_unless_it_is_of_others_or_may_be_used_again() {
    let lacks = |reuse, from: &str, to: &str, is_resting| {
        let [from, to] = [from, to].map(|text| text.parse().expect(text));
        kernel(reuse).lacks(&Taken { from, to, is_resting })
    };
    assert!(lacks("2", "127.0.0.1:40000", "127.0.0.1:7", false));
    assert!(!lacks("2", "127.0.0.1:40000", "127.0.0.1:7", true));
    assert!(lacks("2", "192.0.2.1:40000", "192.0.2.2:7", true));
    assert!(!lacks("1", "192.0.2.1:40000", "192.0.2.2:7", true));
    assert!(!lacks("0", "192.0.2.1:32767", "192.0.2.2:7", true));
}

#[test]
fn a_connection_without_a_port_says_what_helps() {
    let none = CloseReason::Connect(io::Error::from_raw_os_error(99));
    assert!(in_words(&none).contains("--source"), "{}", in_words(&none));
    let refused = CloseReason::Connect(io::ErrorKind::ConnectionRefused.into());
    assert_eq!(in_words(&refused), refused.to_string());
}

#[test]
fn visits_leave_their_ports_behind() {
    let visits = |rate: f64, seconds, to: &str, reuse| {
        let need =
            Need { visits_per_second: Some(rate), lasts: Duration::from_secs(seconds), ..NEED };
        ports(&need, 1, &route(to, 1), &kernel(reuse))
    };
    // By default a port of loopback is used again after a second, any other after 60.
    assert_eq!(visits(28_000.0, 600, "127.0.0.1:7", "2"), Ok(()));
    assert_eq!(visits(28_000.0, 600, "[::1]:7", "2"), Ok(()));
    assert_eq!(visits(400.0, 600, "192.0.2.1:7", "2"), Ok(()));
    assert_eq!(visits(2_000.0, 10, "192.0.2.1:7", "2"), Ok(()));
    let said = visits(28_200.0, 600, "127.0.0.1:7", "2").expect_err("too many");
    assert!(said.contains("--rate 28200") && said.contains("rests for 1 s"), "{said}");
    assert!(said.contains("127.0.0.2-127.0.0.3") && !said.contains("tcp_tw_reuse"), "{said}");
    let said = visits(500.0, 600, "192.0.2.1:7", "2").expect_err("too many");
    assert!(said.contains("rests for 60 s") && said.contains("tcp_tw_reuse=1"), "{said}");
    assert_eq!(visits(500.0, 600, "192.0.2.1:7", "1"), Ok(()));
    assert!(visits(500.0, 600, "127.0.0.1:7", "0").is_err());
    assert!(visits(1e9, 600, "127.0.0.1:7", "2").is_err());
}
