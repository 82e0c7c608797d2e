//! Three networks that were trained together, from one file.

use crate::detector::Detector;
use crate::encoder::Encoder;
use crate::error::WeightsError;
use crate::places::Places;
use crate::predictor::Predictor;
use crate::scratch::Scratch;
use crate::tensors::Tensors;
use cortica_formats::{Safetensors, SafetensorsError};
use cortica_simd::Isa;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// What the metadata's `format` says.
pub const FORMAT: &str = "cortica-networks";

/// What the metadata's `version` says, for files that this build reads.
pub const VERSION: u32 = 1;

/// Weight files may have as many bytes: the widest features, with room.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// An encoder, a predictor and a detector that were trained together. Cloning shares the weights,
/// which never change.
///
/// A file is a sealed safetensors file ([`cortica_formats::write_safetensors`]); `cortica-train`
/// writes it. Anything else is refused: what is cut short, damaged, of another shape or newer.
#[derive(Clone, Debug)]
pub struct Networks {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    encoder: Encoder,
    predictor: Predictor,
    detector: Detector,
    places: Option<Places>,
    metadata: BTreeMap<String, String>,
}

impl Networks {
    /// Reads a weight file.
    pub fn open(path: &Path) -> Result<Networks, WeightsError> {
        Networks::read(&Safetensors::open(path, FILE_BYTES_MAX).map_err(explain)?)
    }

    /// Reads the bytes of a weight file: an `include_bytes!` constant or a `Vec<u8>`.
    pub fn from_bytes(bytes: impl Into<Cow<'static, [u8]>>) -> Result<Networks, WeightsError> {
        Networks::read(&Safetensors::from_bytes(bytes).map_err(explain)?)
    }

    fn read(file: &Safetensors) -> Result<Networks, WeightsError> {
        let entry = |key: &str| file.metadata(key).unwrap_or_default();
        check_format(entry("format"))?;
        file.check_seal()?;
        check_version(entry("version"))?;
        let mut tensors = Tensors::new(file);
        let encoder = Encoder::read(&mut tensors)?;
        let predictor = Predictor::read(&mut tensors)?;
        let detector = Detector::read(&mut tensors)?;
        let places = Places::read(&mut tensors)?;
        tensors.finish()?;
        let metadata = file.all_metadata();
        let metadata = metadata.map(|(key, text)| (key.to_owned(), text.to_owned()));
        Ok(Networks {
            shared: Arc::new(Shared {
                encoder,
                predictor,
                detector,
                places,
                metadata: metadata.collect(),
            }),
        })
    }

    /// From features to codes.
    pub fn encoder(&self) -> &Encoder {
        &self.shared.encoder
    }

    /// From the codes of a stream to the next.
    pub fn predictor(&self) -> &Predictor {
        &self.shared.predictor
    }

    /// Whether a code belongs into its stream.
    pub fn detector(&self) -> &Detector {
        &self.shared.detector
    }

    /// Where the encoder's codes lead on a map; `None` of a file that does not carry it.
    pub fn places(&self) -> Option<&Places> {
        self.shared.places.as_ref()
    }

    /// Values of the features that the encoder takes.
    pub fn dimension(&self) -> usize {
        self.encoder().dimension()
    }

    /// Bytes of all weights and of [places](Networks::places), as they lie in memory.
    pub fn bytes(&self) -> usize {
        let networks = self.encoder().bytes() + self.predictor().bytes() + self.detector().bytes();
        networks + self.places().map_or(0, Places::bytes)
    }

    /// What the file says of itself, as its writer chose: files of `cortica-train` have
    /// `architecture`, `data`, `dimension`, `seed`, `training_rows` and `metrics`.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.shared.metadata.get(key).map(String::as_str)
    }

    /// Working memory for one worker, with the best instructions there are.
    ///
    /// It holds what layers take in and give for the samples that are worked on together: 32 features, 32 windows of
    /// the predictor, 8 of the detector. Its [bytes](Scratch::bytes) grow in proportion to the dimension and to the
    /// widths of the layers, not to their products and not with the length of a batch: 401,792 for the shipped
    /// networks of 768 values, and 24,576 more on AVX2. They are asked for here, all at once.
    pub fn scratch(&self) -> Scratch {
        self.scratch_on(Isa::best())
    }

    /// As [`Networks::scratch`], with instructions of the caller's choice.
    pub fn scratch_on(&self, isa: Isa) -> Scratch {
        Scratch::new(self, isa)
    }
}

fn check_format(found: &str) -> Result<(), WeightsError> {
    if found == FORMAT {
        return Ok(());
    }
    let found = found.to_owned();
    Err(WeightsError::Format { found })
}

fn check_version(found: &str) -> Result<(), WeightsError> {
    if found == VERSION.to_string() {
        return Ok(());
    }
    Err(WeightsError::Version {
        found: found.to_owned(),
        supported: VERSION,
    })
}

/// A file with a type of values that is not read may be of a later release, or of another kind. Then
/// that is what its reader has to know.
fn explain(refused: SafetensorsError) -> WeightsError {
    if let SafetensorsError::Dtype { metadata, .. } = &refused
        && !metadata.is_empty()
    {
        let entry = |key: &str| metadata.get(key).map_or("", String::as_str);
        let checked = check_format(entry("format")).and_then(|()| check_version(entry("version")));
        if let Err(told) = checked {
            return told;
        }
    }
    WeightsError::File(refused)
}
