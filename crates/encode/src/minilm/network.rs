//! The transformer itself: embeddings, six layers of attention and feed-forward, mean of the states.
//!
//! Several texts go through at once without padding: their tokens lie one after another in one matrix,
//! which the dense layers treat as a whole (so the weights are read once for all of them), and
//! only attention keeps to the bounds of each text. Attention uses the same product kernel, with keys
//! and values of a head laid out in its panels.

use pulp::Arch;

use super::linear::{Linear, PANEL, Product, multiply};
use super::math::{add_and_norm, gelu, softmax_rows};
use super::weights::Weights;

/// Sizes of the network, from `config.json`.
#[derive(Clone, Debug, serde::Deserialize)]
pub(super) struct Config {
    pub(super) vocab_size: usize,
    pub(super) hidden_size: usize,
    pub(super) num_hidden_layers: usize,
    pub(super) num_attention_heads: usize,
    pub(super) intermediate_size: usize,
    pub(super) max_position_embeddings: usize,
    pub(super) type_vocab_size: usize,
    pub(super) layer_norm_eps: f32,
    pub(super) hidden_act: String,
}

pub(super) struct Network {
    config: Config,
    arch: Arch,
    /// A row for each id.
    words: Vec<f32>,
    /// A row for each position, the row of token type 0 added.
    positions: Vec<f32>,
    norm: Norm,
    layers: Vec<Layer>,
}

struct Layer {
    /// Queries, keys and values in one product.
    qkv: Linear,
    attention_out: Linear,
    attention_norm: Norm,
    widen: Linear,
    narrow: Linear,
    output_norm: Norm,
}

struct Norm {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

/// Room for the values between layers; kept by a thread from call to call.
#[derive(Default)]
pub(super) struct Scratch {
    states: Vec<f32>,
    qkv: Vec<f32>,
    mixed: Vec<f32>,
    wide: Vec<f32>,
    added: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
    scores: Vec<f32>,
}

const NO_BIAS: [f32; PANEL] = [0.0; PANEL];

// === impl Config ===

impl Config {
    /// # Errors
    /// In words: what this crate's kernels cannot run.
    pub(super) fn check(&self) -> Result<(), String> {
        let heads = self.num_attention_heads;
        let fits = heads > 0
            && self.hidden_size.is_multiple_of(heads * PANEL)
            && self.intermediate_size.is_multiple_of(PANEL)
            && self.type_vocab_size > 0;
        if !fits {
            return Err(format!("sizes must be multiples of {PANEL} a head"));
        }
        if self.hidden_act != "gelu" {
            return Err(format!(
                "activation `{}`, only `gelu` is supported",
                self.hidden_act
            ));
        }
        Ok(())
    }
}

// === impl Network ===

impl Network {
    /// # Errors
    /// In words: which tensor is missing or of another shape.
    pub(super) fn new(config: Config, weights: &Weights<'_>) -> Result<Self, String> {
        let width = config.hidden_size;
        let words = weights.floats("embeddings.word_embeddings.weight", &[config.vocab_size, width])?;
        let mut positions = weights.floats(
            "embeddings.position_embeddings.weight",
            &[config.max_position_embeddings, width],
        )?;
        let types = weights.floats(
            "embeddings.token_type_embeddings.weight",
            &[config.type_vocab_size, width],
        )?;
        for row in positions.chunks_exact_mut(width) {
            for (value, kind) in row.iter_mut().zip(&types[..width]) {
                *value += kind;
            }
        }
        let norm = Norm::new(weights, "embeddings.LayerNorm", width)?;
        let layers = (0..config.num_hidden_layers)
            .map(|i| Layer::new(weights, &config, i))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            arch: Arch::new(),
            words,
            positions,
            norm,
            layers,
            config,
        })
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// The mean states of several texts, not yet of length one, one after another in `out`; `lengths[i]` ids of `ids` belong
    /// to text i. Ids must be below the vocabulary's size and lengths within 1..=positions.
    pub(super) fn run(&self, ids: &[u32], lengths: &[usize], scratch: &mut Scratch, out: &mut [f32]) {
        let width = self.config.hidden_size;
        let tokens = ids.len();
        let Scratch {
            states,
            mixed,
            wide,
            added,
            qkv,
            ..
        } = scratch;
        for (buffer, columns) in [
            (states, width),
            (mixed, width),
            (added, width),
            (qkv, 3 * width),
            (wide, self.config.intermediate_size),
        ] {
            buffer.resize(tokens * columns, 0.0);
        }
        self.embed(ids, lengths, scratch);
        for layer in &self.layers {
            self.run_layer(layer, lengths, scratch);
        }
        let mut start = 0;
        for (&length, out) in lengths.iter().zip(out.chunks_exact_mut(width)) {
            out.fill(0.0);
            for row in scratch.states[start * width..(start + length) * width].chunks_exact(width) {
                for (total, value) in out.iter_mut().zip(row) {
                    *total += value;
                }
            }
            let share = 1.0 / length as f32;
            out.iter_mut().for_each(|total| *total *= share);
            start += length;
        }
    }

    fn embed(&self, ids: &[u32], lengths: &[usize], scratch: &mut Scratch) {
        let width = self.config.hidden_size;
        let positions = lengths.iter().flat_map(|&length| 0..length);
        let rows = scratch
            .states
            .chunks_exact_mut(width)
            .zip(scratch.added.chunks_exact_mut(width));
        for ((&id, position), (state, added)) in ids.iter().zip(positions).zip(rows) {
            state.copy_from_slice(&self.words[id as usize * width..][..width]);
            added.copy_from_slice(&self.positions[position * width..][..width]);
        }
        self.norm.apply(self, &mut scratch.states, &scratch.added);
    }

    fn run_layer(&self, layer: &Layer, lengths: &[usize], scratch: &mut Scratch) {
        layer.qkv.apply(self.arch, &scratch.states, &mut scratch.qkv);
        let mut start = 0;
        for &length in lengths {
            self.attend(start, length, scratch);
            start += length;
        }
        layer
            .attention_out
            .apply(self.arch, &scratch.mixed, &mut scratch.added);
        layer
            .attention_norm
            .apply(self, &mut scratch.states, &scratch.added);
        layer.widen.apply(self.arch, &scratch.states, &mut scratch.wide);
        gelu(self.arch, &mut scratch.wide);
        layer.narrow.apply(self.arch, &scratch.wide, &mut scratch.added);
        layer.output_norm.apply(self, &mut scratch.states, &scratch.added);
    }

    /// Attention of one text's tokens among themselves, all heads, from `qkv` into `mixed`.
    fn attend(&self, start: usize, length: usize, scratch: &mut Scratch) {
        let width = self.config.hidden_size;
        let head_width = width / self.config.num_attention_heads;
        let padded = length.next_multiple_of(PANEL);
        let Scratch {
            qkv,
            keys,
            values,
            scores,
            mixed,
            ..
        } = scratch;
        let qkv = &qkv[start * 3 * width..(start + length) * 3 * width];
        let mixed = &mut mixed[start * width..(start + length) * width];
        keys.resize(padded * head_width, 0.0);
        values.resize(padded * head_width, 0.0);
        scores.resize(length * padded, 0.0);
        let scale = 1.0 / (head_width as f32).sqrt();
        for head in (0..width).step_by(head_width) {
            lay_out_keys(qkv, width, width + head, head_width, keys);
            lay_out_values(qkv, width, 2 * width + head, head_width, padded, values);
            for (number, panel) in keys.chunks_exact(head_width * PANEL).enumerate() {
                multiply(
                    self.arch,
                    Product {
                        x: &qkv[head..],
                        x_stride: 3 * width,
                        inputs: head_width,
                        panel,
                        bias: &NO_BIAS,
                        scale,
                        y: &mut scores[number * PANEL..],
                        y_stride: padded,
                    },
                );
            }
            softmax_rows(self.arch, scores, length, padded);
            for (number, panel) in values.chunks_exact(padded * PANEL).enumerate() {
                multiply(
                    self.arch,
                    Product {
                        x: scores,
                        x_stride: padded,
                        inputs: padded,
                        panel,
                        bias: &NO_BIAS,
                        scale: 1.0,
                        y: &mut mixed[head + number * PANEL..],
                        y_stride: width,
                    },
                );
            }
        }
    }
}

/// Keys as weights: panels of sixteen tokens, within a panel dimension by dimension.
fn lay_out_keys(qkv: &[f32], width: usize, column: usize, head_width: usize, keys: &mut [f32]) {
    keys.fill(0.0);
    for (token, row) in qkv.chunks_exact(3 * width).enumerate() {
        let panel = &mut keys[token / PANEL * head_width * PANEL..][..head_width * PANEL];
        for (place, value) in panel
            .iter_mut()
            .skip(token % PANEL)
            .step_by(PANEL)
            .zip(&row[column..][..head_width])
        {
            *place = *value;
        }
    }
}

/// Values as weights: panels of sixteen dimensions, within a panel token by token.
fn lay_out_values(
    qkv: &[f32],
    width: usize,
    column: usize,
    head_width: usize,
    padded: usize,
    values: &mut [f32],
) {
    values.fill(0.0);
    for (token, row) in qkv.chunks_exact(3 * width).enumerate() {
        let row = &row[column..][..head_width];
        for (panel, part) in values
            .chunks_exact_mut(padded * PANEL)
            .zip(row.chunks_exact(PANEL))
        {
            panel[token * PANEL..][..PANEL].copy_from_slice(part);
        }
    }
}

// === impl Layer ===

impl Layer {
    fn new(weights: &Weights<'_>, config: &Config, number: usize) -> Result<Self, String> {
        let (width, wide) = (config.hidden_size, config.intermediate_size);
        let name = |part: &str| format!("encoder.layer.{number}.{part}");
        let dense = |part: &str, inputs: usize, outputs: usize| {
            let weight = weights.floats(&name(&format!("{part}.weight")), &[outputs, inputs])?;
            let bias = weights.floats(&name(&format!("{part}.bias")), &[outputs])?;
            Ok::<_, String>((weight, bias))
        };
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        for part in ["query", "key", "value"] {
            let (more_weight, more_bias) = dense(&format!("attention.self.{part}"), width, width)?;
            weight.extend(more_weight);
            bias.extend(more_bias);
        }
        let layer = |(weight, bias): (Vec<f32>, Vec<f32>), inputs| Linear::new(&weight, bias, inputs);
        Ok(Self {
            qkv: Linear::new(&weight, bias, width),
            attention_out: layer(dense("attention.output.dense", width, width)?, width),
            attention_norm: Norm::new(weights, &name("attention.output.LayerNorm"), width)?,
            widen: layer(dense("intermediate.dense", width, wide)?, width),
            narrow: layer(dense("output.dense", wide, width)?, wide),
            output_norm: Norm::new(weights, &name("output.LayerNorm"), width)?,
        })
    }
}

// === impl Norm ===

impl Norm {
    fn new(weights: &Weights<'_>, name: &str, width: usize) -> Result<Self, String> {
        Ok(Self {
            weight: weights.floats(&format!("{name}.weight"), &[width])?,
            bias: weights.floats(&format!("{name}.bias"), &[width])?,
        })
    }

    fn apply(&self, network: &Network, x: &mut [f32], added: &[f32]) {
        add_and_norm(
            network.arch,
            x,
            added,
            &self.weight,
            &self.bias,
            network.config.layer_norm_eps,
        );
    }
}
