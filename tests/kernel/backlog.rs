//! How many connections wait at a listener that is not served.

use shardpoll::Listen;
use shardpoll_tests::{Setup, wait_for_reply};
use std::io;
use std::net::TcpStream;
use std::time::Duration;

#[test]
fn no_more_wait_at_a_listener_than_its_backlog_lets_wait() {
    // S123; Linux lets one more wait than it was told (listen(2), tcp(7))
    let at = Listen::on(([127, 0, 0, 1], 0)).backlog(1);
    let world = Setup::new().listen(at).echo();
    let addr = world.addr();
    let release = world.hold_shard();
    let dial = move |time| TcpStream::connect_timeout(&addr, time);
    let patience = shardpoll_tests::PATIENCE;
    let waiting = wait_for_reply(move || [dial(patience), dial(patience)]);
    let one_more = dial(Duration::from_millis(300)).expect_err("nobody answers it");
    assert_eq!(one_more.kind(), io::ErrorKind::TimedOut);
    assert!(waiting.iter().all(io::Result::is_ok), "{waiting:?}");
    drop((release, waiting));
    let _trace = world.finish();
}
