//! Which functions the instructions were counted in, read from the file that callgrind writes.
//!
//! What the compiler has put into another function counts there, and with link-time optimisation
//! that is most of a loop. So what was inlined from another source file is told apart, by that
//! file: `serve` is what stands in serve's own file, `reactor/core.rs, in serve` what came from
//! there.
//!
//! Never: gives a function what it has called; these are its own instructions.

use crate::tools::{ToolError, VALGRIND};
use std::collections::{BTreeMap, HashMap};

/// A code address that no name is known for, most of them the linker's stubs.
const UNNAMED: &str = "(no name)";

/// Instructions by function, and by the file they were inlined from.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Profile(BTreeMap<String, i64>);

impl Profile {
    /// Reads callgrind's file ("Callgrind Format Specification" in valgrind's manual).
    ///
    /// # Errors
    /// When what its functions have does not add up to what it says of all.
    pub fn parse(text: &str) -> Result<Self, ToolError> {
        let mut reader = Reader::default();
        for line in text.lines() {
            reader.line(line).ok_or_else(|| wrong(format!("wrote {line:?}")))?;
        }
        let profile = Self(reader.costs);
        let (total, said) = (profile.total(), reader.total);
        if said == Some(total) {
            return Ok(profile);
        }
        let said = said.map_or_else(|| "nothing".into(), |said| said.to_string());
        Err(wrong(format!("says {said} of all, and its functions have {total}")))
    }

    /// How many in all functions.
    #[must_use]
    pub fn total(&self) -> i64 {
        self.0.values().sum()
    }

    /// What `self` has more than `fewer`, of each function.
    #[must_use]
    pub fn since(&self, fewer: &Self) -> Self {
        let names = self.0.keys().chain(fewer.0.keys());
        let of = |profile: &Self, name| profile.0.get(name).copied().unwrap_or(0);
        Self(names.map(|name| (name.clone(), of(self, name) - of(fewer, name))).collect())
    }

    /// Each function's share of a unit.
    #[must_use]
    pub fn per(&self, units: f64) -> BTreeMap<String, f64> {
        self.0.iter().map(|(name, &cost)| (name.clone(), cost as f64 / units)).collect()
    }
}

fn wrong(why: String) -> ToolError {
    ToolError::Failed { tool: VALGRIND, why }
}

/// What has been read so far.
#[derive(Debug, Default)]
struct Reader {
    functions: Names,
    files: Names,
    function: String,
    /// The function's own, and the one that the next lines are of.
    own: String,
    file: String,
    costs: BTreeMap<String, i64>,
    /// The next line is what a call has cost, callees included.
    of_call: bool,
    total: Option<i64>,
}

impl Reader {
    /// `None`: it is nothing that callgrind writes.
    fn line(&mut self, line: &str) -> Option<()> {
        if let Some(name) = line.strip_prefix("fn=") {
            self.function = self.functions.read(name, function)?;
            self.own.clone_from(&self.file);
        } else if let Some(name) = line.strip_prefix("cfn=") {
            self.functions.read(name, function)?;
        } else if let Some(name) = after(line, &["fl=", "fi=", "fe="]) {
            self.file = self.files.read(name, file)?;
        } else if let Some(name) = after(line, &["cfi=", "cfl="]) {
            self.files.read(name, file)?;
        } else if line.starts_with("calls=") {
            self.of_call = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            // Where, and how many; what costs nothing has no number.
            let cost = line.split(' ').nth(1).map_or(Some(0), |cost| cost.parse().ok())?;
            if !std::mem::take(&mut self.of_call) {
                *self.costs.entry(self.place()).or_default() += cost;
            }
        } else if let Some(total) = line.strip_prefix("totals:") {
            self.total = Some(total.trim().parse().ok()?);
        }
        Some(())
    }

    /// Where the next line's instructions are.
    fn place(&self) -> String {
        if self.file == self.own || self.function == UNNAMED {
            return self.function.clone();
        }
        format!("{}, in {}", self.file, self.function)
    }
}

/// Names stand in full where they come first, and later by number.
#[derive(Debug, Default)]
struct Names(HashMap<String, String>);

impl Names {
    /// `(NUMBER) NAME` the first time, `(NUMBER)` from then on.
    fn read(&mut self, text: &str, plain: fn(&str) -> String) -> Option<String> {
        let (number, name) = text.split_once(')')?;
        if !name.is_empty() {
            self.0.insert(number.into(), plain(name.trim_start()));
        }
        self.0.get(number).cloned()
    }
}

/// What stands behind the first of these that the line begins with.
fn after<'a>(line: &'a str, prefixes: &[&str]) -> Option<&'a str> {
    prefixes.iter().find_map(|prefix| line.strip_prefix(prefix))
}

/// A function's name without what differs from build to build.
fn function(name: &str) -> String {
    if name.starts_with("0x") {
        return UNNAMED.into();
    }
    // `'2` is callgrind's, for a recursion; `::h0123456789abcdef` the compiler's, for the crate.
    let name = name.split('\'').next().unwrap_or(name);
    let cut = name.len().saturating_sub("::h0123456789abcdef".len());
    match name.get(cut..).and_then(|tail| tail.strip_prefix("::h")) {
        Some(hash) if hash.bytes().all(|digit| digit.is_ascii_hexdigit()) => name[..cut].into(),
        _ => name.into(),
    }
}

/// A file's path from its package on: without what differs from machine to machine.
fn file(path: &str) -> String {
    let (folder, inside) = path.rsplit_once("/src/").unwrap_or((path, ""));
    let last = folder.rsplit('/').next().unwrap_or(folder);
    if inside.is_empty() { last.into() } else { format!("{last}/{inside}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
positions: line
events: Ir
summary: 64

ob=(1) /server
fl=(1) /home/me/reactor/src/drive/mod.rs
fn=(1) engine::turn::h0123456789abcdef
10 5
+2 7
cfi=(2) /rustc/1/library/core/src/option.rs
cfn=(2) <dyn Handler as Any>::serve'2
calls=3 20
* 40
fi=(2)
-4 3
fe=(1)
5
+1 4

fl=(2)
fn=(2)
20 40
fl=(3) ???
fn=(3) 0x0000000000010240
0 5

totals: 64
";

    #[test]
    fn a_functions_own_instructions_are_those_of_its_lines_and_not_of_its_calls() {
        let profile = Profile::parse(FILE).expect("as callgrind writes it");
        let costs: Vec<_> = profile.0.iter().map(|(name, &cost)| (name.as_str(), cost)).collect();
        assert_eq!(
            costs,
            [
                ("(no name)", 5),
                ("<dyn Handler as Any>::serve", 40),
                ("core/option.rs, in engine::turn", 3),
                ("engine::turn", 16)
            ]
        );
        assert_eq!(profile.total(), 64);
    }

    #[test]
    fn what_does_not_add_up_is_refused() {
        let error = Profile::parse(&FILE.replace("\n20 40", "\n20 41")).expect_err("65");
        assert!(error.to_string().contains("64 of all") && error.to_string().contains("65"));
        assert!(Profile::parse("events: Ir\n").is_err());
        assert!(Profile::parse("fn=(7)\n1 2\ntotals: 2\n").is_err(), "a name that never came");
    }

    #[test]
    fn a_difference_has_the_functions_of_both() {
        let profile = |pairs: &[(&str, i64)]| {
            Profile(pairs.iter().map(|(name, cost)| ((*name).to_owned(), *cost)).collect())
        };
        let more = profile(&[("turn", 30), ("send", 8)]);
        let difference = more.since(&profile(&[("turn", 10), ("start", 4)]));
        assert_eq!(difference, profile(&[("turn", 20), ("send", 8), ("start", -4)]));
        assert_eq!(difference.per(4.0)["turn"], 5.0);
    }

    #[test]
    fn only_the_hash_of_a_name_is_cut() {
        assert_eq!(function("memcpy"), "memcpy");
        assert_eq!(function("a::h::b"), "a::h::b");
        assert_eq!(function("engine::handle_connection"), "engine::handle_connection");
    }

    #[test]
    fn a_file_is_named_from_its_package_on() {
        assert_eq!(file("/home/src/me/reactor/src/drive/mod.rs"), "reactor/drive/mod.rs");
        assert_eq!(file("./malloc/./malloc/malloc.c"), "malloc.c");
        assert_eq!(file("???"), "???");
    }
}
