use std::sync::Arc;

use fingerpost_core::{Catalogue, Context, Limits, Profile, Query, Router, Timestamp};
use fingerpost_encode::{Encoder, StaticEncoder};
use rand::{SeedableRng, rngs::SmallRng};

use super::*;
use crate::Kind;

fn entry(id: &str, description: &str) -> Entry {
    Entry {
        description: description.to_owned(),
        ..Entry::named(id, Kind::Skill)
    }
}

fn library() -> (Vec<Entry>, Vec<f32>, Arc<dyn Encoder>) {
    let entries = vec![
        entry("forecast", "Tells the weather forecast of a city"),
        entry("rain", "Tells whether it will rain in a city today"),
        entry("transfer", "Transfers money between bank accounts"),
        entry("balance", "Shows the balance of a bank account"),
        entry("recipe", "Finds a recipe for a meal to cook"),
        entry("calories", "Counts the calories of a meal"),
    ];
    let encoder: Arc<dyn Encoder> = Arc::new(StaticEncoder::bundled());
    let vectors = entries
        .iter()
        .flat_map(|e| encoder.encode(&e.description).to_vec())
        .collect();
    (entries, vectors, encoder)
}

fn options(group_size: usize) -> TreeOptions {
    TreeOptions {
        group_size,
        ..TreeOptions::default()
    }
}

#[test]
fn look_alikes_share_a_group_with_a_telling_name() {
    let (entries, vectors, _) = library();
    let tree = SkillTree::build(&entries, &vectors, &options(3)).unwrap();
    assert_eq!((tree.depth(), tree.groups().len()), (2, 3));
    for pair in [[0, 1], [2, 3], [4, 5]] {
        let group = tree
            .groups()
            .iter()
            .find(|g| g.entries.contains(&pair[0]))
            .unwrap();
        assert!(group.entries.contains(&pair[1]), "{pair:?}");
    }
    let money = tree.groups().iter().find(|g| g.entries.contains(&2)).unwrap();
    assert!(
        money.title.contains("bank") || money.title.contains("account"),
        "{}",
        money.title
    );
    let line = tree.line(tree.top()[0]);
    assert!(line.contains("forecast") && line.contains(" | "), "{line}");
}

#[test]
fn a_page_is_never_longer_than_asked_whatever_the_grouping() {
    let entries: Vec<Entry> = (0..500)
        .map(|i| Entry {
            group: (i % 3 == 0).then(|| format!("owner {}", i % 70).as_str().into()),
            ..entry(&format!("e{i}"), "")
        })
        .collect();
    let vectors: Vec<f32> = (0..1500).map(|i| ((i * 37 % 101) as f32).sin()).collect();
    for grouping in [Grouping::Alike, Grouping::Owner] {
        let tree = SkillTree::build(
            &entries,
            &vectors,
            &TreeOptions {
                grouping,
                ..options(7)
            },
        )
        .unwrap();
        assert!(tree.top().len() <= 7 && tree.groups().iter().all(|g| g.children.len() <= 7));
        let mut all: Vec<u32> = tree.top().iter().flat_map(|c| tree.below(*c)).collect();
        all.sort_unstable();
        assert_eq!(all, (0..500).collect::<Vec<_>>(), "{grouping:?}");
        assert!(tree.depth() >= 4);
    }
}

#[test]
fn a_walk_looks_at_a_few_pages_and_a_wide_one_at_all() {
    let (entries, vectors, encoder) = library();
    let tree = SkillTree::build(&entries, &vectors, &options(3)).unwrap();
    let query = encoder.encode("send money to my other account");
    let narrow = tree.walk(
        &query,
        Beam {
            width: 1,
            margin: 0.0,
        },
    );
    assert_eq!(
        (narrow.leaves[0].0, narrow.leaves.len(), narrow.stages.len()),
        (2, 2, 2)
    );
    let wide = tree.walk(
        &query,
        Beam {
            width: 9,
            margin: 2.0,
        },
    );
    assert_eq!((wide.leaves[0].0, wide.leaves.len()), (2, 6));
    assert!(wide.compared > narrow.compared);
    let flat = SkillTree::flat(&entries, &vectors)
        .unwrap()
        .walk(&query, Beam::default());
    assert_eq!((flat.leaves.len(), flat.stages.len(), flat.compared), (6, 1, 6));
}

#[test]
fn the_router_keeps_to_candidates_and_limits() {
    let (entries, vectors, encoder) = library();
    let tree = Arc::new(SkillTree::build(&entries, &vectors, &options(3)).unwrap());
    let router = SkillTreeRouter::new(&SkillTreeConfig::default(), "tree".into(), tree, encoder).unwrap();
    let names = entries.iter().map(|e| e.id.clone()).chain(["a stranger".into()]);
    let catalogue = Catalogue::new(names.map(Profile::named)).unwrap();
    let mut limits = Limits::default();
    let route = |limits: &Limits, among: &[fingerpost_core::CandidateId]| {
        let mut rng = SmallRng::seed_from_u64(1);
        let mut cx = Context::new(&catalogue, limits, Timestamp::default(), &mut rng);
        router.route(&Query::text("send money to my other account"), among, &mut cx)
    };
    let all = catalogue.ids();
    assert_eq!(route(&limits, &all).unwrap().first().name.as_str(), "transfer");
    limits.barred = vec![all[2], all[3]];
    let elsewhere = route(&limits, &all).unwrap();
    assert!(!["transfer", "balance"].contains(&elsewhere.first().name.as_str()));
    // Only what stands in another group is a candidate.
    let only = route(&Limits::default(), &all[4..5]).unwrap();
    assert_eq!((only.first().name.as_str(), only.picks.len()), ("recipe", 1));
    assert!(route(&Limits::default(), &all[6..]).is_err() && route(&Limits::default(), &[]).is_err());
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let (entries, vectors, encoder) = library();
    let error = |entries: &[Entry], vectors: &[f32], size| {
        SkillTree::build(entries, vectors, &options(size))
            .unwrap_err()
            .to_string()
    };
    assert!(error(&entries, &vectors[1..], 3).contains("6 entries"));
    assert_eq!(
        error(&entries, &vectors, 1),
        "group_size must be at least 2, found 1"
    );
    let twice = [entries[0].clone(), entries[0].clone()];
    assert!(error(&twice, &[1.0, 2.0], 3).contains("`forecast` stands twice"));
    assert!(error(&twice[..1], &[f32::NAN], 3).contains("not finite"));
    let empty = SkillTree::build(&[], &[], &options(3)).unwrap();
    assert!(empty.is_empty() && empty.walk(&[], Beam::default()).leaves.is_empty());
    let config = SkillTreeConfig {
        beam: 0,
        ..SkillTreeConfig::default()
    };
    let error = SkillTreeRouter::new(&config, "t".into(), Arc::new(empty), encoder)
        .err()
        .unwrap();
    assert_eq!(error.to_string(), "skill_tree.beam must be at least 1, found 0");
}
