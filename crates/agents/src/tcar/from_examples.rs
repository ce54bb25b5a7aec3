//! A head from what agents say of themselves.

use fingerpost_encode::Vector;
use rand::rngs::SmallRng;

use super::{
    bank::AgentBank,
    head::{Lesson, TcarError, TcarHead},
};

// === impl TcarHead ===

impl TcarHead {
    /// A head learned from the examples of the bank's agents, each hidden while it is the query, and from queries that are for
    /// nobody (`outside`). Thresholds are calibrated on the same queries, the example itself still hidden, to sets of at most
    /// `mean_size` agents on the average; without `outside` nothing is out of scope. Cost: the bank's features twice a query.
    ///
    /// # Errors
    /// [`TcarError::Fit`] where there are no examples, or one agent alone.
    pub fn from_examples(
        bank: &AgentBank,
        outside: &[String],
        mean_size: f64,
        rng: &mut SmallRng,
    ) -> Result<Self, TcarError> {
        let foreign: Vec<Vector> = outside.iter().map(|text| bank.encoder().encode(text)).collect();
        let mut lessons = Vec::new();
        for (agent, known) in bank.agents().iter().enumerate() {
            for (place, (text, vector)) in known.entry.examples.iter().zip(known.examples()).enumerate() {
                lessons.push(Lesson {
                    text,
                    vector,
                    gold: Some(agent),
                    own: Some(place),
                });
            }
        }
        lessons.extend(outside.iter().zip(&foreign).map(|(text, vector)| Lesson {
            text,
            vector,
            gold: None,
            own: None,
        }));
        let head = Self::train(bank, &lessons, rng)?;
        let judged = head.judge(bank, &lessons, rng);
        Ok(head.calibrate(&judged, mean_size))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fingerpost_encode::StaticEncoder;
    use rand::SeedableRng;

    use super::*;
    use crate::tcar::bank::tests::agent;

    #[test]
    fn examples_alone_make_a_head_that_knows_its_agents_and_strangers() {
        let weather = [
            "will it rain tomorrow",
            "how hot is it in Rome",
            "is it snowing in Oslo",
            "weather for Sunday",
        ];
        let money = [
            "send 10 dollars to Ann",
            "transfer money to savings",
            "pay my rent",
            "move 5 euros to Bob",
        ];
        let bank = AgentBank::new(
            vec![
                agent("weather", "Tells the weather", &weather),
                agent("money", "Moves money between accounts", &money),
            ],
            Arc::new(StaticEncoder::bundled()),
        )
        .unwrap();
        let outside = [
            "who wrote Hamlet",
            "tell me a joke about cats",
            "prove Fermat's theorem",
        ]
        .map(String::from);
        let head = TcarHead::from_examples(&bank, &outside, 1.5, &mut SmallRng::seed_from_u64(1)).unwrap();
        let chosen = |text: &str| {
            let vector = bank.encoder().encode(text);
            let features = bank.features(text, &vector);
            let scores = head.scores(&features);
            head.thresholds.choose(&scores, head.inside(&features, &scores))
        };
        assert_eq!(chosen("is it going to rain in Paris tomorrow")[0], 0);
        assert_eq!(chosen("transfer 20 dollars to my savings")[0], 1);
        assert_eq!(chosen("who painted the Mona Lisa"), [0; 0]);

        let bare = AgentBank::new(
            vec![agent("a", "one thing", &[]), agent("b", "another", &[])],
            Arc::new(StaticEncoder::bundled()),
        )
        .unwrap();
        let error = TcarHead::from_examples(&bare, &[], 1.5, &mut SmallRng::seed_from_u64(1)).unwrap_err();
        assert!(error.to_string().contains("give some of both"), "{error}");
    }
}
