//! Weights that come with this crate.

use crate::error::WeightsError;
use crate::networks::Networks;

impl Networks {
    /// Networks for 768-d sentence embeddings, trained on WordNet concepts as all-mpnet-base-v2 sees
    /// them. What they were trained on and what they are worth is written in
    /// `weights/README.md` of this crate; embeddings of another model need a training of their own.
    ///
    /// ```
    /// let networks = cortica_neural::Networks::shipped_768()?;
    /// assert_eq!(networks.dimension(), 768);
    /// assert!(networks.bytes() < 400_000);
    /// # Ok::<(), cortica_neural::WeightsError>(())
    /// ```
    pub fn shipped_768() -> Result<Networks, WeightsError> {
        Networks::from_bytes(&include_bytes!("../weights/768.safetensors")[..])
    }
}
