//! What an entry says, as one number.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::entry::Entry;

/// 128 bits of SHA-256 over kind, name and texts: equal for entries that say the same, whoever they belong to and whatever
/// their ids. Nobody can craft two texts that share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentHash([u8; 16]);

// === impl ContentHash ===

impl ContentHash {
    /// Of an entry.
    pub fn of(entry: &Entry) -> Self {
        let mut hash = Sha256::new();
        let mut put = |text: &str| {
            // With its length before it, no text runs into the next.
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        };
        put(&entry.kind.to_string());
        put(&entry.name);
        put(&entry.description);
        put(&entry.body);
        for list in [&entry.examples, &entry.tags] {
            put(&list.len().to_string());
            list.iter().for_each(|text| put(text));
        }
        let digest = hash.finalize();
        Self(digest.first_chunk().copied().unwrap_or_default())
    }

    /// Its first eight digits.
    pub fn brief(&self) -> String {
        self.0[..4].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Kind;

    #[test]
    fn what_is_said_counts_and_not_who_says_it() {
        let mut entry = Entry::named("a", Kind::Tool);
        let hash = ContentHash::of(&entry);
        entry.id = "b".into();
        entry.group = Some("g".into());
        assert_eq!(ContentHash::of(&entry), hash);
        assert_eq!(hash.to_string().len(), 32);
        assert!(hash.to_string().starts_with(&hash.brief()));
        entry.description = "x".to_owned();
        let described = ContentHash::of(&entry);
        entry.body = std::mem::take(&mut entry.description);
        assert!(described != hash && ContentHash::of(&entry) != described);
    }
}
