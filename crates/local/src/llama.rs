//! The forward pass of a llama on candle.
//!
//! Written here rather than taken from `candle-transformers` for three reasons: the cache of keys and values is kept
//! outside of the weights, so that generations share the weights and nothing else; the context is the model's own
//! (8,192 tokens for SmolLM2; there it is fixed at 4,096); and that crate alone would double the time to compile.

use candle_core::{Device, Tensor};
use candle_nn::kv_cache::KvCache;
use candle_nn::ops::rms_norm;
use candle_nn::rotary_emb::rope_i;

use crate::eight_bit::EightBit;
use crate::error::Error;
use crate::gguf::{Gguf, Shape};
use crate::pointwise::{causal_softmax, gated};

/// Tokens of the prompt that are read in one go. Bounds the memory of the attention scores, and keeps the sums of
/// candle below the size at which it would hand them to its spinning pool.
pub(crate) const CHUNK: usize = 64;

/// Room for keys and values is made in steps of this many tokens.
const CACHE_STEP: usize = 512;

/// The weights: shared, never changed.
pub(crate) struct Llama {
    shape: Shape,
    embedding: EightBit,
    blocks: Vec<Block>,
    norm: Tensor,
    /// `None` where the embedding table serves as output too.
    output: Option<EightBit>,
    cos: Tensor,
    sin: Tensor,
}

struct Block {
    attention_norm: Tensor,
    /// Query, key and value rows in one matrix.
    qkv: EightBit,
    attention_out: EightBit,
    feed_norm: Tensor,
    /// Gate and up rows in one matrix.
    gate_up: EightBit,
    down: EightBit,
}

/// Keys and values of one generation.
pub(crate) struct Cache {
    blocks: Vec<KvCache>,
    len: usize,
}

// === impl Llama ===

impl Llama {
    pub(crate) fn load(gguf: &mut Gguf) -> Result<Self, Error> {
        let shape = gguf.shape()?;
        let mut blocks = Vec::with_capacity(shape.blocks);
        for i in 0..shape.blocks {
            let name = |part: &str| format!("blk.{i}.{part}.weight");
            let stack = |gguf: &mut Gguf, parts: &[&str]| -> Result<EightBit, Error> {
                let parts = parts
                    .iter()
                    .map(|part| gguf.tensor(&name(part)))
                    .collect::<Result<Vec<_>, _>>()?;
                Ok(EightBit::round(&Tensor::cat(&parts, 0)?)?)
            };
            blocks.push(Block {
                attention_norm: gguf.tensor(&name("attn_norm"))?,
                qkv: stack(gguf, &["attn_q", "attn_k", "attn_v"])?,
                attention_out: stack(gguf, &["attn_output"])?,
                feed_norm: gguf.tensor(&name("ffn_norm"))?,
                gate_up: stack(gguf, &["ffn_gate", "ffn_up"])?,
                down: stack(gguf, &["ffn_down"])?,
            });
        }
        let embedding = EightBit::round(&gguf.tensor("token_embd.weight")?)?;
        let output = match gguf.has("output.weight") {
            true => Some(EightBit::round(&gguf.tensor("output.weight")?)?),
            false => None,
        };
        let (cos, sin) = rotations(&shape)?;
        let norm = gguf.tensor("output_norm.weight")?;
        Ok(Self {
            shape,
            embedding,
            blocks,
            norm,
            output,
            cos,
            sin,
        })
    }

    /// Tokens that prompt and answer may have together.
    pub(crate) fn context(&self) -> usize {
        self.shape.context
    }

    /// An empty cache.
    pub(crate) fn cache(&self) -> Cache {
        let blocks = (0..self.shape.blocks)
            .map(|_| KvCache::new(1, CACHE_STEP))
            .collect();
        Cache { blocks, len: 0 }
    }

    /// Reads tokens behind those in the cache, at most [`CHUNK`] for bounded memory, and returns the scores (logits)
    /// of the token that follows the last one.
    ///
    /// The caller keeps cache and tokens within the context.
    pub(crate) fn forward(&self, tokens: &[u32], cache: &mut Cache) -> Result<Vec<f32>, Error> {
        let n = tokens.len();
        let mut x = self.embedding.rows(tokens)?;
        let cos = self.cos.narrow(0, cache.len, n)?;
        let sin = self.sin.narrow(0, cache.len, n)?;
        for (block, kept) in self.blocks.iter().zip(&mut cache.blocks) {
            let normed = rms_norm(&x, &block.attention_norm, self.shape.norm_eps)?;
            x = (x + self.attend(block, &normed, &cos, &sin, kept)?)?;
            let normed = rms_norm(&x, &block.feed_norm, self.shape.norm_eps)?;
            x = (x + block.down.forward(&gated(&block.gate_up.forward(&normed)?)?)?)?;
        }
        cache.len += n;
        let last = x.narrow(0, n - 1, 1)?.contiguous()?;
        let last = rms_norm(&last, &self.norm, self.shape.norm_eps)?;
        let output = self.output.as_ref().unwrap_or(&self.embedding);
        Ok(output.forward(&last)?.flatten_all()?.to_vec1()?)
    }

    fn attend(
        &self,
        block: &Block,
        x: &Tensor,
        cos: &Tensor,
        sin: &Tensor,
        kept: &mut KvCache,
    ) -> Result<Tensor, Error> {
        let Shape {
            width,
            heads,
            kv_heads,
            ..
        } = self.shape;
        let (n, head) = (x.dim(0)?, width / heads);
        let qkv = block.qkv.forward(x)?;
        let split = |from: usize, heads: usize| -> Result<Tensor, Error> {
            let rows = qkv
                .narrow(1, from * head, heads * head)?
                .reshape((n, heads, head))?;
            Ok(rows.transpose(0, 1)?.contiguous()?)
        };
        let q = rope_i(&split(0, heads)?.unsqueeze(0)?, cos, sin)?.squeeze(0)?;
        let k = rope_i(&split(heads, kv_heads)?.unsqueeze(0)?, cos, sin)?.squeeze(0)?;
        let v = split(heads + kv_heads, kv_heads)?;
        let (k, v) = kept.append(&k, &v)?;
        // The query heads that share a key head are put below each other: one product per key head, no copies.
        let len = k.dim(1)?;
        let q = q.reshape((kv_heads, heads / kv_heads * n, head))?;
        let scores = (q * (1.0 / (head as f64).sqrt()))?.matmul(&k.t()?)?;
        let weights = causal_softmax(&scores.reshape((heads, n, len))?)?;
        let weights = weights.reshape((kv_heads, heads / kv_heads * n, len))?;
        let mixed = weights
            .matmul(&v)?
            .reshape((heads, n, head))?
            .transpose(0, 1)?
            .reshape((n, width))?;
        Ok(block.attention_out.forward(&mixed)?)
    }
}

// === impl Cache ===

impl Cache {
    /// Tokens read so far.
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

/// Cosines and sines of the rotary embedding, a row per position.
fn rotations(shape: &Shape) -> Result<(Tensor, Tensor), Error> {
    let head = shape.width / shape.heads;
    let frequencies: Vec<f32> = (0..head / 2)
        .map(|i| shape.rope_base.powf(-2.0 * i as f32 / head as f32))
        .collect();
    let angles: Vec<f32> = (0..shape.context)
        .flat_map(|position| {
            frequencies
                .iter()
                .map(move |frequency| position as f32 * frequency)
        })
        .collect();
    let angles = Tensor::from_vec(angles, (shape.context, head / 2), &Device::Cpu)?;
    Ok((angles.cos()?, angles.sin()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A llama of two blocks with made-up weights.
    fn small() -> Llama {
        let shape = Shape {
            blocks: 2,
            width: 64,
            heads: 4,
            kv_heads: 2,
            context: 64,
            rope_base: 10_000.0,
            norm_eps: 1e-5,
        };
        let mut seed = 0u32;
        let mut matrix = |rows: usize, columns: usize| {
            let values: Vec<f32> = (0..rows * columns)
                .map(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    ((seed >> 8) as f32 / (1 << 23) as f32 - 1.0) * 0.3
                })
                .collect();
            EightBit::round(&Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()).unwrap()
        };
        let ones = Tensor::ones(64, candle_core::DType::F32, &Device::Cpu).unwrap();
        let blocks = (0..shape.blocks)
            .map(|_| Block {
                attention_norm: ones.clone(),
                qkv: matrix(128, 64),
                attention_out: matrix(64, 64),
                feed_norm: ones.clone(),
                gate_up: matrix(192, 64),
                down: matrix(64, 96),
            })
            .collect();
        let (cos, sin) = rotations(&shape).unwrap();
        let embedding = matrix(50, 64);
        Llama {
            shape,
            embedding,
            blocks,
            norm: ones,
            output: None,
            cos,
            sin,
        }
    }

    /// The scores after reading the tokens in pieces of these lengths.
    fn read(llama: &Llama, tokens: &[u32], pieces: &[usize]) -> Vec<f32> {
        let mut cache = llama.cache();
        let (mut scores, mut from) = (Vec::new(), 0);
        for piece in pieces {
            scores = llama.forward(&tokens[from..from + piece], &mut cache).unwrap();
            from += piece;
        }
        assert_eq!((from, cache.len()), (tokens.len(), tokens.len()));
        scores
    }

    #[test]
    fn reading_in_pieces_gives_the_scores_of_reading_at_once() {
        let llama = small();
        let tokens: Vec<u32> = (0..12).map(|i| i * 17 % 50).collect();
        let whole = read(&llama, &tokens, &[12]);
        for pieces in [&[5, 7][..], &[1; 12], &[11, 1]] {
            for (a, b) in read(&llama, &tokens, pieces).iter().zip(&whole) {
                assert!((a - b).abs() < 1e-3, "{a} {b} in {pieces:?}");
            }
        }
    }

    #[test]
    fn earlier_tokens_and_their_order_matter() {
        let llama = small();
        let scores = |tokens: &[u32]| read(&llama, tokens, &[tokens.len()]);
        let far = |a: &[f32], b: &[f32]| a.iter().zip(b).any(|(a, b)| (a - b).abs() > 1e-2);
        assert!(far(&scores(&[1, 2, 3]), &scores(&[4, 2, 3])));
        assert!(far(&scores(&[1, 2, 3]), &scores(&[2, 1, 3])));
    }
}
