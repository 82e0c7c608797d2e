//! What a request asks of the allocator, once all has been used: what is kept of it, and little else.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

mod common;

use common::{concepts, engine, requests};
use cortica_cortex::Allocation;
use cortica_pipeline::Order;
use cortica_testkit::{CountingAllocator, count_allocations};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[test]
fn a_request_allocates_what_is_kept_of_it_and_little_else() {
    let engine = engine(16);
    let concepts = concepts();
    let requests = requests(&concepts[..1_200]);
    let (warm_up, measured) = requests.split_at(800);
    engine.allocate_many(warm_up, Order::Relaxed);
    let mut total = 0;
    for request in measured {
        let (answer, counted) = count_allocations(|| engine.allocate(request));
        let answer = answer.unwrap();
        assert!(counted.allocations <= 24, "{answer:?}: {counted:?}");
        if matches!(answer, Allocation::Duplicate { .. }) {
            assert!(counted.net_bytes() < 4_096, "{counted:?}");
        }
        total += counted.allocations;
    }
    let each = total as f64 / measured.len() as f64;
    println!("{each:.2} allocations a request");
    // Id and features that are kept, the list of concepts with near codes, a node of the streams' order now and then.
    assert!(each <= 4.0, "{each}");
}
