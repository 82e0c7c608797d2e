//! Every subject, registered once under the name of its gate.

mod answers;
mod counting_disk;
mod counts;
mod dot;
mod fixture;
mod queue_bounded;
mod queue_mpmc;
mod read;
mod recall;
mod reclaim;
mod scan;
mod storage;
mod traffic;

use self::queue_mpmc::{Bytes128, p99, throughput};
use crate::subject::Subject::{self, Answer, Count, Ratio, Scaling};

/// The subjects of this build.
pub const SUBJECTS: &[(&str, Subject)] = &[
    ("answers.exact_recall", Answer(answers::exact_recall)),
    (
        "answers.exact_recall_data",
        Answer(answers::exact_recall_data),
    ),
    (
        "answers.batch_equals_single",
        Answer(answers::batch_equals_single),
    ),
    ("count.syncs_per_batch", Count(counts::syncs_per_batch)),
    ("count.writes_per_batch", Count(counts::writes_per_batch)),
    ("simd.dot768", Ratio(dot::subject)),
    ("index.exact_scan", Ratio(scan::subject)),
    ("recall.batch16", Ratio(recall::batch_of_16)),
    ("storage.buffered", Ratio(storage::buffered)),
    ("storage.durable_batch", Ratio(storage::durable_batch)),
    ("storage.durable_single", Ratio(storage::durable_single)),
    ("queue.bounded", Ratio(queue_bounded::against_array_queue)),
    (
        "queue.bounded_cq",
        Ratio(queue_bounded::against_concurrent_queue),
    ),
    ("queue.many", Ratio(queue_bounded::many)),
    (
        "queue.mpmc.many",
        Ratio(|_| Ok(queue_bounded::many_unbounded())),
    ),
    ("queue.mpmc.1p1c", Ratio(|_| Ok(throughput::<u64>(1)))),
    ("queue.mpmc.2p2c", Ratio(|_| Ok(throughput::<u64>(2)))),
    ("queue.mpmc.4p4c", Ratio(|_| Ok(throughput::<u64>(4)))),
    (
        "queue.mpmc.1p1c_128b",
        Ratio(|_| Ok(throughput::<Bytes128>(1))),
    ),
    (
        "queue.mpmc.2p2c_128b",
        Ratio(|_| Ok(throughput::<Bytes128>(2))),
    ),
    (
        "queue.mpmc.4p4c_128b",
        Ratio(|_| Ok(throughput::<Bytes128>(4))),
    ),
    ("queue.mpmc.p99", Ratio(|_| Ok(p99::<u64>()))),
    ("queue.mpmc.p99_128b", Ratio(|_| Ok(p99::<Bytes128>()))),
    ("reclaim.bound", Count(reclaim::bound)),
    ("reclaim.read", Ratio(reclaim::read)),
    ("reclaim.read_fenced", Ratio(reclaim::read_fenced)),
    ("reclaim.retire", Ratio(reclaim::retire)),
    ("recall.two_threads", Scaling(recall::two_threads)),
];

/// The subject registered under `name`.
pub fn find(name: &str) -> Option<&'static Subject> {
    let mut named = SUBJECTS
        .iter()
        .filter(|(registered, _)| *registered == name);
    named.next().map(|(_, subject)| subject)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::{Need, read_gates};
    use std::collections::BTreeSet;

    #[test]
    fn every_gate_has_a_subject_of_its_kind() {
        for gate in read_gates().unwrap() {
            match find(&gate.name) {
                Some(subject) => assert_eq!(subject.kind(), gate.kind, "{}", gate.name),
                None => assert_eq!(gate.needs, Some(Need::Peers), "{}", gate.name),
            }
        }
    }

    #[test]
    fn every_subject_has_a_gate_and_one_name() {
        let gates = read_gates().unwrap();
        let gates: BTreeSet<&str> = gates.iter().map(|gate| gate.name.as_str()).collect();
        let names: BTreeSet<&str> = SUBJECTS.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), SUBJECTS.len());
        assert!(names.is_subset(&gates), "{names:?} in {gates:?}");
    }
}
