//! The example that says how an engine is answers like a server of HTTP/1.0, whatever it is asked.

use shardpoll::Listen;
use shardpoll_tests::{Peer, Setup, World};
use status::Status;

#[allow(dead_code, reason = "its main is the program's")]
#[path = "../../shard/examples/status.rs"]
mod status;

/// An echo server with the example's listener beside it.
fn world() -> (World, std::net::SocketAddr) {
    let world = Setup::new().echo();
    let remote = world.remote();
    let at = Listen::on(([127, 0, 0, 1], 0));
    let id = world.engine().listen(at, move |_| Status::new(remote.clone())).expect("a port");
    let addr = world.engine().addr(id).expect("it listens");
    (world, addr)
}

/// What a request is answered: the status line, and the body, whose length is as it says.
fn ask(addr: std::net::SocketAddr, pieces: &[&[u8]]) -> (String, String) {
    let mut peer = Peer::connect(addr);
    pieces.iter().for_each(|piece| peer.send(piece));
    let text = String::from_utf8(peer.read_to_end()).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    let (line, fields) = head.split_once("\r\n").expect("a status line");
    assert!(fields.contains("Connection: close"), "{fields}");
    assert!(fields.contains(&format!("Content-Length: {}\r\n", body.len())), "{fields}");
    (line.to_owned(), body.to_owned())
}

#[test]
fn it_says_what_was_counted_and_whether_it_is_ready() {
    let (mut world, addr) = world();
    let (mut peer, _) = world.connect_and_wait();
    peer.echo(b"hello");
    let (line, body) = ask(addr, &[b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"]);
    assert_eq!(line, "HTTP/1.0 200 OK");
    let open = "shardpoll_listener_connections_open{shard=\"0\",listener=\"0\"";
    let open = body.lines().find(|line| line.starts_with(open)).expect("the first listener");
    assert!(open.ends_with(" 1"), "{open}");
    let (line, body) = ask(addr, &[b"GET /re", b"ady HTTP/1.0\r\n", b"\r\n"]);
    assert_eq!((&*line, &*body), ("HTTP/1.0 200 OK", "ready\n"));
    let _trace = world.finish();
}

#[test]
fn it_drains_and_is_not_ready_any_more() {
    let (world, addr) = world();
    let (line, _) = ask(addr, &[b"POST /drain HTTP/1.0\r\n\r\n"]);
    assert_eq!(line, "HTTP/1.0 202 Accepted");
    // The listeners go on for a while, so that balancers can hear of it.
    let (line, body) = ask(addr, &[b"GET /ready HTTP/1.0\r\n\r\n"]);
    assert_eq!((&*line, &*body), ("HTTP/1.0 503 Service Unavailable", "draining\n"));
    let _trace = world.finish();
}

#[test]
fn what_is_no_good_request_is_told_so() {
    let (world, addr) = world();
    let long = [b'x'; 5000];
    let cases: [(&[u8], &str); 6] = [
        (b"GET /nothing HTTP/1.0\r\n\r\n", "404 Not Found"),
        (b"GET /drain HTTP/1.0\r\n\r\n", "405 Method Not Allowed"),
        (b"GET /metrics\r\n\r\n", "400 Bad Request"),
        (b"GET /metrics GOPHER/1\r\n\r\n", "400 Bad Request"),
        (b"\xff\xfe\r\n\r\n", "400 Bad Request"),
        (&long, "400 Bad Request"),
    ];
    for (request, status) in cases {
        let (line, _) = ask(addr, &[request]);
        assert_eq!(line, format!("HTTP/1.0 {status}"));
    }
    let _trace = world.finish();
}
