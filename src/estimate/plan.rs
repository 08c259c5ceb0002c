//! The targets of a Prometheus whose series are read, and the most series of each.
//!
//! Pure, so that no server has more read than `max_series`, whatever it sends.

use std::collections::BTreeMap;

/// The most targets that are read.
const MAX_TARGETS: usize = 1_000;
/// The least series of a target that are read, if it has so many.
const LEAST_SERIES: f64 = 100.0;

/// A job.
#[derive(Debug, PartialEq)]
pub struct Job {
    /// Its name.
    pub name: String,
    /// Number of its series.
    pub size: f64,
    /// Number of its instances.
    pub instances: usize,
    /// The instances that are read and stand for all of them.
    pub read: Vec<Instance>,
}

/// An instance that is read.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// Its name.
    pub name: String,
    /// Number of its series.
    pub size: f64,
    /// The most series of it that are read.
    pub limit: usize,
}

/// Returns the jobs to read, from the instances of each job with the number of their series, at least one.
///
/// The limits add up to `max_series` at most, which is 100 or more.
pub fn plan(jobs: BTreeMap<String, Vec<(String, f64)>>, max_series: usize) -> Vec<Job> {
    let total: f64 = jobs.values().flatten().map(|it| it.1).sum();
    let groups: usize = jobs.values().map(Vec::len).sum();
    // Of each job one target more than its share is read at most, so these are no more than series.
    let max_targets = MAX_TARGETS.min(max_series / 2);
    let fraction = (max_series as f64 / total.max(1.0))
        .min(max_targets as f64 / groups.max(1) as f64)
        .min(1.0);
    let job = |(name, instances): (String, Vec<(String, f64)>)| job(name, instances, fraction);
    let mut jobs: Vec<Job> = jobs.into_iter().map(job).collect();
    if jobs.len() > max_targets {
        jobs.sort_by(|a, b| b.size.total_cmp(&a.size));
        jobs.truncate(max_targets);
    }
    let count: usize = jobs.iter().map(|it| it.read.len()).sum();
    let planned = jobs.iter().flat_map(|it| &it.read);
    let planned: f64 = planned.map(|it| it.limit as f64).sum();
    if planned > max_series as f64 {
        // One of each, and of the rest so many parts that they fit.
        let rest = max_series.saturating_sub(count) as f64 / (planned - count as f64);
        for it in jobs.iter_mut().flat_map(|it| &mut it.read) {
            it.limit = 1 + ((it.limit - 1) as f64 * rest) as usize;
        }
    }
    jobs
}

/// Returns a job of which a fraction of the instances is read, and about that fraction of its series.
fn job(name: String, mut instances: Vec<(String, f64)>, fraction: f64) -> Job {
    instances.sort_by(|a, b| a.0.cmp(&b.0));
    let size: f64 = instances.iter().map(|it| it.1).sum();
    let count = ((instances.len() as f64 * fraction).ceil() as usize).clamp(1, instances.len());
    let share = (size * fraction / count as f64).max(LEAST_SERIES);
    let read = (0..count).map(|number| {
        let (name, size) = instances[number * instances.len() / count].clone();
        // A little more than its share is no reason to read a part of a target.
        let limit = if size > 2.0 * share { share } else { size };
        Instance {
            name,
            size,
            limit: limit.max(1.0) as usize,
        }
    });
    Job {
        size,
        instances: instances.len(),
        read: read.collect(),
        name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jobs(jobs: &[(usize, f64)]) -> BTreeMap<String, Vec<(String, f64)>> {
        let job = |(number, (instances, size)): (usize, &(usize, f64))| {
            let instances = (0..*instances).map(|it| (format!("i{it:06}"), *size));
            (format!("j{number:06}"), instances.collect())
        };
        jobs.iter().enumerate().map(job).collect()
    }

    fn limits(plan: &[Job]) -> usize {
        plan.iter().flat_map(|it| &it.read).map(|it| it.limit).sum()
    }

    #[test]
    fn few_series_are_read_whole() {
        let plan = plan(jobs(&[(2, 500.0), (1, 20.0)]), 1_020);
        assert_eq!(limits(&plan), 1_020);
        assert_eq!((plan[0].size, plan[0].instances), (1_000.0, 2));
        assert_eq!(plan[1].read[0].limit, 20);
    }

    #[test]
    fn no_more_series_are_read_than_may_be() {
        for max_series in [100, 300, 5_000, 100_000, 1_000_000] {
            for given in [
                &[(1, 1e12)][..],
                &[(1, 1e12), (1, 1.0)],
                &[(2_000, 1.0)],
                &[(5_000, 1_000.0)],
                &[(20, 190.0)],
                &[(1, 150.0); 3_000],
                &[(3, 7.0); 700],
            ] {
                let plan = plan(jobs(given), max_series);
                let read = limits(&plan);
                let shown = (max_series, given.len(), given[0]);
                assert!(read <= max_series, "{shown:?}: {read}");
                let all = given.iter().map(|it| it.0 as f64 * it.1).sum::<f64>();
                let least = all.min(max_series as f64 / 4.0).min(1_000.0);
                assert!(read as f64 >= least, "{shown:?}: {read}");
                assert!(plan.iter().flat_map(|it| &it.read).all(|it| it.limit > 0));
            }
        }
    }

    #[test]
    fn the_largest_of_many_jobs_are_read() {
        let mut given = vec![(1, 1.0); 2_000];
        given[1_500] = (1, 50.0);
        let plan = plan(jobs(&given), 100_000);
        assert_eq!(plan.len(), 1_000);
        assert_eq!(plan[0].name, "j001500");
    }
}
