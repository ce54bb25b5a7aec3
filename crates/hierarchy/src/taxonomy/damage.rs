//! Spoils the assignment of a taxonomy at random, so that a corrector can be taught and judged (card 54, test c).

use rand::{Rng, rngs::SmallRng, seq::IndexedRandom};

use super::Taxonomy;

/// Takes away each link of category and item with a chance of `share`, and puts as many wrong ones, in the mean, into the same
/// category: items that it did not hold. `share` is brought into 0 to 1. What is left is no worse ordered than before.
pub fn damage(taxonomy: &mut Taxonomy, share: f64, rng: &mut SmallRng) {
    let (share, items) = (share.clamp(0.0, 1.0), taxonomy.items);
    taxonomy.for_each_mut(|_, category| {
        let others: Vec<u32> = (0..items).filter(|&item| !category.holds(item)).collect();
        let wrong = (0..category.items.len())
            .filter(|_| rng.random_bool(share))
            .count();
        let wrong: Vec<u32> = others.choose_multiple(rng, wrong).copied().collect();
        category.items.retain(|_| !rng.random_bool(share));
        category.items.extend(wrong);
        category.items.sort_unstable();
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::taxonomy::{Category, assignments};
    use rand::SeedableRng;

    #[test]
    fn a_fifth_goes_and_a_fifth_comes() {
        let truth = Taxonomy {
            title: "t".into(),
            items: 5_000,
            categories: vec![Category::new("a", 0..1_000), Category::new("all", 0..5_000)],
        };
        let mut spoilt = truth.clone();
        damage(&mut spoilt, 0.2, &mut SmallRng::seed_from_u64(1));
        spoilt.validate().unwrap();
        let one = |taxonomy: &Taxonomy| Taxonomy {
            categories: taxonomy.categories[..1].to_vec(),
            ..taxonomy.clone()
        };
        let counts = assignments(&one(&spoilt), &one(&truth)).unwrap();
        assert!(
            (counts.recall() - 0.8).abs() < 0.04 && (counts.precision() - 0.8).abs() < 0.04,
            "{counts:?}"
        );
        // Where a category holds all there is nothing wrong to insert.
        assert!(spoilt.categories[1].items.len() < 4_200);
        let mut whole = truth.clone();
        damage(&mut whole, 0.0, &mut SmallRng::seed_from_u64(1));
        assert_eq!(whole, truth);
    }
}
