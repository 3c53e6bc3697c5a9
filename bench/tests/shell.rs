//! What shells and man(1) are told of `shardload`.

mod support;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use support::{one_line_with_code, output, shardload};

fn text(arguments: &[&str]) -> String {
    let output = output(arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}");
    assert_eq!(output.stderr, b"", "{arguments:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// What a tool says of a text on its standard error, and whether it was content; `None` where there
/// is no such tool.
fn judged_by(tool: &str, arguments: &[&str], text: &str) -> Option<(bool, String)> {
    let mut command = Command::new(tool);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().ok()?;
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(text.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it is ours");
    Some((output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned()))
}

#[test]
fn completions_are_scripts_that_their_shells_can_read() {
    for (shell, tool) in [("bash", "bash"), ("zsh", "zsh"), ("fish", "fish")] {
        let script = text(&["completions", shell]);
        for word in ["shardload", "echo", "connections", "churn", "serve"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
        if let Some((content, said)) = judged_by(tool, &["-n"], &script) {
            assert!(content && said.is_empty(), "{shell}: {said}");
        }
    }
    let said = one_line_with_code(2, &["completions", "cmd"]);
    assert!(said.contains("'cmd'") && said.contains("bash"), "{said}");
}

#[test]
fn bash_completes_commands_and_options_with_it() {
    let ask = |words: &str, last: &str| {
        let script = text(&["completions", "bash"]);
        let count = words.split(' ').count() - 1;
        let previous = words.rsplit(' ').nth(1).unwrap_or_default();
        let ask = format!(
            "{script}\nCOMP_WORDS=({words})\nCOMP_CWORD={count}\n\
             _shardload shardload '{last}' '{previous}'\necho \"${{COMPREPLY[@]}}\"\n"
        );
        let output = Command::new("bash").args(["-c", &ask]).output().expect("there is a bash");
        String::from_utf8(output.stdout).expect("text")
    };
    let commands = ask("shardload c", "c");
    for word in ["churn", "compare", "completions"] {
        assert!(commands.split_ascii_whitespace().any(|known| known == word), "{commands}");
    }
    let options = ask("shardload echo --conn", "--conn");
    assert_eq!(options.trim(), "--connections");
}

#[test]
fn the_manual_has_a_page_for_each_command_that_groff_can_set() {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("man");
    std::fs::create_dir_all(&dir).expect("the folder is for this");
    let named = dir.to_str().expect("text");
    assert_eq!(text(&["man", "--dir", named]), "");
    let main = std::fs::read_to_string(dir.join("shardload.1")).expect("it was written");
    assert_eq!(main, text(&["man"]));
    for command in ["serve", "echo", "churn", "compare", "completions", "man"] {
        assert!(main.contains(&format!("shardload\\-{command}(1)")), "{command}");
        let page = dir.join(format!("shardload-{command}.1"));
        let page = std::fs::read_to_string(page).expect("it was written");
        for section in [".SH NAME", ".SH SYNOPSIS", ".SH OPTIONS", ".SH EXAMPLES"] {
            assert!(page.contains(section), "{command}: {section}");
        }
        let groff = ["-man", "-Tutf8", "-ww", "-b"];
        if let Some((content, said)) = judged_by("groff", &groff, &page) {
            assert!(content && said.is_empty(), "{command}: {said}");
        }
    }
    let said = one_line_with_code(2, &["man", "--dir", "/no/such/folder"]);
    assert!(said.contains("/no/such/folder"), "{said}");
}

#[test]
fn a_reader_that_goes_away_has_seen_enough() {
    let mut child = shardload(&["man"]).stdout(Stdio::piped()).spawn().expect("the program runs");
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("it is ours").code(), Some(0));
}

#[test]
fn a_reader_that_went_away_has_seen_enough() {
    for arguments in [&["scripts"][..], &["scripts", "smtp"], &["completions", "bash"], &["man"]] {
        let (reader, writer) = std::io::pipe().expect("descriptors");
        drop(reader);
        let run = shardload(arguments).stdout(writer).output().expect("the program runs");
        let said = String::from_utf8_lossy(&run.stderr);
        assert_eq!((run.status.code(), &*said), (Some(0), ""), "{arguments:?}");
    }
}
