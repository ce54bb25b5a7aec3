//! `--correct`: a corrector learns on spoilt copies of the taxonomies at hand, and is applied to them.

use fingerpost_encode::Encoder;
use fingerpost_hierarchy::taxonomy::{CorrectError, Corrector, Edit, Evidence, Lesson, Taxonomy, damage};
use rand::{SeedableRng, rngs::SmallRng};

/// Links that are spoilt for a lesson.
const SHARE: f64 = 0.2;
/// Lessons at least; a few large taxonomies give many pairs each.
const LESSONS: usize = 20;
/// Lessons with texts: each costs a vector product a pair.
const LESSONS_WITH_TEXTS: usize = 3;

/// Corrects each taxonomy; all of them are the lessons.
pub(super) fn without_texts(taxonomies: &mut [Taxonomy], seed: u64) -> Result<Vec<Vec<Edit>>, CorrectError> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let copies = LESSONS.div_ceil(taxonomies.len().max(1));
    let spoilt: Vec<(usize, Taxonomy)> = (0..taxonomies.len())
        .flat_map(|at| std::iter::repeat_n(at, copies))
        .map(|at| (at, spoil(&taxonomies[at], &mut rng)))
        .collect();
    let lessons: Vec<Lesson<'_>> = spoilt
        .iter()
        .map(|(at, spoilt)| Lesson {
            spoilt,
            truth: &taxonomies[*at],
            evidence: None,
        })
        .collect();
    let corrector = Corrector::learn(&lessons)?;
    taxonomies
        .iter_mut()
        .map(|taxonomy| corrector.correct(taxonomy, None))
        .collect()
}

/// Corrects a taxonomy with the help of its texts.
pub(super) fn with_texts(
    taxonomy: &mut Taxonomy,
    texts: &[&str],
    vectors: &[f32],
    encoder: &dyn Encoder,
    seed: u64,
) -> Result<Vec<Edit>, CorrectError> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let visits = taxonomy.walk();
    let names: Vec<f32> = visits
        .iter()
        .flat_map(|visit| encoder.encode(&visit.category.name).to_vec())
        .collect();
    let evidence = Some(Evidence {
        texts,
        vectors,
        dimension: encoder.dims(),
        names: &names,
    });
    let spoilt: Vec<Taxonomy> = (0..LESSONS_WITH_TEXTS)
        .map(|_| spoil(taxonomy, &mut rng))
        .collect();
    let lesson = |spoilt| Lesson {
        spoilt,
        truth: taxonomy,
        evidence,
    };
    let corrector = Corrector::learn(&spoilt.iter().map(lesson).collect::<Vec<_>>())?;
    corrector.correct(taxonomy, evidence)
}

fn spoil(taxonomy: &Taxonomy, rng: &mut SmallRng) -> Taxonomy {
    let mut spoilt = taxonomy.clone();
    damage(&mut spoilt, SHARE, rng);
    spoilt
}
