//! Envoy, Fingerpost, and the configurations of both.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use fingerpost_encode::StaticEncoder;
use fingerpost_extproc::{Options, Server};
use fingerpost_gateway::{Engines, Placer, Shared, config};
use fingerpost_testkit::{Client, Envoy, Upstream};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Fingerpost's configuration.
#[derive(Clone)]
pub(crate) struct Setup(Value);

/// Both, running.
pub(crate) struct Bed {
    envoy: Envoy,
    shared: Arc<Shared>,
    server: Option<Server>,
    _folder: TempDir,
}

/// A chat request.
pub(crate) fn ask(model: &str, text: &str) -> String {
    json!({"model": model, "messages": [{"role": "user", "content": text}]}).to_string()
}

// === impl Setup ===

impl Setup {
    /// The model `m`, served by all of them.
    pub(crate) fn pool(servers: &[Upstream], policy: &str) -> Self {
        let mut setup = json!({
            "store": {"back_end": "memory"},
            "server": {"seed": 7},
            "models": {"m": {"endpoints": [], "fleet": {"policy": policy}}},
            "decisions": [{"name": "all", "models": ["m"]}],
            "providers": {},
        });
        for (i, server) in servers.iter().enumerate() {
            let name = format!("server{i}");
            setup["providers"][&name] = json!({"type": "openai", "base_url": format!("{}/v1", server.url())});
            let endpoints = setup["models"]["m"]["endpoints"].as_array_mut().unwrap();
            endpoints.push(json!({"provider": name, "model": "served-as-m"}));
        }
        Self(setup)
    }

    /// Two models, a server each, and a decision each by a word of the text.
    pub(crate) fn by_keyword(servers: &[Upstream]) -> Self {
        let provider =
            |i: usize| json!({"type": "openai", "base_url": format!("{}/api/v1", servers[i].url())});
        let decision =
            |name: &str| json!({"name": name, "models": [name], "when": {"type": "keyword", "name": name}});
        Self(json!({
            "store": {"back_end": "memory"},
            "providers": {"a": provider(0), "b": provider(1)},
            "models": {"poems": {"endpoints": [{"provider": "a"}]}, "proofs": {"endpoints": [{"provider": "b"}]}},
            "signals": {"keyword": {"poems": {"any": ["poem"]}, "proofs": {"any": ["prove"]}}},
            "decisions": [decision("poems"), decision("proofs")],
        }))
    }

    pub(crate) fn breaker(mut self, failures: u32) -> Self {
        self.0["resilience"] = json!({"breaker": {"consecutive_failures": failures}});
        self
    }

    /// Its servers are named and not addressed.
    pub(crate) fn by_name(self) -> Self {
        Self(serde_json::from_str(&self.0.to_string().replace("127.0.0.1", "localhost")).unwrap())
    }

    /// Its servers speak Anthropic's format.
    pub(crate) fn other_format(mut self) -> Self {
        for (_, provider) in self.0["providers"].as_object_mut().unwrap() {
            provider["type"] = json!("anthropic");
        }
        self
    }
}

// === impl Bed ===

impl Bed {
    /// Starts both; `envoy` is Envoy's configuration, in which `@FINGERPOST@` stands for the processor's port.
    pub(crate) fn start(setup: &Setup, options: Options, envoy: &str) -> Self {
        let loaded = match config::load_text(&setup.0.to_string(), "test.yaml") {
            Ok(loaded) => loaded,
            Err(problems) => panic!(
                "{}",
                problems.iter().map(|p| format!("{p}\n")).collect::<String>()
            ),
        };
        let folder = tempfile::tempdir().unwrap();
        let encoder = Arc::new(StaticEncoder::bundled());
        let shared = Shared::new(loaded.config, folder.path(), Engines::default(), encoder, 1).unwrap();
        let placer = Arc::new(Placer::new(Arc::clone(&shared)).unwrap());
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::start(placer, options, any, 2).unwrap();
        let envoy = envoy.replace("@FINGERPOST@", &server.address().port().to_string());
        Self {
            envoy: Envoy::start(folder.path(), &envoy).unwrap(),
            shared,
            server: Some(server),
            _folder: folder,
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.envoy.address()).unwrap()
    }

    /// Waits until no request is counted as under way.
    pub(crate) fn is_idle(&self) {
        let end = Instant::now() + Duration::from_secs(20);
        while self.shared.snapshot().calls_under_way() > 0 {
            assert!(Instant::now() < end, "a call was never over");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop();
        }
    }
}

/// A load balancer that goes where the picker says, else in turn.
pub(crate) fn pool(servers: &[Upstream], body_mode: &str) -> String {
    let endpoints: Vec<Value> = servers.iter().map(endpoint).collect();
    let round_robin = json!({"policies": [{"typed_extension_config": {
        "name": "envoy.load_balancing_policies.round_robin",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin"},
    }}]});
    let policy = json!({"policies": [{"typed_extension_config": {
        "name": "envoy.load_balancing_policies.override_host",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.load_balancing_policies.override_host.v3.OverrideHost",
            "override_host_sources": [
                {"metadata": {"key": "envoy.lb", "path": [{"key": "x-gateway-destination-endpoint"}]}},
                {"header": "x-gateway-destination-endpoint"},
            ],
            "fallback_policy": round_robin,
        },
    }}]});
    let cluster = json!({
        "name": "pool", "type": "STATIC", "connect_timeout": "1s", "load_balancing_policy": policy,
        "load_assignment": {"cluster_name": "pool", "endpoints": [{"lb_endpoints": endpoints}]},
    });
    let routes = json!([{"match": {"prefix": "/"}, "route": {"cluster": "pool", "timeout": "0s"}}]);
    envoy(body_mode, &routes, vec![cluster])
}

/// A cluster a server, chosen by the model that the header names.
pub(crate) fn routes(servers: &[Upstream]) -> String {
    let cluster = |(name, server): (&str, &Upstream)| {
        json!({
            "name": name, "type": "STATIC", "connect_timeout": "1s",
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint(server)]}]},
        })
    };
    let clusters = ["poems", "proofs"]
        .into_iter()
        .zip(servers)
        .map(cluster)
        .collect();
    let by_model = |name: &str| {
        json!({
            "match": {"prefix": "/", "headers": [{"name": "x-fingerpost-model", "string_match": {"exact": name}}]},
            "route": {"cluster": name, "timeout": "0s"},
        })
    };
    let nowhere = json!({"match": {"prefix": "/"}, "direct_response": {"status": 421}});
    envoy(
        "BUFFERED",
        &json!([by_model("poems"), by_model("proofs"), nowhere]),
        clusters,
    )
}

fn endpoint(server: &Upstream) -> Value {
    let at = server.addr();
    json!({"endpoint": {"address": {"socket_address": {"address": at.ip().to_string(), "port_value": at.port()}}}})
}

fn envoy(body_mode: &str, routes: &Value, mut clusters: Vec<Value>) -> String {
    // Both trailers are asked for in full-duplex streams, which otherwise cannot end.
    let trailers = if body_mode == "FULL_DUPLEX_STREAMED" {
        "SEND"
    } else {
        "SKIP"
    };
    let processor = json!({
        "name": "envoy.filters.http.ext_proc",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor",
            "grpc_service": {"envoy_grpc": {"cluster_name": "fingerpost"}},
            "message_timeout": "20s",
            "processing_mode": {
                "request_header_mode": "SEND", "request_body_mode": body_mode, "request_trailer_mode": trailers,
                "response_header_mode": "SEND", "response_body_mode": "NONE", "response_trailer_mode": "SEND",
            },
            "mutation_rules": {"allow_all_routing": true},
            "metadata_options": {"receiving_namespaces": {"untyped": ["envoy.lb"]}},
        },
    });
    let router = json!({
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
    });
    clusters.push(json!({
        "name": "fingerpost", "type": "STATIC", "connect_timeout": "5s",
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        }},
        "load_assignment": {"cluster_name": "fingerpost", "endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}}},
        ]}]},
    }));
    let config = json!({"static_resources": {
        "listeners": [{
            "name": "front",
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": 1}},
            "per_connection_buffer_limit_bytes": 16_777_216,
            "filter_chains": [{"filters": [{
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                    "stat_prefix": "front",
                    "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
                    "http_filters": [processor, router],
                },
            }]}],
        }],
        "clusters": clusters,
    }});
    let text = config.to_string();
    text.replace("\"port_value\":0", "\"port_value\":@FINGERPOST@")
        .replace("\"port_value\":1,", "\"port_value\":@PORT@,")
        .replace("\"port_value\":1}", "\"port_value\":@PORT@}")
}
