//! A policy from outside, in one binary: linking it once is most of what its tests cost.

mod condition;
mod languages;
mod lazy;
mod policy;
mod support;
