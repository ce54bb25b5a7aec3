//! Who is asked for a call, in which order, and when the next one is.
//!
//! First the tool that was asked for; where that fails, those that the configuration names in its place (`backups`), then, with
//! `twins`, those of the same name and the same arguments on other servers. A call that did not reach its server may go to
//! another. One that may have been executed may only where the tool says that doing it twice does no more than doing it once.

use fingerpost_agents::mcp::McpConfig;

use crate::{
    catalogue::{Catalogue, Known},
    failure::Failure,
};

/// Who may do the work of a tool, itself first; nobody twice.
pub(crate) fn plan<'a>(catalogue: &'a Catalogue, config: &McpConfig, asked: &'a Known) -> Vec<&'a Known> {
    let mut plan = vec![asked];
    let declared = config
        .backups
        .iter()
        .filter(|backups| backups.tool == asked.tool.id);
    let declared = declared.flat_map(|backups| &backups.instead);
    let declared = declared.filter_map(|id| catalogue.named(id));
    let twins = catalogue
        .tools()
        .iter()
        .filter(|known| config.twins && known.tool.is_twin_of(&asked.tool));
    for known in declared.chain(twins) {
        if !plan.iter().any(|planned| planned.tool.id == known.tool.id) {
            plan.push(known);
        }
    }
    plan
}

/// Whether a call that failed so may be tried again, here or elsewhere.
pub(crate) fn may_go_on(failure: &Failure, repeatable: bool) -> bool {
    failure.speaks_for_another() && (repeatable || !failure.may_have_run())
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use fingerpost_agents::mcp::{Backups, McpServer};
    use fingerpost_encode::StaticEncoder;
    use rmcp::model::ErrorData;
    use serde_json::json;
    use tokio::sync::watch;

    use super::*;
    use crate::{changes::Changes, listing::Listing, server::Server, stats::Stats, tool::Offered};

    fn catalogue(config: &McpConfig, servers: &[(&str, &[(&str, &str)])]) -> Catalogue {
        let changed = Arc::new(watch::Sender::new(Changes::default()));
        let servers: Vec<Arc<Server>> = servers
            .iter()
            .map(|(name, tools)| {
                let own = McpServer::started(*name, "x");
                let raw = tools.iter().map(|(tool, argument)| {
                    json!({"name": tool, "inputSchema": {"type": "object", "properties": {*argument: {}}}})
                });
                let listing = Listing::<Offered>::read(&own, &config.limits, raw.collect());
                let server = Server::new(own, config, Arc::clone(&changed), Arc::new(Stats::default()));
                server.publish(listing);
                Arc::new(server)
            })
            .collect();
        Catalogue::of(&servers, &(Arc::new(StaticEncoder::bundled()) as _), None)
    }

    fn ids(config: &McpConfig, catalogue: &Catalogue, asked: &str) -> Vec<String> {
        let asked = catalogue.named(asked).unwrap();
        plan(catalogue, config, asked)
            .iter()
            .map(|known| known.tool.id.clone())
            .collect()
    }

    const SERVERS: &[(&str, &[(&str, &str)])] = &[
        ("a", &[("x", "q"), ("y", "q")]),
        ("b", &[("x", "q"), ("z", "q")]),
        ("c", &[("x", "other")]),
    ];

    #[test]
    fn declared_ones_go_before_twins_and_nobody_goes_twice() {
        let instead = ["c::x", "b::z", "gone::x", "a::x", "c::x"]
            .map(str::to_owned)
            .into();
        let backups = vec![Backups {
            tool: "a::x".to_owned(),
            instead,
        }];
        let mut config = McpConfig {
            backups,
            ..McpConfig::default()
        };
        let known = catalogue(&config, SERVERS);
        assert_eq!(ids(&config, &known, "a__x"), ["a::x", "c::x", "b::z"]);
        config.twins = true;
        assert_eq!(ids(&config, &known, "a__x"), ["a::x", "c::x", "b::z", "b::x"]);
        // Other arguments: no twin.
        assert_eq!(ids(&config, &known, "b::x"), ["b::x", "a::x"]);
        assert_eq!(ids(&config, &known, "c__x"), ["c::x"]);
    }

    #[test]
    fn what_may_have_run_is_done_again_only_where_that_does_no_harm() {
        let unreached = Failure::Unreached("x".to_owned());
        let (lost, late) = (Failure::Lost("x".to_owned()), Failure::Late(Duration::ZERO));
        assert!(may_go_on(&unreached, false) && may_go_on(&unreached, true));
        for failure in [lost, late, Failure::Refused(ErrorData::internal_error("x", None))] {
            assert!(
                !may_go_on(&failure, false) && may_go_on(&failure, true),
                "{failure}"
            );
        }
        let answers = [
            Failure::Refused(ErrorData::invalid_params("x", None)),
            Failure::Cancelled,
            Failure::TooLarge { bytes: 2, allowed: 1 },
        ];
        for failure in answers {
            assert!(!may_go_on(&failure, true), "{failure}");
        }
    }
}
