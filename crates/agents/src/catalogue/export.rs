//! The name under which an entry is offered to others.

use sha2::{Digest, Sha256};

/// Characters of a name that MCP and the chat formats accept.
const MOST: usize = 64;
/// Characters of a hash in a name, five bits each.
const HASH: usize = 16;
const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The public name of an id: `[a-zA-Z0-9_-]{1,64}`, as MCP and the chat formats want it.
///
/// It hangs on the id alone, so it stays when others come and go, and different ids have different names: an id that is a
/// name already is its own; `server::tool` is `server__tool` where that can be undone; everything else is what can be kept
/// of it, a hyphen and 80 bits of its SHA-256.
///
/// ```
/// use fingerpost_agents::catalogue::export_name;
/// assert_eq!(export_name("weather"), "weather");
/// assert_eq!(export_name("files::read"), "files__read");
/// assert!(export_name("anthropics/pdf").starts_with("anthropics_pdf-"));
/// ```
pub fn export_name(id: &str) -> String {
    let joined = match id.split_once("::") {
        Some((server, tool)) if is_part(server) && is_part(tool) => format!("{server}__{tool}"),
        Some(_) => String::new(),
        None if is_part(id) => id.to_owned(),
        None => String::new(),
    };
    if !joined.is_empty() && joined.len() <= MOST && !looks_hashed(&joined) {
        return joined;
    }
    let mut name: String = id
        .chars()
        .map(|c| if is_plain(c) { c } else { '_' })
        .take(MOST - HASH - 1)
        .collect();
    name.push('-');
    let digest = Sha256::digest(id.as_bytes());
    let bits = digest
        .iter()
        .take(16)
        .fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
    for at in 0..HASH {
        name.push(char::from(DIGITS[(bits >> (5 * at)) as usize % DIGITS.len()]));
    }
    name
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// Whether two of these around `__` can be told apart again.
fn is_part(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(is_plain)
        && !text.contains("__")
        && !text.starts_with('_')
        && !text.ends_with('_')
}

/// Whether a name ends as those with a hash do, so that it cannot stand for itself.
fn looks_hashed(name: &str) -> bool {
    name.len() > HASH
        && name.as_bytes()[name.len() - HASH - 1] == b'-'
        && name.bytes().rev().take(HASH).all(|b| DIGITS.contains(&b))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_that_look_alike_have_names_of_their_own() {
        let hashed = export_name("a b");
        let ids = [
            "a b", "a_b", "a::b", "a__b", "a::_b", "a_::b", "a/b", "a:b", "a::b::c", "", "é", &hashed, "_a",
        ];
        let mut names = HashMap::new();
        for id in ids {
            assert_eq!(names.insert(export_name(id), id), None, "{id}");
        }
    }

    proptest! {
        #[test]
        fn every_name_is_legal_and_its_own(ids in proptest::collection::hash_set("[a-b_:/é-]{0,6}|.{0,80}", 1..40)) {
            let names: std::collections::HashSet<String> = ids.iter().map(|id| export_name(id)).collect();
            prop_assert_eq!(names.len(), ids.len());
            for name in names {
                prop_assert!((1..=64).contains(&name.len()) && name.chars().all(is_plain));
            }
        }
    }
}
