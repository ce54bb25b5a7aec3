use super::*;
use std::fs;

const DAY: Duration = Duration::from_secs(86_400);

fn skill(name: &str) -> String {
    format!("---\nname: {name}\ndescription: Does {name}\n---\n")
}

fn put(folder: &Path, file: &str, text: &str) {
    let path = folder.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn ids(reading: &Reading) -> Vec<&str> {
    reading.entries.iter().map(|e| e.id.as_str()).collect()
}

#[test]
fn new_changed_and_removed_files_are_seen() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("lib");
    put(&root, "a/SKILL.md", &skill("a"));
    put(
        &root,
        "a/reference/tools.json",
        r#"{"tools": [{"name": "inside a skill", "inputSchema": {}}]}"#,
    );
    put(&root, "a/more/b/SKILL.md", &skill("b"));
    put(&root, "node_modules/c/SKILL.md", &skill("c"));
    put(&root, "README.md", "nothing");
    let mut sources = Sources::new([root.clone()]);
    let later = SystemTime::now() + DAY;
    assert!(sources.refresh(later));
    assert_eq!(ids(&sources.reading()), ["lib/a", "lib/a/more/b"]);
    assert!(!sources.refresh(later));
    put(
        &root,
        "d.jsonl",
        r#"{"id": "d", "kind": "tool", "name": "d", "description": "d"}"#,
    );
    assert!(sources.refresh(later));
    assert_eq!(ids(&sources.reading()), ["lib/a", "lib/a/more/b", "d"]);
    put(&root, "a/SKILL.md", &skill("longer"));
    assert!(sources.refresh(later));
    assert_eq!(sources.reading().entries[0].name, "longer");
    fs::remove_dir_all(root.join("a/more")).unwrap();
    assert!(sources.refresh(later));
    assert_eq!(
        (ids(&sources.reading()), sources.files()),
        (vec!["lib/a", "d"], 2)
    );
    fs::remove_dir_all(&root).unwrap();
    assert!(sources.refresh(later));
    let gone = sources.reading();
    assert!(gone.entries.is_empty() && matches!(gone.problems[0].fault, Fault::Unreadable(_)));
    assert!(!sources.refresh(later));
}

#[test]
fn a_change_within_the_clock_s_grain_is_not_missed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("SKILL.md");
    fs::write(&file, skill("one")).unwrap();
    let modified = fs::metadata(&file).unwrap().modified().unwrap();
    let mut sources = Sources::new([file.clone()]);
    assert!(sources.refresh(modified));
    // As long, at the same time.
    fs::write(&file, skill("two")).unwrap();
    fs::File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_modified(modified)
        .unwrap();
    assert!(sources.refresh(modified + DAY));
    assert_eq!(sources.reading().entries[0].name, "two");
    assert!(!sources.refresh(modified + DAY));
}

#[test]
fn two_entries_with_one_id_both_stand_if_they_differ() {
    let folder = tempfile::tempdir().unwrap();
    let tool = |said: &str| format!(r#"{{"tools": [{{"name": "read", "description": "{said}"}}]}}"#);
    put(folder.path(), "1/files.json", &tool("first"));
    put(folder.path(), "2/files.json", &tool("second"));
    put(folder.path(), "3/files.json", &tool("first"));
    put(folder.path(), "4/files.json", &tool("second"));
    put(folder.path(), "4/other.json", &tool("first"));
    let reading = read_all([folder.path().to_owned()]);
    let found = ids(&reading);
    assert_eq!(
        (found[0], found[2], found.len()),
        ("files::read", "other::read", 3)
    );
    assert!(found[1].starts_with("files::read~"), "{found:?}");
    let faults: Vec<(&Fault, bool)> = reading
        .problems
        .iter()
        .map(|p| (&p.fault, p.is_left_out))
        .collect();
    let (renamed, equal) = (
        Fault::SameId(SameId::Renamed(found[1].to_owned())),
        Fault::SameId(SameId::Equal),
    );
    assert_eq!(faults, [(&renamed, false), (&equal, true), (&equal, true)]);
}

#[cfg(unix)]
#[test]
fn a_circle_of_links_ends() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "a/SKILL.md", &skill("a"));
    std::os::unix::fs::symlink(folder.path(), folder.path().join("a/again")).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("SKILL.md")).unwrap();
    let reading = read_all([folder.path().to_owned()]);
    assert_eq!((reading.entries.len(), reading.problems.len()), (1, 0));
}
