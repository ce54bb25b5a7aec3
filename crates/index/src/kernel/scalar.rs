//! The twins: plain loops.

use super::row;

pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

pub(super) fn squared_l2(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum()
}

pub(super) fn dot_codes(a: &[i8], b: &[i8]) -> i32 {
    a.iter().zip(b).map(|(x, y)| i32::from(*x) * i32::from(*y)).sum()
}

pub(super) fn dot_rows(query: &[f32], rows: &[f32], slots: &[u32], out: &mut [f32]) {
    for (slot, out) in slots.iter().zip(out) {
        *out = dot(query, row(rows, query.len(), *slot));
    }
}

pub(super) fn squared_l2_rows(query: &[f32], rows: &[f32], slots: &[u32], out: &mut [f32]) {
    for (slot, out) in slots.iter().zip(out) {
        *out = squared_l2(query, row(rows, query.len(), *slot));
    }
}

pub(super) fn dot_code_rows(query: &[i16], rows: &[i8], slots: &[u32], out: &mut [i32]) {
    for (slot, out) in slots.iter().zip(out) {
        let codes = row(rows, query.len(), *slot);
        *out = query
            .iter()
            .zip(codes)
            .map(|(x, y)| i32::from(*x) * i32::from(*y))
            .sum();
    }
}
