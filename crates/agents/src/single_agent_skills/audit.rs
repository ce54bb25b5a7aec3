//! Which entries of a library are easily confused.

use fingerpost_core::Name;
use fingerpost_encode::dot;
use serde::Serialize;

use crate::SkillTree;

/// What an audit found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Audit {
    /// Mean over entries of the highest cosine to another entry, I(S) in the paper; 0 for fewer than two.
    pub confusability: f64,
    /// Pairs above the threshold, the most alike first: to be merged, or told apart by a sentence on what each is not for.
    pub look_alikes: Vec<LookAlike>,
    /// For each entry its nearest other and their cosine; empty for fewer than two entries.
    #[serde(skip)]
    pub nearest: Vec<(u32, f32)>,
}

/// A pair that is easily confused.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LookAlike {
    /// One of them.
    pub one: Name,
    /// The other.
    pub other: Name,
    /// Their cosine.
    pub cosine: f32,
    /// Whether a tree keeps them on one page, where they are compared side by side.
    pub same_page: bool,
}

// === impl Audit ===

impl Audit {
    /// Looks at all pairs; .85 is the usual threshold (inferred, not the paper's). Cost: entries^2 x dimension.
    pub fn of(tree: &SkillTree, threshold: f32) -> Self {
        let n = tree.len() as u32;
        let mut nearest = vec![(0, f32::NEG_INFINITY); n as usize];
        let mut pairs = Vec::new();
        for a in 0..n {
            for b in a + 1..n {
                let cosine = dot(tree.vector(a), tree.vector(b));
                for (one, other) in [(a, b), (b, a)] {
                    let best = &mut nearest[one as usize];
                    if cosine > best.1 {
                        *best = (other, cosine);
                    }
                }
                if cosine > threshold {
                    pairs.push((a, b, cosine));
                }
            }
        }
        pairs.sort_by(|x, y| y.2.total_cmp(&x.2));
        let together = |a: u32, b: u32| {
            let page = tree.groups().iter().map(|group| group.children.as_slice());
            let mut pages = page.chain([tree.top()]);
            let on = |page: &[crate::skill_tree::Child], entry| page.contains(&crate::Child::Entry(entry));
            pages.any(|page| on(page, a) && on(page, b))
        };
        let look_alike = |(a, b, cosine): (u32, u32, f32)| {
            Some(LookAlike {
                one: tree.id(a)?.clone(),
                other: tree.id(b)?.clone(),
                cosine,
                same_page: together(a, b),
            })
        };
        if n < 2 {
            nearest.clear();
        }
        let sum: f64 = nearest.iter().map(|(_, cosine)| f64::from(*cosine)).sum();
        Self {
            confusability: sum / nearest.len().max(1) as f64,
            look_alikes: pairs.into_iter().filter_map(look_alike).collect(),
            nearest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Entry, Kind};

    #[test]
    fn by_hand() {
        let entries = ["a", "b", "c"].map(|id| Entry::named(id, Kind::Tool));
        let tree = SkillTree::flat(&entries, &[1.0, 0.0, 0.8, 0.6, 0.0, 1.0]).unwrap();
        let audit = Audit::of(&tree, 0.7);
        // a to b .8, b to a .8, c to b .6.
        assert!((audit.confusability - 2.2 / 3.0).abs() < 1e-6);
        assert_eq!(audit.look_alikes.len(), 1);
        assert_eq!(
            (audit.look_alikes[0].one.as_str(), audit.look_alikes[0].same_page),
            ("a", true)
        );
        assert_eq!(audit.nearest[2].0, 1);
        let one = Audit::of(&SkillTree::flat(&entries[..1], &[1.0]).unwrap(), 0.7);
        assert_eq!((one.confusability, one.nearest.len()), (0.0, 0));
    }
}
