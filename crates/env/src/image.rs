//! The names and bytes of a simulated disk, and the changes they are made of.

use crate::seed::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The unit a drive writes whole; a power cut may tear a write between two of them.
const SECTOR: u64 = 512;

#[derive(Clone, Debug, Default)]
pub(crate) struct Image {
    pub(crate) names: BTreeMap<PathBuf, Node>,
    pub(crate) bytes: BTreeMap<u64, Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Folder,
    File(u64),
}

#[derive(Clone, Debug)]
pub(crate) enum Change {
    Name {
        path: PathBuf,
        node: Option<Node>,
    },
    /// The name a file loses by a renaming. Never before it has the new one.
    Moved {
        from: PathBuf,
        to: PathBuf,
        file: u64,
    },
    Write {
        file: u64,
        offset: u64,
        bytes: Vec<u8>,
    },
    Len {
        file: u64,
        len: u64,
    },
}

impl Image {
    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::Name {
                path,
                node: Some(node),
            } => {
                self.names.insert(path.clone(), *node);
                if let Node::File(file) = node {
                    self.bytes.entry(*file).or_default();
                }
            }
            Change::Name { path, node: None } => {
                self.names.remove(path);
            }
            Change::Moved { from, to, file } => {
                if self.has_moved(to, *file) && self.names.get(from) == Some(&Node::File(*file)) {
                    self.names.remove(from);
                }
            }
            Change::Write {
                file,
                offset,
                bytes,
            } => {
                let content = self.bytes.entry(*file).or_default();
                let end = *offset as usize + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*offset as usize..end].copy_from_slice(bytes);
            }
            Change::Len { file, len } => {
                self.bytes
                    .entry(*file)
                    .or_default()
                    .resize(*len as usize, 0);
            }
        }
    }

    /// Writes some of the sectors that `bytes` covers.
    pub(crate) fn write_torn(&mut self, file: u64, offset: u64, bytes: &[u8], rng: &mut Rng) {
        let end = offset + bytes.len() as u64;
        let mut from = offset;
        while from < end {
            let to = ((from / SECTOR + 1) * SECTOR).min(end);
            if rng.below(2) == 0 {
                let part = bytes[(from - offset) as usize..(to - offset) as usize].to_vec();
                self.apply(&Change::Write {
                    file,
                    offset: from,
                    bytes: part,
                });
            }
            from = to;
        }
    }

    /// A name lives only while every folder above it does.
    pub(crate) fn drop_unreachable(&mut self) {
        let names = self.names.clone();
        self.names.retain(|path, _| {
            path.ancestors()
                .skip(1)
                .all(|above| is_root(above) || names.contains_key(above))
        });
    }

    /// Whether a file has the name it was given by a renaming.
    pub(crate) fn has_moved(&self, to: &Path, file: u64) -> bool {
        self.names.get(to) == Some(&Node::File(file))
    }

    /// Bytes of the files that have a name.
    pub(crate) fn used(&self) -> u64 {
        let named: BTreeSet<u64> = self
            .names
            .values()
            .filter_map(|node| match node {
                Node::File(file) => Some(*file),
                Node::Folder => None,
            })
            .collect();
        named.into_iter().map(|file| self.len(file)).sum()
    }

    pub(crate) fn len(&self, file: u64) -> u64 {
        self.bytes.get(&file).map_or(0, Vec::len) as u64
    }

    pub(crate) fn has_folder(&self, dir: &Path) -> bool {
        is_root(dir) || self.names.get(dir) == Some(&Node::Folder)
    }
}

fn is_root(path: &Path) -> bool {
    path.as_os_str().is_empty() || path.parent().is_none()
}
