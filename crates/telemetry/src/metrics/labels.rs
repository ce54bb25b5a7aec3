//! Label sets of a fixed number of names.

use std::fmt::{self, Write as _};

use fingerpost_core::Name;
use prometheus_client::encoding::{EncodeLabelKey, EncodeLabelSet, LabelSetEncoder};

/// `N` labels with their values.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Labels<const N: usize>([(&'static str, Name); N]);

/// The label set of these values.
pub(super) fn labels<const N: usize>(pairs: [(&'static str, &Name); N]) -> Labels<N> {
    Labels(pairs.map(|(key, value)| (key, value.clone())))
}

impl<const N: usize> EncodeLabelSet for Labels<N> {
    fn encode(&self, encoder: &mut LabelSetEncoder) -> Result<(), fmt::Error> {
        for (key, value) in &self.0 {
            let mut label = encoder.encode_label();
            let mut key_encoder = label.encode_label_key()?;
            EncodeLabelKey::encode(key, &mut key_encoder)?;
            let mut value_encoder = key_encoder.encode_label_value()?;
            // This way in escapes quotes, backslashes and line breaks.
            value_encoder.write_str(value)?;
            value_encoder.finish()?;
        }
        Ok(())
    }
}
