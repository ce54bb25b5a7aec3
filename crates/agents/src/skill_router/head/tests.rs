use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::*;

/// Lists of four, where the right candidate has the highest product of two features: no weighted sum finds it.
fn products(lists: usize, seed: u64) -> Lists {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut made = Lists::new(3);
    for _ in 0..lists {
        let rows: Vec<[f32; 3]> = (0..4)
            .map(|_| std::array::from_fn(|_| rng.random_range(-1.0..1.0)))
            .collect();
        let product = |row: &[f32; 3]| row[0] * row[1];
        let best = rows.iter().map(product).fold(f32::NEG_INFINITY, f32::max);
        made.push(rows.iter().map(|row| (row, f32::from(product(row) == best))));
    }
    made
}

fn hits(lists: &Lists, score: impl Fn(&[f32]) -> f32) -> f32 {
    let right = lists.spans().filter(|span| {
        let best = span
            .clone()
            .max_by(|a, b| score(lists.row(*a)).total_cmp(&score(lists.row(*b))));
        best.is_some_and(|row| lists.grades[row] > 0.0)
    });
    right.count() as f32 / lists.ends.len() as f32
}

#[test]
fn trees_find_what_no_sum_can() {
    let (train, test) = (products(1_500, 1), products(500, 2));
    for objective in [
        Objective::Pointwise,
        Objective::Pairwise,
        Objective::Listwise,
        Objective::LambdaRank,
    ] {
        let head = Head::fit(&train, objective, 7);
        let linear = hits(&test, |row| head.linear.score(row));
        let whole = hits(&test, |row| head.score(row));
        assert!(linear < 0.45 && whole > 0.8, "{objective:?}: {linear} {whole}");
        assert!(head.is_sound(3) && !head.is_sound(2));
    }
}

#[test]
fn one_seed_one_head_and_shares_add_up_to_the_score() {
    let train = products(300, 1);
    let head = Head::fit(&train, Objective::LambdaRank, 7);
    assert_eq!(head, Head::fit(&train, Objective::LambdaRank, 7));
    let constant = |row: &[f32]| head.score(row) - head.explain(row).iter().sum::<f32>();
    let first = constant(train.row(0));
    for row in 1..40 {
        assert!((constant(train.row(row)) - first).abs() < 1e-3);
    }
}

#[test]
fn nothing_to_learn_from_is_no_error() {
    let head = Head::fit(&Lists::new(2), Objective::Listwise, 1);
    assert!(head.score(&[1.0, 2.0]).is_finite());
}
