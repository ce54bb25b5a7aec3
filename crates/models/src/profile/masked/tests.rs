use super::*;
use crate::profile::graph::{Cards, ModelCard, Parts, tests::table};

fn with_net(layers: usize, check: impl Fn(&Net<'_>, &Training<'_>)) {
    let (table, features) = table();
    let training = Training::new(&table, &features, 1, &|_, _, _| true).unwrap();
    let card = ModelCard {
        description: "adds".to_owned(),
        scores: [("sums".into(), 0.9), ("poems".into(), 0.1)].into(),
        ..ModelCard::default()
    };
    let cards = Cards {
        models: [("new".into(), card)].into(),
        ..Cards::default()
    };
    let parts = Parts {
        queries: true,
        domains: false,
    };
    let graph = Graph::build(&training, &cards, parts, &|text| {
        normalized(vec![text.len() as f32, 3.0])
    });
    check(&Net::new(&graph, layers), &training);
}

#[test]
fn gradients_are_those_of_finite_differences() {
    for layers in [1, 2, 3] {
        with_net(layers, |net, _| {
            let mut rng = SmallRng::seed_from_u64(5);
            let mut values = net.begin();
            values.iter_mut().for_each(|v| *v += rng.random_range(-0.2..0.2));
            let hidden = Hidden::draw(net.graph, &mut rng);
            let (_, gradient) = net.gradient(&values, &hidden);
            for place in 0..values.len() {
                let at = |move_by: f32| {
                    let mut moved = values.clone();
                    moved[place] += move_by;
                    net.gradient(&moved, &hidden).0
                };
                let slope = (at(2e-3) - at(-2e-3)) / 4e-3;
                let allowed = 0.02 * slope.abs() + 2e-3;
                assert!(
                    (slope - gradient[place]).abs() < allowed,
                    "{layers} layers, {place}: {slope} {}",
                    gradient[place]
                );
            }
            assert!(gradient.iter().filter(|g| g.abs() > 1e-4).count() > values.len() / 4);
        });
    }
}

#[test]
fn a_model_without_outcomes_gets_its_place_from_published_scores() {
    with_net(2, |net, training| {
        let profiles = train(net.graph, 2, 200, training).unwrap();
        let [sums, poems] = [[1.0, 0.0], [0.0, 1.0]].map(|q| fingerpost_encode::dot(&profiles[2], &q));
        let other = fingerpost_encode::dot(&profiles[1], &[1.0, 0.0]);
        assert!(sums > poems && sums > other, "{profiles:?}");
    });
}
