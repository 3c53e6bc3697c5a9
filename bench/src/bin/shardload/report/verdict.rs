//! Whether a run was as it should be: nothing lost, nothing wrong, and all that was asserted.
//!
//! Never: lets a wrong byte pass, whatever is asserted.

use super::notes::{deserted, faults};
use crate::assertion::Assertion;
use crate::failure::Failure;
use crate::outcome::Run;

/// An error when anything was lost or wrong in any run, or an assertion does not hold.
///
/// Who asserts something of errors decides by it how many are too many; but for wrong bytes.
pub(crate) fn verdict(runs: &[Run], assertions: &[Assertion]) -> Result<(), Failure> {
    let tolerant = assertions.iter().any(Assertion::is_about_errors);
    let mut faults = Vec::new();
    for run in runs {
        let name = &run.name;
        faults.extend(fault(run, tolerant).map(|fault| format!("{name}: {fault}")));
        let failed = assertions.iter().filter_map(|assertion| assertion.check(run).err());
        faults.extend(failed.map(|why| format!("{name}: {why}")));
    }
    if faults.is_empty() { Ok(()) } else { Err(Failure::Wrong { faults }) }
}

/// What went wrong, in words.
fn fault(run: &Run, tolerant: bool) -> Option<String> {
    let errors = &run.errors;
    if run.deserted {
        let first = run.first_error.as_deref().unwrap_or("all connections ended");
        return Some(format!("{} after {:.1} s: {first}", deserted(run), run.seconds));
    }
    if errors.wrong > 0 || !tolerant && errors.total + errors.lost > 0 {
        let first = run.first_error.as_deref().unwrap_or("no answer before the end");
        return Some(format!("{}; the first: {first}", faults(errors).unwrap_or_default()));
    }
    let none = run.operations == 0 && errors.total + errors.lost == 0;
    none.then(|| format!("no {} were done within the duration", run.workload.unit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Workload;
    use crate::report::sample;

    fn said(run: Run, assertions: &[&str]) -> Option<String> {
        let assertions: Vec<_> =
            assertions.iter().map(|text| text.parse().expect("an assertion")).collect();
        verdict(&[run], &assertions).err().map(|failure| failure.to_string())
    }

    #[test]
    fn a_clean_run_is_good_and_nothing_at_all_is_not() {
        assert_eq!(said(sample::echo("plain", 2), &["errors==0", "p99<1s"]), None);
        let none = said(sample::empty("plain", Workload::Echo), &[]).expect("a fault");
        assert_eq!(none, "plain: no messages were done within the duration");
    }

    #[test]
    fn errors_are_a_fault_unless_an_assertion_allows_them() {
        let attacked = || sample::abuse("attacked", 2);
        let fault = said(attacked(), &["p99<1s"]).expect("a fault");
        assert!(fault.contains("3 refused, 4 timed out, 2 lost; the first: connec"), "{fault}");
        assert_eq!(said(attacked(), &["errors<=9"]), None);
        assert!(said(attacked(), &["errors<=3"]).is_some_and(|fault| fault.contains("errors<=3")));
    }

    #[test]
    fn a_wrong_byte_is_a_fault_whatever_is_asserted() {
        let mut run = sample::echo("plain", 2);
        (run.errors.total, run.errors.wrong) = (1, 1);
        assert!(
            said(run, &["errors<=9"]).is_some_and(|fault| fault.contains("1 with wrong bytes"))
        );
    }

    #[test]
    fn a_server_that_went_away_is_a_fault() {
        let mut run = sample::echo("plain", 2);
        run.deserted = true;
        let fault = said(run, &["errors<=9"]).expect("a fault");
        assert!(fault.contains("the server went away after 2.0 s"), "{fault}");
    }
}
