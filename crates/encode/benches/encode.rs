//! Speed of encoding and counting. MiniLM is measured where `FINGERPOST_MODELS` (or the user's data
//! folder) holds it; it is pulled when missing.

use std::hint::black_box;
use std::num::NonZeroUsize;

use criterion::{Criterion, criterion_group, criterion_main};
use fingerpost_encode::{
    Encoder, MiniLm, StaticEncoder, TokenCounter, TokenFamily, VectorCache, estimate_tokens,
};

/// A prompt of exactly `count` words with punctuation, names, numbers and words that fall into pieces.
fn words(count: usize) -> String {
    let prompt = "Please look at the quarterly figures of Fingerpost (2024), compare them with last year's, and tell me \
        whether the hyperparameters of our forecasting model were misconfigured; if so, write a short Rust function \
        that recalculates all 17 seasonal coefficients. I'd like an explanation that a newcomer understands: ";
    prompt
        .split_whitespace()
        .cycle()
        .take(count)
        .collect::<Vec<_>>()
        .join(" ")
}

fn static_encoder(c: &mut Criterion) {
    let encoder = StaticEncoder::bundled();
    let mut out = vec![0.0; encoder.dims()];
    for count in [10, 200] {
        let text = words(count);
        let ids = encoder.wordpiece().ids(&text).len();
        c.bench_function(&format!("static, {count} words ({ids} ids)"), |b| {
            b.iter(|| encoder.encode_into(black_box(&text), &mut out));
        });
        c.bench_function(&format!("wordpiece alone, {count} words"), |b| {
            b.iter(|| {
                let mut sum = 0;
                let _: std::ops::ControlFlow<()> = encoder.wordpiece().walk(black_box(&text), |id| {
                    sum += id;
                    std::ops::ControlFlow::Continue(())
                });
                sum
            });
        });
    }
    let russian = "Все люди рождаются свободными и равными в своем достоинстве и правах. ".repeat(20);
    c.bench_function("static, 200 words of Russian", |b| {
        b.iter(|| encoder.encode_into(black_box(&russian), &mut out));
    });
}

fn minilm(c: &mut Criterion) {
    let folder = fingerpost_packages::ensure("minilm", None).expect("MiniLM can be pulled");
    let model = MiniLm::open(&folder).expect("the pulled model is whole");
    let short = "Route this request to the cheapest model that can answer it, and then tell me the price.";
    let long = words(400);
    let mut out = vec![0.0; model.dims()];
    for text in [short, &long] {
        let ids = model.ids(text).len();
        c.bench_function(&format!("minilm, {ids} ids"), |b| {
            b.iter(|| model.encode_into(black_box(text), &mut out));
        });
    }
    let batch = [short; 32];
    c.bench_function("minilm, batch of 32 short texts", |b| {
        b.iter(|| model.encode_batch(black_box(&batch)));
    });
    let cache = VectorCache::new(model, NonZeroUsize::MIN);
    cache.encode(short);
    c.bench_function("cache hit", |b| {
        b.iter(|| cache.encode(black_box(short)));
    });
}

fn tokens(c: &mut Criterion) {
    let text = words(200);
    c.bench_function("estimate of tokens, 200 words", |b| {
        b.iter(|| estimate_tokens(black_box(&text)));
    });
    let exact = TokenCounter::of_family(TokenFamily::O200k);
    c.bench_function("exact o200k tokens, 200 words", |b| {
        b.iter(|| exact.count(black_box(&text)));
    });
}

criterion_group!(benches, static_encoder, minilm, tokens);
criterion_main!(benches);
