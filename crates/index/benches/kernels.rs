//! Distances: each width against its scalar twin, a row of 384 components.

use criterion::{Criterion, criterion_group, criterion_main};
use fingerpost_index::kernel::Kernel;

fn kernels(c: &mut Criterion) {
    let a: Vec<f32> = (0..384).map(|i| (i as f32).sin()).collect();
    let b: Vec<f32> = (0..384).map(|i| (i as f32).cos()).collect();
    let codes: Vec<i8> = (0..384).map(|i| (i % 255 - 127) as i8).collect();
    for kernel in Kernel::available() {
        let mut group = c.benchmark_group(format!("{:?}", kernel.width()));
        group.bench_function("dot", |bench| bench.iter(|| kernel.dot(&a, &b)));
        group.bench_function("squared_l2", |bench| bench.iter(|| kernel.squared_l2(&a, &b)));
        group.bench_function("dot_codes", |bench| {
            bench.iter(|| kernel.dot_codes(&codes, &codes));
        });
    }
}

criterion_group!(benches, kernels);
criterion_main!(benches);
