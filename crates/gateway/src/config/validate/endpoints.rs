//! Who serves a model, and how they are asked how they are.

use std::{collections::BTreeSet, time::Duration};

use fingerpost_signals::Problem as What;

use super::{Check, Model, Provider, ProviderKind};
use crate::config::Pods;

impl Check<'_> {
    pub(super) fn asked(&mut self, name: &str, model: &Model) {
        if let Some(reports) = &model.reports {
            self.asked_at(&format!("models.{name}.reports"), &reports.path, reports.every);
        }
        if let Some(health) = &model.health {
            let path = format!("models.{name}.health");
            self.asked_at(&path, &health.path, health.every);
            if health.misses == 0 {
                let what = What::error(format!("{path}.misses"), "too few").found("0");
                self.say(what.allowed("1 and more"));
            }
        }
    }

    /// A path on a server that is asked for now and again.
    fn asked_at(&mut self, key: &str, path: &str, every: Duration) {
        if !path.starts_with('/') {
            let what = What::error(format!("{key}.path"), "is no path on a server").found(path);
            self.say(what.allowed("one that begins with `/`, such as /metrics"));
        }
        if every < Duration::from_millis(100) {
            let what =
                What::error(format!("{key}.every"), "too often").found(format!("{}ms", every.as_millis()));
            self.say(what.allowed("100ms and more"));
        }
    }

    pub(super) fn endpoints(&mut self, name: &str, model: &Model) {
        let path = format!("models.{name}.endpoints");
        match &model.pods {
            Some(pods) => self.pods(name, model, pods),
            None if model.endpoints.is_empty() => {
                let what = What::error(&path, "a model needs someone who serves it");
                self.say_of_key(what.allowed("at least one endpoint, or `pods`"));
            }
            None => {}
        }
        let providers = self.lines.names_under("providers");
        let mut seen = BTreeSet::new();
        for (i, endpoint) in model.endpoints.iter().enumerate() {
            let path = self.lines.item(&path, i);
            if !providers.contains(&endpoint.provider.as_str()) {
                let what = What::error(format!("{path}.provider"), "unknown provider");
                self.say(what.one_of(&endpoint.provider, providers.iter().copied()));
            }
            if endpoint.max_in_flight == Some(0) {
                let what = What::error(
                    format!("{path}.max_in_flight"),
                    "an endpoint that may not be called:",
                )
                .found("0");
                self.say(what.allowed("1 or more; absent for no limit"));
            }
            if !seen.insert((&endpoint.provider, &endpoint.model)) {
                self.say(What::error(
                    path,
                    "an endpoint of this provider and model stands here already",
                ));
            }
        }
    }

    fn pods(&mut self, name: &str, model: &Model, pods: &Pods) {
        let path = format!("models.{name}.pods");
        if !model.endpoints.is_empty() {
            self.say_of_key(What::error(
                &path,
                "stands beside `endpoints`; a model has one or the other",
            ));
        }
        let is_sound = match (&pods.pool, pods.selector.is_empty(), pods.port) {
            (Some(_), true, None) => true,
            (None, false, Some(port)) => port > 0,
            _ => false,
        };
        if !is_sound {
            let what = What::error(&path, "does not say which pods");
            self.say_of_key(what.allowed("`pool` alone, or `selector` and `port`"));
        }
        match self.config.providers.get(&pods.each.provider) {
            None => {
                let providers = self.lines.names_under("providers");
                let what = What::error(format!("{path}.each.provider"), "unknown provider");
                self.say(what.one_of(&pods.each.provider, providers.iter().copied()));
            }
            Some(Provider {
                kind: ProviderKind::Local | ProviderKind::Demo,
                ..
            }) => {
                let what = What::error(
                    format!("{path}.each.provider"),
                    "a model inside this process is no pod",
                );
                self.say(what.allowed("a provider of type `openai` or `anthropic`"));
            }
            Some(_) => {}
        }
    }
}
