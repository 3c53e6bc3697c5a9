//! What an engine says when it has ended.
//!
//! Never: counts; the shards' reactors do.

use shardpoll_reactor::ShardReport;
use std::fmt;

/// What has become of the connections since an engine was told to drain or quit: what
/// [`Engine::join`](crate::Engine::join) gives.
///
/// `Display` is one line for a log: "7 finished, 1 cut; by shard: 4 + 0, 3 + 1".
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct DrainReport {
    shards: Vec<ShardReport>,
}

impl DrainReport {
    pub(crate) fn new(shards: Vec<ShardReport>) -> Self {
        Self { shards }
    }

    /// Each shard's, by its number.
    #[must_use]
    pub fn shards(&self) -> &[ShardReport] {
        &self.shards
    }

    /// Connections that have ended before the deadline, on all shards.
    #[must_use]
    pub fn finished(&self) -> u64 {
        self.shards.iter().map(|shard| shard.finished).sum()
    }

    /// Connections that the deadline has cut, on all shards.
    #[must_use]
    pub fn cut(&self) -> u64 {
        self.shards.iter().map(|shard| shard.cut).sum()
    }
}

impl fmt::Display for DrainReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} finished, {} cut; by shard:", self.finished(), self.cut())?;
        for (number, shard) in self.shards.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(f, "{comma} {} + {}", shard.finished, shard.cut)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_one_line_with_its_sums_first() {
        let shard = |finished, cut| {
            let mut report = ShardReport::default();
            (report.finished, report.cut) = (finished, cut);
            report
        };
        let report = DrainReport::new(vec![shard(4, 0), shard(3, 1)]);
        assert_eq!(report.to_string(), "7 finished, 1 cut; by shard: 4 + 0, 3 + 1");
        assert_eq!((report.finished(), report.cut()), (7, 1));
    }
}
