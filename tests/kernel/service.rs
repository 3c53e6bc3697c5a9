//! As a service of systemd: sockets that are passed, and what the manager is told
//! (sd_listen_fds(3), sd_notify(3)). The test plays the manager.

use shardpoll::Listen;
use shardpoll_reactor::pass_descriptors;
use shardpoll_tests::{Alone, Call, Event, PATIENCE, Peer, Setup, SocketPath};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;

const ANY: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

/// What systemd does after fork: the variable is the child's own number.
const BECOME: &str = "LISTEN_PID=$$ exec \"$0\" \"$@\"";

fn echo(call: &mut Call<'_, '_>) {
    if let Event::Incoming(data) = call.event {
        call.write(data);
    }
}

fn expect_told(manager: &UnixDatagram, text: &str) {
    let mut bytes = [0; 200];
    let count = manager.recv(&mut bytes).expect("told in time");
    assert_eq!(String::from_utf8_lossy(&bytes[..count]), text);
}

#[test]
fn a_service_takes_the_sockets_that_are_passed_and_tells_its_manager() {
    let web = TcpListener::bind(ANY).expect("a free port");
    let admin = TcpListener::bind(ANY).expect("a free port");
    let path = SocketPath::new();
    let unbound = format!("shardpoll-test-{}", std::process::id());
    let abstract_name = SocketAddr::from_abstract_name(&unbound).expect("a short name");
    for abstract_socket in [false, true] {
        let (manager, place) = if abstract_socket {
            (UnixDatagram::bind_addr(&abstract_name), format!("@{unbound}"))
        } else {
            (UnixDatagram::bind(&path), path.display().to_string())
        };
        let manager = manager.expect("a free name");
        manager.set_read_timeout(Some(PATIENCE)).expect("not zero");
        let mut command = Command::new("sh");
        command.args(["-c", BECOME, env!("CARGO_BIN_EXE_alone"), "service"]);
        command.env("LISTEN_FDS", "2").env("LISTEN_FDNAMES", "web:admin");
        command.env("NOTIFY_SOCKET", place).env("WATCHDOG_USEC", "3000000");
        pass_descriptors(&mut command, &[web.as_fd(), admin.as_fd()]).expect("two more");
        let mut service = Alone::start(&mut command);
        assert_eq!(service.line(), "watchdog 3s");
        assert_eq!(service.line(), "no \"other\": [\"web\", \"admin\"]");
        let addr = web.local_addr().expect("bound");
        assert_eq!(service.line(), format!("web on {addr}"));
        expect_told(&manager, "READY=1");
        expect_told(&manager, "STATUS=one line, and no more");
        expect_told(&manager, "WATCHDOG=1");
        Peer::connect(addr).echo(b"served");
        assert_eq!(service.ask("end"), "ended");
        expect_told(&manager, "STOPPING=1");
        // The sockets are systemd's: whoever comes waits for the next start.
        drop(Peer::connect(addr));
        drop(service);
    }
}

#[test]
fn what_is_meant_for_another_process_is_not_taken() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_alone"));
    command.arg("service").env("LISTEN_FDS", "1").env("LISTEN_PID", "1");
    assert_eq!(Alone::start(&mut command).line(), "no \"other\": []");
    command.env("LISTEN_PID", "x");
    let told = Alone::start(&mut command).line();
    assert_eq!(told, "LISTEN_PID=\"x\" makes no sense");
    let mut command = Command::new("sh");
    command.args(["-c", BECOME, env!("CARGO_BIN_EXE_alone"), "service"]);
    command.env("LISTEN_FDS", "2").env("LISTEN_FDNAMES", "one");
    let told = Alone::start(&mut command).line();
    assert_eq!(told, "LISTEN_FDNAMES=\"one\" makes no sense");
}

#[test]
fn an_engine_passes_its_sockets_to_the_program_that_succeeds_it() {
    let mut world = Setup::new().shards(2).listen(Listen::on(ANY).name("web")).start(echo);
    let addr = world.addr();
    let mut stays = world.connect();
    stays.echo(b"served by the old one");
    let mut command = world.engine().successor(env!("CARGO_BIN_EXE_alone")).expect("two sockets");
    let mut service = Alone::start(command.arg("service"));
    assert_eq!(service.line(), "no \"other\": [\"web\", \"web\"]");
    assert_eq!(service.line(), format!("web on {addr}"));
    world.engine().release_listener(shardpoll::ListenerId::new(0)).expect("it has a successor");
    for _ in 0..20 {
        Peer::connect(addr).echo(b"by the new one");
    }
    stays.echo(b"and this by the old one");
    drop(stays);
    let _end = world.wait_for_end();
    let trace = world.finish();
    assert_eq!(trace.count(&Event::Connect), 1);
    Peer::connect(addr).echo(b"it is still there");
    assert_eq!(service.ask("end"), "ended");
}

#[test]
fn a_server_replaces_itself_and_keeps_everybody() {
    // shard/examples/restart.rs, started by a program of these tests
    let mut command = Command::new(env!("CARGO_BIN_EXE_lossless"));
    let server = Alone::start(command.args(["serve", "127.0.0.1:0"]));
    let line = server.line();
    let (mut pid, addr) = line.split_once(" listens on ").expect("its first line");
    let addr = addr.parse().expect("an address");
    let mut peers = Vec::new();
    let mut lines = Vec::new();
    for _ in 0..3 {
        let mut peer = Peer::connect(addr);
        peer.echo(b"served");
        peers.push(peer);
        let kill = format!("kill -HUP {pid}");
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("a shell").success());
        lines.push(server.line());
        while !lines.last().expect("pushed").contains(" listens on ") {
            lines.push(server.line());
        }
        let (next, at) = lines.last().and_then(|it| it.split_once(" listens on ")).expect("so");
        assert_eq!(at.parse(), Ok(addr));
        pid = Box::leak(next.to_owned().into_boxed_str());
        for peer in &mut peers {
            peer.echo(b"whoever has it");
        }
    }
    drop(peers);
    let kill = format!("kill -TERM {pid}");
    assert!(Command::new("sh").args(["-c", &kill]).status().expect("a shell").success());
    let mut ended = lines.iter().filter(|line| line.contains(" has ended")).count();
    while ended < 4 {
        ended += usize::from(server.line().contains(" has ended"));
    }
}
