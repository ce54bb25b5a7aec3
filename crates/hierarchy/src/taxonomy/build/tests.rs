use super::*;

/// Four clouds on the circle, two and two near each other.
fn clouds() -> (Vec<String>, Vec<f32>) {
    let words = ["card", "loan", "rain", "snow"];
    let angles = [0.0_f32, 0.6, 2.4, 3.0];
    (0..80)
        .map(|n| {
            let angle = angles[n % 4] + 0.1 * ((n * 37 % 17) as f32 / 17.0 - 0.5);
            (
                format!("about {} number {n}", words[n % 4]),
                [angle.cos(), angle.sin()],
            )
        })
        .fold(
            (Vec::new(), Vec::new()),
            |(mut texts, mut vectors), (text, vector)| {
                texts.push(text);
                vectors.extend(vector);
                (texts, vectors)
            },
        )
}

fn made(options: &Options) -> Result<Built, BuildError> {
    let (texts, vectors) = clouds();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    build(&texts, &vectors, 2, options, &mut |done, all| {
        assert!(done <= all);
        true
    })
}

#[test]
fn clouds_become_leaves_under_two_tops() {
    let options = Options {
        leaves: Some(4),
        top: Some(2),
        ..Options::default()
    };
    let built = made(&options).unwrap();
    built.taxonomy.validate().unwrap();
    assert_eq!(built.leaves, (0..80).map(|n| n % 4).collect::<Vec<_>>());
    assert_eq!(built.cut(2), (0..80).map(|n| n % 4 / 2).collect::<Vec<_>>());
    let names: Vec<String> = built
        .taxonomy
        .walk()
        .iter()
        .map(|v| v.category.name.clone())
        .collect();
    assert_eq!(names.len(), 6, "{names:?}");
    // A top category is named by what both its leaves are about.
    assert!(
        names
            .iter()
            .any(|name| name.contains("card") && name.contains("loan")),
        "{names:?}"
    );
    assert!(
        names
            .iter()
            .any(|name| name.contains("rain") && name.contains("snow")),
        "{names:?}"
    );
    assert_eq!((built.taxonomy.coverage(), built.taxonomy.depth()), (1.0, 2));
    assert!(built.taxonomy.walk().iter().all(|v| v.category.confidence == 1.0));
    assert_eq!(made(&options).unwrap(), built);
}

#[test]
fn no_category_has_too_many_children() {
    let options = Options {
        leaves: Some(30),
        max_children: 3,
        ..Options::default()
    };
    let built = made(&options).unwrap();
    let taxonomy = &built.taxonomy;
    assert!(taxonomy.categories.len() <= 3);
    assert!(taxonomy.walk().iter().all(|v| v.category.children.len() <= 3));
    assert_eq!(crate::taxonomy::Audit::from(taxonomy).overflowing, 0);
    taxonomy.validate().unwrap();
}

#[test]
fn what_cannot_be_built_is_named() {
    let said = |options: &Options| made(options).unwrap_err().to_string();
    let options = Options::default();
    assert!(
        said(&Options {
            max_children: 1,
            ..options.clone()
        })
        .contains("max_children is 1")
    );
    assert!(
        said(&Options {
            leaves: Some(0),
            ..options.clone()
        })
        .contains("leaves is 0")
    );
    let error = build(&["a"], &[1.0], 2, &options, &mut |_, _| true).unwrap_err();
    assert!(
        matches!(
            error,
            BuildError::Shape {
                texts: 1,
                values: 1,
                dimension: 2
            }
        ),
        "{error}"
    );
    let error = build(&[], &[], 2, &options, &mut |_, _| true).unwrap_err();
    assert!(matches!(error, BuildError::Empty));
    let error = build(&["a", "b"], &[1.0, f32::NAN], 1, &options, &mut |_, _| true).unwrap_err();
    assert!(matches!(error, BuildError::NotFinite { text: 1 }), "{error}");
    let (texts, vectors) = clouds();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let stopped = build(&texts, &vectors, 2, &options, &mut |done, _| done < 2).unwrap_err();
    assert!(
        matches!(stopped, BuildError::Stopped { done: 2, .. }),
        "{stopped}"
    );
}

#[test]
fn texts_without_direction_or_all_alike_are_ordered_too() {
    for value in [0.0, 1.0] {
        let built = build(
            &["same"; 12],
            &[value; 24],
            2,
            &Options::default(),
            &mut |_, _| true,
        )
        .unwrap();
        built.taxonomy.validate().unwrap();
        assert_eq!(built.taxonomy.coverage(), 1.0);
    }
}
