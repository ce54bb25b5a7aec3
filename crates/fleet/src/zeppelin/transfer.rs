//! Transfers between nodes, spread over all network cards.
//!
//! A device sends through the one card that it sits beside, while the node's other cards idle. Spread, the bytes are cut in as
//! many slices as there are cards: a slice hops to the device beside its card, crosses, and hops on to the receiver. The three
//! hops overlap in a pipeline.

use super::Cluster;

/// Rounds in which the slices of one transfer follow each other: the more, the closer to the slowest hop alone, the smaller
/// the messages.
const ROUNDS: f64 = 4.0;
/// Milliseconds of a byte at one GB/s.
const MS_PER_BYTE: f64 = 1e-6;

/// Time of `bytes` from a device of one node to a device of another, milliseconds: through one card, or spread over all where
/// that is faster. The speed-up tends to the number of cards, or to what the links inside the node allow.
pub fn transfer_ms(bytes: f64, cluster: &Cluster, spread: bool) -> f64 {
    let direct = bytes * MS_PER_BYTE / cluster.nic_gb_s;
    if !spread {
        return direct;
    }
    let cards = f64::from(cluster.nics_per_node);
    let crossing = direct / cards;
    let hop = bytes * (cards - 1.0) / cards * MS_PER_BYTE / cluster.intra_gb_s;
    let slowest = crossing.max(hop);
    direct.min(slowest + (crossing + 2.0 * hop - slowest) / ROUNDS)
}

/// Cuts `bytes` over links that already carry `loads` so that the fullest ends as low as possible (water filling). Returns what
/// each link gets; adds it to its load. Nothing for no link.
pub fn spread(bytes: f64, loads: &mut [f64]) -> Vec<f64> {
    let mut sorted = loads.to_vec();
    sorted.sort_by(f64::total_cmp);
    let mut below = 0.0;
    let mut level = 0.0;
    for (i, load) in sorted.iter().enumerate() {
        below += load;
        level = (bytes + below) / (i + 1) as f64;
        if sorted.get(i + 1).is_none_or(|next| level <= *next) {
            break;
        }
    }
    let fill = |load: &mut f64| {
        let slice = (level - *load).max(0.0);
        *load += slice;
        slice
    };
    loads.iter_mut().map(fill).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spreading_tends_to_as_many_times_the_speed_as_there_are_cards() {
        let cluster = |intra_gb_s| Cluster {
            intra_gb_s,
            ..Cluster::default()
        };
        let gain = |c: &Cluster| transfer_ms(1e9, c, false) / transfer_ms(1e9, c, true);
        assert!((transfer_ms(1e9, &cluster(400.0), false) - 20.0).abs() < 1e-9);
        assert!(
            gain(&cluster(1e9)) > 7.99,
            "links inside the node that cost nothing"
        );
        // Hops of 7/8 of the bytes at 100 GB/s: 8.75 ms is the slowest, and (2.5 + 8.75) / 4 to fill the pipeline.
        let slow = cluster(100.0);
        assert!((transfer_ms(1e9, &slow, true) - (8.75 + 11.25 / 4.0)).abs() < 1e-9);
        assert_eq!(gain(&cluster(1.0)), 1.0, "direct where the detour is slower");
    }

    #[test]
    fn slices_fill_the_least_loaded_links_first() {
        let mut loads = [4.0, 0.0, 1.0];
        assert_eq!(spread(4.0, &mut loads), [0.0, 2.5, 1.5]);
        assert_eq!(loads, [4.0, 2.5, 2.5]);
        assert!(spread(4.0, &mut []).is_empty());
    }

    proptest! {
        #[test]
        fn slices_sum_to_the_bytes(bytes in 0.0..1e9f64, mut loads in prop::collection::vec(0.0..1e9f64, 1..9)) {
            let before = loads.clone();
            let slices = spread(bytes, &mut loads);
            prop_assert!((slices.iter().sum::<f64>() - bytes).abs() < 1e-3);
            // Whoever got something is at the level of the fullest that did.
            let top = slices.iter().zip(&loads).filter(|(s, _)| **s > 0.0).map(|(_, l)| *l).fold(0.0, f64::max);
            for (load, old) in loads.iter().zip(&before) {
                prop_assert!(*load >= top.min(*load) && (*load == *old || (*load - top).abs() < 1e-3));
            }
        }
    }
}
