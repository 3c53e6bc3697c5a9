//! `shardload script` from outside, against small servers of these tests' own.
//!
//! Never: needs a server that is installed; `scripts/peers-shardload.sh` does.

mod support;

use shardpoll_bench::tools;
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use support::{Server, good_run, one_line_with_code, output};

/// A server of this test: each connection has a thread of its own, until the process ends.
fn serve(talk: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let target = format!("tcp://{}", listener.local_addr().expect("it is bound"));
    let talk = Arc::new(talk);
    let accept = move || {
        for stream in listener.incoming().flatten() {
            stream.set_nodelay(true).expect("it is TCP");
            let talk = Arc::clone(&talk);
            tools::thread("server", move || talk(stream)).expect("a thread can be started");
        }
    };
    tools::thread("server", accept).expect("a thread can be started");
    target
}

/// A server that greets, and answers each line by it; `quit` ends the connection.
fn polite(mut stream: TcpStream) {
    let lines = BufReader::new(stream.try_clone().expect("it can be")).lines();
    // Clients that have what they came for may be gone.
    let _gone = stream.write_all(b"hello\n");
    for line in lines.map_while(Result::ok) {
        if line == "quit" || stream.write_all(format!("you said {line}\n").as_bytes()).is_err() {
            return;
        }
    }
}

/// As `polite` before TLS, in the words of SMTP; then it is a TLS server that echoes.
fn upgrading(echo: &str, offer: &'static str) -> impl Fn(TcpStream) + Send + Sync + 'static {
    let echo = echo.to_string();
    move |mut stream| {
        let mut lines = BufReader::new(stream.try_clone().expect("it can be")).lines();
        let mut say = |text: &str| stream.write_all(text.as_bytes()).is_ok();
        let mut hear = |want: &str| lines.next().is_some_and(|line| line.is_ok_and(|l| l == want));
        let upgrades = say("220-mail\r\n220 mail\r\n")
            && hear("EHLO client.invalid")
            && say(&format!("250-mail\r\n{offer}250 HELP\r\n"))
            && hear("STARTTLS")
            && say("220 go on\r\n");
        if upgrades {
            relay(stream, TcpStream::connect(&echo).expect("it listens"));
        }
    }
}

fn relay(client: TcpStream, server: TcpStream) {
    let pump = |mut from: TcpStream, mut to: TcpStream| {
        // Whoever goes, both go.
        let _copied = std::io::copy(&mut from, &mut to);
        let _closed = (to.shutdown(Shutdown::Both), from.shutdown(Shutdown::Both));
    };
    let back = (client.try_clone().expect("it can be"), server.try_clone().expect("it can be"));
    let back = move || pump(back.1, back.0);
    tools::thread("relay", back).expect("a thread can be started");
    pump(client, server);
}

/// A script in a file of this name.
fn script(name: &str, text: &str) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.toml"));
    std::fs::write(&path, text).expect("the folder is for this");
    path.into_os_string().into_string().expect("text")
}

const GREETED: &str = "[[step]]\nexpect = \"hello\\n\"\ngreeting = true\n";

#[test]
fn conversations_are_held_over_and_over_each_with_its_own_words() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (log, begun) = (Arc::clone(&heard), Arc::new(Mutex::new(0)));
    let target = serve(move |mut stream| {
        *begun.lock().expect("nobody panics") += 1;
        let lines = BufReader::new(stream.try_clone().expect("it can be")).lines();
        for line in lines.map_while(Result::ok) {
            let _gone = stream.write_all(format!("id={line};\n").as_bytes());
            log.lock().expect("nobody panics").push(line);
        }
    });
    let file = script(
        "own-words",
        "[[step]]\nsend = \"c {connection} {conversation} {random} {host}\\n\"\n\
         [[step]]\nexpect_regex = 'id=(?<id>[^;]*);\\n'\n\
         [[step]]\nrepeat = 3\ndo = [{ send = \"again {id}\\n\" }, { expect = \"{id};\\n\" }]\n",
    );
    let base = ["script", &file, &target, "--sni", "rooms.example", "-c", "4", "-d", "300ms"];
    let run = good_run(&[&base[..], &["--threads", "2"]].concat());
    let done = run["operations"].as_u64().expect("a count");
    assert!(done > 0 && run["workload"] == "script" && run["name"] == "own-words", "{run}");
    assert_eq!((&run["errors"]["total"], &run["errors"]["lost"]), (&0.into(), &0.into()), "{run}");
    assert_eq!(run["latency"]["count"], done, "{run}");
    assert!(run["sent_megabytes_per_second"].as_f64() > Some(0.0), "{run}");

    let heard = heard.lock().expect("nobody panics");
    let (mut numbers, mut randoms, mut slots) = (HashSet::new(), HashSet::new(), HashSet::new());
    for line in heard.iter().filter(|line| line.starts_with("c ")) {
        let words: Vec<_> = line.split(' ').collect();
        let [_, slot, number, random, host] = words[..] else { panic!("{line}") };
        assert!(slot.parse::<u64>().is_ok_and(|slot| slot < 4), "{line}");
        assert!(numbers.insert(number.to_string()), "{line}: another was called so");
        assert!(randoms.insert(random.to_string()) && random.len() == 16, "{line}");
        assert_eq!(host, "rooms.example");
        slots.insert(slot.to_string());
    }
    assert_eq!(slots.len(), 4, "{slots:?}");
    let again = heard.iter().filter(|line| line.starts_with("again c ")).count() as u64;
    assert!(again >= 3 * done, "{again} answers to what was captured, {done} conversations");
}

#[test]
fn conversations_are_due_at_a_rate_and_think_does_not_count() {
    let target = serve(polite);
    let wait = |how: &str| {
        let rest = format!(
            "[[step]]\n{how}\n[[step]]\nsend = \"a\\n\"\n[[step]]\nexpect = \"you said a\\n\"\n"
        );
        script(&format!("rests-{}", &how[..5]), &format!("{GREETED}{rest}"))
    };
    let base = [&target[..], "-c", "20", "-d", "1200ms", "--rate", "40"];
    let thought = good_run(&[&["script", &wait("think = '300ms'")], &base[..]].concat());
    let slept = good_run(&[&["script", &wait("sleep = '300ms'")], &base[..]].concat());
    for run in [&thought, &slept] {
        let rate = run["operations_per_second"].as_f64().expect("a rate");
        assert!((10.0..=41.0).contains(&rate), "{run}");
        assert_eq!(run["errors"]["lost"], 0, "{run}");
        assert_eq!(run["uncorrected"]["count"], run["operations"], "{run}");
    }
    let least = |run: &serde_json::Value| run["latency"]["min_us"].as_f64().expect("a time");
    assert!(least(&thought) < 300_000.0, "{thought}");
    assert!(least(&slept) >= 299_000.0, "{slept}");
}

#[test]
fn rounds_can_be_what_is_measured() {
    let round = "[[step]]\nrepeat = 1_000_000\nmeasure = true\ndo = [{ think = '50ms' }, \
                 { send = \"a\\n\" }, { expect = \"you said a\\n\" }]\n";
    let file = script("rounds", &format!("{GREETED}[[step]]\nsleep = '60ms'\n{round}"));
    let target = serve(polite);
    let run = good_run(&["script", &file, &target, "-c", "3", "-d", "600ms"]);
    assert_eq!((&run["connects"], &run["workload"]), (&3.into(), &"rounds".into()), "{run}");
    assert!((3..=36).contains(&run["operations"].as_u64().expect("a count")), "{run}");
    assert_eq!(run["latency"]["count"], run["operations"], "{run}");
    // Neither what the script rests for nor the time before the first round is in it.
    assert!(run["latency"]["min_us"].as_f64() < Some(50_000.0), "{run}");
    assert_eq!(run["errors"]["lost"], 0, "{run}");
    let said = one_line_with_code(2, &["script", &file, &target, "--rate", "5"]);
    assert!(said.contains("--rate") && said.contains(&file), "{said}");
}

#[test]
fn one_that_rests_at_the_end_is_not_lost() {
    let target = serve(polite);
    let file = script("rests", &format!("{GREETED}[[step]]\nthink = '1ms..4s'\n"));
    let run = good_run(&["script", &file, &target, "-c", "60", "-d", "700ms"]);
    assert!(run["operations"].as_u64() > Some(0), "{run}");
    assert_eq!(run["errors"]["lost"], 0, "{run}");
}

#[test]
fn our_side_can_be_ended_and_the_servers_end_awaited() {
    let target = serve(|mut stream| {
        let mut all = Vec::new();
        let whole = stream.read_to_end(&mut all).is_ok();
        let _gone = stream.write_all(format!("{whole} {}", all.len()).as_bytes());
    });
    let file = script(
        "ends",
        "[[step]]\nsend_hex = '00 01 02'\n[[step]]\nhalf_close = true\n\
         [[step]]\nexpect = 'true 3'\n[[step]]\nexpect_close = true\n",
    );
    let run = good_run(&["script", &file, &target, "-c", "3", "-d", "200ms"]);
    assert!(run["operations"].as_u64() > Some(0), "{run}");
    let quits = script(
        "quits",
        &format!("{GREETED}[[step]]\nsend = \"quit\\n\"\n[[step]]\nexpect_close = true"),
    );
    let run = good_run(&["script", &quits, &serve(polite), "-c", "3", "-d", "200ms"]);
    assert!(run["operations"].as_u64() > Some(0), "{run}");
}

#[test]
fn a_long_answer_and_a_long_message_go_through() {
    let target = serve(|mut stream| {
        let mut all = vec![0; 3_000_000];
        if stream.read_exact(&mut all).is_ok() {
            let _gone = stream.write_all(&all);
        }
    });
    let file = script(
        "long",
        &format!(
            "[[step]]\nrepeat = 300\ndo = [{{ send = '{}' }}]\n\
             [[step]]\nexpect_bytes = 3_000_000\n",
            "x".repeat(10_000)
        ),
    );
    let run = good_run(&["script", &file, &target, "-c", "2", "-d", "300ms"]);
    assert!(run["operations"].as_u64() > Some(0), "{run}");
}

/// The only run of a command that must end with 1.
fn failed(arguments: &[&str]) -> serde_json::Value {
    let output = output(&[arguments, &["--json", "--quiet"]].concat());
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
    let mut document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    document["runs"][0].take()
}

#[test]
fn what_went_wrong_is_counted_by_kind_and_told_with_its_line() {
    let target = serve(polite);
    for (name, timeout, steps, kind, told) in [
        (
            "refused",
            "10s",
            "[[step]]\nsend = \"a\\n\"\n[[step]]\nexpect = 'ok'\nfail_if = 'said .*\\n'",
            "wrong",
            ":7: expected \"ok\"; its fail_if matched; what came: \"said a\\n\"",
        ),
        (
            "silent",
            "300ms",
            "[[step]]\nname = 'the answer'\nexpect_regex = 'ok'\n",
            "timeout",
            ":6 (the answer): expected /ok/; it did not come within 300ms; what came: nothing",
        ),
        (
            "left",
            "10s",
            "[[step]]\nsend = \"quit\\n\"\n[[step]]\nexpect_bytes = 2\n",
            "closed",
            ":7: expected 2 bytes, 2 are missing; the server ended the connection",
        ),
    ] {
        let file = script(name, &format!("{GREETED}{steps}"));
        let base = ["script", &file, &target, "-c", "2", "-d", "1200ms"];
        let run = failed(&[&base[..], &["--timeout", timeout]].concat());
        assert!(run["errors"][kind].as_u64() > Some(0), "{name}: {run}");
        assert_eq!(run["errors"][kind], run["errors"]["total"], "{name}: {run}");
        let first = run["first_error"].as_str().expect("text");
        assert!(first.contains(&format!("{file}{told}")), "{name}: {first}");
        assert_eq!(run["deserted"], false, "{name}: somebody is there: {run}");
    }
}

#[test]
fn tls_begins_where_the_script_says_so() {
    let echo = Server::start(&["--tls"]);
    let target = serve(upgrading(&echo.addr, "250-STARTTLS\r\n"));
    let file = script(
        "upgrades",
        "[[step]]\nexpect_regex = '(?m)^220 .*\\n'\n\
         [[step]]\nsend = \"EHLO client.invalid\\r\\n\"\n\
         [[step]]\nexpect = \"250 HELP\\r\\n\"\n[[step]]\nsend = \"STARTTLS\\r\\n\"\n\
         [[step]]\nexpect = \"220 go on\\r\\n\"\n[[step]]\nstarttls = true\n\
         [[step]]\nsend = 'sealed'\n[[step]]\nexpect = 'sealed'\n",
    );
    let run = good_run(&["script", &file, &target, "--insecure", "-c", "3", "-d", "500ms"]);
    assert!(run["operations"].as_u64() > Some(0), "{run}");
    assert!(run["handshakes"].as_u64() >= run["operations"].as_u64(), "{run}");
    assert!(run["resumed_handshakes"].as_u64() > Some(0), "{run}");

    let said = one_line_with_code(2, &["script", &file, &target]);
    assert!(said.contains("--ca"), "{said}");
    let tls = format!("tls://{}", echo.addr);
    let said = one_line_with_code(2, &["script", &file, &tls, "--insecure"]);
    assert!(said.contains("starttls") && said.contains(&tls), "{said}");
}

#[test]
fn every_load_can_be_behind_starttls_and_a_greeting_is_read_once() {
    let echo = Server::start(&["--tls"]);
    let clear = serve(upgrading(&echo.addr, "250-STARTTLS\r\n"));
    let target = clear.replace("tcp://", "starttls+smtp://");
    let file =
        script("greeted", &format!("{GREETED}[[step]]\nsend = 'a'\n[[step]]\nexpect = 'a'\n"));
    let abuse = &["abuse", "--kind", "slow-reader,half-close,silent", "--abusers", "2"][..];
    for load in [&["echo"][..], &["churn", "--size", "100"], &["script", &file], abuse] {
        let run = good_run(&[load, &[&target, "--insecure", "-c", "3", "-d", "400ms"]].concat());
        assert!(run["operations"].as_u64() > Some(0), "{run}");
        assert!(run["handshakes"].as_u64() > Some(0), "{run}");
        assert_eq!(run["errors"]["total"], 0, "{run}");
    }
    let none = serve(upgrading(&echo.addr, "")).replace("tcp://", "starttls+smtp://");
    let said = one_line_with_code(3, &["echo", &none, "--insecure", "-d", "200ms", "--quiet"]);
    assert!(said.contains("an offer of STARTTLS"), "{said}");
}

#[test]
fn what_is_no_script_ends_with_2_and_its_place() {
    let target = "tcp://127.0.0.1:9";
    let typo = script("typo", "[[step]]\nsend = 'a'\n\n[[step]]\nexpct = 'b'\n");
    let said = one_line_with_code(2, &["script", &typo, target]);
    assert!(said.contains(&format!("{typo}:5:1: unknown key \"expct\"")), "{said}");
    let broken = script("broken", "[[step]\n");
    assert!(one_line_with_code(2, &["script", &broken, target]).contains(".toml:1:"));
    for (name, want) in [
        ("smpt", "smtp"),
        ("./none.toml", "none.toml: No such file"),
        (env!("CARGO_TARGET_TMPDIR"), "directory"),
    ] {
        let said = one_line_with_code(2, &["script", name, target]);
        assert!(said.contains(name) && said.contains(want), "{said}");
    }
}

#[test]
fn the_built_in_scripts_can_be_listed_printed_and_used_again() {
    let list = String::from_utf8(output(&["scripts"]).stdout).expect("text");
    let names: Vec<_> = list.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names, ["irc", "redis-ping", "smtp", "xmpp"]);
    for name in names {
        let printed = output(&["scripts", name]);
        assert_eq!(printed.status.code(), Some(0));
        let file =
            script(&format!("printed-{name}"), &String::from_utf8(printed.stdout).expect("text"));
        // It is a sound script, and nobody listens.
        let said = String::from_utf8(
            output(&["script", &file, "tcp://127.0.0.1:1", "-d", "100ms", "--quiet"]).stderr,
        );
        assert!(said.expect("text").contains("refused"), "{name}");
    }
    assert!(one_line_with_code(2, &["scripts", "none"]).contains("redis-ping"));
}

#[test]
fn the_example_of_the_readme_is_a_script() {
    let readme = include_str!("../README.md");
    let example = readme.split("```toml\n").find(|block| block.contains("[[step]]"));
    let example = example.and_then(|block| block.split("```").next()).expect("there is one");
    let file = script("readme", example);
    let said = output(&["script", &file, "tcp://127.0.0.1:1", "-d", "100ms", "--quiet"]).stderr;
    assert!(String::from_utf8_lossy(&said).contains("refused"), "a sound script, and nobody there");
}
