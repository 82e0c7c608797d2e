//! The store that a file goes into.

use cortica::{Builder, Cortica, DIMENSION_MAX, OpenError, SpaceInfo};

use crate::args::IngestArgs;
use crate::ingest::batch::Item;

/// An open store, which gets its vector space when the first sound embedding comes.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    args: &'a IngestArgs,
    pub(crate) memory: Cortica,
}

impl<'a> Target<'a> {
    /// Opens the store, or a new one that has no vector space yet.
    pub(crate) fn open(args: &'a IngestArgs) -> anyhow::Result<Self> {
        let memory = builder(args).open(&args.store)?;
        let target = Self { args, memory };
        target.check_options()?;
        Ok(target)
    }

    /// The space it has. One that is a guess counts for nothing: opening with a dimension fixes it.
    fn space(&self) -> Option<SpaceInfo> {
        let stats = self.memory.stats();
        stats.space.filter(|_| !stats.space_guessed)
    }

    /// The options of the command line must not contradict the space that is there.
    fn check_options(&self) -> Result<(), OpenError> {
        let Some(space) = self.space() else {
            return Ok(());
        };
        if let Some(metric) = self.args.metric.map(cortica::Metric::from)
            && metric != space.metric
        {
            return Err(OpenError::SpaceMismatch {
                field: "metric",
                asked: metric.to_string(),
                found: space.metric.to_string(),
            });
        }
        match &self.args.model {
            Some(model) if *model != space.model => Err(OpenError::SpaceMismatch {
                field: "model",
                asked: model.clone(),
                found: space.model,
            }),
            _ => Ok(()),
        }
    }

    /// The same store with a space of this dimension; refused if it has another one.
    pub(crate) fn with_dimension(self, dimension: usize) -> anyhow::Result<Self> {
        match self.space() {
            Some(space) if space.dimension == dimension => Ok(self),
            Some(space) => Err(OpenError::SpaceMismatch {
                field: "dimension",
                asked: dimension.to_string(),
                found: space.dimension.to_string(),
            }
            .into()),
            None => {
                let Self { args, memory } = self;
                memory.close()?;
                let mut builder = builder(args).dimension(dimension);
                if let Some(metric) = args.metric {
                    builder = builder.metric(metric.into());
                }
                if let Some(model) = &args.model {
                    builder = builder.model(model);
                }
                Ok(Self {
                    args,
                    memory: builder.open(&args.store)?,
                })
            }
        }
    }

    /// The same store with a space if it had none and one of the items can fix it.
    pub(crate) fn with_space_for(self, items: &[Item]) -> anyhow::Result<Self> {
        if self.space().is_some() {
            return Ok(self);
        }
        // An embedding that will be refused must not decide what every later one has to be.
        let sound = |embedding: &&Vec<f32>| {
            embedding.len() <= DIMENSION_MAX
                && embedding.iter().all(|x| x.is_finite())
                && embedding.iter().any(|x| *x != 0.0)
        };
        let mut embeddings = items
            .iter()
            .filter_map(|item| item.offered.as_ref().ok()?.embedding.as_ref());
        match embeddings.find(sound).map(Vec::len) {
            Some(dimension) => self.with_dimension(dimension),
            None => Ok(self),
        }
    }
}

fn builder(args: &IngestArgs) -> Builder {
    let builder = Cortica::builder().durability(args.durability.into());
    args.room.tell(builder)
}
