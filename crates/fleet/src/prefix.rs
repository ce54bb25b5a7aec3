//! Prefixes of prompts as chains of block hashes: what says which instance has computed the beginning of a prompt already.
//!
//! Servers keep the keys and values of prompts by blocks of tokens, each reusable only after the very blocks before it. So the hash
//! of a block covers the hash of the block before it: two prompts share exactly as many leading hashes as they share whole blocks,
//! and one hash names a whole prefix. An adapter (LoRA) changes every key and value, so its name is where the chain begins.
//!
//! The hash is XXH3 without a key, over little-endian bytes: the same on every machine, in every process, after every restart. It
//! is no defence against somebody who looks for collisions; all that a collision costs is a less fitting instance.
//!
//! [`adaptive`] tells how many blocks of a prefix make the key by which instances are chosen.

pub mod adaptive;

use std::{num::NonZeroU32, sync::Arc};

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Bytes that stand for a token where a prompt is text: what common vocabularies need for a token of English, about.
const BYTES_PER_TOKEN: usize = 4;

/// The hashes of a prompt's leading blocks. Cloning costs one reference count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix {
    blocks: Arc<[u64]>,
    block_tokens: NonZeroU32,
}

/// Makes [`Prefix`]es of one block size, for one adapter or none.
#[derive(Debug, Clone, Copy)]
pub struct PrefixHasher {
    block_tokens: NonZeroU32,
    root: u64,
}

// === impl PrefixHasher ===

impl PrefixHasher {
    /// For blocks of `block_tokens` tokens (of four bytes each where prompts are text); `adapter` names what is loaded beside the
    /// model, if anything is.
    pub fn new(block_tokens: NonZeroU32, adapter: Option<&str>) -> Self {
        Self {
            block_tokens,
            root: adapter.map_or(0, |name| xxh3_64_with_seed(name.as_bytes(), 1)),
        }
    }

    /// The prefix of a tokenized prompt. Whole blocks only, as servers keep them; a prompt shorter than a block is one block, so
    /// that it has a key.
    pub fn tokens(&self, prompt: &[u32]) -> Prefix {
        let size = self.block_tokens.get() as usize;
        let mut bytes = vec![0; 4 * size.min(prompt.len())];
        self.chain(prompt, size, |block, parent| {
            let bytes = &mut bytes[..4 * block.len()];
            let (words, _) = bytes.as_chunks_mut::<4>();
            for (word, token) in words.iter_mut().zip(block) {
                *word = token.to_le_bytes();
            }
            xxh3_64_with_seed(bytes, parent)
        })
    }

    /// The prefix of a prompt as text, where nobody has counted its tokens.
    pub fn text(&self, prompt: &[u8]) -> Prefix {
        let size = (self.block_tokens.get() as usize).saturating_mul(BYTES_PER_TOKEN);
        self.chain(prompt, size, xxh3_64_with_seed)
    }

    /// The prefix of a prompt whose blocks somebody else has named, as traces do. The last may be partial.
    pub fn named(&self, blocks: &[u64]) -> Prefix {
        self.chain(blocks, 1, |block, parent| match block {
            [name] => xxh3_64_with_seed(&name.to_le_bytes(), parent),
            _ => parent,
        })
    }

    fn chain<T>(&self, prompt: &[T], size: usize, mut hash: impl FnMut(&[T], u64) -> u64) -> Prefix {
        let whole = prompt.len() / size;
        let kept = if whole == 0 { prompt.len() } else { whole * size };
        let mut parent = self.root;
        let next = |block: &[T]| {
            parent = hash(block, parent);
            parent
        };
        Prefix {
            blocks: prompt[..kept].chunks(size).map(next).collect(),
            block_tokens: self.block_tokens,
        }
    }
}

// === impl Prefix ===

impl Prefix {
    /// The chain: each hash covers all blocks up to its own.
    pub fn blocks(&self) -> &[u64] {
        &self.blocks
    }

    /// Tokens in a block.
    pub fn block_tokens(&self) -> u32 {
        self.block_tokens.get()
    }

    /// The hash of the first `blocks` blocks, or of all where there are fewer; `None` for an empty prompt.
    pub fn key(&self, blocks: usize) -> Option<u64> {
        let last = blocks.min(self.blocks.len()).checked_sub(1)?;
        Some(self.blocks[last])
    }

    /// How many leading blocks both share.
    pub fn shared(&self, other: &Self) -> usize {
        self.blocks
            .iter()
            .zip(&*other.blocks)
            .take_while(|(a, b)| a == b)
            .count()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hasher(block_tokens: u32) -> PrefixHasher {
        PrefixHasher::new(NonZeroU32::new(block_tokens).unwrap(), None)
    }

    #[test]
    fn only_whole_blocks_count_but_a_short_prompt_has_a_key() {
        let tokens: Vec<u32> = (0..10).collect();
        assert_eq!(hasher(4).tokens(&tokens).blocks().len(), 2);
        assert_eq!(hasher(4).tokens(&tokens[..3]).blocks().len(), 1);
        assert_eq!(
            hasher(4).text(b"sixteen bytes of text, and more").blocks().len(),
            1
        );
        assert_eq!(hasher(4).tokens(&[]).key(2), None);
        let prefix = hasher(4).tokens(&tokens);
        assert_eq!(prefix.key(7), Some(prefix.blocks()[1]));
    }

    #[test]
    fn hashes_are_the_same_in_every_process() {
        // Fixed once: replicas and restarts must agree on them.
        assert_eq!(
            hasher(2).named(&[0, 1]).blocks(),
            [0xc77b3abb6f87acd9, 0x2a7f53bf849b61d2]
        );
        assert_eq!(hasher(2).tokens(&[1, 2]).blocks(), [0x389e2c8892d5450]);
    }

    #[test]
    fn an_adapter_changes_every_block() {
        let with = PrefixHasher::new(NonZeroU32::MIN, Some("sql"));
        let (plain, adapted) = (hasher(1).tokens(&[1, 2, 3]), with.tokens(&[1, 2, 3]));
        assert!(plain.blocks().iter().zip(adapted.blocks()).all(|(a, b)| a != b));
        assert_eq!(plain.shared(&adapted), 0);
    }

    proptest! {
        #[test]
        fn prompts_share_the_hashes_of_the_whole_blocks_they_share(
            head in prop::collection::vec(0u32..3, 0..40),
            one in prop::collection::vec(0u32..3, 0..20),
            other in prop::collection::vec(0u32..3, 0..20),
            size in 1u32..9,
        ) {
            let join = |tail: &[u32]| [&head[..], tail].concat();
            let (a, b) = (join(&one), join(&other));
            let same = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
            let size_of = size as usize;
            prop_assume!(a.len() >= size_of && b.len() >= size_of);
            let shared = hasher(size).tokens(&a).shared(&hasher(size).tokens(&b));
            prop_assert_eq!(shared, same / size_of);
        }
    }
}
