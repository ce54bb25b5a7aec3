//! What an answer of each model may be expected to cost.
//!
//! A line over the length of the query for each model, times what the query's looks make of it: a ridge regression of the
//! logarithm of how many times the line an answer cost ([`crate::space`]), since some questions are answered at length and others in
//! a letter. The logarithm's mean is not that of costs, so each model's costs are brought to their logged mean (Duan 1983).
//! Far from all that was logged the line alone remains.

use fingerpost_core::{Candidate, TokenCount, Usd};
use serde::{Deserialize, Serialize};

use crate::{
    features::Features,
    outcomes::Logged,
    predictor::Columns,
    regression::{Weights, regress},
    space::Space,
    training::{TrainError, Training},
};

/// Output tokens that are assumed where nobody knows better.
const OUTPUT: u32 = 256;
/// Bytes of text a token, as the gateway estimates.
const BYTES_PER_TOKEN: usize = 4;
/// With fewer logged queries the line is all there is.
const ENOUGH: usize = 60;
/// How strongly the logarithms are drawn to the line.
const RIDGE: f64 = 1.0;
/// Most that looks may add to a cost's logarithm, or take from it.
const MOST: f32 = 2.0;

/// Expected costs of answers, learned from logged ones.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Costs {
    columns: Columns,
    /// US dollars an answer and US dollars a byte of the query, a column each; `None` where no cost was logged.
    lines: Vec<Option<(f64, f64)>>,
    looks: Option<Looks>,
}

/// How many times the line a query's answers cost, by its looks.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Looks {
    space: Space,
    /// Logarithms, a target a model.
    weights: Weights,
    /// What brings each model's costs to their mean.
    scale: Vec<f64>,
}

// === impl Costs ===

impl Costs {
    /// Learns from the rows with a known cost.
    ///
    /// # Errors
    /// [`TrainError::Stopped`] where whoever watches wants no more.
    pub fn learn(training: &Training<'_>) -> Result<Self, TrainError> {
        let table = training.table();
        let line = |model: usize| {
            let known = training.rows().filter_map(|(row, _)| {
                let cost = row.costs.get(model).copied().flatten()?;
                Some((row.text.len() as f64, cost))
            });
            fit(&known.collect::<Vec<_>>())
        };
        let lines: Vec<Option<(f64, f64)>> = (0..table.models().len()).map(line).collect();
        Ok(Self {
            columns: Columns::new(table.models().iter().cloned()),
            looks: Looks::learn(&lines, training)?,
            lines,
        })
    }

    /// What an answer of each candidate to a query of so many bytes should cost, in US dollars: by what was logged, else by its
    /// price, else nothing.
    pub fn expect(&self, candidates: &[&Candidate], query: &Features, bytes: usize) -> Vec<Usd> {
        let looks = self.looks.as_ref().map(|looks| looks.factors(query));
        let of = |candidate: &&Candidate| {
            let column = self.columns.get(&candidate.profile.name);
            let Some((column, (base, per_byte))) = column.and_then(|c| Some((c, (*self.lines.get(c)?)?)))
            else {
                return by_price(candidate, bytes);
            };
            let factor = looks.as_ref().map_or(1.0, |l| l[column]);
            Usd::clamped((base + per_byte * bytes as f64) * factor)
        };
        candidates.iter().map(of).collect()
    }
}

/// What an answer to a text of so many bytes should cost by the candidate's price; nothing where it has none.
pub(crate) fn by_price(candidate: &Candidate, bytes: usize) -> Usd {
    let input = TokenCount(u32::try_from(bytes / BYTES_PER_TOKEN).unwrap_or(u32::MAX));
    let price = candidate.profile.price;
    price.map_or(Usd::ZERO, |p| p.cost(input, TokenCount(0), TokenCount(OUTPUT)))
}

// === impl Looks ===

impl Looks {
    fn learn(lines: &[Option<(f64, f64)>], training: &Training<'_>) -> Result<Option<Self>, TrainError> {
        // The logarithm of how many times the line an answer cost; 0 where nobody knows.
        let times = |row: &Logged, model: usize| -> Option<f32> {
            let cost = row.costs.get(model).copied().flatten()?;
            let (base, per_byte) = lines[model]?;
            let expected = base + per_byte * row.text.len() as f64;
            (cost > 0.0 && expected > 0.0).then(|| (cost / expected).ln() as f32)
        };
        let models = 0..lines.len();
        let known = |(row, _): &(&Logged, &Features)| models.clone().any(|m| times(row, m).is_some());
        if training.rows().filter(known).count() < ENOUGH {
            return Ok(None);
        }
        let space = Space::fit(training);
        let points: Vec<_> = training.rows().map(|(_, f)| space.point(f)).collect();
        let values: Vec<f32> = training
            .rows()
            .flat_map(|(row, _)| models.clone().map(move |m| times(row, m).unwrap_or(0.0)))
            .collect();
        let mut looks = Self {
            weights: regress(&points, &values, lines.len(), RIDGE, training)?,
            space,
            scale: vec![1.0; lines.len()],
        };
        let (mut logged, mut expected) = (vec![0.0; lines.len()], vec![0.0; lines.len()]);
        for (row, features) in training.rows() {
            let factors = looks.factors(features);
            for model in models.clone() {
                let cost = row.costs.get(model).copied().flatten();
                if let Some((cost, (base, per_byte))) = cost.zip(lines[model]) {
                    logged[model] += cost;
                    expected[model] += factors[model] * (base + per_byte * row.text.len() as f64);
                }
            }
        }
        for (scale, (logged, expected)) in looks.scale.iter_mut().zip(logged.iter().zip(&expected)) {
            *scale = if *expected > 0.0 { logged / expected } else { 1.0 };
        }
        Ok(Some(looks))
    }

    /// How many times the line an answer costs, a model each.
    fn factors(&self, query: &Features) -> Vec<f64> {
        let mut logarithms = vec![0.0; self.weights.targets()];
        self.weights.apply_to(&self.space.point(query), &mut logarithms);
        let factor = |(l, scale): (&f32, &f64)| scale * f64::from(l.clamp(-MOST, MOST)).exp();
        logarithms.iter().zip(&self.scale).map(factor).collect()
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
    use fingerpost_core::{Catalogue, Price, Profile, UsdPerMillion};

    use super::*;
    use crate::outcomes::OutcomeTable;

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

    fn expect(costs: &Costs, query: &Features, bytes: usize) -> Vec<f64> {
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
        let all: Vec<&Candidate> = catalogue.iter().collect();
        costs.expect(&all, query, bytes).iter().map(|c| c.get()).collect()
    }

    /// Costs of model `a` by the sign of the only value of a query's vector.
    fn learned(rows: usize, cost: fn(f32) -> f64) -> Costs {
        let mut table = OutcomeTable::new(["a".into(), "b".into()]).unwrap();
        let mut seen = Vec::new();
        for i in 0..rows {
            let sign = if i % 2 == 0 { 1.0 } else { -1.0 };
            let row = Logged {
                scores: vec![None, None],
                costs: vec![Some(cost(sign)), None],
                ..Logged::query(i.to_string(), "four")
            };
            table.push(row).unwrap();
            seen.push(Features {
                vector: vec![sign],
                ..Features::default()
            });
        }
        Costs::learn(&Training::new(&table, &seen, 1, &|_, _, _| true).unwrap()).unwrap()
    }

    #[test]
    fn logged_costs_go_before_prices() {
        let costs = learned(2, |_| 0.02);
        let found = expect(&costs, &Features::default(), 400);
        assert_eq!(found[0], 0.02);
        // 100 tokens in at 1, 256 out at 2 dollars a million.
        assert!((found[1] - 612e-6).abs() < 1e-15);
        assert_eq!(found[2], 0.0);
    }

    #[test]
    fn looks_tell_dear_queries_from_cheap_ones_and_keep_the_mean() {
        let costs = learned(200, |sign| if sign > 0.0 { 0.03 } else { 0.01 });
        let at = |value: f32| {
            let query = Features {
                vector: vec![value],
                ..Features::default()
            };
            expect(&costs, &query, 4)[0]
        };
        assert!(
            (at(1.0) - 0.03).abs() < 0.003 && (at(-1.0) - 0.01).abs() < 0.002,
            "{} {}",
            at(1.0),
            at(-1.0)
        );
        assert!((at(1.0) + at(-1.0) - 0.04).abs() < 1e-6);
    }
}
