//! How the programs of this package read their command lines, whatever may stand in them.
//!
//! Never: carries anything out; says more than a line about a mistake.

use clap::Parser;
use clap::error::ErrorKind;

/// Why there is no command to carry out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unread {
    /// `--help` or `--version` was asked for, and has been answered.
    Told,
    /// It cannot be understood; what clap says of it, in one line.
    Usage(String),
}

/// Reads the command line of this process; `--help` and `--version` are answered here.
///
/// # Errors
/// [`Unread`] when there is nothing to carry out.
pub fn parse<C: Parser>() -> Result<C, Unread> {
    C::try_parse().map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A reader that went away has seen enough.
            let _unread = error.print();
            Unread::Told
        }
        _ => Unread::Usage(one_line(&error)),
    })
}

/// clap says what is wrong in its first paragraph, then gives tips and usage.
fn one_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let paragraph = text.lines().take_while(|line| !line.trim().is_empty());
    let line = paragraph.map(str::trim).collect::<Vec<_>>().join(" ");
    let line = line.strip_prefix("error: ").unwrap_or(&line);
    format!("{line} (see --help)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Parser, Debug)]
    struct Cli {
        #[arg(long)]
        count: u8,
    }

    #[test]
    fn a_mistake_is_told_in_one_line_that_names_the_value() {
        let error = Cli::try_parse_from(["program", "--count", "many"]).expect_err("no number");
        let line = one_line(&error);
        assert!(line.contains("'many'") && line.ends_with("(see --help)"), "{line}");
        assert_eq!(line.lines().count(), 1);
        assert_eq!(Cli::try_parse_from(["program", "--count", "7"]).expect("a number").count, 7);
    }
}
