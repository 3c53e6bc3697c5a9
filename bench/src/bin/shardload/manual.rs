//! What a shell and man(1) want to know of the command line: completions and manual pages.
//!
//! Never: knows an option; all is taken from the command line itself.

use crate::cli::{Cli, Completions, Man};
use crate::failure::Failure;
use crate::report::print;
use clap::{Command, CommandFactory};
use std::fs;
use std::io::{self, Write};
use std::path::Path;

/// Prints what a shell has to be told to complete our command line.
pub(crate) fn completions(options: &Completions) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Cli::command(), "shardload", &mut script);
    print(script)
}

/// Prints the main page, or writes all of them into a folder.
pub(crate) fn manual(options: &Man) -> Result<(), Failure> {
    let command = whole();
    let Some(dir) = &options.dir else {
        return print(page(&command).map_err(Failure::io("the manual page"))?);
    };
    let own = command.get_subcommands().filter(|command| !command.is_hide_set());
    for command in [&command].into_iter().chain(own) {
        write(dir, command)?;
    }
    Ok(())
}

/// With everything that clap adds by itself, and names such as `shardload-echo`.
fn whole() -> Command {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    command
}

fn write(dir: &Path, command: &Command) -> Result<(), Failure> {
    let path = dir.join(format!("{}.1", name(command)));
    let written = page(command).and_then(|page| fs::write(&path, page));
    written.map_err(|source| Failure::File { option: "--dir", path, source })
}

fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

/// As clap_mangen orders it, but for the examples: it would fill their lines like a paragraph's.
fn page(command: &Command) -> io::Result<Vec<u8>> {
    let man = clap_mangen::Man::new(command.clone())
        .title(name(command).to_uppercase())
        .manual("shardload")
        .source(format!("shardload {}", env!("CARGO_PKG_VERSION")));
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    synopsis(&mut page, command)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(examples) = command.get_after_help() {
        writeln!(page, ".SH EXAMPLES")?;
        let text = examples.to_string();
        as_it_stands(&mut page, text.strip_prefix("Examples:\n").unwrap_or(&text))?;
    }
    Ok(page)
}

/// As `--help` has it: clap_mangen would list options without their values.
fn synopsis(page: &mut Vec<u8>, command: &Command) -> io::Result<()> {
    let usage = command.clone().render_usage().to_string();
    writeln!(page, ".SH SYNOPSIS")?;
    let lines = usage.lines().map(|line| line.trim_start_matches("Usage:").trim());
    as_it_stands(page, &lines.collect::<Vec<_>>().join("\n"))
}

/// Lines that roff neither fills nor reads.
fn as_it_stands(page: &mut Vec<u8>, text: &str) -> io::Result<()> {
    writeln!(page, ".nf")?;
    for line in text.lines() {
        let escaped = line.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
        writeln!(page, "\\&{escaped}")?;
    }
    writeln!(page, ".fi")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_examples_stay_lines_and_are_no_requests() {
        let mut page = Vec::new();
        as_it_stands(&mut page, "a --b 'c'\n.d\\").expect("a vector takes all");
        let text = String::from_utf8(page).expect("text");
        assert_eq!(text, ".nf\n\\&a \\-\\-b \\(aqc\\(aq\n\\&.d\\e\n.fi\n");
    }

    #[test]
    fn each_command_has_a_page_of_its_own_name() {
        let command = whole();
        let names: Vec<_> = command.get_subcommands().map(name).collect();
        assert!(names.contains(&"shardload-echo") && names.contains(&"shardload-man"), "{names:?}");
        for command in command.get_subcommands() {
            let page = page(command).expect("a vector takes all");
            let text = String::from_utf8(page).expect("text");
            assert!(text.contains(".SH NAME") && text.contains(".SH OPTIONS"), "{text}");
        }
    }
}
