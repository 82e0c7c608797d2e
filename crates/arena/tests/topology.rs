//! Nodes and processors out of small trees like the kernel's.
#![cfg(not(loom))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

use std::fs;
use std::path::Path;

use cortica_arena::{Pinned, Topology, TopologyError, current_cpu, first_touch};
use tempfile::TempDir;

struct Machine(TempDir);

impl Machine {
    fn new(online_nodes: &str, online_cpus: Option<&str>) -> Machine {
        let machine = Machine(tempfile::tempdir().unwrap());
        machine.write("node/online", online_nodes);
        if let Some(online) = online_cpus {
            machine.write("cpu/online", online);
        }
        machine
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.0.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{text}\n")).unwrap();
    }

    fn node(self, id: u32, cpus: &str, distance: &str, mebibytes: u64) -> Machine {
        self.write(&format!("node/node{id}/cpulist"), cpus);
        self.write(&format!("node/node{id}/distance"), distance);
        let kibibytes = mebibytes << 10;
        let meminfo =
            format!("Node {id} MemTotal:       {kibibytes} kB\nNode {id} MemFree:        17 kB");
        self.write(&format!("node/node{id}/meminfo"), &meminfo);
        self
    }

    fn read(&self) -> Result<Topology, TopologyError> {
        Topology::read(self.0.path())
    }
}

/// Each node's number and processors.
#[track_caller]
fn check(machine: &Machine, want: &[(u32, &[u32])]) -> Topology {
    let topology = machine.read().unwrap();
    let nodes = topology.nodes().iter();
    let found: Vec<_> = nodes.map(|node| (node.id, node.cpus.as_slice())).collect();
    assert_eq!(found, want);
    topology
}

#[test]
fn one_node() {
    let machine = Machine::new("0", Some("0-3")).node(0, "0-3", "10", 64);
    let topology = check(&machine, &[(0, &[0, 1, 2, 3])]);
    assert_eq!(topology.nodes()[0].memory_bytes, Some(64 << 20));
    assert_eq!(topology.nodes()[0].distances, [10]);
    assert_eq!(topology.cpu_count(), 4);
    assert_eq!(topology.node_of(2).map(|node| node.id), Some(0));
    assert_eq!(topology.node_of(4), None);
}

/// Two sockets with hyperthreads numbered behind the cores, and two processors switched off.
#[test]
fn two_nodes_with_processors_switched_off() {
    let machine = Machine::new("0-1", Some("0-4,6-10"))
        .node(0, "0-2,6-8", "10 21", 128)
        .node(1, "3-5,9-11", "21 10", 256);
    let topology = check(&machine, &[(0, &[0, 1, 2, 6, 7, 8]), (1, &[3, 4, 9, 10])]);
    assert_eq!(topology.nodes()[1].distances, [21, 10]);
    assert_eq!(topology.node_of(5), None); // Off.
    assert_eq!(topology.node_of(9).map(|node| node.id), Some(1));
    let spread: Vec<_> = topology.spread(5);
    let spread: Vec<_> = spread
        .into_iter()
        .map(|(node, cpu)| (node.id, cpu))
        .collect();
    assert_eq!(spread, [(0, 0), (1, 3), (0, 1), (1, 4), (0, 2)]);
}

/// Numbers with holes, a node of memory alone, one whose processors are all off.
#[test]
fn eight_nodes_with_holes() {
    let ids = [0, 1, 2, 3, 8, 9, 10, 12];
    let mut machine = Machine::new("0-3,8-10,12", Some("0-11,16-23"));
    let distance = "10 ".repeat(8);
    for (at, id) in ids.into_iter().enumerate() {
        let first = 4 * at;
        let cpus = match id {
            12 => String::new(),
            _ => format!("{}-{}", first, first + 3),
        };
        machine = machine.node(id, &cpus, &distance, 1);
    }
    let topology = check(
        &machine,
        &[
            (0, &[0, 1, 2, 3]),
            (1, &[4, 5, 6, 7]),
            (2, &[8, 9, 10, 11]),
            (3, &[]),
            (8, &[16, 17, 18, 19]),
            (9, &[20, 21, 22, 23]),
            (10, &[]),
            (12, &[]),
        ],
    );
    assert_eq!(topology.cpu_count(), 20);
    let spread: Vec<_> = topology.spread(23);
    assert!(spread.iter().all(|(node, cpu)| node.cpus.contains(cpu)));
    let of_node = |id| spread.iter().filter(|(node, _)| node.id == id).count();
    assert_eq!(
        [0, 1, 2, 3, 8, 9, 10, 12].map(of_node),
        [5, 5, 5, 0, 4, 4, 0, 0]
    );
    // More workers than processors: each processor in turn.
    assert_eq!(spread[20].1, spread[0].1);
}

#[test]
fn what_need_not_be_there() {
    let machine = Machine::new("0", None);
    machine.write("node/node0/cpulist", "0-1");
    let topology = check(&machine, &[(0, &[0, 1])]);
    assert_eq!(topology.nodes()[0].memory_bytes, None);
    assert!(topology.nodes()[0].distances.is_empty());
    // What is there but makes no sense is as good as nothing, where nothing hangs on it.
    let machine = machine.node(0, "0-1", "10 x", 1);
    machine.write("node/node0/meminfo", "Node 0 MemTotal: much kB");
    assert_eq!(machine.read().unwrap(), topology);
    let machine = machine.node(0, "0-1", "10 20", u64::MAX >> 10);
    assert_eq!(machine.read().unwrap(), topology);
}

#[test]
fn trees_that_tell_nothing() {
    let unreadable = |found: Result<Topology, TopologyError>, name: &str| match found {
        Err(TopologyError::Unreadable { path, .. }) => assert!(path.ends_with(name), "{path:?}"),
        other => panic!("{other:?}"),
    };
    unreadable(Topology::read(Path::new("/nowhere/at/all")), "node/online");
    unreadable(
        Machine::new("0-1", None).node(0, "0", "10", 1).read(),
        "node1/cpulist",
    );
    let broken = [
        Machine::new("zero", None),
        Machine::new("0", Some("0-")).node(0, "0", "10", 1),
        Machine::new("0", None).node(0, "0-99999999999", "10", 1),
    ];
    for machine in broken {
        assert!(matches!(
            machine.read(),
            Err(TopologyError::Malformed { .. })
        ));
    }
    let off = Machine::new("0", Some("")).node(0, "0-3", "10", 1);
    assert!(matches!(
        off.read(),
        Err(TopologyError::NoProcessors { .. })
    ));
    assert!(matches!(
        Machine::new("", None).read(),
        Err(TopologyError::NoProcessors { .. })
    ));
}

#[test]
fn this_machine_has_a_processor_and_this_thread_runs_on_one() {
    let topology = Topology::discover();
    assert!(topology.cpu_count() >= 1);
    assert!(topology.nodes().iter().all(|node| node.cpus.is_sorted()));
    if let Some(cpu) = current_cpu() {
        // In a container the tree may be another machine's; it is one of ours here.
        assert!(topology.node_of(cpu).is_some(), "{cpu} in {topology:?}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_pinned_thread_stays_until_it_is_let_go() {
    use cortica_arena::PinError;
    // On a thread of its own, whose end undoes what a failure would leave.
    std::thread::spawn(|| {
        let allowed = || {
            let status = fs::read_to_string("/proc/thread-self/status").unwrap();
            let line = status
                .lines()
                .find(|line| line.starts_with("Cpus_allowed_list"));
            line.unwrap().to_owned()
        };
        let before = allowed();
        for (_, cpu) in Topology::discover().spread(8) {
            let pinned = match Pinned::to(&[cpu]) {
                Ok(pinned) => pinned,
                Err(PinError::Refused(_)) => continue, // Not one of this container's.
                Err(error) => panic!("{error}"),
            };
            assert_eq!(current_cpu(), Some(cpu));
            assert!(allowed().ends_with(&format!("\t{cpu}")), "{}", allowed());
            drop(pinned);
            assert_eq!(allowed(), before);
        }
        let none = Pinned::to(&[]);
        assert!(matches!(none, Err(PinError::Cpus { .. })), "{none:?}");
        assert!(matches!(Pinned::to(&[1 << 20]), Err(PinError::Cpus { limit, .. }) if limit > 0));
        assert_eq!(allowed(), before);
    })
    .join()
    .unwrap();
}

#[test]
fn touching_changes_nothing() {
    for len in [0, 1, 511, 512, 513, 100_000] {
        let mut values: Vec<u64> = (0..len).collect();
        first_touch(&mut values);
        assert!(values.into_iter().eq(0..len));
    }
    first_touch(&mut [(); 3]);
    first_touch(&mut [[7_u8; 5_000]; 2]);
}
