//! The vector space of a store: what it is, and the index that searches it.

use crate::codec;
use crate::episode::TEXT_BYTES_MAX;
use crate::error::OpenError;
use crate::options::{SpaceInfo, SpaceSpec, StoreOptions};
use crate::replay::SPACE;
use cortica_index::{HnswIndex, HnswOptions};
use cortica_simd::Isa;
use cortica_storage::{AppendError, CommitError, Durability, Entry, Log};
use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct Space {
    pub(crate) info: SpaceInfo,
    pub(crate) index: Arc<HnswIndex>,
}

impl Space {
    pub(crate) fn new(info: SpaceInfo, isa: Isa, graph: HnswOptions) -> Result<Self, OpenError> {
        let index = HnswIndex::new(info.dimension, info.metric, isa, graph)?;
        Ok(Self {
            info,
            index: Arc::new(index),
        })
    }
}

/// Writes into the log what its space is: twice, so that no single bad place can lose it.
pub(crate) fn write_space(log: &mut Log, info: &SpaceInfo) -> Result<(), OpenError> {
    let entry = Entry {
        space: SPACE,
        kind: codec::KIND_SPACE,
        dimension: info.dimension as u32,
        seq: 0,
    };
    for _ in 0..2 {
        let encode = |out: &mut Vec<u8>| codec::encode_space(info, out);
        log.append(entry, encode).map_err(|error| {
            let AppendError::TooLarge { got, max } = error else {
                return OpenError::Commit(CommitError::Stopped);
            };
            OpenError::ModelTooLong { got, max }
        })?;
    }
    log.commit(Durability::Durable)?;
    Ok(())
}

/// What the log and the caller say about the vector space, brought together.
pub(crate) enum Agreed {
    Space(Option<Space>),
    New(SpaceInfo),
}

pub(crate) fn agree(found: Option<Space>, options: &StoreOptions) -> Result<Agreed, OpenError> {
    let Some(spec) = &options.space else {
        return Ok(Agreed::Space(found));
    };
    let Some(found) = found else {
        let model = spec.model.clone().unwrap_or_default();
        let metric = spec.metric.unwrap_or_default();
        return Ok(Agreed::New(SpaceInfo {
            dimension: spec.dimension,
            metric,
            model,
        }));
    };
    let mismatch = |field, asked: &dyn ToString, found: &dyn ToString| {
        Err(OpenError::SpaceMismatch {
            field,
            asked: asked.to_string(),
            found: found.to_string(),
        })
    };
    let info = &found.info;
    if info.dimension != spec.dimension {
        return mismatch("dimension", &spec.dimension, &info.dimension);
    }
    if let Some(metric) = spec.metric.filter(|metric| *metric != info.metric) {
        return mismatch("metric", &metric, &info.metric);
    }
    if let Some(model) = spec.model.as_ref().filter(|model| **model != info.model) {
        return mismatch("model", model, &info.model);
    }
    Ok(Agreed::Space(Some(found)))
}

/// Refuses a vector space that cannot be.
pub(crate) fn check_spec(options: &StoreOptions) -> Result<(), OpenError> {
    let Some(SpaceSpec {
        dimension,
        metric,
        model,
    }) = &options.space
    else {
        return Ok(());
    };
    HnswIndex::new(
        *dimension,
        metric.unwrap_or_default(),
        options.isa,
        options.graph,
    )?;
    check_model(model.as_deref().unwrap_or_default())
}

fn check_model(model: &str) -> Result<(), OpenError> {
    let (got, max) = (model.len(), TEXT_BYTES_MAX);
    if got > max {
        Err(OpenError::ModelTooLong { got, max })
    } else {
        Ok(())
    }
}
