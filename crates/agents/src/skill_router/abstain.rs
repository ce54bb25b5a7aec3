//! Whether anything fits at all.
//!
//! A logistic regression over what the ranked list as a whole looks like. It is trained on lists whose scores come from a head
//! that did not see them, so that its probabilities hold for new requests.

use serde::{Deserialize, Serialize};

use super::head::{Linear, Lists, Objective, logistic, softmax};

/// What is looked at beside what the training says of "nothing": columns of the features that tell how near the best candidate is.
/// None where "nothing" is a class of its own that was learned; there, looks only blur, as the head is never asked about requests
/// that nothing fits.
pub(crate) type Columns = Option<Vec<usize>>;

/// The trained regression.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Abstain {
    linear: Linear,
    columns: Columns,
}

// === impl Abstain ===

impl Abstain {
    /// Learns from lists as [`signs`] shows them, each with whether something of it fits.
    pub(crate) fn fit(columns: Columns, rows: &[(Vec<f32>, bool)]) -> Self {
        let mut lists = Lists::new(rows.first().map_or(0, |r| r.0.len()));
        // One list with all rows: the pointwise loss takes each on its own.
        lists.push(rows.iter().map(|(row, fits)| (row, f32::from(*fits))));
        let mut linear = Linear::fit(&lists, Objective::Pointwise, 0.0);
        if rows.is_empty() {
            linear = Linear::default();
        }
        Self { linear, columns }
    }

    /// The probability that something fits; one half where nothing was learned.
    pub(crate) fn fits(&self, signs: &[f32]) -> f32 {
        logistic(self.linear.score(signs))
    }

    /// What it looks at.
    pub(crate) fn columns(&self) -> &Columns {
        &self.columns
    }
}

/// What a list looks like: how far the best score stands out, how its features are, what remembered requests say of nothing.
pub(crate) fn signs(rows: &[Vec<f32>], scores: &[f32], columns: &Columns, of_request: &[f32]) -> Vec<f32> {
    let Some(columns) = columns else {
        return of_request.to_vec();
    };
    let mut shares = vec![0.0; scores.len()];
    softmax(scores, &mut shares);
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_unstable_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b)));
    let at = |values: &[f32], rank: usize| order.get(rank).map_or(0.0, |place| values[*place]);
    let spread = -shares.iter().map(|s| s * s.max(1e-9).ln()).sum::<f32>();
    let mean = scores.iter().sum::<f32>() / scores.len().max(1) as f32;
    let best = at(scores, 0);
    let mut signs = vec![
        best,
        best - at(scores, 1),
        best - mean,
        at(&shares, 0),
        (at(&shares, 0).clamp(1e-6, 1.0 - 1e-6) / (1.0 - at(&shares, 0).clamp(1e-6, 1.0 - 1e-6))).ln(),
        spread,
    ];
    for &column in columns {
        let value = |row: &Vec<f32>| row.get(column).copied().unwrap_or(0.0);
        signs.push(order.first().map_or(0.0, |place| value(&rows[*place])));
        signs.push(
            rows.iter()
                .map(value)
                .fold(f32::NEG_INFINITY, f32::max)
                .max(-20.0),
        );
    }
    signs.extend_from_slice(of_request);
    signs
}
