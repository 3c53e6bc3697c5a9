//! What `shardload` makes of a run: its page, its log, its verdicts; and what becomes of those.
//!
//! Never: judges a time; only whether what is told is told rightly.

mod support;

use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use support::{Server, good_document, one_line_with_code, output};

/// A path of this name that only this program writes to.
fn file(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    path.to_str().expect("text").to_string()
}

/// What `--json` prints, kept under this name.
fn kept(name: &str, arguments: &[&str]) -> String {
    let output = output(&[arguments, &["--json", "--quiet"]].concat());
    assert_eq!(output.status.code(), Some(0), "{arguments:?}");
    let path = file(name);
    fs::write(&path, output.stdout).expect("the folder is for this");
    path
}

#[test]
fn a_page_holds_the_figures_and_needs_nothing_else() {
    let server = Server::start(&["--shards", "1"]);
    let target = format!("tcp://{}", server.addr);
    let (page, pid) = (file("page.html"), server.pid().to_string());
    let arguments = ["echo", &target, "--duration", "1200ms", "--rate", "500", "--name", "a<b>c"];
    let more = ["--server-pid", &pid, "--report", &page, "--json", "--quiet"];
    let document = good_document(&[&arguments[..], &more].concat());
    let page = fs::read_to_string(page).expect("it was written");
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"), "{page}");
    let rate = document["runs"][0]["operations_per_second"].as_f64().expect("a rate");
    for part in [
        "a&lt;b&gt;c",
        &target,
        &format!("{rate:.0}"),
        "of 500 asked for",
        "uncorrected",
        "Server CPU",
        "Messages over time",
        "Latency by percentile",
        document["machine"]["cpu"].as_str().expect("a name"),
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    for foreign in ["<b>c", "<script", "src=", "http:", "https:"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
}

#[test]
fn a_page_or_log_that_cannot_be_written_is_told_before_the_run() {
    for option in ["--report", "--hdr-out"] {
        let path = "/no/such/folder/file";
        let said = one_line_with_code(2, &["echo", "tcp://127.0.0.1:1", option, path]);
        assert!(said.contains(path) && said.contains(option), "{said}");
    }
}

#[test]
fn figures_are_printed_even_where_the_report_cannot_be_written_in_the_end() {
    let server = Server::start(&["--shards", "1"]);
    let target = format!("tcp://{}", server.addr);
    let base = ["echo", &target, "--duration", "200ms", "--quiet"];
    let output = output(&[&base[..], &["--report", "/dev/full"]].concat());
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).expect("text");
    assert!(told.contains("--report /dev/full") && told.lines().count() == 1, "{told}");
    assert!(String::from_utf8(output.stdout).expect("text").contains("messages/s"));
}

#[test]
fn assertions_decide_how_it_ends() {
    let server = Server::start(&["--shards", "1"]);
    let target = format!("tcp://{}", server.addr);
    let base = ["echo", &target, "--duration", "200ms", "--quiet"];
    let good = ["--assert", "p99<9s", "--assert", "errors==0", "--assert", "rate>=0.001k"];
    assert_eq!(output(&[&base[..], &good].concat()).status.code(), Some(0));
    for (assertion, said) in [
        ("p99<1ns", "p99<1ns does not hold: it was "),
        ("rate<1", "rate<1 does not hold: it was "),
        ("handshake.p99<9s", "handshake.p99<9s cannot be said: there was no TLS handshake"),
    ] {
        let output = output(&[&base[..], &good, &["--assert", assertion]].concat());
        assert_eq!(output.status.code(), Some(1), "{assertion}");
        let told = String::from_utf8(output.stderr).expect("text");
        assert!(told.contains(said) && told.lines().count() == 1, "{told}");
        // The figures are there all the same.
        assert!(String::from_utf8(output.stdout).expect("text").contains("messages/s"));
    }
    let impossible = ["uncorrected.p99<9s", "lateness.max<9s", "server.cpu<9s", "server.memory<4k"];
    for wrong in ["p98<5ms", "p99<5", "errors==none", "p99", "rate>=-1"].iter().chain(&impossible) {
        let said = one_line_with_code(2, &["echo", &target, "--assert", wrong]);
        assert!(said.contains(wrong), "{wrong}: {said}");
    }
}

#[test]
fn a_status_line_a_second_is_told_unless_it_is_quiet() {
    let server = Server::start(&["--shards", "1"]);
    let target = format!("tcp://{}", server.addr);
    let output = output(&["echo", &target, "--duration", "2s", "--name", "it"]);
    let said = String::from_utf8(output.stderr).expect("text");
    assert!((1..=3).contains(&said.lines().count()), "{said}");
    for line in said.lines() {
        assert!(line.starts_with("it ") && line.contains(" messages/s p99 "), "{said}");
        assert!(line.ends_with(" errors 0") && !line.contains('\u{1b}'), "{said}");
    }
}

#[test]
fn two_results_are_compared_run_by_run() {
    let server = Server::start(&["--shards", "1"]);
    let target = format!("tcp://{}", server.addr);
    let base = ["echo", &target, "--duration", "300ms", "--connections", "4"];
    let before = kept("before.json", &base);
    let after = kept("after.json", &[&base[..], &["--size", "1k"]].concat());
    let text = String::from_utf8(output(&["compare", &before, &after]).stdout).expect("text");
    for part in ["operations/s", "p99", "too few seconds", "message size 64 and 1,024"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let comparison = good_document(&["compare", &before, &after, "--json"]);
    let figures = comparison["runs"][0]["figures"].as_array().expect("a list");
    let rate = figures.iter().find(|it| it["figure"] == "operations/s").expect("the rate");
    assert_eq!((&rate["verdict"], &rate["low"]), (&"too-few".into(), &Value::Null), "{rate}");
    let errors = figures.iter().find(|it| it["figure"] == "errors").expect("the errors");
    assert_eq!((&errors["before"], &errors["ratio"]), (&0.0.into(), &1.0.into()), "{errors}");
}

#[test]
fn what_is_no_result_is_named_with_its_place() {
    let (none, cut) = (file("none.json"), file("cut.json"));
    fs::write(&none, "{\n  \"version\": 1\n}").expect("the folder is for this");
    fs::write(&cut, "{\"version\": \"0.1").expect("the folder is for this");
    for (path, place) in [(&none, ":2:14: "), (&cut, ":1:16: "), (&"/no/such.json".into(), ": ")] {
        let said = one_line_with_code(2, &["compare", path, path]);
        assert!(said.contains(&format!("{path}{place}")), "{said}");
    }
}

#[test]
fn logs_of_instances_add_up_exactly() {
    let server = Server::start(&["--shards", "1"]);
    let target = format!("tcp://{}", server.addr);
    let (logs, sum) = (["1.hlog", "2.hlog"].map(file), file("sum.hlog"));
    let mut counts = Vec::new();
    for (instance, log) in ["1/2", "2/2"].into_iter().zip(&logs) {
        let base = ["echo", &target, "--rate", "400", "--duration", "1200ms", "--quiet", "--json"];
        let document =
            good_document(&[&base[..], &["--instance", instance, "--hdr-out", log]].concat());
        let run = &document["runs"][0];
        counts.push(run["latency"]["count"].as_u64().expect("a count"));
        assert_eq!(run["latency"]["count"], run["operations"], "{run}");
    }
    let all = good_document(&["merge", &logs[0], &logs[1], "--hdr-out", &sum, "--json"]);
    assert_eq!(all["latency"]["count"].as_u64(), Some(counts.iter().sum()), "{all}");
    assert_eq!(all["logs"][1]["instance"], "2/2", "{all}");
    assert!(all["skew_seconds"].as_f64() > Some(1.0), "{all}");
    let text = String::from_utf8(output(&["merge", &logs[0], &logs[1]]).stdout).expect("text");
    assert!(text.contains("warning: the last log began") && text.contains("p99.99"), "{text}");
    // What was merged can be merged again, and is the same.
    let again = good_document(&["merge", &sum, "--json"]);
    for of in ["latency", "uncorrected"] {
        assert_eq!(again[of], all[of], "{of}");
    }
}

#[test]
fn a_log_that_is_none_or_cut_is_named_with_its_line() {
    let server = Server::start(&["--shards", "1"]);
    let target = format!("tcp://{}", server.addr);
    let (whole, cut, none) = (file("whole.hlog"), file("cut.hlog"), file("none.hlog"));
    let _document = kept("logged.json", &["echo", &target, "-d", "200ms", "--hdr-out", &whole]);
    let bytes = fs::read(&whole).expect("it was written");
    fs::write(&cut, &bytes[..bytes.len() - 20]).expect("the folder is for this");
    fs::write(&none, "latency 5 ms\n").expect("the folder is for this");
    for (path, place) in [(&cut, ":"), (&none, ":1: "), (&"/no/such.hlog".into(), ": ")] {
        let said = one_line_with_code(2, &["merge", &whole, path]);
        assert!(said.contains(&format!("{path}{place}")), "{said}");
    }
    let said = one_line_with_code(2, &["merge", &whole, &whole]);
    assert!(said.contains("is named twice"), "{said}");
    let (folder, name) = whole.rsplit_once('/').expect("it is absolute");
    let said = one_line_with_code(2, &["merge", &whole, &format!("{folder}/./{name}")]);
    assert!(said.contains("is named twice"), "{said}");
    let said = one_line_with_code(2, &["merge", &whole, "--hdr-out", &whole]);
    assert!(said.contains("read and written"), "{said}");
}
