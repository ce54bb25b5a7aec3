//! The scripted model with bounded attention, over the very prompts of the selector.

use std::{path::Path, sync::Arc};

use fingerpost_agents::{
    Child, SkillTree, TreeOptions,
    single_agent_skills::{
        Audit, BoundedConfig, BoundedSelector, Curve, Laws, Measured, SelectorConfig, SkillSelector,
        accuracy_svg,
    },
    skill_tree::Grouping,
};
use fingerpost_core::{
    Answer, Catalogue, Context, Decision, Feature, Limits, Outcome, Profile, Query, Reply, Timestamp, drive,
};
use fingerpost_encode::dot;
use rand::{SeedableRng, rngs::SmallRng, seq::SliceRandom};
use serde_json::{Value, json};

use crate::{Fallible, data::Set, reading::Reader};

const SIZES: [usize; 9] = [5, 10, 20, 40, 80, 160, 320, 640, 1280];
const TASKS: usize = 160;

/// How trees are grown, and what the model is like.
#[derive(Clone, Copy)]
pub(crate) struct How<'a> {
    pub(crate) options: &'a TreeOptions,
    pub(crate) model: BoundedConfig,
    pub(crate) reader: &'a Reader,
}

/// A way down a tree.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    grouping: Grouping,
    beam: u32,
    nearest: Option<u32>,
}

impl Way {
    fn of(grouping: Grouping, beam: u32) -> Self {
        Self {
            grouping,
            beam,
            nearest: None,
        }
    }

    fn showing(self, members: u32) -> Self {
        Self {
            nearest: Some(members),
            ..self
        }
    }
}

/// What one way to choose came to.
#[derive(Default, Clone)]
pub(crate) struct Tally {
    pub(crate) asked: usize,
    pub(crate) right: usize,
    tokens: f64,
    /// By stage: chosen rightly, and came there rightly.
    stages: Vec<(usize, usize)>,
}

impl Tally {
    pub(crate) fn accuracy(&self) -> f64 {
        self.right as f64 / self.asked.max(1) as f64
    }
}

pub(crate) fn run(data: &Path, seeds: u64, how: How<'_>) -> Fallible<(Value, Option<String>)> {
    let set = Set::gorilla(data, how.reader)?;
    let solvable = solvable(&set);
    let ways = [
        ("flat", None),
        ("tree", Some(Way::of(Grouping::Alike, 1))),
        ("tree, beam 2", Some(Way::of(Grouping::Alike, 2))),
        ("tree, beam 3", Some(Way::of(Grouping::Alike, 3))),
        ("owners' tree", Some(Way::of(Grouping::Owner, 1))),
        (
            "tree, nearest members",
            Some(Way::of(Grouping::Alike, 1).showing(2)),
        ),
        (
            "tree, nearest members, beam 2",
            Some(Way::of(Grouping::Alike, 2).showing(2)),
        ),
    ];
    let mut tallies = vec![vec![vec![Tally::default(); SIZES.len()]; seeds as usize]; ways.len()];
    let mut points = Vec::new();
    for seed in 0..seeds {
        let mut rng = SmallRng::seed_from_u64(seed);
        for (at, &size) in SIZES.iter().enumerate() {
            let mut confusability = Vec::new();
            while tallies[0][seed as usize][at].asked < TASKS {
                let (library, mut tasks) = set.draw(size, 80, &solvable, &mut rng);
                tasks.shuffle(&mut rng);
                tasks.truncate(TASKS - tallies[0][seed as usize][at].asked);
                let mut noise = SmallRng::seed_from_u64(seed * 1000 + at as u64);
                for (way, (_, down)) in ways.iter().enumerate() {
                    let tally = &mut tallies[way][seed as usize][at];
                    let tree = choose(&set, &library, &tasks, *down, how, &mut noise, tally)?;
                    if way == 0 && confusability.len() < 3 {
                        confusability.push(Audit::of(&tree, 0.85).confusability);
                    }
                }
            }
            points.push(Measured {
                size: size as f64,
                confusability: confusability.iter().sum::<f64>() / confusability.len().max(1) as f64,
                accuracy: tallies[0][seed as usize][at].accuracy(),
            });
            eprintln!("seed {seed}, {size} skills");
        }
    }
    let mean = |way: usize, at: usize, of: &dyn Fn(&Tally) -> f64| {
        tallies[way].iter().map(|row| of(&row[at])).sum::<f64>() / seeds as f64
    };
    let mut rows = Vec::new();
    for (at, size) in SIZES.iter().enumerate() {
        let mut row = json!({"skills": size});
        for (way, (name, _)) in ways.iter().enumerate() {
            let stages: Vec<f64> = (0..4)
                .map_while(|stage| {
                    let (right, came) = tallies[way]
                        .iter()
                        .filter_map(|r| r[at].stages.get(stage))
                        .fold((0, 0), |(a, b), s| (a + s.0, b + s.1));
                    (came > 0).then(|| round(right as f64 / came as f64))
                })
                .collect();
            row[*name] = json!({
                "accuracy": round(mean(way, at, &Tally::accuracy)),
                "low": round(tallies[way].iter().map(|r| r[at].accuracy()).fold(1.0, f64::min)),
                "high": round(tallies[way].iter().map(|r| r[at].accuracy()).fold(0.0, f64::max)),
                "stages": stages, "product": round(stages.iter().product()),
                "tokens": mean(way, at, &|t| t.tokens / t.asked.max(1) as f64).round(),
            });
        }
        row["tokens_saved"] = json!(round(
            1.0 - row["tree"]["tokens"].as_f64().unwrap_or(0.0)
                / row["flat"]["tokens"].as_f64().unwrap_or(1.0)
        ));
        rows.push(row);
    }
    let curves: Vec<Curve> = ways
        .iter()
        .enumerate()
        .map(|(way, (name, _))| Curve {
            name: (*name).to_owned(),
            points: SIZES
                .iter()
                .enumerate()
                .map(|(at, s)| (*s as f64, mean(way, at, &Tally::accuracy)))
                .collect(),
        })
        .collect();
    let laws = Laws::fit(&points);
    let holds = laws.map(|l| l.capacity.holds_to(0.05));
    let picture = accuracy_svg(
        "A scripted model with bounded attention chooses among skills",
        "skills in the library",
        &curves,
    );
    let figures = json!({"selector": format!("{:?}", how.model), "tasks a point": TASKS, "solvable tasks": solvable.len(), "of": set.tasks.len(),
        "page": how.options.group_size, "faces": how.options.faces, "rows": rows, "laws of the flat choice": laws, "5 % lost at": holds.map(f64::round)});
    Ok((figures, Some(picture)))
}

pub(crate) fn round(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// Tasks whose gold is the nearest in the whole catalogue: what is lost on them is lost by bounded attention or by the tree, not
/// because the task is ambiguous to this encoder.
pub(crate) fn solvable(set: &Set) -> Vec<usize> {
    let nearest = |vector: &[f32]| {
        (0..set.entries.len())
            .max_by(|&a, &b| dot(vector, set.vector(a)).total_cmp(&dot(vector, set.vector(b))))
    };
    (0..set.tasks.len())
        .filter(|&t| nearest(&set.tasks[t].vector) == Some(set.tasks[t].gold))
        .collect()
}

/// Lets the scripted model choose for every task.
pub(crate) fn choose(
    set: &Set,
    library: &[usize],
    tasks: &[(usize, usize)],
    way: Option<Way>,
    how: How<'_>,
    noise: &mut SmallRng,
    tally: &mut Tally,
) -> Fallible<Arc<SkillTree>> {
    let (entries, vectors) = set.library(library);
    let tree = Arc::new(match way {
        None => SkillTree::flat(&entries, &vectors)?,
        Some(Way { grouping, .. }) => SkillTree::build(
            &entries,
            &vectors,
            &TreeOptions {
                grouping,
                ..*how.options
            },
        )?,
    });
    let config = SelectorConfig {
        model: "the model".into(),
        beam: way.map_or(1, |way| way.beam),
        nearest: way.and_then(|way| way.nearest),
    };
    let selector = SkillSelector::new(&config, "skills".into(), tree.clone(), how.reader.encoder.clone())?;
    let names = entries.iter().map(|e| e.id.clone()).chain(["the model".into()]);
    let catalogue = Catalogue::new(names.map(Profile::named))?;
    let ids = catalogue.ids();
    let mut model = BoundedSelector::new(&*how.reader.encoder, how.model);
    let limits = Limits::default();
    for &(task, gold) in tasks {
        let mut rng = SmallRng::seed_from_u64(0);
        let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
        let mut said = Vec::new();
        let decision = drive(
            &selector,
            &Query::text(&set.tasks[task].text),
            &ids[..entries.len()],
            &mut cx,
            |call| {
                let beam = config.beam as usize;
                let text = model.answer(&call.ask, beam, noise);
                said.push(text.clone());
                Answer {
                    call: call.id,
                    reply: Ok(Reply {
                        text,
                        ..Reply::default()
                    }),
                    outcome: Outcome::default(),
                }
            },
        )?;
        tally.asked += 1;
        tally.right += usize::from(decision.first().name == entries[gold].id);
        tally.tokens += number(&decision, "tokens");
        if config.beam == 1 {
            stages(&tree, &said, gold as u32, tally);
        }
    }
    Ok(tree)
}

fn number(decision: &Decision, name: &str) -> f64 {
    match decision.evidence.feature(name) {
        Some(Feature::Number(number)) => *number,
        _ => 0.0,
    }
}

/// Goes the model's way again and notes at which page it went wrong.
fn stages(tree: &SkillTree, said: &[String], gold: u32, tally: &mut Tally) {
    let mut page: Vec<Child> = tree.top().to_vec();
    for (stage, answer) in said.iter().enumerate() {
        while let [only] = page.as_slice() {
            page = tree.under(*only).to_vec();
        }
        let place = answer.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
        let Some(child) = place.and_then(|at| page.get(at)).copied() else {
            return;
        };
        if tally.stages.len() <= stage {
            tally.stages.resize(stage + 1, (0, 0));
        }
        tally.stages[stage].1 += 1;
        if !tree.holds(child, gold) {
            return;
        }
        tally.stages[stage].0 += 1;
        page = tree.under(child).to_vec();
    }
}
