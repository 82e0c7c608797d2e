//! loom over the shipped links, states and places of blocks. Run by `cargo xtask loom`. The table of
//! what fails when an ordering is weakened is in docs/concurrency.md.
//!
//! Both sides of every model run on threads of their own: with one of them on the model's own
//! thread loom explores next to nothing. Every model ends with its witnesses: interleavings that
//! must have been reached for it to mean anything.
#![cfg(loom)]
#![allow(clippy::unwrap_used, reason = "a panic in a test is its report")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use cortica_index::models::{Blocks, Nodes};
use loom::cell::Cell;
use loom::sync::atomic::AtomicBool;
use loom::sync::atomic::Ordering::{Acquire, Release};
use loom::thread::{JoinHandle, spawn};

/// Counted outside of the model, so that they outlive the explored runs.
struct Witness(AtomicUsize);

impl Witness {
    const fn new() -> Witness {
        Witness(AtomicUsize::new(0))
    }

    fn saw(&self, it: bool) {
        self.0.fetch_add(usize::from(it), Relaxed);
    }
}

/// Explores `run`, says how much that was, and asks every witness.
fn explore(name: &str, preemptions: Option<usize>, witnesses: &[&Witness], run: fn()) {
    static EXPLORED: AtomicUsize = AtomicUsize::new(0);
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = ONE_AT_A_TIME
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    EXPLORED.store(0, Relaxed);
    let mut model = loom::model::Builder::new();
    model.preemption_bound = preemptions;
    model.max_branches = 20_000;
    model.check(move || {
        EXPLORED.fetch_add(1, Relaxed);
        run();
    });
    let explored = EXPLORED.load(Relaxed);
    let seen: Vec<usize> = witnesses
        .iter()
        .map(|witness| witness.0.load(Relaxed))
        .collect();
    println!("{name}: {explored} interleavings, witnesses {seen:?}");
    assert!(
        seen.iter().all(|&seen| seen > 0),
        "{name} never reached the danger: {seen:?}"
    );
}

/// Runs `work` with what is shared, on a thread of its own.
fn with<T: 'static, R: 'static>(
    shared: &Arc<T>,
    work: impl FnOnce(&T) -> R + 'static,
) -> JoinHandle<R> {
    let shared = shared.clone();
    spawn(move || work(&shared))
}

/// Nodes, and beside each a cell for its vector: who writes it while another reads it fails.
struct World {
    nodes: Nodes,
    vectors: Vec<Cell<u32>>,
    flag: AtomicBool,
}

impl World {
    /// The vectors of the first `written` nodes are there.
    fn new(count: u32, written: u32) -> World {
        let value = |row| Cell::new(if row < written { row } else { u32::MAX });
        World {
            nodes: Nodes::new(count),
            vectors: (0..count).map(value).collect(),
            flag: AtomicBool::new(false),
        }
    }

    fn write(&self, row: u32) {
        self.vectors[row as usize].set(row);
    }

    /// What a walk does at node 0: the links, and the vector each leads to.
    fn walk(&self) -> Vec<u32> {
        let links: Vec<u32> = self.nodes.links(0).collect();
        for &link in &links {
            let vector = self.vectors[link as usize].get();
            assert_eq!(vector, link, "a link to a row that is not written");
        }
        links
    }
}

/// A link that is added leads to a row that is written.
#[test]
fn add_link_against_a_walk() {
    static OLD: Witness = Witness::new();
    static NEW: Witness = Witness::new();
    explore("add_link_against_a_walk", None, &[&OLD, &NEW], || {
        let world = World::new(3, 2);
        world.nodes.set_links(0, &[1]);
        let world = Arc::new(world);
        let writer = with(&world, |world| {
            world.write(2);
            assert!(world.nodes.add_link(0, 2));
        });
        let reader = with(&world, |world| {
            let links = world.walk();
            OLD.saw(links == [1]);
            NEW.saw(links == [1, 2]);
            assert!(links == [1] || links == [1, 2], "{links:?}");
        });
        writer.join().unwrap();
        reader.join().unwrap();
        assert_eq!(world.walk(), [1, 2]);
    });
}

/// Behind a list's end lie links of a longer one, to rows that were taken away since: who adds a link
/// shows none of them.
#[test]
fn add_link_where_links_were_left_over() {
    static OLD: Witness = Witness::new();
    static NEW: Witness = Witness::new();
    explore(
        "add_link_where_links_were_left_over",
        None,
        &[&OLD, &NEW],
        || {
            let world = World::new(4, 3);
            world.nodes.set_links(0, &[1, 3, 3]);
            world.nodes.set_links(0, &[1]);
            let world = Arc::new(world);
            let writer = with(&world, |world| assert!(world.nodes.add_link(0, 2)));
            let reader = with(&world, |world| {
                let links = world.walk();
                OLD.saw(links == [1]);
                NEW.saw(links == [1, 2]);
                assert!(links == [1] || links == [1, 2], "{links:?}");
            });
            writer.join().unwrap();
            reader.join().unwrap();
        },
    );
}

/// A list that is replaced by a longer one: old links and new ones, all to rows that are written, and
/// none that was left over.
#[test]
fn set_links_against_a_walk() {
    static OLD: Witness = Witness::new();
    static MIXED: Witness = Witness::new();
    static NEW: Witness = Witness::new();
    explore(
        "set_links_against_a_walk",
        None,
        &[&OLD, &MIXED, &NEW],
        || {
            let world = World::new(6, 2);
            world.nodes.set_links(0, &[1, 5, 5, 5]);
            world.nodes.set_links(0, &[1]);
            let world = Arc::new(world);
            let writer = with(&world, |world| {
                (2..5).for_each(|row| world.write(row));
                world.nodes.set_links(0, &[2, 3, 4]);
            });
            let reader = with(&world, |world| {
                let links = world.walk();
                OLD.saw(links == [1]);
                MIXED.saw(links == [1, 3, 4]);
                NEW.saw(links == [2, 3, 4]);
            });
            writer.join().unwrap();
            reader.join().unwrap();
            assert_eq!(world.walk(), [2, 3, 4]);
        },
    );
}

/// A list that is replaced by a shorter one, and grows again by a link.
#[test]
fn a_shorter_list_that_grows_again() {
    static LONG: Witness = Witness::new();
    static SHORT: Witness = Witness::new();
    static GROWN: Witness = Witness::new();
    explore(
        "a_shorter_list_that_grows_again",
        None,
        &[&LONG, &SHORT, &GROWN],
        || {
            let world = World::new(5, 4);
            world.nodes.set_links(0, &[1, 2, 1]);
            let world = Arc::new(world);
            let writer = with(&world, |world| {
                world.nodes.set_links(0, &[3]);
                world.write(4);
                assert!(world.nodes.add_link(0, 4));
            });
            let reader = with(&world, |world| {
                let links = world.walk();
                LONG.saw(links == [1, 2, 1]);
                SHORT.saw(links == [3]);
                GROWN.saw(links == [3, 4]);
            });
            writer.join().unwrap();
            reader.join().unwrap();
            assert_eq!(world.walk(), [3, 4]);
        },
    );
}

/// Who is told that a node was removed does not find it, and who does not find it sees its state.
#[test]
fn removal_against_a_search() {
    static BEFORE: Witness = Witness::new();
    static AFTER: Witness = Witness::new();
    static TOLD: Witness = Witness::new();
    explore(
        "removal_against_a_search",
        None,
        &[&BEFORE, &AFTER, &TOLD],
        || {
            let world = World::new(2, 2);
            assert!(!world.nodes.finish_linking(0) && !world.nodes.finish_linking(1));
            let world = Arc::new(world);
            let writer = with(&world, |world| {
                assert!(world.nodes.withdraw(0));
                world.flag.store(true, Release);
            });
            let reader = with(&world, |world| {
                let told = world.flag.load(Acquire);
                let found = world.nodes.is_findable(0);
                BEFORE.saw(found);
                AFTER.saw(!found && !told);
                TOLD.saw(told);
                assert!(!(told && found), "found after its removal");
                assert!(
                    found || world.nodes.is_removed(0),
                    "the bit before the state"
                );
                assert!(world.nodes.is_findable(1), "its neighbour in the word");
            });
            writer.join().unwrap();
            reader.join().unwrap();
        },
    );
}

/// Two nodes whose bits lie in one word are removed at once: both are gone.
#[test]
fn two_removals_in_one_word() {
    static BOTH: Witness = Witness::new();
    explore("two_removals_in_one_word", None, &[&BOTH], || {
        let world = World::new(2, 2);
        assert!(!world.nodes.finish_linking(0) && !world.nodes.finish_linking(1));
        let world = Arc::new(world);
        let removals = [0, 1].map(|row| with(&world, move |world| world.nodes.withdraw(row)));
        let removed = removals.map(|removal| removal.join().unwrap());
        BOTH.saw(removed == [true, true]);
        assert!(!world.nodes.is_findable(0) && !world.nodes.is_findable(1));
    });
}

/// A node is removed while its linking ends: exactly one of the two says that links are to be led
/// around it.
#[test]
fn removal_against_the_end_of_linking() {
    static BY_REMOVER: Witness = Witness::new();
    static BY_LINKER: Witness = Witness::new();
    let witnesses = [&BY_REMOVER, &BY_LINKER];
    explore(
        "removal_against_the_end_of_linking",
        None,
        &witnesses,
        || {
            let world = Arc::new(World::new(1, 1));
            let linker = with(&world, |world| world.nodes.finish_linking(0));
            let remover = with(&world, |world| world.nodes.withdraw(0));
            let (by_linker, by_remover) = (linker.join().unwrap(), remover.join().unwrap());
            BY_REMOVER.saw(by_remover);
            BY_LINKER.saw(by_linker);
            assert!(by_linker != by_remover, "led around once");
            assert!(world.nodes.is_removed(0) && !world.nodes.is_findable(0));
        },
    );
}

/// A node's block is replaced, and another node's then takes the memory of the first: who reads the
/// node's block reads one of its own, whole.
#[test]
fn blocks_against_a_walk() {
    static OLD: Witness = Witness::new();
    static NEW: Witness = Witness::new();
    static REUSED: Witness = Witness::new();
    explore(
        "blocks_against_a_walk",
        Some(2),
        &[&OLD, &NEW, &REUSED],
        || {
            let blocks = Blocks::new().unwrap();
            assert!(blocks.put(0, 7));
            let blocks = Arc::new(blocks);
            let writer = with(&blocks, |blocks| {
                assert!(blocks.put(0, 9));
                REUSED.saw(blocks.put(1, 5));
            });
            let reader = with(&blocks, |blocks| {
                let block = blocks.read(0);
                OLD.saw(block == Some((7, 7)));
                NEW.saw(block == Some((9, 9)));
                assert!(matches!(block, None | Some((7, 7) | (9, 9))), "{block:?}");
            });
            writer.join().unwrap();
            reader.join().unwrap();
        },
    );
}

/// The links of a node have changed: its block goes, whole while it is read.
#[test]
fn outdating_against_a_walk() {
    static OLD: Witness = Witness::new();
    static GONE: Witness = Witness::new();
    explore("outdating_against_a_walk", Some(3), &[&OLD, &GONE], || {
        let blocks = Blocks::new().unwrap();
        assert!(blocks.put(0, 7));
        let blocks = Arc::new(blocks);
        let writer = with(&blocks, |blocks| blocks.outdate(0));
        let reader = with(&blocks, |blocks| {
            let block = blocks.read(0);
            OLD.saw(block == Some((7, 7)));
            GONE.saw(block.is_none());
            assert!(matches!(block, None | Some((7, 7))), "{block:?}");
        });
        writer.join().unwrap();
        reader.join().unwrap();
        assert_eq!(blocks.read(0), None);
    });
}
