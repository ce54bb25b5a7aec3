//! `fingerpost skills tree`: a library in groups of a page, and what in it is easily confused.

use std::{
    fs,
    io::{self, Read},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, ValueEnum};
use fingerpost_agents::{
    Child, Entry, Kind, SkillTree, TreeOptions,
    single_agent_skills::Audit,
    skill_tree::{Grouping, tree_svg},
};
use fingerpost_encode::{Encoder, estimate_tokens};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{encoder::EncoderName, failure::Failure, output::Output};

/// Look-alikes that are shown to people.
const SHOWN: usize = 10;

/// Groups a library of skills, tools or agents so that no page is longer than a model can choose from, and finds look-alikes.
#[derive(Debug, Args)]
pub(crate) struct Tree {
    /// One JSON object a line, with `id` or `name`, `description`, and, if any, `group`; - for standard input
    source: PathBuf,
    /// Most lines on a page, from 2
    #[arg(long, default_value_t = 16)]
    group_size: usize,
    /// What comes together
    #[arg(long, value_enum, default_value_t = By::Alike)]
    by: By,
    /// Cosine above which two are look-alikes
    #[arg(long, default_value_t = 0.85)]
    look_alike: f32,
    /// What texts are read with
    #[arg(long, value_enum, default_value_t = EncoderName::Static)]
    encoder: EncoderName,
    /// Where a picture of the tree goes
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// What comes together on a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    /// Look-alikes, so that they are compared side by side
    Alike,
    /// What one `group` has
    Owner,
}

/// A line of the library.
#[derive(Deserialize)]
struct Row {
    id: Option<String>,
    name: Option<String>,
    #[serde(default)]
    description: String,
    group: Option<String>,
    kind: Option<Kind>,
}

#[derive(Serialize)]
struct Page {
    title: String,
    entries: usize,
    typical: Vec<String>,
    children: Vec<Value>,
}

// === impl Tree ===

impl Tree {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        let entries = read(&self.source)?;
        let encoder = self.encoder.open()?;
        let vectors = vectors(&entries, &*encoder);
        let options = TreeOptions {
            group_size: self.group_size,
            grouping: match self.by {
                By::Alike => Grouping::Alike,
                By::Owner => Grouping::Owner,
            },
            ..TreeOptions::default()
        };
        let tree = SkillTree::build(&entries, &vectors, &options)?;
        let audit = Audit::of(&tree, self.look_alike);
        if let Some(path) = &self.svg {
            fs::write(path, tree_svg(&tree)).map_err(|e| {
                Failure::from(format!("cannot write {}: {e}", path.display()))
                    .with_way_out("a folder that is there and yours")
            })?;
        }
        let tokens = |page: &[Child]| {
            page.iter()
                .map(|&c| estimate_tokens(&tree.line(c)))
                .sum::<usize>()
        };
        let flat: usize = (0..tree.len() as u32)
            .map(|e| estimate_tokens(&tree.line(Child::Entry(e))))
            .sum();
        let way = tokens(tree.top()) + deepest(&tree, tree.top(), &tokens);
        let object = json!({
            "entries": tree.len(), "depth": tree.depth(), "groups": tree.groups().len(), "encoder": encoder.model().to_string(),
            "tokens": {"flat": flat, "way_at_most": way}, "audit": audit,
            "tree": tree.top().iter().map(|&c| shown(&tree, c)).collect::<Vec<_>>(),
        });
        output.result(&text(&tree, &audit, flat, way), &object);
        Ok(ExitCode::SUCCESS)
    }
}

fn read(path: &PathBuf) -> Result<Vec<Entry>, Failure> {
    let content = if path.as_os_str() == "-" {
        let mut content = String::new();
        io::stdin().read_to_string(&mut content).map(|_| content)
    } else {
        fs::read_to_string(path)
    };
    let content = content.map_err(|e| {
        Failure::from(format!("cannot read {}: {e}", path.display()))
            .with_way_out("a file of one JSON object a line, or - for standard input")
    })?;
    let lines = content
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| {
            let refused = |why: String| {
                Failure::from(format!("{}:{}: {why}", path.display(), number + 1)).with_way_out(
                    "an object such as {\"name\": \"weather\", \"description\": \"Tells the forecast\"}",
                )
            };
            let row: Row = serde_json::from_str(line).map_err(|e| refused(e.to_string()))?;
            let id = row
                .id
                .clone()
                .or(row.name.clone())
                .ok_or_else(|| refused("neither id nor name".to_owned()))?;
            Ok(Entry {
                name: row.name.unwrap_or_else(|| id.clone()),
                description: row.description,
                group: row.group.filter(|g| !g.is_empty()).map(Into::into),
                ..Entry::named(id, row.kind.unwrap_or(Kind::Skill))
            })
        })
        .collect()
}

fn vectors(entries: &[Entry], encoder: &dyn Encoder) -> Vec<f32> {
    let read = |e: &Entry| encoder.encode(&format!("{}: {}", e.name, e.description)).to_vec();
    entries.iter().flat_map(read).collect()
}

/// The most tokens on the pages under a page, one page a level.
fn deepest(tree: &SkillTree, page: &[Child], tokens: &dyn Fn(&[Child]) -> usize) -> usize {
    let under = page
        .iter()
        .map(|&child| tree.under(child))
        .filter(|under| !under.is_empty());
    under
        .map(|under| tokens(under) + deepest(tree, under, tokens))
        .max()
        .unwrap_or(0)
}

fn shown(tree: &SkillTree, child: Child) -> Value {
    match child {
        Child::Entry(entry) => json!(tree.id(entry)),
        Child::Group(group) => tree.groups().get(group as usize).map_or(Value::Null, |group| {
            let page = Page {
                title: group.title.clone(),
                entries: group.entries.len(),
                typical: group
                    .typical
                    .iter()
                    .filter_map(|&e| tree.id(e))
                    .map(ToString::to_string)
                    .collect(),
                children: group.children.iter().map(|&c| shown(tree, c)).collect(),
            };
            json!(page)
        }),
    }
}

fn text(tree: &SkillTree, audit: &Audit, flat: usize, way: usize) -> String {
    let mut text = format!(
        "{} entries in {} groups, {} pages deep\n{flat} tokens on one page, at most {way} down the tree\nconfusability {:.2}, {} pairs of look-alikes",
        tree.len(),
        tree.groups().len(),
        tree.depth(),
        audit.confusability,
        audit.look_alikes.len()
    );
    for pair in audit.look_alikes.iter().take(SHOWN) {
        let page = if pair.same_page {
            ""
        } else {
            "  (on different pages)"
        };
        text.push_str(&format!(
            "\n  {:.2}  {} | {}{page}",
            pair.cosine, pair.one, pair.other
        ));
    }
    text.push('\n');
    for &child in tree.top() {
        branch(tree, child, 0, &mut text);
    }
    text
}

fn branch(tree: &SkillTree, child: Child, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    match child {
        Child::Entry(entry) => {
            if let Some(id) = tree.id(entry) {
                text.push_str(&format!("\n{indent}{id}"));
            }
        }
        Child::Group(group) => {
            if let Some(group) = tree.groups().get(group as usize) {
                text.push_str(&format!("\n{indent}[{}] {}", group.entries.len(), group.title));
                for &below in &group.children {
                    branch(tree, below, depth + 1, text);
                }
            }
        }
    }
}
