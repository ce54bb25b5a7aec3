use super::*;
use proptest::prelude::*;

/// Depth, name and items of each category.
fn walked(text: &str) -> Vec<(usize, String, Vec<u32>)> {
    let parsed = parse("CD1", text).unwrap();
    parsed.taxonomy.validate().unwrap();
    let visits = parsed.taxonomy.walk();
    visits
        .iter()
        .map(|v| (v.depth, v.category.name.clone(), v.category.items.clone()))
        .collect()
}

fn expected(list: &[(usize, &str, &[u32])]) -> Vec<(usize, String, Vec<u32>)> {
    list.iter()
        .map(|&(depth, name, items)| (depth, name.to_owned(), items.to_vec()))
        .collect()
}

#[test]
fn the_expected_form() {
    let text = " Here are the aspects:\n\n[Response 1]:\n- Aspect 1: Safety (fever, pain)\n- Aspect 2: Dose (mg)\n\n[Response 2]:\n\
                - Aspect 1: Safety (Claim 0, 2-4)\n    - 1.1: Fever (Claims 2, 3)\n        - 1.1.1: High fever (claim 3)\n    \
                - 1.2: Heparin (UFH) use (Claim 4)\n- Aspect 2: Dose (Claim 1)\n";
    let list = expected(&[
        (0, "Safety", &[0, 2, 3, 4]),
        (1, "Fever", &[2, 3]),
        (2, "High fever", &[3]),
        (1, "Heparin (UFH) use", &[4]),
        (0, "Dose", &[1]),
    ]);
    assert_eq!(walked(text), list);
}

#[test]
fn other_forms_give_the_same_tree() {
    let list = expected(&[(0, "Safety", &[0, 1]), (1, "Fever", &[1]), (0, "Dose", &[2])]);
    for text in [
        "1. Safety (Claim 0, 1)\n1.1 Fever (Claim 1)\n2. Dose (Claim 2)",
        "Safety: Claims 0 and 1\n  a) Fever [Claim 1]\nDose: Claim 2",
        "* **Safety** (0, 1)\n\t* Fever (1)\n* Dose (2)",
        "[Response 1]\n- Safety\n- Dose\n[Response 2]\nSafety (Claim 0,\n1)\n- Fever (Claim 1)\nDose (Claim 2",
    ] {
        assert_eq!(walked(text), list, "{text}");
    }
}

#[test]
fn an_aspect_named_deeper_is_a_category_there() {
    let text = "[Response 1]\n- Safety\n- Dose\n[Response 2]\n- Safety (Claim 0)\n    - Dose (Claim 0)\n- Dose (Claim 1)";
    let list = expected(&[(0, "Safety", &[0]), (1, "Dose", &[0]), (0, "Dose", &[1])]);
    assert_eq!(walked(text), list);
}

#[test]
fn answers_without_a_hierarchy_name_review_and_line() {
    let error = parse("CD1", "\n \n").unwrap_err().to_string();
    assert!(
        error.contains("review CD1, line 1") && error.contains("empty"),
        "{error}"
    );
    let error = parse("CD1", "I am sorry.\n\nI cannot do that.\n").unwrap_err();
    assert_eq!(error.line, 3);
    assert!(error.to_string().contains("I cannot do that."), "{error}");
}

#[test]
fn doses_are_no_claims_and_prose_is_skipped_with_its_line() {
    let parsed = parse(
        "CD1",
        "- Low dose (20-30 mmHg) (Claim 3)\n- Nothing\nI hope this helps.",
    )
    .unwrap();
    assert_eq!(parsed.taxonomy.categories.len(), 1);
    assert_eq!(parsed.taxonomy.categories[0].items, [3]);
    let lines: Vec<usize> = parsed.skipped.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [2, 3]);
}

proptest! {
    #[test]
    fn whatever_is_read_is_a_taxonomy(text in "([ \t]{0,6}[-*o]? ?(Aspect )?[0-9.]{0,5}:? ?[a-zé (\\[]{0,9}(Claims? )?[0-9, -]{0,9}\\)?\n){0,12}") {
        if let Ok(parsed) = parse("p", &text) {
            prop_assert!(parsed.taxonomy.validate().is_ok());
        }
        drop(read_aspects("p", &text));
    }
}
