use super::*;

fn held(row: &'static str, path: &str, functions: &[(&str, f64)]) -> Held {
    let functions = functions.iter().map(|(name, cost)| ((*name).to_owned(), *cost)).collect();
    Held { row, path: path.into(), compiler: Some("rustc 1"), functions }
}

fn recorded(rows: &[(Held, f64)]) -> Budgets {
    let mut budgets = Budgets::default();
    budgets.record(rows, "the first").expect("there is a date");
    budgets
}

fn judge(budgets: &Budgets, held: &Held, value: f64) -> Judged {
    budgets.judge(&[(held.clone(), value)], true).remove(0)
}

#[test]
fn two_per_cent_over_is_too_much_and_two_per_cent_under_is_told() {
    let echo = held("echo", "epoll_wait", &[]);
    let budgets = recorded(&[(echo.clone(), 100.0)]);
    for (value, expected) in [
        (100.0, Verdict::Kept),
        (101.9, Verdict::Kept),
        (98.1, Verdict::Kept),
        (102.1, Verdict::Over),
        (97.9, Verdict::Lower),
    ] {
        let judged = judge(&budgets, &echo, value);
        assert_eq!((judged.verdict, judged.is_bad()), (expected, expected == Verdict::Over));
    }
}

#[test]
fn a_budget_of_nothing_lets_nothing_pass() {
    let calls = Held { compiler: None, ..held("epoll_ctl", "epoll_pwait2", &[]) };
    let budgets = recorded(&[(calls.clone(), 0.0)]);
    assert_eq!(judge(&budgets, &calls, 0.0).verdict, Verdict::Kept);
    assert_eq!(judge(&budgets, &calls, 1.0).verdict, Verdict::Over);
}

#[test]
fn what_moved_is_told_by_function_the_most_first() {
    let before = [("serve", 60.0), ("turn", 30.0), ("memcpy", 10.0), ("small", 0.2)];
    let budgets = recorded(&[(held("echo", "epoll_wait", &before), 100.2)]);
    let after = [("serve", 64.0), ("turn", 21.0), ("memcpy", 10.2), ("small", 0.3), ("new", 30.0)];
    let judged = judge(&budgets, &held("echo", "epoll_wait", &after), 125.5);
    assert_eq!(judged.verdict, Verdict::Over);
    assert_eq!(
        judged.moved,
        [
            "+29.0 at least new: under 1.0 to 30.0",
            "-9.0 turn: 30.0 to 21.0",
            "+4.0 serve: 60.0 to 64.0"
        ]
    );
}

#[test]
fn another_path_is_said_and_not_compared() {
    let budgets = recorded(&[(held("echo", "epoll_wait", &[]), 100.0)]);
    let judged = judge(&budgets, &held("echo", "epoll_pwait2", &[]), 500.0);
    assert_eq!((judged.verdict, judged.budget), (Verdict::NoBudget, None));
    assert!(judged.is_bad() && judged.note.contains("epoll_wait"), "{}", judged.note);
}

#[test]
fn another_compiler_is_said_and_may_cost_ten_per_cent() {
    let budgets = recorded(&[(held("echo", "epoll_wait", &[]), 100.0)]);
    let other = Held { compiler: Some("rustc 2"), ..held("echo", "epoll_wait", &[]) };
    let judged = judge(&budgets, &other, 109.0);
    assert_eq!(judged.verdict, Verdict::Kept);
    assert!(judged.note.contains("rustc 1") && judged.note.contains("rustc 2"), "{}", judged.note);
    assert_eq!(judge(&budgets, &other, 111.0).verdict, Verdict::Over);
}

#[test]
fn a_budget_without_a_row_is_a_mistake_when_all_rows_are_there() {
    let (echo, gone) = (held("echo", "epoll_wait", &[]), held("gone", "epoll_wait", &[]));
    let budgets = recorded(&[(echo.clone(), 1.0), (gone, 1.0)]);
    let rows = [(echo, 1.0)];
    assert_eq!(budgets.judge(&rows, false).len(), 1);
    let all = budgets.judge(&rows, true);
    assert_eq!((all[1].row.as_str(), all[1].verdict), ("gone", Verdict::NoRow));
    assert!(all[1].is_bad());
}

#[test]
fn what_stands_where_it_stood_keeps_its_reason() {
    let [echo, visit] = [held("echo", "epoll_wait", &[]), held("visit", "epoll_wait", &[])];
    let mut budgets = recorded(&[(echo.clone(), 100.0), (visit.clone(), 100.0)]);
    let changes = budgets.record(&[(echo.clone(), 100.4), (visit.clone(), 90.0)], "less looks");
    let changes = changes.expect("there is a date");
    assert_eq!(changes, ["visit (epoll_wait): 100 to 90"]);
    let reason = |held| budgets.of(held).map(|budget| budget.reason.as_str());
    assert_eq!((reason(&echo), reason(&visit)), (Some("the first"), Some("less looks")));
}

#[test]
fn recording_leaves_other_paths_alone_and_drops_what_is_no_row() {
    let (old, gone) = (held("echo", "epoll_wait", &[]), held("gone", "epoll_wait", &[]));
    let mut budgets = recorded(&[(old.clone(), 100.0), (gone.clone(), 1.0)]);
    let new = held("echo", "epoll_pwait2", &[]);
    budgets.record(&[(new.clone(), 98.0)], "a newer valgrind").expect("there is a date");
    assert!(budgets.of(&old).is_some() && budgets.of(&new).is_some());
    assert!(budgets.of(&gone).is_none());
}

#[test]
fn only_functions_that_matter_are_kept() {
    let many: Vec<_> = (0..40).map(|n| (format!("f{n:02}"), 100.0 - f64::from(n))).collect();
    let functions: BTreeMap<_, _> = many.into_iter().chain([("dust".into(), 1.0)]).collect();
    let echo = Held { functions, ..held("echo", "epoll_wait", &[]) };
    let kept = &recorded(&[(echo, 3000.0)]).budgets[0].functions;
    assert_eq!(kept.len(), KEPT);
    assert!(kept.contains_key("f00") && !kept.contains_key("f39") && !kept.contains_key("dust"));
}

#[test]
fn the_file_of_the_sources_is_sound() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("budgets.json");
    let budgets = Budgets::read(&path).expect("it can be read").budgets;
    assert!(!budgets.is_empty());
    for budget in budgets {
        assert!(!budget.reason.trim().is_empty() && budget.value >= 0.0, "{budget:?}");
    }
}

#[test]
fn a_file_is_read_as_it_was_written() {
    let scratch = tools::Scratch::new().expect("a folder");
    let path = scratch.file("budgets.json");
    let budgets = recorded(&[(held("echo", "epoll_wait", &[("turn", 60.0)]), 100.0)]);
    budgets.write(&path).expect("written");
    assert_eq!(Budgets::read(&path).expect("read"), budgets);
    fs::write(&path, "{}").expect("written");
    let error = Budgets::read(&path).expect_err("no budgets");
    assert!(error.to_string().contains("budgets.json"), "{error}");
}
