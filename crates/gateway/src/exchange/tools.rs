//! Leaves out the tools of a request that its conversation does not need, where its decision says so. Which those are is
//! `fingerpost_agents::ToolFilter`'s to say.

use bytes::Bytes;
use fingerpost_agents::{OfferedTool, ToolFilter};
use fingerpost_core::{CandidateId, Decision, Evidence, Feature, Name, Pick, Picks, Reason, Role};
use fingerpost_encode::StaticEncoder;
use fingerpost_protocol::{Envelope, Tools};
use http::HeaderValue;

use super::headers;

/// A request with fewer tools.
pub(crate) struct Narrowed {
    /// Its body: the client's bytes without those of the tools that were left out.
    pub(crate) body: Bytes,
    /// What was left out, for the client.
    pub(crate) header: HeaderValue,
    /// Which tools were kept, for the trace.
    pub(crate) decision: Decision,
}

/// Longest list of tools in a header or on a trace.
const LONGEST_TOOLS: usize = 1000;

/// The request without the tools that it does not need; `None` where it keeps them all.
pub(crate) fn narrow(filter: &ToolFilter, decision: &Name, envelope: &Envelope<'_>) -> Option<Narrowed> {
    if envelope.query.tools <= filter.config().keep.get() {
        return None;
    }
    let tools = Tools::read(envelope.format, envelope.body())?;
    let offered: Vec<OfferedTool<'_>> = tools
        .offers()
        .iter()
        .map(|offer| OfferedTool {
            name: offer.name.as_deref(),
            text: &offer.text,
            pinned: offer.pinned,
        })
        .collect();
    let said: Vec<String> = envelope
        .query
        .turns
        .iter()
        .filter(|turn| turn.role == Role::User)
        .map(|turn| turn.texts.join("\n"))
        .collect();
    let said: Vec<&str> = said.iter().map(String::as_str).collect();
    let selection = filter.select(&offered, &said, &StaticEncoder::bundled())?;
    let body = tools.keeping(&selection.kept).into();

    let name = |tool: &OfferedTool<'_>| Name::from(tool.name.unwrap_or("built in"));
    let mut picks = Picks::new();
    let mut dropped = String::new();
    for ((tool, kept), score) in offered.iter().zip(&selection.kept).zip(&selection.scores) {
        if *kept {
            picks.push(Pick {
                id: CandidateId::default(),
                name: name(tool),
                score: f64::from(*score),
                weight: 1.0,
            });
        } else if let Some(name) = tool.name
            && dropped.len() < LONGEST_TOOLS
        {
            dropped.push_str(if dropped.is_empty() { "" } else { ", " });
            dropped.push_str(name);
        }
    }
    picks.sort_by(|a, b| b.score.total_cmp(&a.score));
    let (kept, of) = (picks.len(), offered.len());
    let header = headers::text(&format!("kept {kept} of {of}; dropped {dropped}"), LONGEST_TOOLS);
    let reason = Reason::new("tools that matter for the conversation")
        .with("kept", kept as f64)
        .with("of", of as f64);
    let evidence =
        Evidence::of(format!("tools/{decision}")).with("dropped", Feature::Text(dropped.as_str().into()));
    Some(Narrowed {
        body,
        header,
        decision: Decision::ranked(picks, reason, evidence)?,
    })
}
