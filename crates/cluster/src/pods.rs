//! What is known of pods, from lists and from what a watch tells.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use serde::Deserialize;
use serde_json::Value;

/// A pod that has an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its name, unique in its namespace.
    pub name: String,
    /// Where its server listens.
    pub address: SocketAddr,
    /// Whether it takes new requests: ready, and not on its way out.
    pub is_ready: bool,
}

/// The pods that were selected, as they were told last.
#[derive(Debug, Default)]
pub struct Pods {
    by_name: BTreeMap<String, Object>,
    version: String,
}

/// What a line of a watch says.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// Something has changed, or could have.
    Told,
    /// What was known is too old to go on from: the list is to be asked for again.
    Expired,
    /// The cluster's API complains.
    Failed(String),
}

/// A pod, as far as it is looked at.
#[derive(Debug, Deserialize)]
struct Object {
    metadata: Metadata,
    #[serde(default)]
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    name: String,
    resource_version: String,
    deletion_timestamp: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    phase: String,
    #[serde(rename = "podIP")]
    pod_ip: String,
    conditions: Vec<Condition>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Condition {
    r#type: String,
    status: String,
}

/// A page of a list.
#[derive(Debug, Deserialize)]
struct Page {
    #[serde(default)]
    metadata: PageMetadata,
    #[serde(default)]
    items: Vec<Object>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PageMetadata {
    resource_version: String,
    r#continue: String,
}

#[derive(Debug, Deserialize)]
struct Line {
    r#type: String,
    #[serde(default)]
    object: Value,
}

// === impl Pods ===

impl Pods {
    /// Takes in a page of a list. Returns where the next page begins, if there is one.
    ///
    /// # Errors
    /// It is no list of pods.
    pub fn page(&mut self, page: &[u8]) -> Result<Option<String>, serde_json::Error> {
        // As an object: a list of values would do for its fields, and tell that there are no pods.
        let page: serde_json::Map<String, Value> = serde_json::from_slice(page)?;
        let page = Page::deserialize(Value::Object(page))?;
        for object in page.items {
            self.by_name.insert(object.metadata.name.clone(), object);
        }
        self.version = page.metadata.resource_version;
        let next = page.metadata.r#continue;
        Ok((!next.is_empty()).then_some(next))
    }

    /// Takes in a line of a watch. A line that cannot be read is a failure, and changes nothing.
    pub fn line(&mut self, line: &[u8]) -> Event {
        let line: Line = match serde_json::from_slice(line) {
            Ok(line) => line,
            Err(error) => return Event::Failed(format!("a line of the watch cannot be read: {error}")),
        };
        if line.r#type == "ERROR" {
            let said = |key: &str| line.object[key].as_str().unwrap_or_default().to_owned();
            return match line.object["code"].as_u64() {
                Some(410) => Event::Expired,
                _ => Event::Failed(format!("{} {}", said("reason"), said("message"))),
            };
        }
        let object: Object = match serde_json::from_value(line.object) {
            Ok(object) => object,
            Err(error) => return Event::Failed(format!("a pod of the watch cannot be read: {error}")),
        };
        self.version.clone_from(&object.metadata.resource_version);
        match line.r#type.as_str() {
            "ADDED" | "MODIFIED" => {
                self.by_name.insert(object.metadata.name.clone(), object);
            }
            "DELETED" => {
                self.by_name.remove(&object.metadata.name);
            }
            // A bookmark tells how far the watch has come.
            _ => {}
        }
        Event::Told
    }

    /// From where on a watch tells what has changed since.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The pods that have an address, by name; `port` is where their servers listen.
    pub fn all(&self, port: u16) -> Vec<Pod> {
        let pods = self.by_name.values().filter_map(|object| object.pod(port));
        pods.collect()
    }
}

// === impl Object ===

impl Object {
    fn pod(&self, port: u16) -> Option<Pod> {
        let ip: IpAddr = self.status.pod_ip.parse().ok()?;
        // One whose containers have all ended keeps its address for a while.
        if matches!(self.status.phase.as_str(), "Failed" | "Succeeded") {
            return None;
        }
        let is_ready = |c: &Condition| c.r#type == "Ready" && c.status == "True";
        Some(Pod {
            name: self.metadata.name.clone(),
            address: SocketAddr::new(ip, port),
            is_ready: self.metadata.deletion_timestamp.is_none()
                && self.status.conditions.iter().any(is_ready),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn pod(name: &str, ip: &str, ready: &str) -> Value {
        json!({
            "metadata": {"name": name, "resourceVersion": "7", "labels": {"app": "x"}},
            "spec": {"containers": []},
            "status": {"phase": "Running", "podIP": ip, "conditions": [
                {"type": "Initialized", "status": "True"}, {"type": "Ready", "status": ready},
            ]},
        })
    }

    fn bytes(value: &Value) -> Vec<u8> {
        value.to_string().into_bytes()
    }

    fn names(pods: &Pods) -> Vec<(String, bool)> {
        pods.all(80).into_iter().map(|p| (p.name, p.is_ready)).collect()
    }

    #[test]
    fn lists_and_changes() {
        let mut pods = Pods::default();
        let first = json!({"metadata": {"resourceVersion": "5", "continue": "abc"}, "items": [pod("b", "10.0.0.2", "False")]});
        assert_eq!(pods.page(&bytes(&first)).unwrap().as_deref(), Some("abc"));
        let last = json!({"metadata": {"resourceVersion": "6"}, "items": [pod("a", "fd00::1", "True"), pod("c", "", "True")]});
        assert_eq!(pods.page(&bytes(&last)).unwrap(), None);
        assert_eq!(names(&pods), [("a".to_owned(), true), ("b".to_owned(), false)]);
        assert_eq!(
            (pods.all(80)[0].address.to_string().as_str(), pods.version()),
            ("[fd00::1]:80", "6")
        );
        let mut tell =
            |kind: &str, object: Value| pods.line(&bytes(&json!({"type": kind, "object": object})));
        assert_eq!(tell("MODIFIED", pod("b", "10.0.0.2", "True")), Event::Told);
        let mut leaving = pod("a", "fd00::1", "True");
        leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(tell("MODIFIED", leaving), Event::Told);
        let mut failed = pod("d", "10.0.0.4", "False");
        failed["status"]["phase"] = json!("Failed");
        assert_eq!(tell("ADDED", failed), Event::Told);
        assert_eq!(names(&pods), [("a".to_owned(), false), ("b".to_owned(), true)]);
        let mut tell =
            |kind: &str, object: Value| pods.line(&bytes(&json!({"type": kind, "object": object})));
        assert_eq!(tell("DELETED", pod("a", "fd00::1", "True")), Event::Told);
        let bookmark = json!({"kind": "Pod", "metadata": {"resourceVersion": "99"}});
        assert_eq!(tell("BOOKMARK", bookmark), Event::Told);
        assert_eq!((names(&pods).len(), pods.version()), (1, "99"));
    }

    #[test]
    fn complaints() {
        let mut pods = Pods::default();
        let gone = json!({"type": "ERROR", "object": {"code": 410, "reason": "Expired"}});
        assert_eq!(pods.line(&bytes(&gone)), Event::Expired);
        let other =
            json!({"type": "ERROR", "object": {"code": 500, "reason": "InternalError", "message": "etcd"}});
        assert_eq!(
            pods.line(&bytes(&other)),
            Event::Failed("InternalError etcd".to_owned())
        );
        assert!(matches!(pods.line(b"<html>"), Event::Failed(_)));
        assert!(matches!(pods.line(br#"{"type":"ADDED"}"#), Event::Failed(_)));
        assert!(pods.page(b"[]").is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_line_is_too_odd(kind in "ADDED|MODIFIED|DELETED|ERROR|[A-Z]{0,3}", ip in ".{0,12}", rest in ".{0,30}") {
            let mut pods = Pods::default();
            let _ = pods.line(rest.as_bytes());
            let _ = pods.page(rest.as_bytes());
            let _ = pods.line(&bytes(&json!({"type": kind, "object": pod(&rest, &ip, "True")})));
            prop_assert!(pods.all(1).len() <= 1);
        }
    }
}
