//! `fingerpost routers list`: the strategies of routing that are known, and which are offered.

use std::process::ExitCode;

use clap::Args;
use fingerpost_eval::strategies::{self, GUIDE, Offer};
use serde_json::{Value, json};

use crate::output::Output;

/// Lists all strategies of routing and cascading: when they decide, from what, how, and what offers them
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only what is offered
    #[arg(long)]
    offered: bool,
}

// === impl List ===

impl List {
    pub(crate) fn run(self, output: Output) -> ExitCode {
        let mut text = format!(
            "{:<7} {:<40} {:<18} {:<42} {:<18} offered by",
            "id", "strategy", "when", "from", "how"
        );
        let (mut rows, mut offered, mut all) = (Vec::new(), 0, 0);
        for strategy in strategies::all() {
            let offer = strategy.offer();
            let is_offered = matches!(offer, Offer::Offered(_));
            (offered, all) = (offered + usize::from(is_offered), all + 1);
            if self.offered && !is_offered {
                continue;
            }
            let by = match &offer {
                Offer::Offered(by) => by.clone(),
                Offer::NotOffered(why) => format!("not offered: {why}"),
            };
            let what: Vec<String> = strategy.what.iter().map(|what| word(&json!(what))).collect();
            text.push_str(&format!(
                "\n{:<7} {:<40} {:<18} {:<42} {:<18} {by}",
                strategy.full_id(),
                strategy.name,
                word(&json!(strategy.when)),
                what.join(", "),
                word(&json!(strategy.how)),
            ));
            rows.push(json!({
                "id": strategy.full_id(),
                "card": strategy.card,
                "name": strategy.name,
                "when": strategy.when,
                "what": strategy.what,
                "how": strategy.how,
                "needs": strategy.needs,
                "retrain_on_new_model": strategy.retrain_on_new_model,
                "offered": is_offered,
                "by": by,
            }));
        }
        text.push_str(&format!("\n{offered} of {all} are offered\n\nWhich to take:"));
        for advice in GUIDE {
            text.push_str(&format!(
                "\n  {}: {} ({})",
                advice.given,
                advice.take_in_words,
                advice.take.join(", ")
            ));
            if !advice.avoid.is_empty() {
                text.push_str(&format!("; not {}", advice.avoid.join(", ")));
            }
        }
        let object = json!({"strategies": rows, "offered": offered, "all": all, "guide": GUIDE});
        output.result(&text, &object);
        ExitCode::SUCCESS
    }
}

/// A value of an axis as a word.
fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().replace('_', " ")
}
