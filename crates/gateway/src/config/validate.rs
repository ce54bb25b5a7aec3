//! What types cannot say: names that must exist, numbers that must make sense together.

mod endpoints;

use std::collections::BTreeSet;

use fingerpost_models::Algorithm;
use fingerpost_signals::Problem as What;
use fingerpost_store::{BackEnd, ServerUrl};
use http::{HeaderName, HeaderValue};

use super::{
    CacheConfig, Config, Decision, Model, Provider, ProviderKind, Select, SessionConfig, mcp,
    problem::Problem,
    span::{LineMap, is_secretive, is_variable_name},
};
use crate::upstream::Address;

/// Everything that is wrong or doubtful beyond the types; `is_set` says whether a variable of the environment is set.
pub(super) fn validate(config: &Config, lines: &LineMap, is_set: &dyn Fn(&str) -> bool) -> Vec<Problem> {
    let mut check = Check {
        config,
        lines,
        is_set,
        found: Vec::new(),
    };
    check.server();
    for (name, provider) in &config.providers {
        check.provider(name, provider);
    }
    check.models();
    check.aliases();
    check.decisions();
    check.policy();
    check.store();
    check.telemetry();
    check.found.extend(mcp::validate(&config.mcp, lines));
    check.found
}

struct Check<'a> {
    config: &'a Config,
    lines: &'a LineMap,
    is_set: &'a dyn Fn(&str) -> bool,
    found: Vec<Problem>,
}

// === impl Check ===

impl<'a> Check<'a> {
    fn say(&mut self, what: What) {
        self.found.push(self.lines.locate(what));
    }

    fn say_of_key(&mut self, what: What) {
        self.found.push(self.lines.locate_key(what));
    }

    fn server(&mut self) {
        let server = &self.config.server;
        if server.max_body == 0 {
            self.say(
                What::error("server.max_body", "no request fits into")
                    .found("0")
                    .allowed("1 byte or more"),
            );
        }
        for (key, header) in [
            ("user", &server.identity.user),
            ("groups", &server.identity.groups),
        ] {
            if let Some(header) = header
                .as_deref()
                .filter(|header| HeaderName::try_from(*header).is_err())
            {
                let what =
                    What::error(format!("server.identity.{key}"), "no name of a header:").found(header);
                self.say(what.allowed("letters, digits and hyphens, such as x-user"));
            }
        }
        self.session();
        let timeouts = &self.config.resilience.timeouts;
        let stages = [
            ("connect", timeouts.connect),
            ("first_byte", timeouts.first_byte),
            ("idle", timeouts.idle),
            ("total", timeouts.total),
        ];
        for (key, time) in stages {
            let path = format!("resilience.timeouts.{key}");
            if time.is_zero() {
                self.say(
                    What::error(path, "a time-out of nothing lets no call through").allowed("more than 0"),
                );
            } else if time > timeouts.total {
                let what = What::warning(
                    path,
                    "never comes into effect, because it is longer than `total`:",
                );
                self.say(
                    what.found(humantime(time))
                        .allowed(format!("at most {}", humantime(timeouts.total))),
                );
            }
        }
    }

    fn session(&mut self) {
        let session = &self.config.server.session;
        for (i, header) in session.headers.iter().enumerate() {
            if HeaderName::try_from(header.as_str()).is_err() {
                let path = self.lines.item("server.session.headers", i);
                let what = What::error(path, "no name of a header:").found(header);
                self.say(what.allowed("letters, digits and hyphens, such as x-session-id"));
            }
        }
        if session.most.get() > SessionConfig::MOST {
            let what = What::error(
                "server.session.most",
                "more conversations than may be remembered:",
            );
            self.say(
                what.found(session.most.to_string())
                    .allowed(format!("1 to {}", SessionConfig::MOST)),
            );
        }
    }

    fn provider(&mut self, name: &str, provider: &Provider) {
        let path = |key: &str| format!("providers.{name}.{key}");
        let is_remote = matches!(provider.kind, ProviderKind::Openai | ProviderKind::Anthropic);
        match provider.base_url.as_deref() {
            Some(_) if !is_remote => {
                let what = What::warning(path("base_url"), "has no meaning for a model inside this process");
                self.say_of_key(what);
            }
            Some(url) => {
                if let Err(error) = Address::parse(url) {
                    self.say(What::error(path("base_url"), error.to_string()));
                }
            }
            None => {}
        }
        self.key_variable(name, provider, is_remote);
        for (header, value) in &provider.headers {
            self.header(&path(&format!("headers.{header}")), header, value);
        }
        let is_used = self
            .config
            .models
            .values()
            .flat_map(|model| {
                model
                    .endpoints
                    .iter()
                    .chain(model.pods.as_ref().map(|pods| &pods.each))
            })
            .any(|endpoint| endpoint.provider == *name);
        if !is_used {
            self.say_of_key(
                What::warning(format!("providers.{name}"), "provider that no endpoint uses:").found(name),
            );
        }
    }

    fn key_variable(&mut self, name: &str, provider: &Provider, is_remote: bool) {
        let given = provider.api_key_env.as_deref();
        let path = if given.is_some() {
            format!("providers.{name}.api_key_env")
        } else {
            format!("providers.{name}")
        };
        let usual = match provider.kind {
            ProviderKind::Openai => "OPENAI_API_KEY",
            ProviderKind::Anthropic => "ANTHROPIC_API_KEY",
            ProviderKind::Local | ProviderKind::Demo => "",
        };
        let public = (is_remote && provider.base_url.is_none()).then_some(usual);
        match given.or(public) {
            // It may be the key itself: it is not shown.
            Some(variable) if !is_variable_name(variable) => {
                let what = What::error(path, "this is no name of an environment variable");
                self.say_of_key(what.allowed(
                    "the name of the variable that holds the key, such as OPENAI_API_KEY; never the key",
                ));
            }
            Some(variable) if !(self.is_set)(variable) => {
                let message = "requests will go without a key, because this environment variable is not set:";
                self.say(What::warning(path, message).found(variable));
            }
            _ => {}
        }
    }

    fn header(&mut self, path: &str, header: &str, value: &str) {
        if HeaderName::try_from(header).is_err() {
            let what = What::error(path, "no name of a header:").found(header);
            self.say_of_key(what.allowed("letters, digits and hyphens"));
        } else if HeaderValue::from_str(value).is_err() {
            self.say_of_key(
                What::error(path, "the value of this header cannot be sent")
                    .allowed("one line of visible characters"),
            );
        } else if is_secretive(header) && !self.lines.is_from_environment(path) {
            let what = What::error(path, "a secret does not belong in this file:").found(header);
            self.say_of_key(what.allowed("`api_key_env`, or a variable of the environment: \"${NAME}\""));
        }
    }

    fn models(&mut self) {
        if self.lines.names_under("models").is_empty() {
            self.say_of_key(if self.config.mcp.servers.is_empty() {
                What::error("models", "no model is configured").allowed(
                    "at least one; `fingerpost schema --example` prints a configuration to begin with",
                )
            } else {
                What::warning(
                    "models",
                    "no model is configured: the file serves `fingerpost mcp` alone",
                )
            });
        }
        for (name, model) in &self.config.models {
            self.name(&format!("models.{name}"), name);
            self.endpoints(name, model);
            self.asked(name, model);
        }
        let models = self.lines.names_under("models");
        if let Some(name) = &self.config.default_model
            && !models.contains(&name.as_str())
        {
            self.say(What::error("default_model", "unknown model").one_of(name, models.iter().copied()));
        }
    }

    /// Names of models and decisions go out in headers.
    fn name(&mut self, path: &str, name: &str) {
        let is_sound = !name.is_empty()
            && name.trim() == name
            && name.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        if !is_sound {
            let what = What::error(path, "a name that cannot stand in a header:").found(name);
            self.say_of_key(what.allowed("visible ASCII characters"));
        }
    }

    fn aliases(&mut self) {
        let models = self.lines.names_under("models");
        let mut seen = BTreeSet::new();
        for (i, alias) in self.config.aliases.0.iter().enumerate() {
            let path = self.lines.item("aliases", i);
            if models.contains(&alias.as_str()) {
                self.say(What::error(&path, "an alias that is the name of a model:").found(alias));
            } else if !seen.insert(alias) {
                self.say(What::warning(&path, "an alias that stands here already:").found(alias));
            }
            self.name(&path, alias);
        }
    }

    fn decisions(&mut self) {
        let mut seen = BTreeSet::new();
        for (i, decision) in self.config.decisions.iter().enumerate() {
            let path = self.lines.item("decisions", i);
            self.name(&format!("{path}.name"), &decision.name);
            if !seen.insert(&decision.name) {
                let what = What::error(format!("{path}.name"), "a decision of this name stands above:");
                self.say(what.found(&decision.name));
            }
            self.candidates(&path, decision);
            self.selection(&path, decision);
            self.cache(&path, decision);
            self.stay(&path, decision);
            self.adapters(&path, decision);
            self.agents(&path, decision);
        }
    }

    fn adapters(&mut self, path: &str, decision: &'a Decision) {
        let Some(adapters) = &decision.adapters else {
            return;
        };
        self.own_router(path, decision, "adapters");
        if let Err(error) = adapters.polar.check() {
            let what = What::error(
                format!("{path}.adapters.polar.{}", error.key),
                "value that is not allowed",
            );
            self.say(what.found(error.found.to_string()).allowed(error.allowed));
        }
        let models = || decision.models.iter().map(String::as_str);
        let named = adapters
            .sources
            .keys()
            .map(|model| (format!("{path}.adapters.sources.{model}"), model));
        let base = adapters
            .polar
            .base
            .iter()
            .map(|base| (format!("{path}.adapters.polar.base"), base));
        for (path, model) in named.chain(base) {
            if !decision.models.contains(model) {
                let message = "a model that is not among this decision's:";
                self.say(What::error(path, message).one_of(model, models()));
            }
        }
        for (key, own) in [
            ("load_path", &adapters.load_path),
            ("unload_path", &adapters.unload_path),
        ] {
            if !own.starts_with('/') {
                let what = What::error(format!("{path}.adapters.{key}"), "is no path on a server").found(own);
                self.say(what.allowed("one that begins with `/`"));
            }
        }
    }

    fn agents(&mut self, path: &str, decision: &'a Decision) {
        let Some(agents) = &decision.agents else { return };
        self.own_router(path, decision, "agents");
        if decision.adapters.is_some() {
            self.say(What::error(
                format!("{path}.agents"),
                "stands beside `adapters`: a decision's models are one or the other",
            ));
        }
        if !(1.0..=3.0).contains(&agents.mean_size) {
            let what = What::error(format!("{path}.agents.mean_size"), "value that is not allowed");
            self.say(what.found(agents.mean_size.to_string()).allowed("1 to 3"));
        }
        for model in agents.examples.keys().filter(|m| !decision.models.contains(m)) {
            let what = What::error(
                format!("{path}.agents.examples.{model}"),
                "examples for a model that is not among this decision's:",
            );
            self.say_of_key(what.one_of(model, decision.models.iter().map(String::as_str)));
        }
        let models = self.lines.names_under("models");
        let tcar = &agents.tcar;
        let helpers = [
            ("model", &tcar.model),
            ("refiner", &tcar.refiner),
            ("otherwise", &tcar.otherwise),
        ];
        for (key, model) in helpers
            .into_iter()
            .filter_map(|(key, model)| Some((key, model.as_deref()?)))
        {
            if !models.contains(&model) {
                let what = What::error(format!("{path}.agents.tcar.{key}"), "unknown model");
                self.say(what.one_of(model, models.iter().copied()));
            }
        }
    }

    /// A decision whose models are chosen by a router of their own has nothing under `select`.
    fn own_router(&mut self, path: &str, decision: &Decision, key: &str) {
        if decision.select != Select::default() {
            let message = format!("has no meaning beside `{key}`, whose own router chooses");
            self.say(What::error(format!("{path}.select"), message));
        }
    }

    fn stay(&mut self, path: &str, decision: &'a Decision) {
        let Some(stay) = &decision.stay else { return };
        if let Err(error) = stay.check() {
            let what = What::error(format!("{path}.stay.{}", error.key), "value that is not allowed");
            self.say(what.found(error.found).allowed(error.allowed));
        }
        let models = || decision.models.iter().map(String::as_str);
        for (from, row) in &stay.quality_gaps {
            let own = format!("{path}.stay.quality_gaps.{from}");
            let to = row.keys().map(|to| (format!("{own}.{to}"), to));
            for (path, model) in std::iter::once((own.clone(), from)).chain(to) {
                if !decision.models.contains(model) {
                    let message = "a gap for a model that is not among this decision's:";
                    self.say_of_key(What::error(path, message).one_of(model, models()));
                }
            }
        }
    }

    fn cache(&mut self, path: &str, decision: &Decision) {
        let Some(cache) = &decision.cache else { return };
        let path = |key: &str| format!("{path}.cache.{key}");
        if !(cache.similarity > 0.0 && cache.similarity <= 1.0) {
            let what = What::error(path("similarity"), "no similarity of two texts:");
            self.say(
                what.found(cache.similarity.to_string())
                    .allowed("a number above 0, up to 1 (the same text)"),
            );
        }
        if cache.ttl.is_zero() {
            self.say(
                What::error(
                    path("ttl"),
                    "answers that are too old at once are never given again",
                )
                .allowed("more than 0"),
            );
        }
        if cache.entries.get() > CacheConfig::MOST_ENTRIES {
            let what = What::error(path("entries"), "more answers than a cache may keep:");
            self.say(
                what.found(cache.entries.to_string())
                    .allowed(format!("1 to {}", CacheConfig::MOST_ENTRIES)),
            );
        }
    }

    fn candidates(&mut self, path: &str, decision: &'a Decision) {
        let models = self.lines.names_under("models");
        let list = format!("{path}.models");
        if decision.models.is_empty() {
            self.say_of_key(
                What::error(&list, "a decision needs a model").allowed("at least one of `models`"),
            );
        }
        let mut seen = BTreeSet::new();
        for (i, model) in decision.models.iter().enumerate() {
            let own = self.lines.item(&list, i);
            if !models.contains(&model.as_str()) {
                self.say(What::error(own, "unknown model").one_of(model, models.iter().copied()));
            } else if !seen.insert(model) {
                self.say(What::error(own, "a model that stands here already:").found(model));
            }
        }
    }

    /// The settings of a decision's algorithm.
    fn selection(&mut self, path: &str, decision: &'a Decision) {
        let path = format!("{path}.select");
        if let Err(error) = fingerpost_models::check(&decision.select.0) {
            let what = What::error(format!("{path}.{}", error.key), "value that is not allowed");
            self.say(what.found(error.found).allowed(error.allowed));
        }
        let models = self.lines.names_under("models");
        for (key, model) in decision.select.0.helpers() {
            if !models.contains(&model) {
                let what = What::error(format!("{path}.{key}"), "unknown model");
                self.say(what.one_of(model, models.iter().copied()));
            }
        }
        let weights = match &decision.select.0 {
            Algorithm::Weighted(weighted) => Some(&weighted.weights),
            Algorithm::Remom(remom) => Some(&remom.weights),
            _ => None,
        };
        if let Some(weights) = weights {
            for model in weights.keys().filter(|model| !decision.models.contains(model)) {
                let what = What::error(
                    format!("{path}.weights.{model}"),
                    "a weight for a model that is not among this decision's:",
                );
                self.say_of_key(what.one_of(model, decision.models.iter().map(String::as_str)));
            }
        }
    }

    /// Signals, projections and conditions: names that are missing, decisions that can never be taken, signals without use.
    fn policy(&mut self) {
        for mut what in fingerpost_signals::check(&self.config.policy(), None) {
            what.path = self.in_file(&what.path);
            // Of a condition in one line, the piece in question.
            let place = self
                .lines
                .find(&what.path, what.found.as_deref().unwrap_or_default());
            self.found.push(self.lines.located(what, place));
        }
    }

    /// The path with the index that the decision has in the file.
    fn in_file(&self, path: &str) -> String {
        let index = path
            .strip_prefix("decisions[")
            .and_then(|rest| rest.split_once(']'));
        match index.and_then(|(index, rest)| Some((index.parse().ok()?, rest))) {
            Some((index, rest)) => format!("{}{rest}", self.lines.item("decisions", index)),
            None => path.to_owned(),
        }
    }

    fn store(&mut self) {
        let store = &self.config.store;
        if store.back_end != BackEnd::Redis {
            let keys = [("url", store.url.is_some()), ("url_env", store.url_env.is_some())];
            for (key, _) in keys.into_iter().filter(|(_, is_there)| *is_there) {
                let what = What::warning(format!("store.{key}"), "has no meaning without `back_end: redis`");
                self.say_of_key(what);
            }
            return;
        }
        let secret = store.url.as_ref().is_some_and(ServerUrl::has_password);
        if secret && !self.lines.is_from_environment("store.url") {
            let what = What::error("store.url", "a password does not belong in this file");
            let allowed = "`url_env` with the name of the environment variable that holds the whole URL";
            self.say_of_key(what.allowed(allowed));
        }
        match store.url_env.as_deref() {
            // It may be the URL itself: it is not shown.
            Some(variable) if !is_variable_name(variable) => {
                let what = What::error("store.url_env", "this is no name of an environment variable");
                self.say_of_key(
                    what.allowed("the name of the variable that holds the URL, such as REDIS_URL"),
                );
            }
            Some(variable) if !(self.is_set)(variable) => {
                let what =
                    What::error("store.url_env", "this environment variable is not set:").found(variable);
                self.say(what.allowed("a variable that holds redis://user:password@host:port/database"));
            }
            _ => {}
        }
        if store.prefix.is_empty() {
            let what = What::error(
                "store.prefix",
                "nothing to tell this program's keys from others' by",
            );
            self.say(what.allowed("at least one character"));
        }
        if store.timeout.is_zero() {
            let what = What::error("store.timeout", "a time-out of nothing lets no exchange through");
            self.say(what.allowed("more than 0"));
        }
    }

    fn telemetry(&mut self) {
        let telemetry = &self.config.telemetry;
        if let Some(sample) = telemetry.otlp_sample
            && !(0.0..=1.0).contains(&sample)
        {
            let what = What::error("telemetry.otlp_sample", "no share:").found(sample.to_string());
            self.say(what.allowed("a number from 0 to 1"));
        }
        if let Some(Err(error)) = telemetry.otlp_endpoint.as_deref().map(Address::parse) {
            self.say(What::error("telemetry.otlp_endpoint", error.to_string()));
        }
    }
}

pub(super) fn humantime(time: std::time::Duration) -> String {
    humantime_serde::re::humantime::format_duration(time).to_string()
}
