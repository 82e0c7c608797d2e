//! Which processors lie next to which memory.

use std::path::{Path, PathBuf};

use crate::cpu_list;

/// Where Linux tells of the machine.
const SYSTEM: &str = "/sys/devices/system";

/// No file of these is longer; what is longer is not read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The nodes of a machine: processors, and the memory that is near to them.
///
/// ```
/// use cortica_arena::Topology;
///
/// let machine = Topology::discover();
/// assert!(!machine.nodes().is_empty()); // One node, where there is nothing to be told.
/// for node in machine.nodes() {
///     println!("node {}: processors {:?}", node.id, node.cpus);
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    nodes: Vec<Node>,
}

/// One node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Node {
    /// The system's number for it; numbers may have holes.
    pub id: u32,
    /// Its processors that are switched on, rising. None for a node of memory alone.
    pub cpus: Vec<u32>,
    /// Bytes of its memory, where the system tells.
    pub memory_bytes: Option<u64>,
    /// How far it is to each node of the topology, in their order: 10 to itself by convention,
    /// and in proportion to the time. Empty where the system does not tell.
    pub distances: Vec<u32>,
}

/// Why a folder does not tell what the machine is like.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TopologyError {
    /// There is no such file, or it cannot be read; where there is no sysfs, that is so.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Not what the kernel writes there.
    #[error("{} is not {expected}", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What should be in it.
        expected: &'static str,
    },
    /// No node has a processor that is switched on.
    #[error("{} tells of no processors", path.display())]
    NoProcessors {
        /// The folder.
        path: PathBuf,
    },
}

impl Topology {
    /// What this machine is like. Where nobody tells, one node with as many processors as the
    /// process may use.
    #[must_use]
    pub fn discover() -> Topology {
        Topology::read(Path::new(SYSTEM)).unwrap_or_else(|_| {
            let count = std::thread::available_parallelism().map_or(1, usize::from);
            Topology::of_one_node(count)
        })
    }

    /// What a folder of the layout of `/sys/devices/system` tells: `node/online`, for each node
    /// `node/node<N>/cpulist` and, where they are there, `meminfo` and `distance`; and
    /// `cpu/online`, without which all processors count as switched on.
    pub fn read(system: &Path) -> Result<Topology, TopologyError> {
        let ids = list(&system.join("node/online"))?;
        let online = match list(&system.join("cpu/online")) {
            Ok(online) => Some(online),
            Err(TopologyError::Unreadable { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                None
            }
            Err(error) => return Err(error),
        };
        let is_online = |cpu: &u32| {
            let online = online.as_ref();
            online.is_none_or(|online| online.binary_search(cpu).is_ok())
        };
        let mut nodes = Vec::new();
        for &id in &ids {
            let folder = system.join(format!("node/node{id}"));
            let mut cpus = list(&folder.join("cpulist"))?;
            cpus.retain(is_online);
            let distances = distances(&folder.join("distance"))
                .filter(|distances| distances.len() == ids.len())
                .unwrap_or_default();
            nodes.push(Node {
                id,
                cpus,
                memory_bytes: memory_bytes(&folder.join("meminfo")),
                distances,
            });
        }
        if nodes.iter().all(|node| node.cpus.is_empty()) {
            return Err(TopologyError::NoProcessors {
                path: system.to_owned(),
            });
        }
        Ok(Topology { nodes })
    }

    fn of_one_node(count: usize) -> Topology {
        let node = Node {
            cpus: (0..count as u32).collect(),
            ..Node::default()
        };
        Topology { nodes: vec![node] }
    }

    /// The nodes, by number; never none.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Processors that are switched on.
    pub fn cpu_count(&self) -> usize {
        self.nodes.iter().map(|node| node.cpus.len()).sum()
    }

    /// The node a processor belongs to; `None` if it is switched off or not there.
    pub fn node_of(&self, cpu: u32) -> Option<&Node> {
        let mut nodes = self.nodes.iter();
        nodes.find(|node| node.cpus.binary_search(&cpu).is_ok())
    }

    /// On which node, and which of its processors, each of `workers` would run so that nodes with
    /// processors get workers in turn and, within a node, processors do. O(workers).
    pub fn spread(&self, workers: usize) -> Vec<(&Node, u32)> {
        let nodes: Vec<&Node> = self.nodes.iter().filter(|n| !n.cpus.is_empty()).collect();
        (0..workers)
            .map(|worker| {
                let node = nodes[worker % nodes.len()];
                (node, node.cpus[worker / nodes.len() % node.cpus.len()])
            })
            .collect()
    }
}

fn text(path: &Path) -> Result<String, TopologyError> {
    use std::io::Read;
    let unreadable = |source| TopologyError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let read = file.take(FILE_BYTES_MAX).read_to_string(&mut text);
    read.map_err(unreadable)?;
    Ok(text)
}

fn list(path: &Path) -> Result<Vec<u32>, TopologyError> {
    cpu_list::parse(&text(path)?).ok_or_else(|| TopologyError::Malformed {
        path: path.to_owned(),
        expected: "a list such as 0-3,8",
    })
}

fn distances(path: &Path) -> Option<Vec<u32>> {
    let text = text(path).ok()?;
    let numbers = text.split_whitespace().map(|word| word.parse().ok());
    numbers.collect()
}

/// From a line such as `Node 0 MemTotal:       24689752 kB`.
fn memory_bytes(path: &Path) -> Option<u64> {
    let text = text(path).ok()?;
    let line = text.lines().find(|line| line.contains("MemTotal:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(3)?.parse().ok()?;
    kibibytes.checked_mul(1_024)
}
