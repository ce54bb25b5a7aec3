//! The example vectors of a rule, by nearness: looked at one by one while they are few, through a graph when they are many
//! (`fingerpost-index`).

use fingerpost_index::{Adaptive, DEFAULT_THRESHOLD, Metric, Options};

/// Vectors that a text is compared with.
pub(crate) struct Nearest {
    /// `None` while there is nothing to compare with.
    index: Option<Adaptive>,
}

// === impl Nearest ===

impl Nearest {
    /// Takes vectors of one length. One that has no direction (an empty text) is near to nothing and left out.
    pub(crate) fn new<V: AsRef<[f32]>>(vectors: &[V]) -> Self {
        let options = Options {
            metric: Metric::Cosine,
            ..Options::default()
        };
        let dims = vectors.first().map_or(0, |v| v.as_ref().len());
        let mut index = Adaptive::new(dims, options, DEFAULT_THRESHOLD).ok();
        if let Some(index) = &mut index {
            for (id, vector) in (0..).zip(vectors) {
                drop(index.insert(id, vector.as_ref()));
            }
        }
        Self {
            index: index.filter(|i| !i.is_empty()),
        }
    }

    /// The greatest `count` cosines with the vector, greatest first. None for a vector without a direction.
    pub(crate) fn cosines(&self, vector: &[f32], count: usize) -> impl Iterator<Item = f32> {
        let found = self
            .index
            .as_ref()
            .and_then(|i| i.search(vector, count, None).ok());
        found
            .into_iter()
            .flat_map(|f| f.neighbours)
            .map(|n| Metric::Cosine.similarity(n.distance))
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.index.as_ref().map_or(0, Adaptive::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_answer_alike() {
        let at = |degrees: f32| [degrees.to_radians().cos(), degrees.to_radians().sin()];
        let few: Vec<_> = (0..100).map(|i| at(i as f32)).collect();
        let many: Vec<_> = (0..3_000).map(|i| at(i as f32 / 30.0)).collect();
        for nearest in [Nearest::new(&few), Nearest::new(&many)] {
            let cosines: Vec<f32> = nearest.cosines(&at(110.0), 2).collect();
            assert_eq!(cosines.len(), 2);
            assert!(
                (cosines[0] - 11.0_f32.to_radians().cos()).abs() < 0.02,
                "{cosines:?}"
            );
        }
        assert_eq!(Nearest::new::<[f32; 2]>(&[]).cosines(&[1.0, 0.0], 3).count(), 0);
        assert_eq!(Nearest::new(&[[0.0, 0.0], [1.0, 0.0]]).len(), 1);
        assert_eq!(Nearest::new(&few).cosines(&[0.0, 0.0], 3).count(), 0);
    }
}
