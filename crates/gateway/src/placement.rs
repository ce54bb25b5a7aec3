//! Requests that a proxy carries: it asks where one goes, brings it there itself, and tells what became of it.
//!
//! The same decisions as those of a request that the gateway carries, down to the endpoint, on the same trace, and taught by the same
//! outcomes; but no call is made here. So an endpoint must speak the client's format and be a server (not a model inside this
//! process), routers that ask before they decide give way to the order of the decision's models, and cached answers are not given.

mod names;
mod under_way;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes};
use fingerpost_core::{
    CandidateId, Context, Evidence, HopId, Level, Limits, Name, NoRoute, Pick, Query, Reason, Trace, TraceId,
};
use fingerpost_protocol::{Edit, Envelope, ErrorBody, ErrorKind, Format};
use http::{HeaderMap, HeaderName, HeaderValue};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use smallvec::SmallVec;

use self::{names::Names, under_way::UnderWay};
use crate::{
    dispatch::Sent,
    exchange::{
        Refusal,
        choose::{self, Chosen, Way},
        headers,
        session::{self, Seat},
        unavailable,
    },
    shared::Shared,
    snapshot::{EndpointSlot, ModelSlot, Snapshot},
    worker::{chance, now},
};

/// Servers that a request may be brought to, the fallbacks included.
const MOST_DESTINATIONS: usize = 3;

/// Places requests.
pub struct Placer {
    shared: Arc<Shared>,
    names: Names,
    /// What decisions leave to chance, by the configured seed.
    rng: Mutex<SmallRng>,
    /// What ids are drawn from: not the seed's, as in a worker.
    ids: Mutex<SmallRng>,
}

/// A request that a proxy carries.
#[derive(Debug, Clone, Copy)]
pub struct Parcel<'a> {
    /// Its format.
    pub format: Format,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its body, whole.
    pub body: &'a Bytes,
    /// Where the proxy can bring it, as `address:port`; empty where it can bring it anywhere.
    pub within: &'a [String],
}

/// Where a request goes. Tell what became of it by [`Placed::answered`] and [`Placed::over`]; dropped before, it counts as a client
/// that went away.
pub struct Placed {
    /// Servers as `address:port`, the one to go to first and those to fall back on; at least one, at most three.
    pub destinations: Vec<String>,
    /// The path that the first of them takes it by.
    pub path: String,
    /// The body for it, with the model's name as it is known there.
    pub body: Bytes,
    /// Headers that the server wants, its key among them (marked as sensitive).
    pub server_headers: Vec<(HeaderName, HeaderValue)>,
    /// What was decided, as the gateway's own answers tell it: decision, model, endpoint, why, trace.
    pub told: Vec<(HeaderName, HeaderValue)>,
    under_way: UnderWay,
}

/// Why a request goes nowhere.
#[derive(Debug)]
pub struct Unplaced {
    /// The status for the client: 503 where no server is in service, 404 for an unknown model, 400 for what is no request.
    pub status: u16,
    /// What to tell the client, as JSON in its format.
    pub body: Vec<u8>,
    /// When to come back.
    pub retry_after: Option<Duration>,
    /// The same for the log.
    pub message: String,
}

/// A request for which an endpoint is wanted.
#[derive(Clone, Copy)]
struct Asked<'a> {
    parcel: Parcel<'a>,
    query: &'a Query<'a>,
    names: &'a Names,
}

/// The endpoints of a model that can take a request, the best first.
struct Picked {
    model: Name,
    endpoints: SmallVec<[Arc<EndpointSlot>; 3]>,
    /// The first of them as the policy knows it, where that follows requests.
    sent: Option<Sent>,
}

// === impl Placer ===

impl Placer {
    /// Places by what `shared` holds.
    ///
    /// # Errors
    /// Where the system gives no thread to look up names with.
    pub fn new(shared: Arc<Shared>) -> std::io::Result<Self> {
        Ok(Self {
            names: Names::of(&shared)?,
            rng: Mutex::new(SmallRng::seed_from_u64(shared.seed())),
            ids: Mutex::new(SmallRng::seed_from_u64(chance())),
            shared,
        })
    }

    /// Largest body that is looked at, in bytes.
    pub fn most(&self) -> u64 {
        self.shared.snapshot().config().server.max_body
    }

    /// Decides where a request goes. The server counts it as under way from here on.
    ///
    /// # Errors
    /// [`Unplaced`]: it cannot be read, its model is not known, or nobody within the limits is in service.
    pub fn place(&self, parcel: Parcel<'_>) -> Result<Placed, Unplaced> {
        let arrived = Instant::now();
        let snapshot = self.shared.snapshot();
        let mut rng = SmallRng::from_rng(&mut *lock(&self.rng));
        let trace = Trace::new(TraceId(lock(&self.ids).random::<u128>().max(1)), now());
        let id = trace.id;
        self.travel(&snapshot, parcel, trace, arrived, &mut rng)
            .map_err(|refusal| Unplaced::of(refusal, parcel.format, id))
    }

    fn travel(
        &self,
        snapshot: &Arc<Snapshot>,
        parcel: Parcel<'_>,
        mut trace: Trace,
        arrived: Instant,
        rng: &mut SmallRng,
    ) -> Result<Placed, Refusal> {
        let config = &snapshot.config().server;
        let mut envelope =
            Envelope::parse(parcel.format, parcel.body).map_err(|e| Refusal::from(ErrorBody::from(&e)))?;
        envelope.query.identity = headers::identity(parcel.headers, &config.identity);
        envelope.query.session = session::named(parcel.headers, &envelope.query, &config.session);
        let (route, way) = choose::decide(snapshot, &envelope.query, &mut trace)?;
        let mut seat = None;
        if let Way::Decision { slot, session, .. } = &way {
            seat = Seat::of(slot, &envelope.query, snapshot);
            envelope.query.previous = session.as_ref().and_then(session::previous);
        }
        let adapters = match &way {
            Way::Decision { slot, .. } => slot.adapters.clone(),
            Way::Named(_) => None,
        };
        let chosen = choose::select(snapshot, &envelope.query, way, &mut trace, rng)?;
        let (parent, mut models) = without_asking(snapshot, chosen, &mut trace)?;
        if let Some(adapters) = adapters {
            // Nobody waits here for a load: what is kept is loaded meanwhile.
            let name = |id: &CandidateId| snapshot.catalogue().get(*id).map(|c| &c.profile.name);
            models.retain(|id| name(id).is_some_and(|name| adapters.is_there(name)));
        }
        let asked = Asked {
            parcel,
            query: &envelope.query,
            names: &self.names,
        };
        let picked = pick(snapshot, asked, parent, &models, &mut trace, rng)?;
        let endpoint = Arc::clone(&picked.endpoints[0]);
        let destinations = picked.endpoints.iter().flat_map(|e| asked.destinations(e));
        let destinations: Vec<String> = destinations.take(MOST_DESTINATIONS).collect();
        let edit = Edit {
            model: Some(endpoint.upstream_model.as_str()),
            include_usage: false,
        };
        let mut body = envelope.body_for(parcel.body, edit);
        let stream = envelope.query.stream;
        endpoint.live.begin();
        let under_way = UnderWay {
            shared: Arc::clone(&self.shared),
            snapshot: Arc::clone(snapshot),
            format: parcel.format,
            stream,
            asked: route.asked,
            decision: route.decision,
            seat,
            model: picked.model,
            endpoint,
            sent: picked.sent,
            span: lock(&self.ids).random::<u64>().max(1),
            arrived,
            routing: arrived.elapsed(),
            answer: None,
            over: false,
            trace,
        };
        let provider = &under_way.endpoint.provider;
        Ok(Placed {
            destinations,
            path: provider
                .path(parcel.format)
                .map(|p| p.to_string())
                .unwrap_or_default(),
            body: body.copy_to_bytes(body.remaining()),
            server_headers: provider.headers.clone(),
            told: under_way.told(),
            under_way,
        })
    }
}

/// The models in order. A router that asks first is not asked: its decision's models stand in their order.
fn without_asking(
    snapshot: &Snapshot,
    chosen: Chosen,
    trace: &mut Trace,
) -> Result<(HopId, SmallVec<[CandidateId; 4]>), Refusal> {
    let asking = match chosen {
        Chosen::Models { parent, models } => return Ok((parent, models)),
        Chosen::Asking(asking) => asking,
    };
    let admitted = |id: &CandidateId| {
        let candidate = snapshot.catalogue().get(*id)?;
        asking.limits.admit(candidate).is_ok().then_some(candidate)
    };
    let mut models = asking.slot.among.iter().filter_map(admitted);
    let Some(first) = models.next() else {
        return Err(choose::unroutable(&NoRoute { excluded: Vec::new() }));
    };
    let reason = Reason::new("the first of the decision: its router would ask, and a proxy carries one call");
    let evidence = Evidence::of(snapshot.named_router());
    let decision = fingerpost_core::Decision::single(Pick::of(first, 1.0), reason, evidence);
    let ids = std::iter::once(first.id).chain(models.map(|c| c.id)).collect();
    Ok((trace.push(asking.parent, Level::Model, decision), ids))
}

/// The first of the models that has endpoints for the request.
fn pick(
    snapshot: &Snapshot,
    asked: Asked<'_>,
    parent: HopId,
    models: &[CandidateId],
    trace: &mut Trace,
    rng: &mut SmallRng,
) -> Result<Picked, Refusal> {
    let mut refusal = None;
    for model in models.iter().filter_map(|id| snapshot.model(*id)) {
        match pick_endpoints(model, asked, parent, trace, rng) {
            Ok(picked) => return Ok(picked),
            // What is said of the first is what the client asked for.
            Err(none) => drop(refusal.get_or_insert(none)),
        }
    }
    Err(refusal.unwrap_or_else(|| choose::unroutable(&NoRoute { excluded: Vec::new() })))
}

/// The endpoints of a model that can take the request: the one that the fleet's policy picks, and those it would pick without it.
fn pick_endpoints(
    model: &ModelSlot,
    asked: Asked<'_>,
    parent: HopId,
    trace: &mut Trace,
    rng: &mut SmallRng,
) -> Result<Picked, Refusal> {
    let at = now();
    model.refresh(at);
    let ids = model.ids().iter().copied();
    let among: Vec<CandidateId> = ids
        .filter(|id| model.slot(*id).is_some_and(|s| !asked.destinations(s).is_empty()))
        .collect();
    if among.is_empty() {
        return Err(unreachable(model, asked.parcel));
    }
    let instance = model.instance_query(asked.query, choose::input_tokens(asked.query));
    let limits = Limits::NONE;
    for _ in 0..=among.len() {
        let decision = {
            let mut cx = Context::new(model.endpoints(), &limits, at, rng);
            model.picker().route(&instance, &among, &mut cx)
        };
        let decision = decision.map_err(|none| unavailable(model, &none))?;
        let ranked: SmallVec<[CandidateId; 4]> = decision.picks.iter().map(|p| p.id).collect();
        // Half open: somebody else may have taken the probe's place since.
        if model.slot(ranked[0]).is_some_and(|slot| slot.enter(at)) {
            trace.push(Some(parent), Level::Fleet, decision);
            return Ok(Picked {
                model: model.name().clone(),
                endpoints: with_fallbacks(model, &ranked, &among),
                sent: model.dispatch().sent(ranked[0], &instance),
            });
        }
        model.refresh(at);
    }
    Err(unavailable(model, &NoRoute { excluded: Vec::new() }).into())
}

/// What the policy picked, then those in service, the least loaded first: the policy is not asked for them, since one that takes turns
/// would count the turns.
fn with_fallbacks(
    model: &ModelSlot,
    ranked: &[CandidateId],
    among: &[CandidateId],
) -> SmallVec<[Arc<EndpointSlot>; 3]> {
    let others = among.iter().filter(|id| !ranked.contains(id));
    let mut others: Vec<&Arc<EndpointSlot>> = others.filter_map(|id| model.slot(*id)).collect();
    others.retain(|slot| slot.live.is_available());
    others.sort_by_key(|slot| slot.live.in_flight());
    let ranked = ranked.iter().filter_map(|id| model.slot(*id));
    ranked
        .chain(others)
        .take(MOST_DESTINATIONS)
        .map(Arc::clone)
        .collect()
}

/// None of a model's endpoints is one that the proxy can bring the request to.
fn unreachable(model: &ModelSlot, parcel: Parcel<'_>) -> Refusal {
    let place = if parcel.within.is_empty() {
        ""
    } else {
        " among those that the proxy offers"
    };
    let message = format!(
        "no endpoint of `{}`{place} is a server whose address is known and that speaks {}: a proxy translates nothing",
        model.name(),
        parcel.format.name()
    );
    ErrorBody::new(ErrorKind::Overloaded, &message).into()
}

fn lock(rng: &Mutex<SmallRng>) -> std::sync::MutexGuard<'_, SmallRng> {
    rng.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Asked ===

impl Asked<'_> {
    /// Where the proxy can bring the request so that it comes to this endpoint; nowhere where the endpoint is inside this process,
    /// speaks another format, or its name is not known yet.
    fn destinations(&self, endpoint: &EndpointSlot) -> Vec<String> {
        let format = self.parcel.format;
        let Some(address) = &endpoint.provider.address else {
            return Vec::new();
        };
        if endpoint.provider.format(format) != format {
            return Vec::new();
        }
        let addresses = self.names.addresses(&address.host, address.port).into_iter();
        let within = self.parcel.within;
        let reachable = |place: &String| within.is_empty() || within.contains(place);
        addresses.map(|a| a.to_string()).filter(reachable).collect()
    }
}

// === impl Placed ===

impl Placed {
    /// The trace's id.
    pub fn trace(&self) -> TraceId {
        self.under_way.trace.id
    }

    /// The answer has begun, with this status.
    pub fn answered(&mut self, status: u16) {
        let under_way = &mut self.under_way;
        under_way
            .answer
            .get_or_insert((status, under_way.arrived.elapsed()));
        if let (200..=299, Some(sent)) = (status, &mut under_way.sent) {
            sent.first_token();
        }
        if let (200..=299, Some(seat)) = (status, &under_way.seat) {
            seat.answered(&under_way.trace, now());
        }
    }

    /// The answer has ended, or the proxy tells no more.
    pub fn over(mut self) {
        self.under_way.finish();
    }
}

// === impl Unplaced ===

impl Unplaced {
    fn of(refusal: Refusal, format: Format, trace: TraceId) -> Self {
        let mut error = refusal.error;
        error.request_id.get_or_insert_with(|| trace.to_string());
        Self {
            status: error.status,
            body: error.to_body(format),
            retry_after: refusal.retry_after,
            message: error.message.clone(),
        }
    }
}
