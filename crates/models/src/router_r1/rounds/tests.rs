use super::*;
use crate::{
    features::Features,
    outcomes::{Logged, OutcomeTable},
};

fn reply(text: &str) -> Reply {
    Reply {
        text: text.to_owned(),
        ..Reply::default()
    }
}

fn offers(qualities: &[f64]) -> Vec<Offer> {
    let cost = 1.0;
    qualities.iter().map(|&quality| Offer { quality, cost }).collect()
}

#[test]
fn what_most_agree_on_is_served_weighed_by_what_is_expected() {
    let offers = offers(&[0.9, 0.5, 0.6, 0.8]);
    let serve = |texts: &[&str]| {
        let heard: Vec<Heard> = texts
            .iter()
            .enumerate()
            .map(|(i, t)| Heard::of(i, &reply(t)))
            .collect();
        let standing = Standing {
            offers: &offers,
            open: &[false; 4],
            heard: &heard,
            turns: 4,
            max_turns: 4,
        };
        let same = |a: usize, b: usize| agree(&heard[a].text, &heard[b].text);
        standing.served(&same).map(|s| (s.at, s.groups))
    };
    assert_eq!(serve(&[]), None);
    assert_eq!(serve(&["(A)"]), Some((0, 1)));
    assert_eq!(serve(&["(A)", "(B)"]), Some((0, 2)));
    // 0.5 + 0.6 against 0.9; of the two the better one.
    assert_eq!(serve(&["(A)", "(B)", "The answer is B."]), Some((2, 2)));
    // An evasion counts a third of an answer.
    assert_eq!(serve(&["I cannot say.", "(B)"]), Some((1, 2)));
}

#[test]
fn actions_are_those_that_are_open() {
    let (offers, heard) = (offers(&[0.9, 0.5]), [Heard::of(0, &reply("(A)"))]);
    let acts = |open: &[bool], heard: &[Heard], turns| {
        let standing = Standing {
            offers: &offers,
            open,
            heard,
            turns,
            max_turns: 2,
        };
        let (acts, features) = standing.actions(&|_, _| false);
        assert!(features.iter().all(|f| f.len() == INPUTS));
        acts
    };
    assert_eq!(acts(&[true, true], &[], 0), [Act::Ask(0), Act::Ask(1)]);
    assert_eq!(acts(&[false, true], &heard, 1), [Act::Ask(1), Act::Serve(0)]);
    assert_eq!(acts(&[false, true], &heard, 2), [Act::Serve(0)]);
    assert!(acts(&[false, true], &[], 2).is_empty());
}

fn table(answers: bool) -> OutcomeTable {
    // `large` is always right; `small` is right on half, and says so where it cannot.
    let mut table = OutcomeTable::new(["small".into(), "large".into()]).unwrap();
    for i in 0..40 {
        let knows = i % 2 == 0;
        let small = if knows { "(A)" } else { "I don't know." };
        let responses = vec![Some(small.to_owned()), Some("(A)".to_owned())];
        let row = Logged {
            scores: vec![Some(f32::from(u8::from(knows))), Some(1.0)],
            costs: vec![Some(1e-5), Some(1e-3)],
            responses: if answers { responses } else { Vec::new() },
            ..Logged::query(i.to_string(), format!("question {i}"))
        };
        table.push(row).unwrap();
    }
    table
}

#[test]
fn it_learns_to_ask_the_cheap_one_first_where_cost_counts() {
    let table = table(true);
    let features = vec![Features::default(); table.len()];
    let training = Training::new(&table, &features, 3, &|_, _, _| true).unwrap();
    let settings = RouterR1Settings {
        cost_weight: 0.5,
        episodes: 20_000,
        ..RouterR1Settings::default()
    };
    let rounds = Rounds::train(&settings, &training).unwrap();
    let offers = [
        Offer {
            quality: 0.5,
            cost: 1e-5,
        },
        Offer {
            quality: 1.0,
            cost: 1e-3,
        },
    ];
    let next = |open: [bool; 2], heard: &[Heard]| {
        let turns = heard.len() as u32;
        rounds.next(&Standing {
            offers: &offers,
            open: &open,
            heard,
            turns,
            max_turns: 4,
        })
    };
    assert_eq!(next([true, true], &[]), Some(Act::Ask(0)));
    let sure = [Heard::of(0, &reply("(A)"))];
    assert_eq!(next([false, true], &sure), Some(Act::Serve(0)));
    let evades = [Heard::of(0, &reply("I don't know."))];
    assert_eq!(next([false, true], &evades), Some(Act::Ask(1)));
    assert_eq!(next([false, false], &[]), None);
}

#[test]
fn it_needs_answers_and_settings_in_range() {
    let table = table(false);
    let features = vec![Features::default(); table.len()];
    let training = Training::new(&table, &features, 3, &|_, _, _| true).unwrap();
    let train = |settings: &RouterR1Settings| Rounds::train(settings, &training).unwrap_err().to_string();
    let needs =
        "router_r1 needs the answers of two models or more to a query (`responses`); the outcomes hold none";
    assert_eq!(train(&RouterR1Settings::default()), needs);
    let wrong = RouterR1Settings {
        cost_weight: 1.5,
        ..RouterR1Settings::default()
    };
    assert_eq!(
        train(&wrong),
        "router_r1.cost_weight must be a number from 0 to 1, found 1.5"
    );
}
