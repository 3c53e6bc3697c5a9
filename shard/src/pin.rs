//! Which CPU a shard runs on.
//!
//! Never: fails an engine because pinning failed: a shard runs elsewhere, slower, and the log says
//! so.

use crate::error::StartError;
use core_affinity::CoreId;

/// Which CPUs the shards are bound to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Pinning {
    /// Shard i to the i-th CPU of the process' affinity mask, starting again when there are more
    /// shards than CPUs.
    #[default]
    Cores,
    /// Shard i to the i-th CPU of this list, by the kernel's numbers, starting again likewise.
    List(Vec<usize>),
    /// The scheduler decides.
    None,
}

/// The CPUs that the calling thread may run on: its affinity mask, from which the kernel has taken
/// what its cpuset does not allow (sched_getaffinity(2)).
fn available() -> Vec<CoreId> {
    core_affinity::get_core_ids().unwrap_or_default()
}

/// How many shards an engine has unless told: one per CPU that the thread may run on, and no more
/// than the CPUs' worth of time that its control group is given, if the kernel tells (`cpu.max`,
/// cgroups(7)): further ones would only wait for each other.
pub(crate) fn default_shards() -> usize {
    // The standard library looks at both, and rounds a quota down.
    let given = std::thread::available_parallelism().map_or(usize::MAX, usize::from);
    available().len().min(given).max(1)
}

impl Pinning {
    /// The CPU of each shard.
    pub(crate) fn plan(&self, shards: usize) -> Result<Vec<Option<CoreId>>, StartError> {
        let cores = match self {
            Self::None => Vec::new(),
            Self::Cores => available(),
            Self::List(cpus) if cpus.is_empty() => return Err(StartError::NoCpu),
            Self::List(cpus) => {
                let available = available();
                let known = |&cpu: &usize| {
                    available
                        .iter()
                        .copied()
                        .find(|core| core.id == cpu)
                        .ok_or(StartError::Cpu(cpu))
                };
                cpus.iter().map(known).collect::<Result<_, _>>()?
            }
        };
        if cores.is_empty() {
            return Ok(vec![None; shards]);
        }
        if cores.len() < shards {
            log::warn!("{shards} shards share {} CPUs", cores.len());
        }
        Ok(cores.into_iter().map(Some).cycle().take(shards).collect())
    }
}

/// Binds the calling thread, and looks whether it is.
pub(crate) fn pin(shard: usize, core: CoreId) {
    let cpu = core.id;
    if !core_affinity::set_for_current(core) {
        // Its cpuset may have changed since the plan was made.
        return log::warn!("shard {shard}: cannot be bound to CPU {cpu}");
    }
    let mask = available();
    if mask != [core] {
        let cpus: Vec<_> = mask.iter().map(|core| core.id).collect();
        log::warn!("shard {shard}: bound to CPU {cpu}, and may run on {cpus:?} all the same");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;
    use crate::metrics::ShardVitals;

    #[test]
    fn more_shards_than_cpus_start_again_with_the_first() {
        let cpus = available();
        let plan = Pinning::Cores.plan(cpus.len() * 2).expect("no list to be wrong");
        assert_eq!(plan[0], plan[cpus.len()]);
        assert!(plan.iter().all(Option::is_some));
        assert_eq!(Pinning::None.plan(2).expect("nothing to be wrong"), [None, None]);
    }

    /// On a thread that may run on one CPU only, the last of ours.
    fn on_one_cpu<R: Send + 'static>(f: impl FnOnce(CoreId) -> R + Send + 'static) -> R {
        let body = || {
            let last = *available().last().expect("this thread runs somewhere");
            assert!(core_affinity::set_for_current(last));
            f(last)
        };
        let thread = std::thread::Builder::new().name("pinned".into()).spawn(body);
        thread.expect("a thread").join().expect("no panic")
    }

    #[test]
    fn a_mask_of_one_cpu_makes_one_shard_and_all_others_share_it() {
        on_one_cpu(|cpu| {
            assert_eq!(default_shards(), 1);
            let plan = Pinning::Cores.plan(3).expect("more shards than CPUs are allowed");
            assert_eq!(plan, [Some(cpu); 3]);
            let other = cpu.id + 1;
            let error = Pinning::List(vec![cpu.id, other]).plan(2).expect_err("not in the mask");
            assert!(matches!(error, StartError::Cpu(cpu) if cpu == other));
        });
    }

    #[test]
    fn shards_run_where_the_mask_lets_them_and_the_metrics_say_so() {
        let last = available().last().expect("this thread runs somewhere").id;
        let (engine, workers) = on_one_cpu(|_| {
            let builder = Engine::builder().shards(2);
            builder.workers().expect("two shards may share a CPU")
        });
        // Begun on threads that may run anywhere.
        let (begun, begins) = crossbeam_channel::bounded(2);
        let threads: Vec<_> = workers
            .into_iter()
            .map(|worker| {
                let begun = begun.clone();
                let body = move || {
                    let worker = worker.start();
                    begun.send(available()).expect("the test waits");
                    worker.run()
                };
                std::thread::Builder::new().spawn(body).expect("a thread")
            })
            .collect();
        for _ in 0..2 {
            assert_eq!(begins.recv().expect("begun"), [CoreId { id: last }]);
        }
        for shard in engine.metrics().shards {
            assert_eq!(shard.cpu, Some(last));
            assert_ne!(shard.pinned, Some(false));
        }
        engine.quit(std::time::Duration::ZERO);
        engine.join().expect("in order");
        for thread in threads {
            thread.join().expect("no panic").expect("no error");
        }
    }

    #[test]
    fn a_mask_that_is_changed_at_run_time_is_shown_and_fails_nothing() {
        let vitals = ShardVitals::default();
        let cpus = available();
        vitals.begin(Some(cpus[0].id));
        assert!(core_affinity::set_for_current(cpus[0]));
        let known = vitals.metrics().pinned;
        assert_ne!(known, Some(false));
        // Somebody binds the thread elsewhere: taskset(1), or a cpuset.
        if let (Some(elsewhere), Some(_)) = (cpus.get(1), known) {
            assert!(core_affinity::set_for_current(*elsewhere));
            assert_eq!(vitals.metrics().pinned, Some(false));
        }
    }

    #[test]
    fn a_cpu_that_is_not_ours_is_refused_by_number() {
        let error = Pinning::List(vec![99_999]).plan(1).expect_err("no such CPU");
        assert_eq!(error.to_string(), "CPU 99999 is not one this process may run on");
    }
}
