//! Every subject, registered once under the name of its gate.

mod allocation;
mod answers;
mod batch;
mod batch_lists;
mod batch_stream;
mod codes;
mod cortex;
mod counting_disk;
mod counts;
mod dedup;
mod filtered;
mod fixture;
mod gemm;
mod graph;
#[cfg(feature = "peers")]
mod graph_peers;
mod index_bytes;
#[cfg(feature = "peers")]
mod lmdb_peer;
#[cfg(feature = "peers")]
mod log_peers;
mod networks;
#[cfg(feature = "peers")]
mod onnx;
mod pairs;
mod plain;
mod pool;
mod queue_bounded;
mod queue_mpmc;
mod read;
mod recall;
mod reclaim;
mod reclaim_list;
mod reclaim_peer;
mod reclaim_retire;
#[cfg(unix)]
mod recovery;
mod roof;
mod scan;
mod storage;
mod tile;
mod top_k;
#[cfg(feature = "peers")]
mod tract_peer;
mod traffic;
mod two_stage;

use cortica_simd::Isa;

use self::networks::Which::{Detector, Encoder, Predictor};
use self::queue_mpmc::{Bytes128, p99, throughput};

use crate::subject::Subject::{self, Answer, Count, Limited, Ratio, Scaling};

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
    ("count.index_bytes_f32", Count(index_bytes::of_f32)),
    ("count.index_bytes_i8", Count(index_bytes::of_i8)),
    ("count.index_bytes_signs", Count(index_bytes::of_signs)),
    ("count.index_bytes_blocks", Count(index_bytes::of_blocks)),
    ("count.cortex_column_bytes", Count(cortex::column_bytes)),
    ("count.cortex_allocations", Count(cortex::allocations)),
    ("count.dedup_bytes", Count(dedup::bytes)),
    ("cortex.build", Ratio(cortex::build)),
    ("cortex.compete", Ratio(cortex::compete)),
    ("cortex.dedup", Ratio(dedup::against_scan)),
    (
        "count.allocation_allocations",
        Count(allocation::allocations),
    ),
    ("allocation.pipeline", Ratio(allocation::one_worker)),
    ("allocation.batch", Ratio(allocation::batch)),
    ("allocation.dedup", Ratio(dedup::against_scan_trained)),
    (
        "count.pipeline_allocations",
        Count(allocation::allocations_of_pipeline),
    ),
    (
        "count.pipeline_allocations_ordered",
        Count(allocation::allocations_in_order),
    ),
    ("allocation.two_threads", Scaling(allocation::two_workers)),
    (
        "allocation.two_threads_quick",
        Scaling(allocation::two_workers),
    ),
    (
        "allocation.two_threads_direct",
        Scaling(allocation::side_by_side),
    ),
    ("arena.pool_allocations", Count(pool::allocations)),
    ("arena.pool", Ratio(|_| Ok(pool::against_slab::<64>()))),
    ("arena.pool_256", Ratio(|_| Ok(pool::against_slab::<256>()))),
    (
        "arena.pool_1024",
        Ratio(|_| Ok(pool::against_slab::<1024>())),
    ),
    ("answers.filtered_recall", Answer(filtered::recall)),
    ("answers.graph_recall", Answer(graph::recall)),
    ("answers.two_stage_recall", Answer(two_stage::recall)),
    ("simd.dot", Limited(pairs::dot_of_768)),
    ("simd.dot_512", Limited(pairs::dot_of_512)),
    ("simd.dot_1536", Limited(pairs::dot_of_1536)),
    ("simd.l2", Limited(pairs::l2_of_768)),
    ("simd.l2_512", Limited(pairs::l2_of_512)),
    ("simd.l2_1536", Limited(pairs::l2_of_1536)),
    ("simd.cos768", Limited(pairs::cosine_of_768)),
    (
        "simd.cos768_norms",
        Limited(pairs::cosine_of_768_with_norms),
    ),
    ("simd.tile16", Ratio(tile::against_gemm)),
    ("simd.tile16_single", Limited(tile::against_one_by_one)),
    ("simd.scan", Ratio(tile::scan_against_read)),
    ("simd.i8_l2", Ratio(codes::i8_in_cache)),
    ("simd.i8_beyond", Ratio(codes::i8_beyond)),
    ("simd.i8_beyond_avx2", Ratio(codes::i8_beyond)),
    ("simd.i8_beyond_avx2_quick", Ratio(codes::i8_beyond)),
    ("simd.sign_l2", Ratio(codes::signs_in_cache)),
    ("simd.sign_beyond", Ratio(codes::signs_beyond)),
    ("simd.sign_beyond_avx2", Ratio(codes::signs_beyond)),
    ("simd.sign_beyond_avx2_quick", Ratio(codes::signs_beyond)),
    ("simd.topk10", Ratio(top_k::subject)),
    ("simd.two_stage", Ratio(two_stage::against_exact_scan)),
    ("simd.two_stage_avx2", Ratio(two_stage::against_exact_scan)),
    (
        "simd.two_stage_avx2_quick",
        Ratio(two_stage::against_exact_scan),
    ),
    ("index.against_exact", Ratio(graph::against_exact)),
    ("index.blocks_f32", Ratio(graph::against_f32)),
    (
        "index.batch",
        Ratio(|setup| graph::batch(setup, cortica_index::Codes::default())),
    ),
    (
        "index.batch_blocks",
        Ratio(|setup| graph::batch(setup, cortica_index::Codes::Blocks)),
    ),
    (
        "index.batch_f32",
        Ratio(|setup| graph::batch(setup, cortica_index::Codes::F32)),
    ),
    #[cfg(feature = "peers")]
    (
        "index.f32",
        Ratio(|setup| graph_peers::against_usearch(setup, cortica_index::Codes::F32)),
    ),
    #[cfg(feature = "peers")]
    (
        "index.quantised",
        Ratio(|setup| graph_peers::against_usearch(setup, cortica_index::Codes::Blocks)),
    ),
    #[cfg(feature = "peers")]
    ("index.hnsw_rs", Ratio(graph_peers::against_hnsw_rs)),
    #[cfg(feature = "peers")]
    ("index.build", Ratio(graph_peers::build)),
    (
        "neural.mlp_plain",
        Ratio(|_| networks::against_plain(Encoder)),
    ),
    (
        "neural.lstm_plain",
        Ratio(|_| networks::against_plain(Predictor)),
    ),
    (
        "neural.tcn_plain",
        Ratio(|_| networks::against_plain(Detector)),
    ),
    #[cfg(feature = "peers")]
    (
        "neural.mlp",
        Ratio(|_| tract_peer::against_tract(&[Encoder], 1)),
    ),
    #[cfg(feature = "peers")]
    (
        "neural.lstm",
        Ratio(|_| tract_peer::against_tract(&[Predictor], 1)),
    ),
    #[cfg(feature = "peers")]
    (
        "neural.tcn",
        Ratio(|_| tract_peer::against_tract(&[Detector], 1)),
    ),
    #[cfg(feature = "peers")]
    (
        "neural.all",
        Ratio(|_| tract_peer::against_tract(&networks::Which::ALL, 1)),
    ),
    #[cfg(feature = "peers")]
    (
        "neural.mlp_64",
        Ratio(|_| tract_peer::against_tract(&[Encoder], 64)),
    ),
    #[cfg(feature = "peers")]
    (
        "neural.lstm_64",
        Ratio(|_| tract_peer::against_tract(&[Predictor], 64)),
    ),
    #[cfg(feature = "peers")]
    (
        "neural.tcn_64",
        Ratio(|_| tract_peer::against_tract(&[Detector], 64)),
    ),
    ("index.exact_scan", Ratio(scan::subject)),
    ("recall.batch16", Ratio(recall::batch_of_16)),
    ("storage.buffered", Ratio(storage::buffered)),
    ("storage.buffered_quick", Ratio(storage::buffered)),
    ("storage.durable_batch", Ratio(storage::durable_batch)),
    ("storage.durable_batch_quick", Ratio(storage::durable_batch)),
    ("storage.durable_single", Ratio(storage::durable_single)),
    #[cfg(unix)]
    ("storage.recovery", Ratio(recovery::against_read)),
    #[cfg(feature = "peers")]
    ("storage.durable_lmdb", Ratio(log_peers::against_lmdb)),
    #[cfg(feature = "peers")]
    ("storage.durable_redb", Ratio(log_peers::against_redb)),
    #[cfg(feature = "peers")]
    ("storage.durable_fjall", Ratio(log_peers::against_fjall)),
    (
        "queue.bounded.2p2c",
        Ratio(|_| queue_bounded::against_array_queue(2)),
    ),
    (
        "queue.bounded.4p4c",
        Ratio(|_| queue_bounded::against_array_queue(4)),
    ),
    (
        "queue.bounded.2p2c_cq",
        Ratio(|_| queue_bounded::against_concurrent_queue(2)),
    ),
    (
        "queue.bounded.4p4c_cq",
        Ratio(|_| queue_bounded::against_concurrent_queue(4)),
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
    ("reclaim.read", Limited(reclaim::read)),
    ("reclaim.read_fenced", Limited(reclaim::read_fenced)),
    (
        "reclaim.retire",
        Ratio(reclaim_retire::beside_a_reader_elsewhere),
    ),
    ("reclaim.retire_read", Ratio(reclaim_retire::under_a_reader)),
    (
        "reclaim.signal_list",
        Ratio(reclaim_list::signal_against_fenced),
    ),
    ("recall.two_threads", Scaling(recall::two_threads)),
    ("count.batch_stream_kept", Count(batch_stream::kept)),
    ("count.batch_stream_held", Count(batch_stream::held)),
    ("batch.similarity", Ratio(batch::against_one_by_one)),
    (
        "batch.similarity_definition",
        Ratio(|setup| batch::against_definition(setup, Isa::best())),
    ),
    (
        "batch.similarity_forced_scalar",
        Ratio(|setup| batch::against_definition(setup, Isa::Scalar)),
    ),
    ("batch.similarity_scalar", Ratio(batch::against_scalar)),
    (
        "simd.scalar",
        Ratio(|_| Ok(batch::scalar_against_definition())),
    ),
    ("batch.recall", Ratio(batch::through_index)),
    ("batch.mixed", Ratio(batch_lists::mixed)),
    ("batch.store.buffered", Ratio(batch_lists::buffered)),
    (
        "batch.store.buffered_single",
        Ratio(storage::buffered_single),
    ),
    ("batch.store.durable", Ratio(storage::durable_through_batch)),
    ("batch.two_threads", Scaling(batch::two_workers)),
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
                None => assert!(gate.needs.contains(&Need::Peers), "{}", gate.name),
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
