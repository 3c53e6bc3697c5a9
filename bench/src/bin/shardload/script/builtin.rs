//! The scripts that are built in, and how one is found by what the command line calls it.
//!
//! Never: prefers a file to a built-in script of the same name; `./smtp` is the file.

use super::Script;
use crate::cli;
use crate::failure::Failure;
use crate::report::print;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

/// What `shardload script NAME` knows without a file.
const BUILTINS: [(&str, &str); 4] = [
    ("irc", include_str!("../../../../scripts/irc.toml")),
    ("redis-ping", include_str!("../../../../scripts/redis-ping.toml")),
    ("smtp", include_str!("../../../../scripts/smtp.toml")),
    ("xmpp", include_str!("../../../../scripts/xmpp.toml")),
];

/// What leads to TLS where a target says so: each ends with its `starttls`.
const STARTTLS_SMTP: &str = include_str!("../../../../scripts/starttls/smtp.toml");
const STARTTLS_XMPP: &str = include_str!("../../../../scripts/starttls/xmpp.toml");

/// A script that is larger is a mistake.
const MOST_BYTES: u64 = 1024 * 1024;

/// The built-in scripts: name and text.
#[cfg(test)]
pub(super) fn builtins() -> &'static [(&'static str, &'static str)] {
    &BUILTINS
}

/// What a connection to `starttls+smtp://` begins with; the greeting has been read then.
pub(crate) fn starttls_smtp() -> Script {
    Script::parse("starttls+smtp", STARTTLS_SMTP).expect("a test parses it")
}

/// What a connection to `starttls+xmpp://` begins with; what follows is a new stream.
pub(crate) fn starttls_xmpp() -> Script {
    Script::parse("starttls+xmpp", STARTTLS_XMPP).expect("a test parses it")
}

/// The script that the command line names: a built-in one, or a file.
pub(crate) fn load(name: &str) -> Result<Script, Failure> {
    if let Some((name, text)) = BUILTINS.iter().find(|(known, _)| *known == name) {
        return Script::parse(name, text).map_err(Failure::Usage);
    }
    let text = file(name).map_err(|source| {
        if source.kind() == io::ErrorKind::NotFound && !name.contains(['/', '.']) {
            return unknown(name);
        }
        Failure::File { option: "script", path: PathBuf::from(name), source }
    })?;
    Script::parse(name, &text).map_err(Failure::Usage)
}

fn file(path: &str) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MOST_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(io::Error::other("it is larger than 1 MiB: no script is"));
    }
    Ok(text)
}

/// `shardload scripts [NAME]`: prints a built-in script, or what there are.
pub(crate) fn scripts(options: &cli::Scripts) -> Result<(), Failure> {
    let Some(name) = &options.name else {
        let mut list = String::new();
        for (name, text) in BUILTINS {
            let script = Script::parse(name, text).map_err(Failure::Usage)?;
            list += &format!("{name:<12}{}\n", script.description.unwrap_or_default());
        }
        return print(&list);
    };
    match BUILTINS.iter().find(|(known, _)| known == name) {
        Some((_, text)) => print(text),
        None => Err(unknown(name)),
    }
}

fn unknown(name: &str) -> Failure {
    let known = BUILTINS.map(|(name, _)| name).join(", ");
    Failure::Usage(format!("{name}: there is no such script, and no such file; there are {known}"))
}
