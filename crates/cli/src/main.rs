//! The binary `fingerpost`.
fn main() {}
