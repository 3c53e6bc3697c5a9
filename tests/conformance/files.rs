//! Which files are scenarios, and where their traces are.
//!
//! Never: looks below a folder's own folders for a file it was given by name.

use crate::fields::Outcome;
use std::fs;
use std::path::{Path, PathBuf};

const TRACE: &str = ".trace.json";

/// The scenarios that paths lead to: files by themselves, folders with all that is in them.
pub(crate) fn scenarios(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            collect(path, &mut found).map_err(|error| format!("{}: {error}", path.display()))?;
        } else if !path.exists() {
            return Err(format!("{}: no such file or folder", path.display()));
        } else if !is_trace(path) {
            found.push(path.clone());
        }
    }
    let mut seen = Vec::new();
    found.retain(|path| {
        let is_new = !seen.contains(path);
        seen.push(path.clone());
        is_new
    });
    Ok(found)
}

fn is_trace(path: &Path) -> bool {
    path.to_string_lossy().ends_with(TRACE)
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        paths.push(entry?.path());
    }
    paths.sort();
    for path in paths {
        if path.is_dir() {
            collect(&path, found)?;
        } else if path.extension().is_some_and(|kind| kind == "json") && !is_trace(&path) {
            found.push(path);
        }
    }
    Ok(())
}

/// The file's name without its ending.
pub(crate) fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// The text of the trace beside a scenario.
pub(crate) fn trace_of(path: &Path) -> Outcome<String> {
    let trace = path.with_file_name(format!("{}{TRACE}", stem(path)));
    fs::read_to_string(&trace).map_err(|error| format!("no trace {}: {error}", trace.display()))
}
