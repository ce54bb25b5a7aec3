//! What instances tell of their caches as they change: the KV-cache events of vLLM and SGLang.
//!
//! Both publish batches in MessagePack, numbered without gaps: blocks stored, blocks removed, all blocks cleared. Structures come as
//! arrays or as maps, by the server's version; both are read, fields that are not needed are skipped, kinds of events that are not
//! known too. A block is named by a hash of the server's own, over token ids and a seed of its own: it says when the same
//! block goes, and nothing of which text it holds. Which text that was cannot be told without the server's tokenizer and chat template,
//! so what is taken from events is what holds whatever the tokens are:
//!
//! - that a cache was **cleared**: its model forgets everything;
//! - which **share** of what it holds an instance has dropped, whoever filled it: its model drops the same share, what was least recently used
//!   first, as servers do ([`Change::kept`]). Without events the model drops blocks only when it believes the cache full;
//! - how many **tokens** it holds, exactly, as long as no batch was missed.
//!
//! [`Ledger`] keeps the books of one instance. It reads no socket and no clock.

mod ledger;

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

pub use ledger::{Change, Heard, Ledger};

/// Most tokens in a block that are believed; servers keep 16 to 256.
const MOST_BLOCK_TOKENS: u32 = 1 << 16;

/// Why a batch is of no use.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EventError {
    /// It is no batch of events.
    #[error("a batch of KV-cache events cannot be read: {0}")]
    Unreadable(String),
    /// Blocks without tokens, or of more than any server's.
    #[error("a batch of KV-cache events has blocks of {0} tokens")]
    BlockSize(u64),
    /// More blocks than a server can hold.
    #[error("the KV-cache events tell of more than {0} blocks at once")]
    TooMany(usize),
}

/// What happened to a cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Blocks were computed and kept.
    Stored {
        /// The server's names of them.
        blocks: Vec<u64>,
        /// Tokens in each.
        block_tokens: u32,
    },
    /// Blocks were dropped.
    Removed {
        /// The server's names of them.
        blocks: Vec<u64>,
    },
    /// Everything was dropped.
    Cleared,
}

/// Events that were published together, in their order. Those that are not about the accelerator's memory are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// What happened.
    pub events: Vec<Event>,
}

/// An event as it comes; `None` where it is not known or not about the accelerator's memory.
struct Told(Option<Event>);
/// A block's name: a number, or bytes that are brought to one.
struct BlockName(u64);

/// The fields of an event that are read.
#[derive(Default)]
struct Fields {
    kind: String,
    blocks: Vec<BlockName>,
    block_size: u64,
    medium: Option<String>,
}

// === impl Batch ===

impl Batch {
    /// Reads a batch. Cost: one pass over `payload`; memory by the number of blocks in it, not by what it claims.
    ///
    /// # Errors
    /// [`EventError`] where it is no batch, or tells of blocks that cannot be.
    pub fn parse(payload: &[u8]) -> Result<Self, EventError> {
        let batch: Self =
            rmp_serde::from_slice(payload).map_err(|error| EventError::Unreadable(error.to_string()))?;
        for event in &batch.events {
            if let Event::Stored { block_tokens, .. } = event
                && !(1..=MOST_BLOCK_TOKENS).contains(block_tokens)
            {
                return Err(EventError::BlockSize(u64::from(*block_tokens)));
            }
        }
        Ok(batch)
    }
}

impl<'de> Deserialize<'de> for Batch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reads;
        impl<'de> Visitor<'de> for Reads {
            type Value = Batch;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a batch: time and events")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Batch, A::Error> {
                let missing = || de::Error::custom("a batch has a time and a list of events");
                parts.next_element::<IgnoredAny>()?.ok_or_else(missing)?;
                let events = parts.next_element::<Vec<Told>>()?.ok_or_else(missing)?;
                while parts.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Batch::of(events))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Batch, A::Error> {
                let mut events = None;
                while let Some(name) = fields.next_key::<String>()? {
                    match name.as_str() {
                        "events" => events = Some(fields.next_value::<Vec<Told>>()?),
                        _ => drop(fields.next_value::<IgnoredAny>()?),
                    }
                }
                events
                    .map(Batch::of)
                    .ok_or_else(|| de::Error::custom("a batch has a list of events"))
            }
        }
        deserializer.deserialize_any(Reads)
    }
}

impl Batch {
    fn of(told: Vec<Told>) -> Self {
        Self {
            events: told.into_iter().filter_map(|told| told.0).collect(),
        }
    }
}

// === impl Fields ===

impl Fields {
    fn event(self) -> Told {
        // Blocks that went to the host's memory or to a disk were dropped from where they cost nothing.
        let elsewhere = |medium: &str| !medium.eq_ignore_ascii_case("gpu");
        if self.medium.as_deref().is_some_and(elsewhere) {
            return Told(None);
        }
        let blocks = self.blocks.into_iter().map(|name| name.0).collect();
        Told(match self.kind.as_str() {
            "BlockStored" => Some(Event::Stored {
                blocks,
                block_tokens: u32::try_from(self.block_size).unwrap_or(u32::MAX),
            }),
            "BlockRemoved" => Some(Event::Removed { blocks }),
            "AllBlocksCleared" => Some(Event::Cleared),
            _ => None,
        })
    }
}

impl<'de> Deserialize<'de> for Told {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reads;
        impl<'de> Visitor<'de> for Reads {
            type Value = Told;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event: its kind and what belongs to it")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Told, A::Error> {
                let missing = |what: &str| de::Error::custom(format!("an event without its {what}"));
                let mut fields = Fields {
                    kind: parts.next_element()?.ok_or_else(|| missing("kind"))?,
                    ..Fields::default()
                };
                let is_stored = fields.kind == "BlockStored";
                if is_stored || fields.kind == "BlockRemoved" {
                    fields.blocks = parts.next_element()?.ok_or_else(|| missing("blocks"))?;
                    if is_stored {
                        // The block before them, and their tokens.
                        parts.next_element::<IgnoredAny>()?;
                        parts.next_element::<IgnoredAny>()?;
                        fields.block_size = parts.next_element()?.ok_or_else(|| missing("block size"))?;
                        parts.next_element::<IgnoredAny>()?;
                    }
                    fields.medium = parts.next_element::<Option<String>>()?.flatten();
                }
                while parts.next_element::<IgnoredAny>()?.is_some() {}
                Ok(fields.event())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut parts: A) -> Result<Told, A::Error> {
                let mut fields = Fields::default();
                while let Some(name) = parts.next_key::<String>()? {
                    match name.as_str() {
                        "type" => fields.kind = parts.next_value()?,
                        "block_hashes" => fields.blocks = parts.next_value()?,
                        "block_size" => fields.block_size = parts.next_value()?,
                        "medium" => fields.medium = parts.next_value()?,
                        _ => drop(parts.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(fields.event())
            }
        }
        deserializer.deserialize_any(Reads)
    }
}

impl<'de> Deserialize<'de> for BlockName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reads;
        impl<'de> Visitor<'de> for Reads {
            type Value = BlockName;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a block's hash: a number or bytes")
            }

            fn visit_u64<E>(self, hash: u64) -> Result<BlockName, E> {
                Ok(BlockName(hash))
            }

            fn visit_i64<E>(self, hash: i64) -> Result<BlockName, E> {
                Ok(BlockName(hash.cast_unsigned()))
            }

            fn visit_bytes<E>(self, hash: &[u8]) -> Result<BlockName, E> {
                Ok(BlockName(xxh3_64(hash)))
            }

            fn visit_str<E>(self, hash: &str) -> Result<BlockName, E> {
                Ok(BlockName(xxh3_64(hash.as_bytes())))
            }
        }
        deserializer.deserialize_any(Reads)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// As `msgspec` writes it: the very structure, without names of types.
    fn packed(value: &serde_json::Value) -> Vec<u8> {
        rmp_serde::to_vec(value).unwrap()
    }

    #[test]
    fn arrays_and_maps_tell_the_same() {
        let expected = vec![
            Event::Stored {
                blocks: vec![7, (-8i64).cast_unsigned()],
                block_tokens: 16,
            },
            Event::Removed { blocks: vec![7] },
            Event::Cleared,
        ];
        let arrays = json!([
            1.5,
            [
                [
                    "BlockStored",
                    [7, -8],
                    null,
                    [1, 2, 3],
                    16,
                    null,
                    "GPU",
                    null,
                    null,
                    0
                ],
                ["BlockRemoved", [7]],
                ["AllBlocksCleared"],
            ],
            3
        ]);
        let maps = json!({"ts": 1.5, "data_parallel_rank": 0, "events": [
            {"type": "BlockStored", "block_hashes": [7, -8], "parent_block_hash": 3, "token_ids": [1], "block_size": 16,
             "lora_id": null, "medium": "GPU", "lora_name": null, "extra_keys": [["salt"], null]},
            {"type": "BlockRemoved", "block_hashes": [7], "medium": null},
            {"type": "AllBlocksCleared"},
        ]});
        for batch in [arrays, maps] {
            assert_eq!(Batch::parse(&packed(&batch)).unwrap().events, expected);
        }
    }

    #[test]
    fn other_memories_and_other_kinds_are_passed_over() {
        let batch = json!([0, [
            ["BlockStored", [1], null, [], 16, null, "CPU"],
            {"type": "BlockRemoved", "block_hashes": [1], "medium": "CPU_PINNED"},
            ["BlockWarmed", {"deep": [[[]]]}],
        ]]);
        assert_eq!(Batch::parse(&packed(&batch)).unwrap(), Batch::default());
    }

    #[test]
    fn hashes_may_be_bytes() {
        // [0, [["BlockRemoved", [b"ab"]]]]
        let mut bytes = vec![0x92, 0x00, 0x91, 0x92, 0xac];
        bytes.extend_from_slice(b"BlockRemoved");
        bytes.extend_from_slice(&[0x91, 0xc4, 2, b'a', b'b']);
        let blocks = vec![xxh3_64(b"ab")];
        assert_eq!(Batch::parse(&bytes).unwrap().events, [Event::Removed { blocks }]);
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        for bad in [
            json!(7),
            json!([1.0]),
            json!({"ts": 1.0}),
            json!([0, [["BlockStored", [1], null, [], 0]]]),
            json!([0, [["BlockStored", [1], null, [], 1_000_000_000_000_u64]]]),
            json!([0, [["BlockStored", "all"]]]),
            json!([0, [[]]]),
        ] {
            assert!(Batch::parse(&packed(&bad)).is_err(), "{bad}");
        }
        assert!(Batch::parse(b"").is_err());
        // An array of four thousand million, of which nothing comes.
        assert!(Batch::parse(&[0x92, 0x00, 0xdd, 0xff, 0xff, 0xff, 0xff]).is_err());
        assert!(Batch::parse(&[0x91; 100_000]).is_err(), "deeper than any batch");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_bytes_are_too_odd(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..80) {
            let _ = Batch::parse(&bytes);
            let whole = packed(&json!([1.5, [["BlockStored", [7, 8], 6, [1, 2, 3], 16, null, "GPU"], ["AllBlocksCleared"]]]));
            let mut broken = whole[..cut.min(whole.len())].to_vec();
            broken.extend_from_slice(&bytes);
            let _ = Batch::parse(&broken);
        }
    }
}
