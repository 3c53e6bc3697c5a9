//! `shardload` from outside: what it prints, how it ends, and with which exit code.

mod support;

use std::net::TcpListener;
use std::path::PathBuf;
use support::{
    Server, assert_sound, certificate_files, good_document, good_run, one_line_with_code, output,
};

#[test]
fn serve_prints_one_line_and_ends_in_order_when_told_to() {
    for signal in ["-TERM", "-INT"] {
        let mut server = Server::start(&["--shards", "2"]);
        server.signal(signal);
        let (status, rest, _) = server.wait();
        assert_eq!(status.code(), Some(0), "{signal}");
        assert_eq!(rest, "", "{signal}");
    }
}

#[test]
fn a_certificate_is_checked_against_the_named_ones() {
    let (cert, key) = certificate_files("trusted");
    let (other, _) = certificate_files("other");
    let [cert, key, other] = [&cert, &key, &other].map(|path| path.to_str().expect("text"));
    let server = Server::start(&["--cert", cert, "--key", key, "--shards", "1"]);
    let (_, port) = server.addr.rsplit_once(':').expect("an address has a port");
    let target = format!("tls://localhost:{port}");
    let base = ["echo", &target, "--duration", "200ms", "--connections", "2"];
    assert_sound(&good_run(&[&base[..], &["--ca", cert]].concat()));

    let refused = one_line_with_code(3, &[&base[..], &["--ca", other]].concat());
    assert!(refused.contains(&target), "{refused}");
    // The certificate is for the name only.
    let target = format!("tls://127.0.0.1:{port}");
    let refused = one_line_with_code(3, &["echo", &target, "--ca", cert]);
    assert!(refused.contains(&target), "{refused}");
}

#[test]
fn the_main_job_drives_both_servers_and_loses_nothing() {
    let page = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("main-job.html");
    let path = page.to_str().expect("text");
    let document = good_document(&["--duration", "200ms", "--json", "--report", path]);
    let runs = document["runs"].as_array().expect("a list");
    assert_eq!(runs.len(), 6, "{document}");
    for run in runs {
        assert_sound(run);
        assert!(run["server"]["cpu_us_per_operation"].as_f64() > Some(0.0), "{run}");
    }
    let target = |run: usize| runs[run]["targets"][0].as_str().expect("text").to_string();
    assert!(target(0).starts_with("tcp://") && target(5).starts_with("tls://"), "{document}");
    let page = std::fs::read_to_string(page).expect("it was written");
    assert!(page.contains("<svg") && page.contains("plain, small"), "{page}");
}

#[test]
fn the_table_is_plain_text_in_columns() {
    let server = Server::start(&["--shards", "1"]);
    let target = format!("tcp://{}", server.addr);
    let output = output(&["echo", &target, "--duration", "200ms", "--quiet"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stderr, b"");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(!text.contains('\u{1b}'), "{text}");
    let title = text.lines().find(|line| line.contains("messages/s")).expect("a title");
    let row = text.lines().find(|line| line.starts_with("plain")).expect("a row");
    // Figures end where their titles do.
    let end = title.find("messages/s").expect("just seen") + "messages/s".len();
    assert!(row.as_bytes()[end - 1].is_ascii_digit() && row.as_bytes()[end] == b' ', "{text}");
    assert!(!title.contains("server"), "{text}");
}

#[test]
fn a_target_that_is_not_there_ends_with_3() {
    for workload in ["echo", "churn", "idle", "bulk"] {
        let said = one_line_with_code(3, &[workload, "tcp://127.0.0.1:1", "--quiet"]);
        assert!(said.contains("tcp://127.0.0.1:1") && said.contains("refused"), "{said}");
    }
    let said = one_line_with_code(3, &["echo", "tcp://name.invalid:7000"]);
    assert!(said.contains("name.invalid"), "{said}");
    let plain = Server::start(&["--shards", "1"]);
    let target = format!("tls://{}", plain.addr);
    let said = one_line_with_code(3, &["echo", &target, "--insecure"]);
    assert!(said.contains(&target), "{said}");
}

#[test]
fn a_bad_value_ends_with_2_and_is_named() {
    let target = ["echo", "tcp://127.0.0.1:1"];
    let with = |rest: &[&'static str]| [&target[..], rest].concat();
    for (named, arguments) in [
        ("fast", with(&["--duration", "fast"])),
        ("10q", with(&["--size", "10q"])),
        ("'0'", with(&["--connections", "0"])),
        ("'-3'", with(&["--depth=-3"])),
        ("64 KiB", with(&["--size", "1k", "--depth", "65537"])),
        ("16 MiB", with(&["--size", "1m", "--depth", "17"])),
        ("1024 MiB", with(&["--size", "1m", "--depth", "16", "--connections", "1000"])),
        ("10000000", with(&["--connections", "10000000", "--size", "1"])),
        ("--threads 9", with(&["--threads", "9", "--connections", "8"])),
        ("--insecure", with(&["--insecure"])),
        ("--colour", with(&["--colour"])),
        ("fast", with(&["--rate", "fast"])),
        ("0/2", with(&["--instance", "0/2"])),
        ("1/60", with(&["--instance", "1/60"])),
        ("soon", with(&["--start-at", "soon"])),
        ("p101", with(&["--assert", "p101<1s"])),
        ("/no/such/folder", with(&["--report", "/no/such/folder/page.html"])),
        ("/no/such/folder", with(&["--hdr-out", "/no/such/folder/all.hlog"])),
        ("--server-pid 4194304", with(&["--server-pid", "4194304"])),
        ("TARGET", vec!["echo"]),
        ("127.0.0.1:1", vec!["echo", "127.0.0.1:1"]),
        ("tls://localhost:1", vec!["echo", "tls://localhost:1"]),
        ("/no/such.pem", vec!["echo", "tls://a:1", "--ca", "/no/such.pem"]),
        ("dance", vec!["abuse", "tcp://127.0.0.1:1", "--kind", "dance"]),
        ("rst", vec!["abuse", "tcp://127.0.0.1:1", "--kind", "rst,silent,rst"]),
        ("localhost", vec!["serve", "--addr", "localhost"]),
        ("'0'", vec!["serve", "--shards", "0"]),
        ("many", vec!["serve", "--shards", "many"]),
        ("--tls", vec!["serve", "--tls", "--cert", "a", "--key", "b"]),
        ("--key", vec!["serve", "--cert", "a"]),
        ("/no/such.pem", vec!["serve", "--cert", "/no/such.pem", "--key", "/no/such.key"]),
        ("dance", vec!["dance"]),
        ("'-5s'", with(&["--duration", "-5s"])),
        ("'-5'", with(&["--rate", "-5"])),
        ("17 MiB", with(&["--size", "17m"])),
        ("server.cpu<5us", with(&["--assert", "server.cpu<5us"])),
        ("uncorrected.p99<5ms", with(&["--assert", "uncorrected.p99<5ms"])),
        ("both /dev/null", with(&["--report", "/dev/null", "--hdr-out", "/dev/null"])),
        ("16 MiB", vec!["bulk", "tcp://127.0.0.1:1", "--size", "5m"]),
        ("20 MiB", vec!["bulk", "tcp://127.0.0.1:1", "--size", "20m", "--direction", "up"]),
        ("20 MiB", vec!["bulk", "tcp://127.0.0.1:1", "--size", "20m", "--direction", "down"]),
        ("rst", vec!["abuse", "tcp://127.0.0.1:1", "--kind", "rst,rst"]),
        ("'-2'", vec!["serve", "--shards", "-2"]),
        ("such as 127.0.0.1:7000", vec!["serve", "--status", "7000"]),
        ("without tcp://", vec!["serve", "proxy", "--to", "tcp://127.0.0.1:7000"]),
        ("or off", vec!["serve", "--read-timeout", "never"]),
        ("0s", vec!["--duration", "0s"]),
    ] {
        // The second line of the table is refused by clap, which names the option's value.
        let named = if named == "64 KiB" { "65537" } else { named };
        let said = one_line_with_code(2, &arguments);
        assert!(said.contains(named), "{named}: {said}");
    }
}

#[test]
fn a_file_that_is_no_pem_is_named() {
    let (cert, key) = certificate_files("sound");
    let broken = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("broken.pem");
    std::fs::write(&broken, "no certificate\n").expect("the folder is for this");
    let [cert, key, broken] = [&cert, &key, &broken].map(|path| path.to_str().expect("text"));
    for (cert, key) in [(broken, key), (cert, broken)] {
        let said = one_line_with_code(2, &["serve", "--cert", cert, "--key", key]);
        assert!(said.contains(broken), "{said}");
    }
    let said = one_line_with_code(2, &["echo", "tls://a:1", "--ca", broken]);
    assert!(said.contains(broken), "{said}");
}

#[test]
fn an_address_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let addr = taken.local_addr().expect("it is bound").to_string();
    let said = one_line_with_code(2, &["serve", "--addr", &addr]);
    assert!(said.contains(&addr), "{said}");
}

#[test]
fn help_and_version_end_with_0() {
    let text = |arguments: &[&str]| {
        let output = output(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    for arguments in [
        &["--help"][..],
        &["serve", "--help"],
        &["echo", "--help"],
        &["churn", "--help"],
        &["idle", "--help"],
        &["bulk", "--help"],
        &["script", "--help"],
        &["abuse", "--help"],
        &["compare", "--help"],
        &["merge", "--help"],
    ] {
        assert!(text(arguments).contains("Examples:"), "{arguments:?}");
    }
    assert_eq!(text(&["--version"]), format!("shardload {}\n", env!("CARGO_PKG_VERSION")));
}
