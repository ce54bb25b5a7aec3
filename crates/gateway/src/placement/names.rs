//! The addresses behind the names of servers: a proxy's load balancer knows servers by address.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    sync::{
        Arc, Weak,
        mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    },
    time::Duration,
};

use arc_swap::ArcSwap;

use crate::{shared::Shared, snapshot::ModelSlot};

/// How often names are asked again: a server that moves is found within that time.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// Names with their addresses, asked again and again by a thread of its own, so that no request waits for an answer. What cannot be
/// found out anew stays as it was.
pub(super) struct Names {
    known: Arc<Known>,
    /// Dropped with this, which ends the thread.
    _alive: SyncSender<()>,
}

type Known = ArcSwap<HashMap<String, Vec<IpAddr>>>;

// === impl Names ===

impl Names {
    /// Begins to ask for the names of the servers that `shared` has.
    pub(super) fn of(shared: &Arc<Shared>) -> std::io::Result<Self> {
        let known = Arc::new(Known::default());
        let (alive, ended) = sync_channel(0);
        let (weak, shared) = (Arc::downgrade(&known), Arc::downgrade(shared));
        std::thread::Builder::new()
            .name("names".to_owned())
            .spawn(move || {
                while ask(&weak, &shared).is_some()
                    && ended.recv_timeout(ASK_EVERY) == Err(RecvTimeoutError::Timeout)
                {}
            })?;
        Ok(Self { known, _alive: alive })
    }

    /// The addresses of a server, the same one first as long as it has it; none where its name is not known yet.
    pub(super) fn addresses(&self, host: &str, port: u16) -> Vec<SocketAddr> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return vec![SocketAddr::new(address, port)];
        }
        let known = self.known.load();
        let addresses = known.get(host).into_iter().flatten();
        addresses.map(|address| SocketAddr::new(*address, port)).collect()
    }
}

/// Asks for every name once. `None` where nobody wants to know any more.
fn ask(known: &Weak<Known>, shared: &Weak<Shared>) -> Option<()> {
    let snapshot = shared.upgrade()?.snapshot();
    let slots = snapshot.models().iter().flat_map(ModelSlot::slots);
    let hosts = slots.filter_map(|slot| Some(slot.provider.address.as_ref()?.host.clone()));
    let mut next = HashMap::new();
    for host in hosts.filter(|host| host.parse::<IpAddr>().is_err()) {
        if next.contains_key(&host) {
            continue;
        }
        let found = (host.as_str(), 0).to_socket_addrs();
        let addresses = match found {
            Ok(found) => {
                let mut addresses: Vec<IpAddr> = found.map(|a| a.ip()).collect();
                addresses.sort_unstable();
                addresses.dedup();
                addresses
            }
            Err(error) => {
                tracing::warn!(host, %error, "the name of a server cannot be looked up; its last addresses stay");
                known.upgrade()?.load().get(&host).cloned().unwrap_or_default()
            }
        };
        next.insert(host, addresses);
    }
    known.upgrade()?.store(Arc::new(next));
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_need_no_asking_and_unknown_names_have_none() {
        let (alive, _ended) = sync_channel(0);
        let known = Known::from_pointee([("pod".to_owned(), vec![IpAddr::from([10, 0, 0, 7])])].into());
        let names = Names {
            known: Arc::new(known),
            _alive: alive,
        };
        let found = |host: &str| -> Vec<String> {
            names
                .addresses(host, 80)
                .iter()
                .map(ToString::to_string)
                .collect()
        };
        assert_eq!(found("127.0.0.1"), ["127.0.0.1:80"]);
        assert_eq!(found("::1"), ["[::1]:80"]);
        assert_eq!(found("pod"), ["10.0.0.7:80"]);
        assert!(found("nobody").is_empty());
    }
}
