//! Scripts from end to end: what conversations do.
//!
//! Never: opens a socket.

use super::faults::refused;
use super::*;
use std::rc::Rc;

const TIMEOUT: Duration = Duration::from_secs(3);

fn parse(text: &str) -> Rc<Script> {
    Rc::new(Script::parse("x.toml", text).unwrap_or_else(|error| panic!("{error}")))
}

fn talk(script: &Rc<Script>) -> Talk {
    Talk::new(script, Variables::example(), false)
}

/// What a conversation does, in words, with a server that says each of these when nothing it has
/// said before is of use any more; then it ends the connection.
fn play(mut talk: Talk, said: &[Vec<u8>]) -> Vec<String> {
    let (mut did, mut said) = (Vec::new(), said.iter());
    loop {
        let step = match talk.next(TIMEOUT) {
            Next::Send(bytes) => format!("send {}", bytes.escape_ascii()),
            Next::Pause { counted, .. } => format!("pause {counted}"),
            Next::StartTls => "TLS".into(),
            Next::HalfClose => "half".into(),
            Next::Round { done } => format!("round {done}"),
            Next::Done => {
                did.push("done".into());
                return did;
            }
            Next::Failed(Fault(why)) => {
                did.push(why);
                return did;
            }
            Next::Await { .. } => match said.next() {
                Some(bytes) => {
                    talk.receive(bytes);
                    continue;
                }
                None => {
                    did.push(talk.ended().map_or_else(|fault| fault.0, |()| "ended".into()));
                    return did;
                }
            },
        };
        did.push(step);
    }
}

/// As `play`, and the same however each of the server's turns is cut.
fn play_cut(script: &Rc<Script>, turns: &[&[u8]], greeted: bool) -> Vec<String> {
    let new = || Talk::new(script, Variables::example(), greeted);
    let whole: Vec<_> = turns.iter().map(|turn| turn.to_vec()).collect();
    let did = play(new(), &whole);
    let bytes: Vec<_> = turns.iter().flat_map(|turn| turn.iter().map(|byte| vec![*byte])).collect();
    assert_eq!(play(new(), &bytes), did, "byte by byte");
    for (index, turn) in turns.iter().enumerate() {
        for at in 1..turn.len() {
            let mut cut = whole.clone();
            cut.splice(index..=index, [turn[..at].to_vec(), turn[at..].to_vec()]);
            assert_eq!(play(new(), &cut), did, "turn {index} cut at {at}");
        }
    }
    did
}

fn builtin(name: &str) -> Rc<Script> {
    let (_, text) = builtins().iter().find(|(known, _)| *known == name).expect("it is built in");
    Rc::new(Script::parse(name, text).unwrap_or_else(|error| panic!("{error}")))
}

#[test]
fn a_group_is_known_only_behind_its_expression() {
    let expect = "[[step]]\nexpect_regex = 'id=(?<id>\\d+);'\n";
    let send = "[[step]]\nsend = '<{id}>'\n";
    assert!(refused(&format!("{send}{expect}")).contains("x.toml:2:8"));
    let script = parse(&format!("{expect}{send}{expect}{send}"));
    let did = play_cut(&script, &[b"x id=41;", b"id=9;"], false);
    assert_eq!(did, ["send <41>", "send <9>", "done"]);
}

#[test]
fn a_conversation_sends_and_expects_in_turn() {
    let script = parse(
        "[[step]]\nexpect = '220 '\n[[step]]\nexpect_regex = '.*\\n'\n\
         [[step]]\nsend = \"EHLO {host}\\r\\n\"\n[[step]]\nexpect_bytes = 5\n\
         [[step]]\nsend_hex = '00 fF'\n[[step]]\nexpect_hex = '0d0a'\n[[step]]\nsleep = '1ms'\n\
         [[step]]\nthink = '1ms..5ms'\n[[step]]\nhalf_close = true\n[[step]]\nexpect_close = true",
    );
    let did = play_cut(&script, &[b"junk 220 hello\n", b"12345rest\r\nmore", b"and more"], false);
    let want = [
        "send EHLO example.org\\r\\n",
        "send \\x00\\xff",
        "pause true",
        "pause false",
        "half",
        "ended",
    ];
    assert_eq!(did, want);
}

#[test]
fn repeats_may_stand_within_each_other() {
    let script = parse(
        "[[step]]\nrepeat = 2\ndo = [\n  { send = 'a' },\n  { repeat = 3, do = [{ expect = 'x' }, \
         { send = 'b' }] },\n]\n[[step]]\nsend = 'c'",
    );
    let did = play_cut(&script, &[b"xx x", b".x..xx"], false);
    let want = ["a", "b", "b", "b", "a", "b", "b", "b", "c"].map(|word| format!("send {word}"));
    assert_eq!(did[..9], want);
    assert_eq!(did[9..], ["done"]);
    let measured = parse("[[step]]\nrepeat = 2\nmeasure = true\ndo = [{ expect = 'a' }]");
    assert!(measured.measures_rounds() && !script.measures_rounds());
    let rounds = ["round false", "round true", "round true", "done"];
    assert_eq!(play_cut(&measured, &[b"aa"], false), rounds);
    let tables = parse("[[step]]\nrepeat = 2\n[[step.do]]\nsend = 'a'\n[[step.do]]\nexpect = 'b'");
    assert_eq!(play_cut(&tables, &[b"bb"], false), ["send a", "send a", "done"]);
}

#[test]
fn a_literal_is_found_however_it_is_cut_and_repeats_itself() {
    let script = parse("[[step]]\nexpect = 'aab'\n[[step]]\nexpect = 'aab'\n[[step]]\nsend = '!'");
    assert_eq!(play_cut(&script, &[b"aaaabaaab"], false), ["send !", "done"]);
    let script = parse("[[step]]\nexpect = 'u{connection}.{random}'\n[[step]]\nsend = '!'");
    assert_eq!(play_cut(&script, &[b"u7.u7.00000000000000ff"], false), ["send !", "done"]);
}

#[test]
fn the_literal_is_looked_for_only_in_what_is_new() {
    // A minute of one core, if each byte would have all before it looked through again.
    let script = parse("[[step]]\nexpect = 'b'");
    let mut talk = talk(&script);
    for _ in 0..60_000 {
        talk.receive(b"a");
        assert!(matches!(talk.next(TIMEOUT), Next::Await { .. }));
        assert_eq!(talk.seen, talk.come_len());
    }
    talk.receive(b"b");
    assert_eq!(talk.next(TIMEOUT), Next::Done);
}

#[test]
fn what_comes_first_of_expectation_and_failure_decides() {
    let script = parse(
        "fail_if = '(?m)^[45]\\d\\d .*\\r\\n'\n[[step]]\nname = 'the answer'\n\
         expect_regex = '(?m)^250 .*\\r\\n'\n[[step]]\nsend = 'on'",
    );
    assert_eq!(play_cut(&script, &[b"250-x\r\n250 y\r\n550 no\r\n"], false)[0], "send on");
    let did = play_cut(&script, &[b"250-x\r\n550 no\r\n250 y\r\n"], false);
    assert_eq!(
        did,
        ["x.toml:4 (the answer): expected /(?m)^250 .*\\r\\n/; its fail_if matched; what came: \
          \"550 no\\r\\n\""]
    );
    let own = parse(
        "fail_if = 'no'\n[[step]]\nexpect = 'yes'\nfail_if = 'never'\n[[step]]\nexpect = 'yes'",
    );
    let did = play_cut(&own, &[b"no yes", b"no yes"], false);
    assert_eq!(did, ["x.toml:6: expected \"yes\"; its fail_if matched; what came: \"no\""]);
}

#[test]
fn what_did_not_come_is_told_with_what_came() {
    let script = parse("[[step]]\nexpect = \"250 \"\n[[step]]\nexpect_bytes = 7");
    let mut begun = talk(&script);
    begun.receive(b"42\r\n\xff\"'");
    let Next::Await { timeout, wait } = begun.next(TIMEOUT) else { panic!("nothing to await") };
    assert_eq!(timeout, TIMEOUT);
    let Fault(expired) = begun.expired(TIMEOUT);
    assert_eq!(
        expired,
        "x.toml:2: expected \"250 \"; it did not come within 3s; what came: \"42\\r\\n\\xff\"'\""
    );
    begun.receive(b"250 abc");
    let Next::Await { wait: next, .. } = begun.next(TIMEOUT) else { panic!("nothing to await") };
    assert_ne!(wait, next, "another wait has another number");
    let ended = begun.ended().expect_err("7 bytes are expected").0;
    assert_eq!(
        ended,
        "x.toml:4: expected 7 bytes, 4 are missing; the server ended the connection; what came: \
         nothing"
    );
    let own = parse("timeout = '7ms'\n[[step]]\nexpect_close = true");
    let seven = Duration::from_millis(7);
    assert!(matches!(talk(&own).next(TIMEOUT), Next::Await { timeout, .. } if timeout == seven));
}

#[test]
fn what_is_not_expected_is_kept_only_up_to_a_limit() {
    let script = parse("[[step]]\nexpect = 'b'\n[[step]]\nsend = '!'");
    let mut much = talk(&script);
    much.receive(&[b'a'; 65_536]);
    assert!(matches!(much.next(TIMEOUT), Next::Await { .. }), "just as much as may be");
    much.receive(b"a");
    let Next::Failed(Fault(why)) = much.next(TIMEOUT) else { panic!("it is too much") };
    assert!(why.contains("too much came without it") && why.len() < 300, "{why}");
    // While the script sleeps nobody looks, and no more is kept.
    let mut asleep = talk(&script);
    for _ in 0..100 {
        asleep.receive(&[b'a'; 60_000]);
    }
    assert!(asleep.come_len() < 200_000);
    assert!(matches!(asleep.next(TIMEOUT), Next::Failed(_)));
    // A count needs no memory.
    let script = parse("[[step]]\nexpect_bytes = 6_000_000\n[[step]]\nexpect = 'b'");
    let mut counted = talk(&script);
    for _ in 0..100 {
        assert!(matches!(counted.next(TIMEOUT), Next::Await { .. }));
        counted.receive(&[b'a'; 60_000]);
        assert_eq!(counted.come_len().min(60_000), counted.come_len());
    }
    counted.receive(b"b");
    assert_eq!(counted.next(TIMEOUT), Next::Done);
}

#[test]
fn bytes_before_tls_are_a_fault() {
    let script =
        parse("[[step]]\nexpect = \"go\\n\"\n[[step]]\nstarttls = true\n[[step]]\nsend='s'");
    assert!(script.starts_tls());
    assert_eq!(play_cut(&script, &[b"go\n"], false), ["TLS", "send s", "done"]);
    let did = play(talk(&script), &[b"go\ninjected".to_vec()]);
    assert_eq!(did, ["x.toml:4: bytes came before TLS began; what came: \"injected\""]);
}

#[test]
fn pauses_are_as_long_as_they_may_be() {
    let script = parse("[[step]]\nrepeat = 200\ndo = [{ think = '2ms..5ms' }, { sleep = '7ms' }]");
    let (mut talk, mut thought) = (talk(&script), Vec::new());
    loop {
        match talk.next(TIMEOUT) {
            Next::Pause { time, counted: false } => thought.push(time),
            Next::Pause { time, .. } => assert_eq!(time, Duration::from_millis(7)),
            Next::Done => break,
            other => panic!("{other:?}"),
        }
    }
    let (least, most) = (Duration::from_millis(2), Duration::from_millis(5));
    assert!(thought.iter().all(|time| (least..=most).contains(time)));
    let below = thought.iter().filter(|time| **time < (least + most) / 2).count();
    assert!(thought.len() == 200 && (50..150).contains(&below), "{below} of 200 in the lower half");
}

#[test]
fn the_greeting_is_left_out_where_it_has_been_read() {
    let smtp = builtin("smtp");
    let answers: [&[u8]; 7] = [
        b"220-mail\r\n220 mail\r\n",
        b"250-mail\r\n250-STARTTLS\r\n250 HELP\r\n",
        b"250 OK\r\n",
        b"250 OK\r\n",
        b"354 go on\r\n",
        b"250 OK id=1\r\n",
        b"221 bye\r\n",
    ];
    let did = play_cut(&smtp, &answers, false);
    assert_eq!(did[0], "send EHLO client.invalid\\r\\n");
    assert_eq!(did.last().map(String::as_str), Some("done"));
    assert_eq!(did, play_cut(&smtp, &answers[1..], true));
    let refused = play_cut(&smtp, &[answers[0], answers[1], b"550 no\r\n"], false);
    assert!(refused.last().is_some_and(|why| why.contains("550 no")), "{refused:?}");
}

#[test]
fn the_built_in_scripts_hold_their_conversations() {
    let did =
        play_cut(&builtin("redis-ping"), &[b"+PONG\r\n", b"+PONG\r\n", b"-ERR no\r\n"], false);
    let ping = "send *1\\r\\n$4\\r\\nPING\\r\\n";
    assert_eq!(did[..6], ["round false", ping, "round true", ping, "round true", ping]);
    assert!(did[6].contains("-ERR no"), "{did:?}");

    let stream = b"<?xml version='1.0'?><stream:stream id='1' from='example.org'>";
    for features in [&b"<stream:features><bind/></stream:features>"[..], b"<stream:features/>"] {
        let did = play_cut(&builtin("xmpp"), &[stream, features, b"</stream:stream>"], false);
        assert!(did[0].contains("to=\\'example.org\\'"), "{did:?}");
        assert_eq!(did.last().map(String::as_str), Some("done"), "{did:?}");
    }
    let error = b"<stream:error><host-unknown/></stream:error></stream:stream>";
    let did = play_cut(&builtin("xmpp"), &[stream, error], false);
    assert!(did.last().is_some_and(|why| why.contains("(the features)")), "{did:?}");

    let mut turns: Vec<&[u8]> = vec![b":i 001 u1007 :hi\r\n:i 375 u :-\r\n", b":i 376 u :end\r\n"];
    turns.extend([&b":i PONG i :00000000000000ff\r\n"[..]; 10]);
    turns.push(b"ERROR :Closing connection\r\n");
    let did = play_cut(&builtin("irc"), &turns, false);
    assert_eq!(did.last().map(String::as_str), Some("ended"), "{did:?}");
    let did = play_cut(&builtin("irc"), &[b":i 433 * u1007 :Nickname in use\r\n"], false);
    assert!(did.last().is_some_and(|why| why.contains("433")), "{did:?}");
}

#[test]
fn what_leads_to_tls_says_what_is_missing() {
    let smtp = Rc::new(starttls_smtp());
    let greeting = &b"220 mail ESMTP\r\n"[..];
    let offers: [&[u8]; 3] = [
        b"250-mail\r\n250-STARTTLS\r\n250 HELP\r\n",
        b"250-mail\r\n250 starttls\r\n",
        b"250-STARTTLS\r\n250-A\r\n250 B\r\n",
    ];
    for offer in offers {
        let did = play_cut(&smtp, &[greeting, offer, b"220 go on\r\n"], false);
        assert_eq!(did, ["send EHLO client.invalid\\r\\n", "send STARTTLS\\r\\n", "TLS", "done"]);
    }
    for none in [&b"250-mail\r\n250 HELP\r\n"[..], b"250 mail\r\n", b"502 no EHLO\r\n"] {
        let did = play_cut(&smtp, &[greeting, none], false);
        let why = did.last().expect("it ends");
        assert!(why.starts_with("starttls+smtp:") && why.contains("an offer of STARTTLS"), "{why}");
    }
    let did = play_cut(&smtp, &[greeting, offers[0], b"454 no\r\n"], false);
    assert!(did.last().is_some_and(|why| why.contains("leave to begin TLS")), "{did:?}");

    let xmpp = Rc::new(starttls_xmpp());
    let stream = &b"<?xml version='1.0'?><stream:stream id='1'>"[..];
    let tls = "urn:ietf:params:xml:ns:xmpp-tls";
    let offer = format!(
        "<stream:features><starttls xmlns='{tls}'><required/></starttls></stream:features>"
    );
    for proceed in
        [format!("<proceed xmlns='{tls}'/>"), format!("<proceed xmlns='{tls}'></proceed>")]
    {
        let did = play_cut(&xmpp, &[stream, offer.as_bytes(), proceed.as_bytes()], false);
        assert_eq!(did[2..], ["TLS", "done"], "{did:?}");
    }
    let none = b"<stream:features><mechanisms/></stream:features>";
    let did = play_cut(&xmpp, &[stream, none], false);
    assert!(did.last().is_some_and(|why| why.contains("an offer of STARTTLS")), "{did:?}");
}

#[test]
fn a_file_is_found_by_its_path_and_a_built_in_script_by_its_name() {
    assert_eq!(load("smtp").expect("it is built in").name, "smtp");
    let unknown = load("smpt").expect_err("no such script").to_string();
    assert!(unknown.contains("smpt") && unknown.contains("smtp"), "{unknown}");
    let missing = load("./smtp").expect_err("no such file").to_string();
    assert!(missing.contains("./smtp") && missing.contains("No such file"), "{missing}");
}
