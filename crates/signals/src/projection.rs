//! Projections, compiled: exclusive groups, weighted sums, named ranges. Their arithmetic alone; when they are computed is
//! the engine's business.

use crate::{MappingMethod, PartitionSemantics, Signal, State, ValueSource, family::structure::Predicate};

/// A group of which one member holds.
pub(crate) struct Partition {
    /// Slots of the members' own signals.
    pub(crate) members: Vec<u32>,
    /// Which member is taken when none matched.
    pub(crate) default: usize,
    pub(crate) semantics: PartitionSemantics,
    pub(crate) temperature: f64,
    /// First slot of the members' signals after the group has had its say.
    pub(crate) out: u32,
}

/// A weighted sum.
pub(crate) struct Score {
    pub(crate) inputs: Vec<Input>,
    pub(crate) out: u32,
}

pub(crate) struct Input {
    /// The slot of a signal, or of another score.
    pub(crate) slot: u32,
    pub(crate) weight: f64,
    pub(crate) value: ValueSource,
    pub(crate) on_match: f64,
    pub(crate) on_miss: f64,
}

/// Names for ranges.
pub(crate) struct Mapping {
    /// The slot of the score.
    pub(crate) source: u32,
    pub(crate) method: MappingMethod,
    pub(crate) bands: Vec<Predicate>,
    /// Slope of the calibration.
    pub(crate) slope: Option<f64>,
    /// First slot of the bands.
    pub(crate) out: u32,
}

/// Slope of the calibration where none is given.
pub(crate) const SLOPE: f64 = 12.0;
/// Temperature of the softmax where none is given.
pub(crate) const TEMPERATURE: f64 = 0.1;

// === impl Partition ===

impl Partition {
    /// The members' signals after the group has had its say, in their order.
    pub(crate) fn apply(&self, members: &[Signal], out: &mut [Signal]) {
        let mut winner: Option<usize> = None;
        for (i, signal) in members.iter().enumerate() {
            if signal.matched() && winner.is_none_or(|w| signal.confidence > members[w].confidence) {
                winner = Some(i);
            }
        }
        let confidence = match (winner, self.semantics) {
            (None, _) => 1.0,
            (Some(w), PartitionSemantics::Exclusive) => members[w].confidence,
            (Some(w), PartitionSemantics::SoftmaxExclusive) => {
                let best = members[w].confidence;
                let share = |s: &Signal| ((s.confidence - best) / self.temperature).exp();
                1.0 / members.iter().filter(|s| s.matched()).map(share).sum::<f64>()
            }
        };
        let holds = winner.unwrap_or(self.default);
        for (i, (own, out)) in members.iter().zip(out).enumerate() {
            *out = Signal::new(i == holds, confidence, own.raw);
        }
    }
}

// === impl Input ===

impl Input {
    /// Its term of the sum.
    pub(crate) fn term(&self, signal: &Signal) -> f64 {
        let value = match self.value {
            ValueSource::Binary if signal.matched() => self.on_match,
            ValueSource::Binary => self.on_miss,
            ValueSource::Confidence => signal.confidence,
            ValueSource::Raw | ValueSource::Score => signal.raw,
        };
        self.weight * value
    }
}

// === impl Mapping ===

impl Mapping {
    /// The bands' signals for this score.
    pub(crate) fn apply(&self, score: f64, out: &mut [Signal]) {
        let mut emitted = false;
        for (band, out) in self.bands.iter().zip(out) {
            let free = self.method == MappingMethod::MultiEmit || !emitted;
            let holds = free && band.holds(score);
            emitted |= holds;
            *out = Signal {
                state: if holds { State::Match } else { State::Miss },
                confidence: if holds { self.confidence(band, score) } else { 0.0 },
                raw: score,
            };
        }
    }

    fn confidence(&self, band: &Predicate, score: f64) -> f64 {
        let Some(slope) = self.slope else { return 1.0 };
        let distance = band
            .bounds()
            .map(|b| (score - b).abs())
            .fold(f64::INFINITY, f64::min);
        1.0 / (1.0 + (-slope * distance).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Number;

    fn partition(semantics: PartitionSemantics) -> Partition {
        Partition {
            members: vec![0, 1, 2],
            default: 1,
            semantics,
            temperature: 0.5,
            out: 0,
        }
    }

    fn apply(semantics: PartitionSemantics, confidences: [Option<f64>; 3]) -> Vec<(bool, f64)> {
        let members = confidences.map(|c| Signal::new(c.is_some(), c.unwrap_or(0.0), 0.0));
        let mut out = [Signal::UNKNOWN; 3];
        partition(semantics).apply(&members, &mut out);
        out.iter().map(|s| (s.matched(), s.confidence)).collect()
    }

    #[test]
    fn the_most_confident_member_stays() {
        let exclusive = PartitionSemantics::Exclusive;
        let out = apply(exclusive, [Some(0.5), Some(0.7), None]);
        assert_eq!(out, [(false, 0.0), (true, 0.7), (false, 0.0)]);
        let tie = apply(exclusive, [Some(0.5), None, Some(0.5)]);
        assert_eq!(tie, [(true, 0.5), (false, 0.0), (false, 0.0)]);
        assert_eq!(
            apply(exclusive, [None; 3]),
            [(false, 0.0), (true, 1.0), (false, 0.0)]
        );
    }

    #[test]
    fn softmax_renormalises_over_the_matched() {
        let out = apply(PartitionSemantics::SoftmaxExclusive, [Some(0.9), Some(0.4), None]);
        // 1 / (1 + e^((0.4 - 0.9) / 0.5)) = 1 / (1 + e^-1)
        assert!((out[0].1 - 1.0 / (1.0 + (-1.0_f64).exp())).abs() < 1e-12);
        assert!(!out[1].0 && !out[2].0);
    }

    #[test]
    fn terms_of_a_sum() {
        let input = |value| Input {
            slot: 0,
            weight: -2.0,
            value,
            on_match: 3.0,
            on_miss: 0.5,
        };
        let hit = Signal::new(true, 0.25, 7.0);
        let miss = Signal::new(false, 0.25, 7.0);
        assert_eq!(input(ValueSource::Binary).term(&hit), -6.0);
        assert_eq!(input(ValueSource::Binary).term(&miss), -1.0);
        assert_eq!(input(ValueSource::Confidence).term(&hit), -0.5);
        assert_eq!(input(ValueSource::Confidence).term(&miss), 0.0);
        assert_eq!(input(ValueSource::Raw).term(&miss), -14.0);
    }

    #[test]
    fn bands_and_their_confidence() {
        let number = |v| Some(Number::new(v).unwrap());
        let bands = vec![
            Predicate {
                lt: number(0.3),
                ..Predicate::default()
            },
            Predicate {
                gte: number(0.3),
                lt: number(0.7),
                ..Predicate::default()
            },
            Predicate {
                gte: number(0.5),
                ..Predicate::default()
            },
        ];
        let mut mapping = Mapping {
            source: 0,
            method: MappingMethod::ThresholdBands,
            bands,
            slope: Some(SLOPE),
            out: 0,
        };
        let mut read = |method, score| {
            mapping.method = method;
            let mut out = [Signal::UNKNOWN; 3];
            mapping.apply(score, &mut out);
            out.map(|s| (s.matched(), s.confidence))
        };
        let first = read(MappingMethod::ThresholdBands, 0.6);
        assert_eq!(first.map(|b| b.0), [false, true, false]);
        // 0.1 from the bound at 0.7: 1 / (1 + e^-1.2)
        assert!((first[1].1 - 1.0 / (1.0 + (-1.2_f64).exp())).abs() < 1e-12);
        assert_eq!(
            read(MappingMethod::MultiEmit, 0.6).map(|b| b.0),
            [false, true, true]
        );
        assert_eq!(read(MappingMethod::MultiEmit, f64::NAN).map(|b| b.0), [false; 3]);
    }
}
