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

/// The CPUs of the affinity mask.
fn available() -> Vec<CoreId> {
    core_affinity::get_core_ids().unwrap_or_default()
}

/// How many shards an engine has unless told: one per CPU the process may run on.
pub(crate) fn default_shards() -> usize {
    available().len().max(1)
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

/// Binds the calling thread.
pub(crate) fn pin(shard: usize, core: CoreId) {
    if !core_affinity::set_for_current(core) {
        log::warn!("shard {shard}: cannot be bound to CPU {}", core.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_shards_than_cpus_start_again_with_the_first() {
        let cpus = available();
        let plan = Pinning::Cores.plan(cpus.len() * 2).expect("no list to be wrong");
        assert_eq!(plan[0], plan[cpus.len()]);
        assert!(plan.iter().all(Option::is_some));
        assert_eq!(Pinning::None.plan(2).expect("nothing to be wrong"), [None, None]);
    }

    #[test]
    fn a_cpu_that_is_not_ours_is_refused_by_number() {
        let error = Pinning::List(vec![99_999]).plan(1).expect_err("no such CPU");
        assert_eq!(error.to_string(), "CPU 99999 is not one this process may run on");
    }
}
