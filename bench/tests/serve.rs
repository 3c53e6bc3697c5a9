//! `shardload serve` from outside: each of its services, driven by plain sockets.

mod support;

use shardpoll::tls::rustls::pki_types::ServerName;
use shardpoll::tls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto};
use shardpoll_bench::memory;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;
use support::{Server, one_line_with_code};

/// Longer than anything here takes on a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(60);

fn connect(addr: &str) -> TcpStream {
    let stream = TcpStream::connect(addr).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("it may be set");
    stream.set_write_timeout(Some(PATIENCE)).expect("it may be set");
    stream
}

fn read_to_end(stream: &mut impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("it ends in order");
    all
}

/// A path of this name that nothing has, short enough for a socket.
fn path(name: &str) -> String {
    let path = std::env::temp_dir().join(format!("shardload-{}-{name}", std::process::id()));
    let _none = std::fs::remove_file(&path);
    path.to_str().expect("text").to_owned()
}

/// A server behind a proxy, for one connection: reads all there is, then answers it backwards.
fn backwards() -> (String, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let addr = listener.local_addr().expect("it is bound").to_string();
    let serve = move || {
        let (mut stream, _) = listener.accept().expect("someone connects");
        let mut all = read_to_end(&mut stream);
        let heard = all.clone();
        all.reverse();
        stream.write_all(&all).expect("it is read");
        heard
    };
    (addr, Builder::new().spawn(serve).expect("a thread"))
}

/// Sends all of it, ends our side, and reads what comes back.
fn ask(mut stream: TcpStream, question: &[u8]) -> Vec<u8> {
    stream.write_all(question).expect("it is read");
    stream.shutdown(Shutdown::Write).expect("our side is ours");
    read_to_end(&mut stream)
}

/// The head and the body of an answer over HTTP.
fn http(server: &Server, request: &str) -> (String, String) {
    let mut stream = connect(server.status.as_deref().expect("--status was given"));
    stream.write_all(request.as_bytes()).expect("it is read");
    let text = String::from_utf8(read_to_end(&mut stream)).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    (head.to_owned(), body.to_owned())
}

/// The sum of a metric over its shards.
fn metric(server: &Server, name: &str) -> u64 {
    let (_, body) = http(server, "GET /metrics HTTP/1.1\r\n\r\n");
    let of = |line: &str| line.split(['{', ' ']).next() == Some(name);
    let values: Vec<u64> = body
        .lines()
        .filter(|line| of(line))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse().ok())
        .collect();
    assert!(!values.is_empty(), "{name}: {body}");
    values.iter().sum()
}

/// The bytes of the character generator, from its first line on (RFC 864).
fn characters(count: usize) -> Vec<u8> {
    let ring: Vec<u8> = (b' '..=b'~').collect();
    let line = |number: usize| {
        let own = ring.clone();
        let column = move |column: usize| own[(number + column) % 95];
        (0..72).map(column).chain(*b"\r\n")
    };
    (0..).flat_map(line).take(count).collect()
}

#[test]
fn echo_is_what_it_serves_when_nothing_is_said() {
    for options in [&[][..], &["echo"]] {
        let server = Server::start(options);
        assert_eq!(ask(connect(&server.addr), b"hello"), b"hello");
    }
}

#[test]
fn discard_reads_everything_and_says_nothing() {
    let server = Server::start(&["discard", "--status", "127.0.0.1:0"]);
    let megabytes = 64;
    let mut stream = connect(&server.addr);
    for _ in 0..megabytes {
        stream.write_all(&[7; 1 << 20]).expect("it is read");
    }
    stream.shutdown(Shutdown::Write).expect("our side is ours");
    assert_eq!(read_to_end(&mut stream), b"");
    assert!(metric(&server, "shardpoll_received_bytes_total") >= megabytes << 20);
    // Nothing of it is kept.
    let resident = memory::resident(server.pid()).expect("it is there").anonymous;
    assert!(resident < 16 << 20, "{resident}");
}

#[test]
fn chargen_sends_the_lines_of_rfc_864_whatever_it_is_told() {
    let server = Server::start(&["chargen", "--read-timeout", "50ms"]);
    let mut stream = connect(&server.addr);
    stream.write_all(&[b'x'; 100_000]).expect("it is read");
    let expected = characters(1_000_000);
    let mut got = vec![0; expected.len()];
    stream.read_exact(&mut got).expect("it never ends");
    assert!(got == expected, "some character is not the one that should be");
    // Another one begins at the first line, though this one reads no more.
    let mut line = [0; 74];
    connect(&server.addr).read_exact(&mut line).expect("it never ends");
    assert_eq!(line[..], expected[..74]);
}

#[test]
fn chargen_keeps_nothing_for_those_who_do_not_read() {
    let server = Server::start(&["chargen", "--status", "127.0.0.1:0"]);
    let before = memory::resident(server.pid()).expect("it is there").anonymous;
    let readers: Vec<_> = (0..100).map(|_| connect(&server.addr)).collect();
    // Until their buffers in the kernel are full: then only the metrics themselves are sent.
    let sent = || metric(&server, "shardpoll_sent_bytes_total");
    let (mut last, mut quiet) = (sent(), 0);
    while last < 100 * 50_000 || quiet < 5 {
        let now = sent();
        quiet = if now < last + 60_000 { quiet + 1 } else { 0 };
        last = now;
    }
    let resident = memory::resident(server.pid()).expect("it is there").anonymous;
    assert!(resident < before + (8 << 20), "{before} {resident}");
    drop(readers);
}

#[test]
fn a_proxy_carries_both_directions_and_the_end_of_each() {
    let (behind, heard) = backwards();
    let server = Server::start(&["proxy", "--to", &behind]);
    let question: Vec<u8> = (0..8_000_000_u32).map(|byte| (byte % 251) as u8).collect();
    let answer = ask(connect(&server.addr), &question);
    assert!(answer.iter().rev().eq(&question), "{} bytes came back", answer.len());
    assert!(heard.join().expect("it ends") == question);
}

#[test]
fn a_proxy_closes_its_clients_while_nobody_is_behind_it_and_says_so_once() {
    let path = path("behind.sock");
    let mut server = Server::start(&["proxy", "--to", &format!("unix:{path}")]);
    for _ in 0..3 {
        // Closed, or reset since its bytes were never read.
        let mut stream = connect(&server.addr);
        let _broken = stream.write_all(b"is anybody there?");
        let end = stream.read(&mut [0; 1]);
        let reset = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionReset;
        assert!(matches!(&end, Ok(0)) || end.as_ref().is_err_and(reset), "{end:?}");
    }
    // From then on somebody is.
    let listener = UnixListener::bind(&path).expect("the path is free");
    let mut front = connect(&server.addr);
    front.write_all(b"hello").expect("it is read");
    let (mut back, _) = listener.accept().expect("it connects");
    let mut hello = [0; 5];
    back.read_exact(&mut hello).expect("it is carried on");
    assert_eq!(&hello, b"hello");
    drop(back);
    assert_eq!(read_to_end(&mut front), b"");
    server.signal("-TERM");
    let (status, _, said) = server.wait();
    assert_eq!(status.code(), Some(0));
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains(&path), "{said}");
    std::fs::remove_file(&path).expect("it is ours");
}

#[test]
fn a_pair_of_a_proxy_ends_when_both_sides_are_silent_not_one() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let behind = listener.local_addr().expect("it is bound").to_string();
    let server = Server::start(&["proxy", "--to", &behind, "--read-timeout", "200ms"]);
    let mut front = connect(&server.addr);
    let (mut back, _) = listener.accept().expect("it connects");
    // The client has nothing to say for a long time.
    for number in 0..20 {
        front.set_read_timeout(Some(Duration::from_millis(50))).expect("it may be set");
        let nothing = front.read(&mut [0; 1]).expect_err("nobody has said anything");
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        front.set_read_timeout(Some(PATIENCE)).expect("it may be set");
        back.write_all(&[number]).expect("it is read");
        let mut got = [0; 1];
        front.read_exact(&mut got).expect("it is carried on");
        assert_eq!(got, [number]);
    }
    assert_eq!(read_to_end(&mut front), b"");
    assert_eq!(read_to_end(&mut back), b"");
}

#[test]
fn a_proxy_tells_the_server_who_the_client_is() {
    let (behind, heard) = backwards();
    let server = Server::start(&["proxy", "--to", &behind, "--send-proxy"]);
    let front = connect(&server.addr);
    let client = front.local_addr().expect("it is connected");
    ask(front, b"hello");
    let heard = heard.join().expect("it ends");
    // Version 2, PROXY, TCP over IPv4, 12 bytes of addresses (section 2.2 of the specification).
    assert!(heard.starts_with(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01"));
    assert_eq!(heard[24..26], client.port().to_be_bytes());
    assert_eq!(&heard[28..], b"hello");
}

#[test]
fn a_header_that_is_expected_is_read_and_passed_on() {
    let (behind, heard) = backwards();
    let options = ["proxy", "--to", &behind, "--send-proxy", "--expect-proxy", "any"];
    let server = Server::start(&options);
    ask(connect(&server.addr), b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 2000\r\nhello");
    let heard = heard.join().expect("it ends");
    let addresses = [192, 0, 2, 1, 192, 0, 2, 2, 3, 232, 7, 208];
    assert_eq!(heard[16..28], addresses);
    assert_eq!(&heard[28..], b"hello");
}

#[test]
fn who_is_no_sender_of_headers_is_refused() {
    let server = Server::start(&["--expect-proxy", "192.0.2.0/24", "--status", "127.0.0.1:0"]);
    let mut stream = connect(&server.addr);
    assert!(stream.read(&mut [0; 1]).is_ok_and(|count| count == 0));
    assert_eq!(metric(&server, "shardpoll_refused_senders_total"), 1);
}

#[test]
fn a_unix_socket_is_served_and_removed() {
    let path = path("serve.sock");
    let mut server = Server::start(&["--unix", &path]);
    assert_eq!(server.addr, format!("unix:{path}"));
    let mut stream = UnixStream::connect(&path).expect("it listens");
    stream.write_all(b"hello").expect("it is read");
    stream.shutdown(Shutdown::Write).expect("our side is ours");
    assert_eq!(read_to_end(&mut stream), b"hello");
    server.signal("-TERM");
    assert_eq!(server.wait().0.code(), Some(0));
    assert!(!PathBuf::from(&path).exists());
}

#[test]
fn a_proxy_ends_tls_and_carries_on_in_clear() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).expect("it is simple");
    let file = |kind: &str, pem: String| {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("serve-{kind}.pem"));
        std::fs::write(&path, pem).expect("the folder is for this");
        path.to_str().expect("text").to_owned()
    };
    let (cert, key) =
        (file("cert", made.cert.pem()), file("key", made.signing_key.serialize_pem()));
    let (behind, heard) = backwards();
    let server = Server::start(&["proxy", "--to", &behind, "--cert", &cert, "--key", &key]);

    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("it was just made");
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("it has both")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let session = ClientConnection::new(Arc::new(config), name).expect("it is well configured");
    let mut stream = StreamOwned::new(session, connect(&server.addr));
    stream.write_all(b"hello").expect("it is read");
    stream.conn.send_close_notify();
    stream.flush().expect("it is read");
    assert_eq!(read_to_end(&mut stream), b"olleh");
    assert_eq!(heard.join().expect("it ends"), b"hello");
}

#[test]
fn the_page_says_how_the_server_is() {
    let server = Server::start(&["--status", "127.0.0.1:0"]);
    let mut stream = connect(&server.addr);
    stream.write_all(b"hello").expect("it is read");
    stream.read_exact(&mut [0; 5]).expect("it comes back");
    let (head, body) = http(&server, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(head.starts_with("HTTP/1.0 200 OK\r\nContent-Type: text/html"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
    assert!(body.contains(&format!("<h1>echo at {}</h1>", server.addr)), "{body}");
    assert!(body.contains("<b>1</b><span>connections now</span>"), "{body}");
    assert!(body.contains("http-equiv=\"refresh\"") && body.contains("prefers-color-scheme"));
    for elsewhere in ["<script", "src=", "url(", "http://", "https://"] {
        assert!(!body.contains(elsewhere), "{elsewhere}: {body}");
    }
    let (head, body) = http(&server, "HEAD / HTTP/1.1\r\n\r\n");
    assert!(head.starts_with("HTTP/1.0 200 OK") && body.is_empty(), "{head}");
    for (request, code) in [
        ("GET /ready HTTP/1.1\r\n\r\n", 200),
        ("GET /no HTTP/1.1\r\n\r\n", 404),
        ("GET /drain HTTP/1.1\r\n\r\n", 405),
        ("PUT / HTTP/1.1\r\n\r\n", 405),
        ("POST /drain HTTP/1.1\r\nOrigin: http://a.example\r\n\r\n", 403),
        ("GET / HTTP/2\r\n\r\n", 400),
        ("hello\n\n", 400),
    ] {
        let (head, _) = http(&server, request);
        assert!(head.starts_with(&format!("HTTP/1.0 {code} ")), "{request}: {head}");
    }
    let (head, _) = http(&server, &format!("GET /{} HTTP/1.1\r\n", "x".repeat(9000)));
    assert!(head.starts_with("HTTP/1.0 400 "), "{head}");
}

#[test]
fn who_deploys_may_drain_it() {
    let mut server = Server::start(&["chargen", "--status", "127.0.0.1:0"]);
    let mut stream = connect(&server.addr);
    stream.read_exact(&mut [0; 74]).expect("it never ends");
    let (head, _) = http(&server, "POST /drain HTTP/1.1\r\n\r\n");
    assert!(head.starts_with("HTTP/1.0 202 "), "{head}");
    let (head, body) = http(&server, "GET /ready HTTP/1.1\r\n\r\n");
    assert!(head.starts_with("HTTP/1.0 503 "), "{head}");
    assert_eq!(body, "draining\n");
    // Now it does end, in the middle of whatever line.
    read_to_end(&mut stream);
    assert_eq!(server.wait().0.code(), Some(0));
}

#[test]
fn what_makes_no_sense_ends_with_2_and_is_named() {
    let free = TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let own = free.local_addr().expect("it is bound").to_string();
    drop(free);
    let long = format!("unix:/{}", "x".repeat(120));
    for (named, arguments) in [
        ("dance", &["serve", "dance"][..]),
        ("--to", &["serve", "proxy"]),
        ("'nowhere'", &["serve", "proxy", "--to", "nowhere"]),
        ("\"0\"", &["serve", "proxy", "--to", "localhost:0"]),
        ("brackets", &["serve", "proxy", "--to", "::1:7000"]),
        ("121 bytes", &["serve", "proxy", "--to", &long]),
        ("127.0.0.1:1", &["serve", "--to", "127.0.0.1:1"]),
        ("--to", &["serve", "discard", "--send-proxy"]),
        (&own, &["serve", "proxy", "--addr", &own, "--to", &own]),
        ("10.0.0.1/8", &["serve", "--expect-proxy", "10.0.0.1/8"]),
        ("10.0.0.0/8", &["serve", "--expect-proxy", "10.0.0.0/8", "--unix", "/tmp/a"]),
        ("--unix", &["serve", "--unix", "/tmp/a", "--addr", "127.0.0.1:0"]),
        ("/no/such/folder", &["serve", "--unix", "/no/such/folder/a.sock"]),
        ("localhost", &["serve", "--status", "localhost"]),
    ] {
        let said = one_line_with_code(2, arguments);
        assert!(said.contains(named), "{named}: {said}");
    }
    let said = one_line_with_code(3, &["serve", "proxy", "--to", "name.invalid:1"]);
    assert!(said.contains("name.invalid:1"), "{said}");
}
