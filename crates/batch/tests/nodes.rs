//! Where the threads of a batch run.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use cortica_arena::{Pinned, Topology};
use cortica_batch::{Batch, BatchConfig, ConfigError, Operation, Workers};
use cortica_memory::{Episode, MemoryStore, SpaceSpec, StoreOptions};
use std::collections::BTreeSet;
use std::fs;
use std::sync::{Arc, Mutex};
use std::thread;

fn store() -> Arc<MemoryStore> {
    let options = StoreOptions {
        space: Some(SpaceSpec::new(3)),
        ..StoreOptions::default()
    };
    let store = MemoryStore::in_memory(options).unwrap();
    store
        .store(Episode::new("a", "tea").with_embedding(vec![1.0; 3]))
        .unwrap();
    Arc::new(store)
}

fn on(node: u32) -> BatchConfig {
    let mut config = BatchConfig::default();
    config.numa_node = Some(node);
    config
}

/// More than the thread that asks does alone.
fn searches() -> Vec<Operation> {
    (0..600)
        .map(|_| Operation::similarity(vec![1.0; 3], 1))
        .collect()
}

/// Processors that the calling thread may run on, as the system lists them.
fn allowed() -> String {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    list.unwrap().trim().to_owned()
}

/// Threads inherit where they may run: those of a node run on all of its processors all the same, and
/// who asks stays where it is.
#[test]
fn reads_run_on_the_processors_of_a_node() {
    let topology = Topology::discover();
    let node = topology.nodes().iter().find(|node| !node.cpus.is_empty());
    let node = node.unwrap();
    let whole = thread::scope(|scope| {
        let list = || {
            let _on = Pinned::to(&node.cpus).unwrap();
            allowed()
        };
        scope.spawn(list).join().unwrap()
    });
    let _here = Pinned::to(&node.cpus[..1]).unwrap();
    let here = allowed();
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let noted = seen.clone();
    let store = store();
    let batch = Batch::over(&store).config(on(node.id)).before(move |_, _| {
        let name = thread::current().name().unwrap_or_default().to_owned();
        noted.lock().unwrap().insert((name, allowed()));
    });
    for _ in 0..2 {
        let outcome = batch.run(searches()).unwrap();
        assert!(outcome.answers.iter().all(Result::is_ok));
    }
    let streamed = batch.stream(searches()).unwrap();
    assert!(streamed.map(|(_, answer)| answer).all(|one| one.is_ok()));
    let seen = seen.lock().unwrap();
    let workers: Vec<_> = seen
        .iter()
        .filter(|(name, _)| name.starts_with("cortica-batch-"))
        .collect();
    assert!(!workers.is_empty(), "{seen:?}");
    for (name, allowed) in workers {
        assert_eq!(*allowed, whole, "{name}");
    }
    assert_eq!(allowed(), here);
}

#[test]
fn a_node_that_is_not_there_is_refused() {
    let store = store();
    let batch = Batch::over(&store).config(on(u32::MAX));
    let Err(ConfigError::NoNode { asked, nodes }) = batch.run(searches()) else {
        panic!("not refused");
    };
    assert!(asked == u32::MAX && !nodes.is_empty());
    assert!(matches!(
        batch.stream(searches()),
        Err(ConfigError::NoNode { .. })
    ));
    assert!(Workers::on_node(u32::MAX).is_err());
}

#[test]
fn threads_that_are_elsewhere_are_not_taken() {
    let store = store();
    let node = Topology::discover();
    let node = node.nodes().iter().find(|node| !node.cpus.is_empty());
    let id = node.unwrap().id;
    let anywhere = Workers::new(2).unwrap();
    let batch = Batch::over(&store).config(on(id));
    assert_eq!(
        batch
            .clone()
            .workers(&anywhere)
            .run(searches())
            .unwrap_err(),
        ConfigError::OtherNode {
            asked: id,
            found: None
        }
    );
    let there = Workers::on_node(id).unwrap();
    assert_eq!(there.node(), Some(id));
    assert_eq!(there.count(), node.unwrap().cpus.len());
    batch.workers(&there).run(searches()).unwrap();
}
