//! What an answer of each model may be expected to cost.

use fingerpost_core::{Candidate, TokenCount, Usd};
use serde::{Deserialize, Serialize};

use crate::{outcomes::OutcomeTable, predictor::Columns};

/// Output tokens that are assumed where nobody knows better.
const OUTPUT: u32 = 256;
/// Bytes of text a token, as the gateway estimates.
const BYTES_PER_TOKEN: usize = 4;

/// Expected costs of answers, learned from logged ones: for each model a line over the length of the query.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Costs {
    columns: Columns,
    /// US dollars an answer and US dollars a byte of the query, a column each; `None` where no cost was logged.
    lines: Vec<Option<(f64, f64)>>,
}

// === impl Costs ===

impl Costs {
    /// Least squares over the rows with a known cost; neither part of a line is negative.
    pub fn learn(table: &OutcomeTable) -> Self {
        let line = |model: usize| {
            let known = table.rows().iter().filter_map(|r| {
                let cost = r.costs.get(model).copied().flatten()?;
                Some((r.text.len() as f64, cost))
            });
            fit(&known.collect::<Vec<_>>())
        };
        Self {
            columns: Columns::new(table.models().iter().cloned()),
            lines: (0..table.models().len()).map(line).collect(),
        }
    }

    /// What an answer of `candidate` to a text of so many bytes should cost: by what was logged, else by its price, else nothing.
    pub fn expect(&self, candidate: &Candidate, bytes: usize) -> Usd {
        let logged = self
            .columns
            .get(&candidate.profile.name)
            .and_then(|c| *self.lines.get(c)?);
        if let Some((base, per_byte)) = logged {
            return Usd::clamped(base + per_byte * bytes as f64);
        }
        let input = TokenCount(u32::try_from(bytes / BYTES_PER_TOKEN).unwrap_or(u32::MAX));
        let price = candidate.profile.price;
        price.map_or(Usd::ZERO, |p| p.cost(input, TokenCount(0), TokenCount(OUTPUT)))
    }
}

/// The line of least squares through (x, y), neither of whose parts is negative; `None` without points.
fn fit(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    if points.is_empty() {
        return None;
    }
    let n = points.len() as f64;
    let (sx, sy) = points
        .iter()
        .fold((0.0, 0.0), |(sx, sy), (x, y)| (sx + x, sy + y));
    let (mx, my) = (sx / n, sy / n);
    let (sxx, sxy) = points.iter().fold((0.0, 0.0), |(sxx, sxy), (x, y)| {
        (sxx + (x - mx).powi(2), sxy + (x - mx) * (y - my))
    });
    let slope = if sxx > 0.0 { (sxy / sxx).max(0.0) } else { 0.0 };
    let base = my - slope * mx;
    // Through the origin where the line would start below it.
    let through =
        || points.iter().map(|(x, y)| x * y).sum::<f64>() / points.iter().map(|(x, _)| x * x).sum::<f64>();
    Some(if base >= 0.0 {
        (base, slope)
    } else {
        (0.0, through())
    })
}

#[cfg(test)]
mod tests {
    use fingerpost_core::{CandidateId, Catalogue, Price, Profile, UsdPerMillion};

    use super::*;
    use crate::outcomes::Logged;

    #[test]
    fn lines_on_hand_computed_numbers() {
        assert_eq!(fit(&[]), None);
        assert_eq!(fit(&[(4.0, 3.0)]), Some((3.0, 0.0)));
        assert_eq!(fit(&[(0.0, 1.0), (2.0, 2.0), (4.0, 3.0)]), Some((1.0, 0.5)));
        assert_eq!(
            fit(&[(1.0, 3.0), (3.0, 1.0)]),
            Some((2.0, 0.0)),
            "dearer for less is chance"
        );
        // Least squares would start at -1: (1*1 + 2*3) / (1 + 4) through the origin.
        assert_eq!(fit(&[(1.0, 1.0), (2.0, 3.0)]), Some((0.0, 1.4)));
    }

    #[test]
    fn logged_costs_go_before_prices() {
        let mut table = OutcomeTable::new(["a".into(), "b".into()]).unwrap();
        let row = Logged {
            scores: vec![None, None],
            costs: vec![Some(0.02), None],
            ..Logged::query("1", "four")
        };
        table.push(row).unwrap();
        let costs = Costs::learn(&table);
        let price = Price {
            input: UsdPerMillion::new(1.0).unwrap(),
            cached_input: None,
            output: UsdPerMillion::new(2.0).unwrap(),
        };
        let profile = |name: &str| Profile {
            price: Some(price),
            ..Profile::named(name)
        };
        let catalogue = Catalogue::new([profile("a"), profile("b"), Profile::named("c")]).unwrap();
        let expect = |id| costs.expect(catalogue.get(CandidateId(id)).unwrap(), 400).get();
        assert_eq!(expect(0), 0.02);
        // 100 tokens in at 1, 256 out at 2 dollars a million.
        assert!((expect(1) - 612e-6).abs() < 1e-15);
        assert_eq!(expect(2), 0.0);
    }
}
