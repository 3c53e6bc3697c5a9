//! What came of the runs: as a table, as JSON, as a page, as a log; and whether it was good.
//!
//! | file | what it does |
//! |---|---|
//! | `table`, `json`, `html` | a document for a terminal, a program, a browser |
//! | `section`, `charts` | what a page has of each run |
//! | `chart`, `axis`, `series` | one chart: its drawing, its scales, the points that fit on it |
//! | `notes` | what has to be said of a run in words |
//! | `hdr` | distributions as figures, and their log |
//! | `verdict` | what was lost, wrong or asserted in vain |
//! | `show`, `columns` | figures as people read them, and beneath each other |
//!
//! Never: measures; rounds what JSON gives.

mod axis;
mod chart;
mod charts;
pub(crate) mod columns;
pub(crate) mod hdr;
mod html;
mod json;
mod notes;
#[cfg(test)]
pub(crate) mod sample;
mod section;
mod series;
pub(crate) mod show;
mod table;
mod verdict;

pub(crate) use html::page;
pub(crate) use json::line as json;
pub(crate) use table::table;
pub(crate) use verdict::verdict;

use crate::failure::Failure;
use std::io::{self, Write};

/// Prints what was asked for; a reader that goes away has seen enough.
pub(crate) fn print(text: impl AsRef<[u8]>) -> Result<(), Failure> {
    let mut stdout = io::stdout();
    match stdout.write_all(text.as_ref()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Io { what: "standard output", source: error })
        }
        _ => Ok(()),
    }
}
