//! An encoder for tests whose vectors can be worked out by hand.

use fingerpost_encode::{Encoder, ModelId};

/// Reads a text as an angle in degrees and gives the unit vector of that direction; `nan` gives NaN, any other text zeros.
pub(crate) struct Compass(ModelId);

impl Compass {
    pub(crate) fn new() -> Self {
        Self(ModelId::new("compass", 1))
    }
}

impl Encoder for Compass {
    fn model(&self) -> &ModelId {
        &self.0
    }
    fn dims(&self) -> usize {
        2
    }
    fn encode_into(&self, text: &str, out: &mut [f32]) {
        let vector = match text.trim().parse::<f32>() {
            Ok(degrees) => {
                let angle = degrees.to_radians();
                [angle.cos(), angle.sin()]
            }
            Err(_) => [0.0, 0.0],
        };
        out.copy_from_slice(&vector);
    }
}
