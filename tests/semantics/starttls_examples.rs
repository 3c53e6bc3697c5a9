//! The examples of STARTTLS do as their protocols say, also when every byte comes alone (S105 to
//! S107, S122).

use shardpoll::Handler;
use shardpoll_tests::{Peer, Setup, TlsPeer, Version, World, both_worlds, server_context};
use starttls_smtp::Smtp;
use starttls_xmpp::Xmpp;

#[allow(dead_code, reason = "its main is the program's")]
#[path = "../../shard/examples/starttls_smtp.rs"]
mod starttls_smtp;

#[allow(dead_code, reason = "its main is the program's")]
#[path = "../../shard/examples/starttls_xmpp/main.rs"]
mod starttls_xmpp;

both_worlds! {
    smtp_is_upgraded_and_begins_anew,
    smtp_takes_commands_in_pieces_and_many_at_once,
    smtp_refuses_a_command_behind_starttls,
    smtp_ends_a_line_that_never_ends,
    smtp_offers_tls_once,
    xmpp_is_upgraded_and_begins_anew,
    xmpp_takes_a_stream_byte_by_byte,
    xmpp_refuses_a_stanza_behind_starttls,
    xmpp_answers_nothing_in_clear,
    xmpp_ends_a_stream_that_is_none_and_says_why,
}

const HELLO: &[u8] = b"220 localhost ESMTP\r\n";
const OFFER: &[u8] = b"250-localhost\r\n250-STARTTLS\r\n250 ENHANCEDSTATUSCODES\r\n";
const NO_OFFER: &[u8] = b"250-localhost\r\n250 ENHANCEDSTATUSCODES\r\n";
const GO_AHEAD: &[u8] = b"220 2.0.0 Go ahead\r\n";

const STREAM: &[u8] = b"<?xml version='1.0'?><stream:stream to='localhost' xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' version=\"1.0\">";
const STARTTLS: &[u8] = b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const OFFERED: &[u8] = b"<required/></starttls></stream:features>";
const PROCEED: &[u8] = b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

/// A server whose connections have such handlers, and a peer of it.
fn serve<H: Handler>(handler: impl Fn() -> H + Clone + Send + 'static) -> (World, Peer) {
    let world = Setup::new().echo();
    let addr = world.listen_as(move |_| handler());
    (world, Peer::connect(addr))
}

fn smtp() -> (World, Peer) {
    let (world, mut peer) = serve(|| Smtp::new(server_context()));
    peer.expect(HELLO);
    (world, peer)
}

fn xmpp() -> (World, Peer) {
    serve(|| Xmpp::new(server_context()))
}

/// Both sides speak TLS from here on.
fn upgrade(peer: Peer, version: Version) -> TlsPeer {
    let mut peer = TlsPeer::over(peer, version);
    peer.handshake().expect("a handshake in time");
    peer
}

fn smtp_is_upgraded_and_begins_anew() {
    for version in Version::ALL {
        let (world, mut peer) = smtp();
        peer.send(b"EHLO a.example\r\n");
        peer.expect(OFFER);
        peer.send(b"STARTTLS\r\n");
        peer.expect(GO_AHEAD);
        let mut peer = upgrade(peer, version);
        // What was said in clear is forgotten (RFC 3207, section 4.2).
        peer.send(b"RSET\r\n");
        peer.expect(b"503 5.5.1 EHLO first\r\n");
        peer.send(b"EHLO a.example\r\n");
        peer.expect(NO_OFFER);
        peer.send(b"RSET\r\nQUIT\r\n");
        assert_eq!(peer.read_to_end(), b"250 2.0.0 OK\r\n221 2.0.0 Bye\r\n");
        drop(world);
    }
}

fn smtp_takes_commands_in_pieces_and_many_at_once() {
    let (_world, mut peer) = smtp();
    for byte in b"ehlo a.example\r\nSTARTTLS now\r\n" {
        peer.send(&[*byte]);
    }
    peer.expect(OFFER);
    peer.expect(b"501 5.5.4 No parameters, please\r\n");
    peer.send(b"NOOP\r\nEHLO\r\nnonsense\r\nSTART");
    peer.expect(b"250 2.0.0 OK\r\n501 5.5.4 Who is there?\r\n502 5.5.1 Not here\r\n");
    peer.send(b"TLS\r\n");
    peer.expect(GO_AHEAD);
    let mut peer = upgrade(peer, Version::Tls13);
    for byte in b"NOOP\r\nQUIT\r\n" {
        peer.send(&[*byte]);
    }
    assert_eq!(peer.read_to_end(), b"250 2.0.0 OK\r\n221 2.0.0 Bye\r\n");
}

fn smtp_refuses_a_command_behind_starttls() {
    // S122
    let (_world, mut peer) = smtp();
    peer.send(b"EHLO a.example\r\n");
    peer.expect(OFFER);
    peer.send(b"STARTTLS\r\nNOOP\r\n");
    let (answered, _) = peer.read_all();
    assert!(!contains(&answered, b"250"), "{answered:?}");
}

fn smtp_ends_a_line_that_never_ends() {
    let (_world, mut peer) = smtp();
    let mut line = b"NOOP ".to_vec();
    line.resize(510, b'x');
    line.extend(b"\r\n");
    peer.send(&line);
    peer.expect(b"250 2.0.0 OK\r\n");
    peer.send(&line[..510]);
    peer.send(b"xxx");
    assert_eq!(peer.read_to_end(), b"500 5.5.2 Line too long\r\n");
}

fn smtp_offers_tls_once() {
    // S107
    let (_world, mut peer) = smtp();
    peer.send(b"STARTTLS\r\n");
    peer.expect(GO_AHEAD);
    let mut peer = upgrade(peer, Version::Tls13);
    peer.send(b"STARTTLS\r\nQUIT\r\n");
    assert_eq!(peer.read_to_end(), b"503 5.5.1 TLS is there\r\n221 2.0.0 Bye\r\n");
}

fn xmpp_is_upgraded_and_begins_anew() {
    for version in Version::ALL {
        let (world, mut peer) = xmpp();
        peer.send(STREAM);
        peer.expect_at_last(OFFERED);
        peer.send(STARTTLS);
        peer.expect(PROCEED);
        let mut peer = upgrade(peer, version);
        peer.send(STREAM);
        peer.expect_at_last(b"<stream:features/>");
        peer.send(b"<iq type='get' id='a1'><ping xmlns='urn:xmpp:ping'/></iq>");
        peer.expect(b"<iq type='result' id='a1'/>");
        peer.send(b"</stream:stream>");
        assert_eq!(peer.read_to_end(), b"</stream:stream>");
        drop(world);
    }
}

fn xmpp_takes_a_stream_byte_by_byte() {
    let (_world, mut peer) = xmpp();
    for byte in [STREAM, b" <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'></starttls>"].concat()
    {
        peer.send(&[byte]);
    }
    peer.expect_at_last(PROCEED);
    let mut peer = upgrade(peer, Version::Tls13);
    let stanzas: &[u8] = b"\n<message><body a='>'>text</body><x/></message>\
        <iq id=\"b'2\"><a><b/></a></iq><iq id=\"b2\"/></stream:stream>";
    for byte in [STREAM, stanzas].concat() {
        peer.send(&[byte]);
    }
    let answers = b"<stream:features/><iq type='result' id=''/><iq type='result' id='b2'/>\
        </stream:stream>";
    let all = peer.read_to_end();
    assert!(all.ends_with(answers), "{all:?}");
}

fn xmpp_refuses_a_stanza_behind_starttls() {
    // S122
    let (_world, mut peer) = xmpp();
    peer.send(STREAM);
    peer.expect_at_last(OFFERED);
    peer.send(&[STARTTLS, b"<iq id='x'/>"].concat());
    let (answered, _) = peer.read_all();
    assert!(!contains(&answered, b"<iq"), "{answered:?}");
}

fn xmpp_answers_nothing_in_clear() {
    let (_world, mut peer) = xmpp();
    peer.send(STREAM);
    peer.send(b"<iq id='x'/>");
    let end = peer.read_to_end();
    assert!(contains(&end, b"<stream:error><policy-violation ") && !contains(&end, b"<iq"));
}

fn xmpp_ends_a_stream_that_is_none_and_says_why() {
    let long = [b"<stream:stream ", &[b'x'; 1024][..]].concat();
    for (sent, why) in [
        (&b"<html><body>"[..], "bad-format"),
        (b"<stream:stream />", "bad-format"),
        (b"</stream:stream>", "bad-format"),
        (b"<!-- hello -->", "restricted-xml"),
        (b"<stream:stream a=''></stream:other>", "not-well-formed"),
        (b"<stream:stream a='\xff'>", "not-well-formed"),
        (&long, "policy-violation"),
    ] {
        let (_world, mut peer) = xmpp();
        peer.send(sent);
        let end = peer.read_to_end();
        assert!(contains(&end, format!("<{why} ").as_bytes()), "{sent:?}: {end:?}");
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
