//! `authz`: who asks. A rule matches when the trusted identity is one of its subjects.
//!
//! The identity comes from headers that the operator trusts ([`fingerpost_core::Identity`]); metadata of the request, which
//! any caller can write, is never looked at. Names compare exactly. Raw: how many subjects matched.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Problem, Signal, facts::Facts};

/// A role, as the subjects that have it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthzRule {
    /// The users and groups that the rule matches.
    pub subjects: Vec<Subject>,
}

/// A user or a group: exactly one of the two keys.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Subject {
    /// The name of a user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The name of a group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

pub(crate) struct Authz {
    rules: Vec<Vec<Subject>>,
}

// === impl Authz ===

impl Authz {
    pub(crate) fn compile(rules: &BTreeMap<String, AuthzRule>, problems: &mut Vec<Problem>) -> Self {
        for (name, rule) in rules {
            if rule.subjects.is_empty() {
                let path = format!("signals.authz.{name}.subjects");
                problems.push(Problem::error(path, "a role without subjects never matches"));
            }
            for (i, subject) in rule.subjects.iter().enumerate() {
                if subject.user.is_some() == subject.group.is_some() {
                    problems.push(
                        Problem::error(
                            format!("signals.authz.{name}.subjects[{i}]"),
                            "a subject is one user or one group",
                        )
                        .allowed("{ user: NAME } or { group: NAME }"),
                    );
                }
            }
        }
        Self {
            rules: rules.values().map(|r| r.subjects.clone()).collect(),
        }
    }

    pub(crate) fn fill(&self, facts: &Facts<'_>, out: &mut [Signal]) {
        let identity = &facts.query.identity;
        let is = |subject: &&Subject| {
            let user = subject.user.is_some() && subject.user.as_deref() == identity.user.as_deref();
            user || subject
                .group
                .as_deref()
                .is_some_and(|g| identity.groups.iter().any(|has| has == g))
        };
        for (subjects, signal) in self.rules.iter().zip(out) {
            let count = subjects.iter().filter(is).count();
            *signal = Signal::certain(count > 0, count as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fingerpost_core::{Identity, Query};

    #[test]
    fn users_and_groups_match_exactly() {
        let rules =
            serde_json::from_str(r#"{"staff":{"subjects":[{"group":"staff"},{"user":"ann"}]}}"#).unwrap();
        let mut problems = Vec::new();
        let family = Authz::compile(&rules, &mut problems);
        assert!(problems.is_empty());
        let matched = |user: Option<&'static str>, groups: &[&'static str]| {
            let query = Query {
                identity: Identity {
                    user: user.map(Into::into),
                    groups: groups.iter().map(|g| (*g).into()).collect(),
                },
                ..Query::default()
            };
            let mut out = [Signal::UNKNOWN];
            family.fill(&Facts::new(&query, None, None), &mut out);
            out[0]
        };
        assert_eq!(matched(Some("ann"), &["staff"]), Signal::certain(true, 2.0));
        assert!(matched(None, &["guests", "staff"]).matched());
        assert!(!matched(Some("Ann"), &[]).matched());
        assert!(!matched(Some("staff"), &["ann"]).matched());
        assert!(!matched(None, &[]).matched());
    }

    #[test]
    fn metadata_grants_nothing() {
        let rules = serde_json::from_str(r#"{"staff":{"subjects":[{"user":"ann"}]}}"#).unwrap();
        let family = Authz::compile(&rules, &mut Vec::new());
        let query = Query {
            metadata: vec![("user".into(), "ann".into())],
            ..Query::default()
        };
        let mut out = [Signal::UNKNOWN];
        family.fill(&Facts::new(&query, None, None), &mut out);
        assert!(!out[0].matched());
    }

    #[test]
    fn a_subject_is_one_thing() {
        let rules =
            serde_json::from_str(r#"{"a":{"subjects":[{"user":"x","group":"y"},{}]},"b":{"subjects":[]}}"#)
                .unwrap();
        let mut problems = Vec::new();
        Authz::compile(&rules, &mut problems);
        let paths: Vec<&str> = problems.iter().map(|p| p.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "signals.authz.a.subjects[0]",
                "signals.authz.a.subjects[1]",
                "signals.authz.b.subjects"
            ]
        );
    }
}
