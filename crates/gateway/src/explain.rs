//! How a request would be routed, without sending it: the trace down to the endpoint, and the value of every signal.

use std::time::{SystemTime, UNIX_EPOCH};

use fingerpost_core::{Context, Level, Limits, Query, Timestamp, Trace, TraceId};
use fingerpost_signals::{Extra, SignalReport};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use serde::Serialize;
use thiserror::Error;

use crate::{
    exchange::choose::{Chosen, choose, input_tokens},
    snapshot::Snapshot,
};

/// How a request would be routed.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// The decision that holds; absent where the request names a model or nothing matches.
    pub decision: Option<String>,
    /// The models that would be asked, in order.
    pub models: Vec<String>,
    /// The router asks first: whom.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub asks: Vec<String>,
    /// Every signal and projection.
    pub signals: Vec<SignalReport>,
    /// Every decision made, down to the endpoint.
    pub trace: Trace,
}

/// No model can take it.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct Unroutable(String);

/// Routes `query` by `snapshot`. With a seed, two calls explain the same.
///
/// # Errors
/// [`Unroutable`] says which limit excluded whom, or that the model named is not configured.
pub fn explain(snapshot: &Snapshot, query: &Query<'_>, seed: Option<u64>) -> Result<Explanation, Unroutable> {
    let mut rng = SmallRng::seed_from_u64(seed.unwrap_or_else(crate::worker::chance));
    let micros = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_micros();
    let at = Timestamp::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
    let mut trace = Trace::new(TraceId(rng.random::<u128>().max(1)), at);
    let (route, chosen) =
        choose(snapshot, query, &mut trace, &mut rng).map_err(|refusal| Unroutable(refusal.error.message))?;
    let name = |id: &_| snapshot.catalogue().get(*id).map(|c| c.profile.name.to_string());
    let (models, asks) = match &chosen {
        Chosen::Models { parent, models } => {
            if let Some(model) = models.first().and_then(|id| snapshot.model(*id)) {
                let limits = Limits::default();
                let query = model.instance_query(query, input_tokens(query));
                let mut cx = Context::new(model.endpoints(), &limits, at, &mut rng);
                if let Ok(decision) = model.picker().route(&query, model.ids(), &mut cx) {
                    trace.push(Some(*parent), Level::Fleet, decision);
                }
            }
            (models.iter().filter_map(name).collect(), Vec::new())
        }
        Chosen::Asking(asking) => {
            let asks = asking
                .step
                .calls()
                .iter()
                .filter_map(|c| name(&c.target))
                .collect();
            (asking.slot.among.iter().filter_map(name).collect(), asks)
        }
    };
    let extra = Extra {
        tokens: Some(input_tokens(query)),
        ..Extra::default()
    };
    let signals = snapshot.policy().signals_all(query, &extra);
    Ok(Explanation {
        decision: route.decision.map(|d| d.to_string()),
        models,
        asks,
        signals,
        trace,
    })
}
