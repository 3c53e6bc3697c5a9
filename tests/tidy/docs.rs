//! What the documents say of the sources, and the sources of the documents.

use super::{assert_none, root, sources};
use std::collections::HashMap;
use std::fs;

/// The first and the last number of the rules of each kind, and of the original's bugs.
const NUMBERED: [(char, u32); 3] = [('S', 160), ('O', 10), ('B', 41)];

fn behaviour() -> String {
    fs::read_to_string(root().join("docs/behaviour.md")).expect("a text")
}

/// The numbers of this kind in a line, such as 34 for `S34`.
fn numbers(line: &str, kind: char) -> Vec<u32> {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let number = |(at, _)| {
        let (before, rest) = (&line[..at], &line[at + 1..]);
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let alone = !before.ends_with(word) && !rest[digits..].starts_with(word);
        rest[..digits].parse().ok().filter(|_| alone)
    };
    line.match_indices(kind).filter_map(number).collect()
}

#[test]
fn the_numbers_of_rules_are_found_in_a_line() {
    assert_eq!(numbers("/// It ends (S74, S75). UTF8 and S3x are none.", 'S'), [74, 75]);
    assert_eq!(numbers("S160", 'S'), [160]);
    assert_eq!(numbers("(O2), SO9", 'O'), [2]);
}

#[test]
fn every_rule_is_told_once() {
    let text = behaviour();
    let mut findings = Vec::new();
    for (kind, last) in [('O', 10), ('S', 160)] {
        for number in 1..=last {
            let anchor = format!("<a id=\"{}{number}\"></a>", kind.to_ascii_lowercase());
            let head = format!("{anchor}**{kind}{number}.** ");
            let (anchors, heads) = (text.matches(&anchor).count(), text.matches(&head).count());
            if (anchors, heads) != (1, 1) {
                findings.push(format!("{kind}{number}: {anchors} anchors, {heads} heads"));
            }
        }
    }
    let all = text.matches("<a id=\"").count();
    if all != 160 + 10 {
        findings.push(format!("{all} anchors"));
    }
    assert_none(&findings);
}

#[test]
fn every_rule_that_is_cited_exists() {
    let libraries = ["timers/", "tls/", "reactor/", "shard/", "tests/", "bench/"];
    let mut findings = Vec::new();
    let mut found = 0;
    for source in sources().iter().filter(|source| libraries.iter().any(|at| source.is_under(at))) {
        for (line, text) in source.text.lines().enumerate() {
            let Some((_, comment)) = text.split_once("//") else { continue };
            for (kind, last) in NUMBERED {
                let cited = numbers(comment, kind);
                found += cited.len();
                let unknown = cited.into_iter().filter(|number| !(1..=last).contains(number));
                let place = format!("{}:{}", source.path, line + 1);
                findings.extend(unknown.map(|number| format!("{place}: {kind}{number}")));
            }
        }
    }
    assert!(found > 200, "only {found} rules are cited");
    assert_none(&findings);
}

#[test]
fn what_is_yet_to_come_is_marked_in_one_way() {
    let text = behaviour();
    let whole = text.replace('\n', " ");
    let marks = whole.matches("part of a later release").count();
    let uniform = whole.matches("(part of a later release: ").count();
    // Once more where the head says what the mark means.
    assert_eq!(marks, uniform + 1);
}

#[test]
fn documents_fit_in_110_columns() {
    let mut findings = Vec::new();
    for entry in fs::read_dir(root().join("docs")).expect("a folder").map_while(Result::ok) {
        let text = fs::read_to_string(entry.path()).expect("a text");
        // A row of a table cannot be wrapped.
        let lines = text.lines().enumerate().filter(|(_, line)| !line.starts_with('|'));
        for (number, line) in lines.filter(|(_, line)| line.chars().count() > 110) {
            let columns = line.chars().count();
            findings.push(format!("{:?}:{}: {columns} columns", entry.file_name(), number + 1));
        }
    }
    assert_none(&findings);
}

/// The anchor that a heading has where documents are rendered.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || *c == ' ' || *c == '-';
    heading.trim().to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")
}

#[test]
fn links_within_the_documents_lead_somewhere() {
    let docs = root().join("docs");
    let mut texts = HashMap::new();
    for entry in fs::read_dir(&docs).expect("a folder").map_while(Result::ok) {
        let name = entry.file_name().into_string().expect("a plain name");
        texts.insert(name, fs::read_to_string(entry.path()).expect("a text"));
    }
    let leads = |from: &str, to: &str| {
        let (file, place) = to.split_once('#').unwrap_or((to, ""));
        let file = if file.is_empty() { from } else { file };
        let Some(text) = texts.get(file) else { return docs.join(file).exists() };
        let headings = text.lines().filter_map(|line| line.strip_prefix('#'));
        let mut anchors = headings.map(|line| anchor(line.trim_start_matches('#')));
        place.is_empty()
            || text.contains(&format!("<a id=\"{place}\"></a>"))
            || anchors.any(|anchor| anchor == place)
    };
    let mut findings = Vec::new();
    for (name, text) in &texts {
        let inline = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let named = text.lines().filter(|line| line.starts_with('['));
        let named = named.filter_map(|line| line.split_once("]: ").map(|(_, to)| to));
        for to in inline.chain(named).filter(|to| !to.starts_with("http")) {
            if !leads(name, to) {
                findings.push(format!("docs/{name}: {to}"));
            }
        }
    }
    assert_none(&findings);
}

/// The rows of the tables of a document, by their cells.
fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    let rows = text.lines().filter(|line| line.starts_with("| ") && !line.contains(" here | "));
    rows.map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
}

/// What stands between backticks.
fn spans(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

fn coming_from_prosody() -> String {
    fs::read_to_string(root().join("docs/coming-from-prosody.md")).expect("a text")
}

#[test]
fn every_test_and_scenario_that_is_named_as_a_proof_exists() {
    let text = coming_from_prosody();
    let tests = root().join("tests");
    let scenarios: Vec<String> = fs::read_dir(tests.join("scenarios"))
        .expect("a folder")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    let mut findings = Vec::new();
    let mut count = 0;
    for row in rows(&text) {
        let [what, _, _, proofs, numbers] = row[..] else {
            findings.push(format!("{} cells: {row:?}", row.len()));
            continue;
        };
        count += 1;
        for proof in spans(proofs) {
            let (file, name) = proof.split_once("::").unwrap_or((proof, ""));
            let source = fs::read_to_string(tests.join(file).with_extension("rs"));
            if !source.is_ok_and(|source| source.contains(&format!("fn {name}("))) {
                findings.push(format!("{what}: no test {proof}"));
            }
        }
        for number in numbers.split(", ").filter(|number| *number != "–") {
            let file = format!("{number}-");
            if !scenarios.iter().any(|name| name.starts_with(&file)) {
                findings.push(format!("{what}: no scenario {number}"));
            }
        }
    }
    assert!(count > 90, "only {count} rows");
    assert_none(&findings);
}

#[test]
fn what_is_named_as_the_counterpart_is_where_the_link_leads() {
    let text = coming_from_prosody();
    let mut findings = Vec::new();
    for row in rows(&text) {
        for link in row.get(1).copied().unwrap_or("").split("[`").skip(1) {
            let (item, rest) = link.split_once("`](../").expect("an item is linked to its source");
            let file = rest.split(')').next().unwrap_or("");
            let source = fs::read_to_string(root().join(file)).unwrap_or_default();
            // A method stands in a file of its type, which may be named elsewhere only.
            let name = item.rsplit_once("::").map_or(item, |(_, name)| name);
            if !source.lines().any(|line| super::has_word(line, name)) {
                findings.push(format!("{file} does not name {item}"));
            }
        }
    }
    assert_none(&findings);
}

#[test]
fn what_the_rules_name_is_in_the_sources() {
    let all = sources();
    let library = ["reactor/src/", "shard/src/", "tls/src/", "timers/src/"];
    let library: Vec<_> =
        all.iter().filter(|source| library.iter().any(|at| source.is_under(at))).collect();
    let is_there = |word: &str| {
        let mut lines = library.iter().flat_map(|source| source.code());
        lines.any(|(_, line)| super::has_word(line, word))
    };
    let of_prosody = ["keep_buffers", "min_wait", "read_retry_delay", "opportunistic_writes"];
    let of_the_kernel = ["TCP_NODELAY", "epoll_pwait2", "log"];
    let text = behaviour();
    let is_name = |span: &&str| span.chars().all(|c| c.is_alphanumeric() || "_:".contains(c));
    let mut findings = Vec::new();
    for span in text.lines().filter(|line| !line.starts_with('[')).flat_map(spans).filter(is_name) {
        let known = of_prosody.contains(&span) || of_the_kernel.contains(&span);
        if !known && !span.split("::").all(is_there) {
            findings.push(format!("{span} is nowhere in the library"));
        }
    }
    assert_none(&findings);
}
