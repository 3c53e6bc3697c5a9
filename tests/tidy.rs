//! The architecture as a test: reads the sources (ARCHITECTURE.md).

use std::fs;
use std::path::{Path, PathBuf};

mod docs;

const CRATES: [&str; 6] = ["timers", "tls", "reactor", "shard", "bench", "tests"];

/// One source file: its path from the workspace's root, and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    fn is_under(&self, folder: &str) -> bool {
        self.path.starts_with(folder)
    }

    /// The lines that are not all comment, with their numbers from 1.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(n, line)| (n + 1, line));
        lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// The `//!` comment it opens with.
    fn head(&self) -> String {
        self.text.lines().take_while(|line| line.starts_with("//!")).collect::<Vec<_>>().join("\n")
    }
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("the package is a folder of the workspace").into()
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").map_while(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            found.push(path);
        }
    }
}

/// All sources of the workspace, by path.
fn sources() -> Vec<Source> {
    let root = root();
    let mut paths = Vec::new();
    for member in CRATES {
        collect(&root.join(member), &mut paths);
    }
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a text");
        let path = path.strip_prefix(&root).expect("found below it").display().to_string();
        Source { path, text }
    };
    paths.into_iter().map(read).collect()
}

/// Fails with every finding, not only the first.
fn assert_none(findings: &[String]) {
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
}

/// Whether the line has this word, not as a part of another.
fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(is_part) && !line[at + word.len()..].starts_with(is_part)
    })
}

/// Uses of a word in the code below one folder.
fn uses(folder: &str, word: &str) -> Vec<String> {
    let all = sources();
    let under: Vec<_> = all.iter().filter(|source| source.is_under(folder)).collect();
    assert!(!under.is_empty(), "{folder} has no sources");
    let mut found = Vec::new();
    for source in under {
        for (number, line) in source.code() {
            if has_word(line, word) {
                found.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    found
}

#[test]
fn connections_and_callbacks_never_name_the_kernel() {
    let mut found = uses("reactor/src/conn/", "sys");
    found.extend(uses("reactor/src/api/", "sys"));
    found.extend(uses("reactor/src/conn/", "libc"));
    found.extend(uses("reactor/src/api/", "libc"));
    assert_none(&found);
}

#[test]
fn the_kernels_side_never_calls_up() {
    assert_none(&uses("reactor/src/sys/", "drive"));
    assert_none(&uses("reactor/src/sys/", "Handler"));
    assert_none(&uses("reactor/src/conn/", "drive"));
    assert_none(&uses("reactor/src/api/", "drive"));
}

#[test]
fn crates_know_only_what_is_below_them() {
    // As drawn in ARCHITECTURE.md.
    let below: [(&str, &[&str]); 4] = [
        ("timers", &[]),
        ("tls", &["aws-lc-rs", "ring", "rustls", "webpki", "zeroize"]),
        ("reactor", &["libc", "log", "shardpoll-timers", "shardpoll-tls"]),
        (
            "shard",
            &["core_affinity", "crossbeam-channel", "log", "parking_lot", "shardpoll-reactor"],
        ),
    ];
    let mut found = Vec::new();
    for (member, known) in below {
        let manifest = fs::read_to_string(root().join(member).join("Cargo.toml")).expect("a text");
        let section = manifest.split("[dependencies]").nth(1).unwrap_or("");
        let lines = section.lines().skip(1).take_while(|line| !line.starts_with('['));
        for line in lines.filter(|line| !line.trim_start().starts_with('#')) {
            let name = line.split(['.', ' ', '=']).next().unwrap_or("");
            if !name.is_empty() && !known.contains(&name) {
                found.push(format!("{member} depends on {name}"));
            }
        }
    }
    assert_none(&found);
}

#[test]
fn only_one_crate_starts_threads_and_takes_locks() {
    let mut found = Vec::new();
    for folder in ["timers/src/", "tls/src/", "reactor/src/"] {
        for word in ["thread", "Mutex", "RwLock", "Condvar", "mpsc"] {
            found.extend(uses(folder, word));
        }
    }
    // Certificates in use are replaced by one thread and read by all, once for each hello.
    found.retain(|found| {
        !found.starts_with("tls/src/certificates.rs:") || !found.contains("RwLock")
    });
    assert_none(&found);
}

#[test]
fn unsafe_code_is_in_one_folder() {
    let allowed = ["reactor/src/sys/linux/", "bench/floor/"];
    let mut found = Vec::new();
    for source in sources() {
        if allowed.iter().any(|folder| source.is_under(folder)) || source.path == "tests/tidy.rs" {
            continue;
        }
        for (number, line) in source.code() {
            let openings = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"];
            if openings.iter().any(|opening| line.contains(opening)) {
                found.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    assert_none(&found);
}

#[test]
fn crates_without_system_calls_forbid_unsafe_code() {
    let all = sources();
    let mut found = Vec::new();
    for (path, attribute) in [
        ("timers/src/lib.rs", "#![forbid(unsafe_code)]"),
        ("tls/src/lib.rs", "#![forbid(unsafe_code)]"),
        ("shard/src/lib.rs", "#![forbid(unsafe_code)]"),
        ("tests/support/lib.rs", "#![forbid(unsafe_code)]"),
        ("reactor/src/lib.rs", "#![deny(unsafe_code)]"),
    ] {
        let source = all.iter().find(|source| source.path == path);
        if !source.is_some_and(|source| source.text.contains(attribute)) {
            found.push(format!("{path} has no {attribute}"));
        }
    }
    assert_none(&found);
}

#[test]
fn files_are_short_or_say_why() {
    let long = |source: &Source| {
        let lines = source.text.lines().count();
        let excused = source.head().contains("Long because");
        (lines > 400 && !excused).then(|| format!("{}: {lines} lines", source.path))
    };
    assert_none(&sources().iter().filter_map(long).collect::<Vec<_>>());
}

#[test]
fn lines_fit_in_100_columns() {
    let mut found = Vec::new();
    for source in sources() {
        for (number, line) in source.text.lines().enumerate() {
            let columns = line.chars().count();
            if columns > 100 {
                found.push(format!("{}:{}: {columns} columns", source.path, number + 1));
            }
        }
    }
    assert_none(&found);
}

#[test]
fn every_module_says_what_it_is_and_what_it_never_does() {
    let mut found = Vec::new();
    let modules = |source: &Source| {
        let library = CRATES.iter().any(|member| source.is_under(&format!("{member}/src/")));
        let harness = source.is_under("tests/support/");
        let program = source.path.contains("/src/bin/") || source.path.ends_with("/main.rs");
        (library || harness) && !program
    };
    for source in sources().iter().filter(|source| modules(source)) {
        let head = source.head();
        if head.is_empty() {
            found.push(format!("{} has no head", source.path));
        } else if !head.contains("Never:") {
            found.push(format!("{} does not say what it never does", source.path));
        }
    }
    assert_none(&found);
}

#[test]
fn nothing_is_left_for_later() {
    // Put together here, so that this file does not find itself.
    let marks = ["todo", "unimplemented"].map(|mark| format!("{mark}!("));
    let ignored = ["#[ig", "nore"].concat();
    let mut found = Vec::new();
    for source in sources() {
        for (number, line) in source.text.lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark)) || line.contains(&ignored) {
                found.push(format!("{}:{}: {}", source.path, number + 1, line.trim()));
            }
        }
    }
    assert_none(&found);
}

#[test]
fn every_callback_has_a_file_of_promises() {
    let all = sources();
    let handler = all.iter().find(|source| source.path == "reactor/src/api/handler.rs");
    let handler = handler.expect("where the callbacks are");
    let name = |line: &str| -> Option<String> {
        let rest = line.trim_start().strip_prefix("fn on_")?;
        rest.split('(').next().map(str::to_owned)
    };
    let mut names: Vec<String> = handler.code().filter_map(|(_, line)| name(line)).collect();
    names.sort();
    names.dedup();
    assert!(names.len() >= 8, "{names:?}");
    let missing = names.iter().filter(|name| {
        // What a panic does elsewhere has the plain name.
        let file = if *name == "panic" { "panic_policy" } else { name.as_str() };
        let path = format!("tests/semantics/{file}.rs");
        !all.iter().any(|source| source.path == path)
    });
    let missing: Vec<_> =
        missing.filter(|name| *name != "status").map(|name| format!("on_{name}")).collect();
    assert_none(&missing);
}

/// A chain of `let` conditions needs Rust 1.88; the library promises 1.86, and no lint sees it.
#[test]
fn the_library_has_no_let_chains() {
    let library = ["timers/src/", "tls/src/", "reactor/src/", "shard/src/"];
    let mut findings = Vec::new();
    for source in sources().iter().filter(|source| library.iter().any(|at| source.is_under(at))) {
        let mut condition = false;
        for (number, line) in source.code() {
            let line = line.trim();
            let begins = ["if let ", "while let "].iter().any(|word| line.contains(word));
            condition |= begins;
            let chained = line.contains("&& let ") || condition && line.contains(" && ");
            if chained || condition && line.starts_with("&& ") {
                findings.push(format!("{}:{number}: {line}", source.path));
            }
            condition &= !line.ends_with('{') && !line.ends_with(';');
        }
    }
    assert_none(&findings);
}
